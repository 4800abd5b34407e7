"""The house: folders say what they own, files stay short, imports do not go round in circles."""

import ast
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INSTALLED = [name.replace(".", "/") for name in PROJECT["tool"]["setuptools"]["packages"]]
OTHERS = ["benchmarks", "deploy", "examples", "tests"]
LONG: set[str] = set()
"""Files of more than 300 lines, with the reason beside each."""


def files(*folders: str) -> dict[str, str]:
    """Source by path."""
    found = {path for folder in folders for path in (ROOT / folder).rglob("*.py")}
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(found)}


@pytest.mark.parametrize("folder", [*INSTALLED, "benchmarks", "examples", "tests"])
def test_every_folder_says_what_it_owns_and_what_it_must_not_do(folder: str) -> None:
    package, readme = ROOT / folder / "__init__.py", ROOT / folder / "README.md"
    told = ast.get_docstring(ast.parse(package.read_text())) if package.is_file() else readme.read_text()
    assert told
    assert len(re.findall(r"[.:](?=\s|$)", told)) >= 2
    assert re.search(r"\b(not|never|no|nothing|nor)\b", told)


def test_a_file_has_300_lines_at_most_or_a_reason() -> None:
    assert {file for file, text in files(*INSTALLED, *OTHERS).items() if len(text.splitlines()) > 300} == LONG


def test_who_silences_a_check_says_why() -> None:
    silenced = re.compile(r"# (?:noqa|type: ignore)\S*(?: [A-Z]+\d+)?(.*)")
    lines = [(file, line) for file, text in files(*INSTALLED).items() for line in text.splitlines()]
    assert [line for line in lines if (found := silenced.search(line[1])) and len(found[1]) < 5] == []


def test_no_import_leads_back_to_where_it_began() -> None:
    packages = PROJECT["tool"]["importlinter"]["root_packages"]
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # names the circle where there is one
    assert any(imports.values())
