"""Every link of every page leads somewhere, and the site has every page and every module once."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from docs import pages


def test_every_link_and_anchor_of_every_page_is_there() -> None:
    assert len(pages.pages()) > 15
    assert list(pages.broken_links()) == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository of two pages, two packages and a file that Git ignores."""
    files = {
        ".gitignore": "/build/\n",
        ".github/pull_request_template.md": "[nowhere](nowhere.md)",
        "README.md": "# Start\n\n[guide](docs/guide.md#two-words) ![picture](docs/picture.png) [tools](tools)\n",
        "docs/guide.md": '# Guide\n\n## Two `words`\n\n<a id="here"></a>\n\n[up](../README.md) [here](#here)\n',
        "docs/picture.png": "",
        "build/left.md": "[nowhere](nowhere.md)",
        "core/__init__.py": "",
        "core/bus/__init__.py": "",
        "core/bus/inbox.py": "",
        "clients/python/client/__init__.py": "",
        "clients/python/tests/__init__.py": "",
        "tests/__init__.py": "",
        "tools/run.sh": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def test_links_that_lead_somewhere_are_not_broken(tree: Path) -> None:
    assert pages.pages(tree) == ["README.md", "docs/guide.md"]
    assert list(pages.broken_links(tree)) == []
    assert pages.linked_files(tree) == ["docs/picture.png"]


@pytest.mark.parametrize(
    "link",
    [
        "missing.md",
        "docs/guide.md#three-words",
        "#guide",  # of another page
        "docs/picture.png#top",  # an image has no anchors
        "../elsewhere.md",  # outside of the repository
    ],
)
def test_a_link_that_leads_nowhere_is_named(tree: Path, link: str) -> None:
    (tree / "README.md").write_text(f"# Start\n\n[there]({link})\n")
    assert list(pages.broken_links(tree)) == [f"README.md: {link}"]


@pytest.mark.parametrize(
    "text", ["`[code](missing.md)`", "```\n[code](missing.md)\n```", "[web](https://example.org/)"]
)
def test_code_and_addresses_elsewhere_are_no_links(text: str) -> None:
    assert pages.links(text) == []


def test_headings_of_the_same_words_have_anchors_of_their_own() -> None:
    assert pages.anchors("# One\n\n## What it's for (now)\n\n# One\n") == {"one", "what-its-for-now", "one-1"}


def test_a_link_to_a_folder_becomes_one_to_its_page_or_plain_words(tree: Path) -> None:
    text = "[the guides](docs) and [tools](tools) and [guide](docs/guide.md)"
    assert pages.without_folders(text, "README.md", tree) == "the guides and tools and [guide](docs/guide.md)"
    (tree / "docs/README.md").write_text("# Guides\n")
    assert "[the guides](docs/README.md)" in pages.without_folders(text, "README.md", tree)


def test_the_navigation_has_every_page_once() -> None:
    (start, *sections) = pages.navigation()
    listed = [page for section in sections for found in section.values() for page in found]
    assert start == {"CrowdMood": "README.md"}
    written = [page for page in listed if not page.startswith("reference/")]
    assert sorted(written) == sorted(set(pages.pages()) - {"README.md"})
    assert len(listed) > len(written)


def test_the_reference_names_every_module_that_is_not_a_test(tree: Path) -> None:
    texts = dict(pages.references(tree))
    named = {
        page: [line.removeprefix("::: ") for line in text.splitlines() if ":::" in line] for page, text in texts.items()
    }
    assert named == {
        "reference/client.md": ["client"],
        "reference/core.md": ["core"],
        "reference/core.bus.md": ["core.bus", "core.bus.inbox"],
    }
    assert pages.search_paths(tree) == [".", "clients/python"]


def test_the_site_is_built_with_its_warnings_as_errors() -> None:
    makefile = (pages.ROOT / "Makefile").read_text()
    recipe = makefile.partition("\ndocs:")[2].partition("\n\n")[0]
    assert "build --strict" in recipe
    assert "--quiet" not in recipe  # MkDocs counts no warning that it does not print


def test_tools_of_the_site_are_locked_apart_from_those_of_the_tests() -> None:
    project = tomllib.loads((pages.ROOT / "pyproject.toml").read_text())
    wanted = {re.split(r"[^\w-]", requirement)[0] for requirement in project["dependency-groups"]["docs"]}
    locked = {
        file: set(re.findall(r"^([a-z0-9-]+)==", (pages.ROOT / file).read_text(), re.MULTILINE))
        for file in ("docs/requirements.txt", "requirements.txt")
    }
    assert wanted <= locked["docs/requirements.txt"]
    assert {name for name in locked["requirements.txt"] if name.startswith("mkdocs")} == set()
