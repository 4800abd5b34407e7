"""What the code host is given (hooks, workflows, forms) is valid and runs what a contributor runs."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.release_notes import release_notes
from deploy.sbom import bill
from docs import pages

ROOT = pages.ROOT
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").glob("*.yml")}
SCHEMAS = {
    "vendor.github-workflows": [".github/workflows/*.yml"],
    "vendor.github-issue-forms": [".github/ISSUE_TEMPLATE/[!c]*.yml"],
    "vendor.github-issue-config": [".github/ISSUE_TEMPLATE/config.yml"],
    "vendor.dependabot": [".github/dependabot.yml"],
}


def recipe(target: str) -> list[str]:
    """The commands of a target, with the environment's folder in place of the variable."""
    lines = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert lines, target
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in lines[1].splitlines()]


def steps(workflow: str) -> list[dict[str, Any]]:
    return [step for job in WORKFLOWS[workflow]["jobs"].values() for step in job.get("steps", [])]


def made(workflow: str) -> list[str]:
    """The targets that a workflow makes, itself or through .ci/run."""
    commands = " \n".join(step.get("run", "") for step in steps(workflow))
    calls = re.findall(r"(?:make(?: --\w+)*|\.ci/run) ((?:[a-z][a-z-]*[ \n])*[a-z][a-z-]*)(?=[ \n]|$)", commands)
    return [target for call in calls for target in call.split()]


def test_hooks_before_a_commit_are_what_make_check_runs() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == recipe("check")
    assert all(hook["always_run"] and not hook["pass_filenames"] for hook in repository["hooks"])


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_file_of_the_code_host_has_its_schema(schema: str) -> None:
    files = [str(path) for pattern in SCHEMAS[schema] for path in ROOT.glob(pattern)]
    assert files
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_makes_targets_that_there_are(workflow: str) -> None:
    assert made(workflow)
    assert set(made(workflow)) <= TARGETS


def test_ci_checks_tests_measures_and_documents() -> None:
    assert made("ci.yml") == ["check", "test", "coverage", "docs"]
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == 'exec make "$@"'


def test_ci_runs_every_python_that_the_project_allows() -> None:
    (span,) = re.findall(
        r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    allowed = [f"3.{minor}" for minor in range(int(span[0]), int(span[1]))]
    assert WORKFLOWS["ci.yml"]["jobs"]["test"]["strategy"]["matrix"]["python"] == allowed


def test_a_release_waits_for_every_other_job() -> None:
    jobs = WORKFLOWS["release.yml"]["jobs"]
    assert jobs["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert jobs["build"]["uses"] == "./.github/workflows/build.yml"

    def before(job: str) -> set[str]:
        needs = jobs[job].get("needs", [])
        needs = [needs] if isinstance(needs, str) else needs
        return set(needs).union(*(before(need) for need in needs))

    assert before("release") == set(jobs) - {"release"}
    assert before("images") >= {"ci", "build", "version"}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_an_action_is_pinned_by_commit_and_may_read_only(workflow: str) -> None:
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)] == []
    assert WORKFLOWS[workflow]["permissions"] == {"contents": "read"}
    writing = {
        name for name, job in WORKFLOWS[workflow]["jobs"].items() if "write" in job.get("permissions", {}).values()
    }
    assert writing == ({"images", "release"} if workflow == "release.yml" else set())


def test_images_are_made_of_every_role_of_the_dockerfile() -> None:
    stages = re.findall(r"^FROM base AS (\S+)", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    done = subprocess.run(
        ["make", "--dry-run", "images", "push", "REGISTRY=registry.example/", "TAG=1.2.3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    (named,) = set(re.findall(r"for role in ([a-z ]+);", done.stdout))
    assert sorted(named.split()) == sorted(stages)
    assert done.stdout.count("registry.example/crowdmood-$role:1.2.3") == 2


@pytest.fixture
def released(tmp_path: Path) -> Path:
    (tmp_path / "deploy/chart").mkdir(parents=True)
    (tmp_path / "deploy/chart/Chart.yaml").write_text("name: crowdmood\nversion: 1.2.3\nappVersion: 1.2.3\n")
    (tmp_path / "clients/python").mkdir(parents=True)
    for file in ("pyproject.toml", "clients/python/pyproject.toml"):
        (tmp_path / file).write_text('[project]\nversion = "1.2.3"\n')
    sections = ("[Unreleased]\n\n- New.\n", "[1.2.3] - 2026-05-01\n\n- One.\n- Two.\n", "[1.2.2]\n\n- Old.\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n" + "\n".join(f"## {section}" for section in sections))
    return tmp_path


def test_release_notes_are_the_section_of_the_version(released: Path) -> None:
    assert release_notes("v1.2.3", released) == "- One.\n- Two.\n"


@pytest.mark.parametrize(
    ("tag", "file", "old", "new", "reason"),
    [
        ("", "CHANGELOG.md", "", "", "is no version"),
        ("1.2.3", "CHANGELOG.md", "", "", "is no version"),
        ("v1.2", "CHANGELOG.md", "", "", "is no version"),
        ("v1.2.4", "CHANGELOG.md", "", "", "pyproject.toml has version 1.2.3"),
        (
            "v1.2.3",
            "clients/python/pyproject.toml",
            "1.2.3",
            "1.2.2",
            "clients/python/pyproject.toml has version 1.2.2",
        ),
        ("v1.2.3", "deploy/chart/Chart.yaml", "appVersion: 1.2.3", "appVersion: 1.2.2", "Chart.yaml has version 1.2.2"),
        ("v1.2.3", "CHANGELOG.md", "## [1.2.3]", "## [1.2.1]", "says nothing about 1.2.3"),
        ("v1.2.3", "CHANGELOG.md", "- One.\n- Two.\n", "", "says nothing about 1.2.3"),
    ],
)
def test_a_release_that_the_files_do_not_have_is_refused(
    released: Path, tag: str, file: str, old: str, new: str, reason: str
) -> None:
    text = (released / file).read_text()
    assert old in text
    (released / file).write_text(text.replace(old, new, 1) if old else text)
    with pytest.raises(ValueError, match=re.escape(reason)):
        release_notes(tag, released)


def test_a_refused_release_ends_make_with_its_reason() -> None:
    words = ["make", "--silent", "release-notes", "RELEASE=v999.0.0", f"PYTHON={sys.executable}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "the tag is v999.0.0" in done.stderr
    assert done.stdout == ""


def test_every_target_is_shown_by_help_and_declared() -> None:
    shown = set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert shown == TARGETS == set(phony.split())


@pytest.mark.parametrize("role", sorted(path.stem for path in (ROOT / "deploy/requirements").glob("*.txt")))
def test_a_bill_of_materials_has_every_pinned_package(role: str) -> None:
    made = bill(role)
    lock = (ROOT / f"deploy/requirements/{role}.txt").read_text()
    pinned = set(re.findall(r"^([a-z0-9._-]+==[^ ;\\]+)", lock, re.MULTILINE))
    assert {f"{one['name']}=={one['version']}" for one in made["components"]} == pinned
    digests = [
        digest["content"]
        for one in made["components"]
        for file in one["externalReferences"]
        for digest in file["hashes"]
    ]
    assert digests == re.findall(r"--hash=sha256:([0-9a-f]{64})", lock)
    assert len({one["bom-ref"] for one in made["components"]}) == len(made["components"])
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")


def test_a_bill_of_materials_of_an_unknown_role_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no role 'player'"):
        bill("player")
