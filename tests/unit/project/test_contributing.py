"""Statements of CONTRIBUTING and CHANGELOG are true."""

import re
import tomllib
from pathlib import Path

import crowdmood

ROOT = Path(__file__).parents[3]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_every_path_in_contributing_exists() -> None:
    named = re.findall(r"`((?:[a-z_]+/)+[\w.]*|[\w-]+\.(?:toml|txt|md))`", CONTRIBUTING)
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_target_in_contributing_exists() -> None:
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", CONTRIBUTING))
    assert len(named) > 5
    assert named <= made


def test_the_version_is_in_one_place() -> None:
    assert crowdmood.__version__ == VERSION
    quoting = [path for path in ROOT.glob("*/*.py") if f'"{VERSION}"' in path.read_text()]
    assert quoting == []


def test_the_changelog_begins_with_this_version_or_unreleased_changes() -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", CHANGELOG, re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0] == VERSION
    assert all(re.fullmatch(r"Unreleased|\d+\.\d+\.\d+", heading) for heading in headings)
