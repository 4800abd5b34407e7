"""Packages are documented, silenced checks have a reason, and imports form no circle."""

import ast
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INSTALLED = [name.replace(".", "/") for name in PROJECT["tool"]["setuptools"]["packages"]]
OTHERS = ["benchmarks", "examples", "tests"]


def files(*folders: str) -> dict[str, str]:
    """Return the source of every module, by path."""
    found = {path for folder in folders for path in (ROOT / folder).rglob("*.py")}
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(found)}


@pytest.mark.parametrize("folder", [*INSTALLED, *OTHERS])
def test_every_package_has_a_readme_or_a_docstring(folder: str) -> None:
    package, readme = ROOT / folder / "__init__.py", ROOT / folder / "README.md"
    assert readme.is_file() or ast.get_docstring(ast.parse(package.read_text()))


def test_a_silenced_check_has_a_reason() -> None:
    silenced = re.compile(r"# (?:noqa|type: ignore)\S*(?: [A-Z]+\d+)?(.*)")
    lines = [(file, line) for file, text in files(*INSTALLED).items() for line in text.splitlines()]
    assert [line for line in lines if (found := silenced.search(line[1])) and len(found[1]) < 5] == []


def test_imports_form_no_circle() -> None:
    packages = PROJECT["tool"]["importlinter"]["root_packages"]
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # names the circle where there is one
    assert any(imports.values())
