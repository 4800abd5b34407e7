"""The client's own package: built, installed where nothing but httpx is, and used against the API."""

import re
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from api import examples
from crowdmood.core.settings import BusSettings, load
from crowdmood.store.moods import MoodStore
from tests.conftest import ROOT
from tests.environments import make_environment
from tests.serving import Running, ready

CLIENT = ROOT / "clients/python"
PROJECT = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
(BOARD,) = re.findall(
    r"^## An ad board in ten lines\n\n```python\n(.*?)```", (CLIENT / "README.md").read_text(), re.M | re.S
)


@pytest.fixture
def api(server_url: str, bus_settings: BusSettings) -> Iterator[Running]:
    with ready(load(state_url=server_url, bus=bus_settings.model_dump(), api={"port": 0})) as api:
        yield api


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of what Git knows."""
    folder = tmp_path_factory.mktemp("client")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."]
    for name in subprocess.run(listed, cwd=CLIENT, capture_output=True, text=True, check=True).stdout.split():
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((CLIENT / name).read_bytes())
    words = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
        folder / "source",
    ]
    subprocess.run([sys.executable, *words], check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel where nothing but httpx and its dependencies is; return that Python."""
    return make_environment(tmp_path_factory.mktemp("environment"), ["httpx"], wheel)


def test_the_wheel_holds_the_package_its_types_and_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (licence,) = (name for name in archive.namelist() if name.endswith("/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    sources = {path.relative_to(CLIENT).as_posix() for path in (CLIENT / "crowdmood_client").glob("*.py")}
    assert held == sources | {"crowdmood_client/py.typed"}
    assert wheel.stat().st_size < 100_000


def test_the_wheel_needs_httpx_alone_and_has_the_version_of_the_service(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (path for path in zipfile.Path(archive).iterdir() if path.name.endswith(".dist-info"))
        found = PathDistribution(metadata)
        assert [Requirement(text).name for text in found.requires or ()] == ["httpx"]
        assert found.metadata["Requires-Python"] == ">=3.10"
        assert found.version == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_client_imports_nothing_but_httpx_and_the_standard_library(python: Path) -> None:
    code = "import crowdmood_client, sys; print('\\n'.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    imported = set(done.stdout.split())
    assert imported.isdisjoint({"pydantic", "numpy", "redis", "crowdmood", "api"})
    assert {"httpx", "crowdmood_client"} <= imported


def test_the_board_of_the_readme_follows_the_mood_in_ten_lines(
    python: Path, api: Running, store: MoodStore, tmp_path: Path
) -> None:
    assert len([line for line in BOARD.splitlines() if line.strip()]) <= 10
    (tmp_path / "board.py").write_text(BOARD.replace('"http://127.0.0.1:8000", key="cm_…"', repr(api.url)))
    with subprocess.Popen([python, "board.py"], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as board:
        try:
            assert board.stdout is not None
            assert board.stdout.readline() == "default.mp4\n"
            now_ms = round(time.time() * 1000)
            mood = replace(examples.OK, as_of_ms=now_ms, valid_until_ms=now_ms + 60_000)
            store.publish([mood], run_id="test", checkpoint={}, cameras={})
            while (line := board.stdout.readline()) == "default.mp4\n":
                pass
            assert line == "celebrate.mp4\n"
        finally:
            board.kill()
