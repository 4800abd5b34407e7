"""The pages of the documentation, derived from the repository: nothing is listed twice and nothing is copied.

Every Markdown file that Git knows is a page at its own path, so links work the same in an editor, on a code host and on
the site. The reference has one page for each Python package. Nothing here needs MkDocs: `hooks.py` hands it over.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
HIDDEN = (".github/",)
"""Templates of the code host, which are no pages."""
WITHOUT_REFERENCE = {"benchmarks", "deploy", "docs", "examples", "tests"}
"""Folders whose code no one imports from outside, wherever they are."""
SECTIONS = ("Guides", "Decisions", "Examples", "Parts", "Contributing")
"""Sections of the navigation, in their order."""

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^)\s]+)\)")
_ANCHOR = re.compile(r'<a (?:id|name)="([^"]+)"')
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def known_files(*patterns: str, root: Path = ROOT) -> list[str]:
    """Return the files that Git tracks or would track, as sorted paths from the root.

    Args:
        patterns: Git's patterns, such as `*.md`; all files without one.
        root: The top of a working tree.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True, text=True).stdout
    return sorted({path for path in listed.split("\0") if path and (root / path).is_file()})


def pages(root: Path = ROOT) -> list[str]:
    """Return the path of every page."""
    return [path for path in known_files("*.md", root=root) if not path.startswith(HIDDEN)]


def links(text: str) -> list[str]:
    """Return the targets of a page's links and images that stay in the repository; code is no link."""
    prose = _CODE.sub("", _FENCE.sub("", text))
    return [target for _, target in _LINK.findall(prose) if not re.match(r"[a-z][a-z+.-]*:|//", target)]


def resolved(page: str, target: str) -> tuple[str, str]:
    """Return the path from the root that a link of a page means, and its anchor (empty without one)."""
    path, _, anchor = target.partition("#")
    if not path:
        return page, anchor
    parts: list[str] = []
    for part in (PurePosixPath(page).parent / path).parts:
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts) or ".", anchor


def anchors(text: str) -> set[str]:
    """Return the anchors of a page: those of its headings, as code hosts make them, and explicit ones."""
    prose = _FENCE.sub("", text)
    seen: Counter[str] = Counter()
    found = set(_ANCHOR.findall(prose))
    for heading in _HEADING.findall(prose):
        plain = re.sub(r"[^\w\- ]", "", _LINK.sub(r"\1", heading)).strip().lower().replace(" ", "-")
        found.add(plain if not seen[plain] else f"{plain}-{seen[plain]}")
        seen[plain] += 1
    return found


def broken_links(root: Path = ROOT) -> Iterator[str]:
    """Yield what is wrong with each link that leads nowhere: `PAGE: TARGET`."""
    known = pages(root)
    texts = {page: (root / page).read_text(encoding="utf-8") for page in known}
    for page in known:
        for target in links(texts[page]):
            path, anchor = resolved(page, target)
            there = (root / path).exists() and not path.startswith("..")
            if not there or (anchor and anchor not in anchors(texts.get(path, ""))):
                yield f"{page}: {target}"


def linked_files(root: Path = ROOT) -> list[str]:
    """Return the files beside the pages that a page shows or links to, such as images."""
    known = pages(root)
    targets = {resolved(page, link)[0] for page in known for link in links((root / page).read_text(encoding="utf-8"))}
    return sorted(path for path in targets.difference(known) if (root / path).is_file())


def without_folders(text: str, page: str, root: Path = ROOT) -> str:
    """Point links to folders at their README; where a folder has none, keep the words: a site has no folders."""

    def link(found: re.Match[str]) -> str:
        path, _ = resolved(page, found[2])
        if not (root / path).is_dir():
            return found[0]
        readme = f"{found[2].rstrip('/')}/README.md"
        return f"{found[1]}({readme})" if (root / path / "README.md").is_file() else found[1][1:-1]

    return _LINK.sub(link, text)


def navigation(root: Path = ROOT) -> list[dict[str, str | list[str]]]:
    """Return the navigation as MkDocs has it: the start page, then sections of paths, each page once."""
    sections: dict[str, list[str]] = {name: [] for name in SECTIONS}
    for page in sorted(
        pages(root), key=lambda page: (PurePosixPath(page).parent, not page.endswith("README.md"), page)
    ):
        if page != "README.md":
            sections[_section(page)].append(page)
    shown: list[dict[str, str | list[str]]] = [{name: found} for name, found in sections.items() if found]
    return [{"CrowdMood": "README.md"}, *shown, {"Reference": [page for page, _ in references(root)]}]


def _section(page: str) -> str:
    top, *below = PurePosixPath(page).parts
    if top == "docs":
        return "Decisions" if below[0] == "decisions" else "Guides"
    if not below or top == "tests":
        return "Contributing"
    return "Examples" if top == "examples" else "Parts"


def packages(root: Path = ROOT) -> dict[str, tuple[str, list[str]]]:
    """Return every package: its dotted name, the folder that Python finds it in, and the names of its modules."""
    files = known_files("*.py", root=root)
    folders = {str(PurePosixPath(file).parent) for file in files if file.endswith("/__init__.py")}
    found: dict[str, tuple[str, list[str]]] = {}
    for folder in sorted(folders):
        if not WITHOUT_REFERENCE.isdisjoint(folder.split("/")):
            continue
        top = PurePosixPath(folder)
        while str(top.parent) in folders:
            top = top.parent
        dotted = ".".join(PurePosixPath(folder).relative_to(top.parent).parts)
        modules = [PurePosixPath(file).stem for file in files if str(PurePosixPath(file).parent) == folder]
        found[dotted] = (str(top.parent), [name for name in modules if not name.startswith("__")])
    return found


def search_paths(root: Path = ROOT) -> list[str]:
    """Return the folders in which Python finds the packages."""
    return sorted({folder for folder, _ in packages(root).values()})


def references(root: Path = ROOT) -> Iterable[tuple[str, str]]:
    """Return the pages of the reference: each package's path and text, which names its modules to mkdocstrings."""
    for package, (_, modules) in packages(root).items():
        top = f"---\ntitle: {package}\n---\n\n::: {package}\n    options:\n      heading_level: 1\n\n"
        yield f"reference/{package}.md", top + "".join(f"::: {package}.{module}\n\n" for module in modules)
