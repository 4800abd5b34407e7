"""What is released works where nothing else of the project is: built as `python -m build` does, installed, and used."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import PathDistribution, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_SHIPPED = {f"{folder}/README.md" for folder in ("aggregator", "api", "classifier", "detector", "training")} | {
    "app/reports/README.md"
}
NOT_INSTALLED = {"torch"}
"""Whoever trains on Keras' other backend brings it."""
USE = """
import sys
import numpy as np
import crowdmood
from api.routes.page import index
from classifier import DEFAULT_MODEL
from classifier.engines import load_engine
from crowdmood.core.settings import load
from simulator.bank import load_bank

assert crowdmood.__file__.startswith(sys.prefix), crowdmood.__file__
probabilities, _ = load_engine(DEFAULT_MODEL, load().classifier).predict(np.zeros((2, 48, 48), np.uint8))
assert probabilities.shape in ((2, 7), (2, 8))
assert b"<html" in index().body
assert load_bank()
"""


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(words, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked(*folders: str) -> set[str]:
    return set(run("git", "ls-files", *folders, cwd=ROOT).splitlines())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made of the source archive, which is made of what is tracked."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if not (ROOT / name).is_file():
            continue  # deleted, and not committed yet
        target = folder / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    sdist = "from setuptools import build_meta; build_meta.build_sdist('..')"
    run(sys.executable, "-c", sdist, cwd=folder / "checkout")
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(folder / "source", filter="data")
    words = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ".")
    (source_folder,) = (folder / "source").iterdir()
    run(sys.executable, *words, cwd=source_folder)
    (made,) = folder.glob("*.whl")
    return made


def test_a_wheel_holds_all_that_is_loaded_and_nothing_of_the_tests(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    packages = {name.partition("/")[0] for name in held}
    assert packages.isdisjoint({"tests", "benchmarks", "examples", "deploy"})
    assert held == tracked(*packages) - NOT_SHIPPED


def imported(source: bytes) -> Iterator[str]:
    """The packages that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def canonical(requirement: str) -> str:
    """The name of a package, as indexes compare names, without versions and markers."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def test_whatever_a_wheel_imports_it_asks_for(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (path for path in zipfile.Path(archive).iterdir() if path.name.endswith(".dist-info"))
        asked = {canonical(line) for line in PathDistribution(metadata).requires or () if "extra ==" not in line}
        sources = {name: archive.read(name) for name in archive.namelist() if name.endswith(".py")}
    own = {name.partition("/")[0] for name in sources}
    used = {package for source in sources.values() for package in imported(source)}
    others = used - own - NOT_INSTALLED - sys.stdlib_module_names
    assert len(others) > 10
    bringing = packages_distributions()
    assert {name for name in others if asked.isdisjoint(map(canonical, bringing.get(name, ())))} == set()


def test_an_installed_wheel_has_the_command_a_network_faces_and_pages(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    (packages,) = environment.glob("lib/python3.*/site-packages")
    # What CrowdMood depends on is taken from here; CrowdMood itself is not: it is installed in an editable way.
    others = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "dependencies.pth").write_text(others)
    python = environment / "bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel, cwd=tmp_path)
    assert "replay" in run(environment / "bin/crowdmood", "--help", cwd=tmp_path)
    run(python, "-c", USE, cwd=tmp_path, PYTHONPATH="")
