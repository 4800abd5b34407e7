"""Fixtures that every kind of test may use."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# A busy machine makes any example slow.
hypothesis.settings.register_profile("busy", deadline=None)
hypothesis.settings.load_profile("busy")

ROOT = Path(__file__).parent.parent
ASSETS = Path(os.environ.get("CROWDMOOD_TEST_ASSETS", ROOT.parent / "shared"))


@pytest.fixture(scope="session", autouse=True)
def _no_downloaded_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep YuNet that `make setup` downloaded out of the tests, which name the detector's model where they need it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of test data and footage that stands beside the project."""
    return ASSETS


PROGRAMS = {
    "amtool": "prometheus-alertmanager",
    "chromium": "chromium",
    "docker-compose": "docker-compose",
    "faketime": "faketime",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
    "redis-server": "redis-server",
}
"""Programs that tests of the deployment and of the page run, and the Debian package that each comes with."""


@pytest.fixture(scope="session")
def programs() -> dict[str, str]:
    """Where each of `PROGRAMS` is."""
    found = {name: shutil.which(name) for name in PROGRAMS}
    missing = [name for name, path in found.items() if path is None]
    assert not missing, f"install {', '.join(sorted({PROGRAMS[name] for name in missing}))} of Debian"
    return {name: path for name, path in found.items() if path is not None}


def find_helm() -> str | None:
    """Where helm is: `make test` puts it beside Python."""
    return shutil.which("helm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


@pytest.fixture(scope="session")
def helm() -> str:
    """What renders the Kubernetes chart."""
    path = find_helm()
    assert path is not None, "`make test` fetches helm: see tests/helm.txt"
    return path


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test sees neither the developer's environment nor a crowdmood.toml that happens to lie here."""
    for name in [name for name in os.environ if name.startswith("CROWDMOOD_") and name != "CROWDMOOD_TEST_ASSETS"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that lack what they need, with one line; CI does so for assets alone, where none are promised."""
    lacking: dict[str, str] = {}
    packages = sorted({package for name, package in PROGRAMS.items() if shutil.which(name) is None})
    if os.environ.get("CROWDMOOD_TEST_ASSETS") == "none":
        lacking["assets"] = "the test assets (CROWDMOOD_TEST_ASSETS is none)"
    if not os.environ.get("CI"):
        if "assets" not in lacking and not ASSETS.is_dir():
            lacking["assets"] = f"the test assets ({ASSETS} is no folder)"
        if packages:
            lacking["programs"] = f"programs that are not here (of Debian: apt install {' '.join(packages)})"
        if find_helm() is None:
            lacking["helm"] = "helm, which `make test` fetches on Linux"
    for fixture, what in lacking.items():
        needing = [item for item in items if fixture in getattr(item, "fixturenames", ())]
        if needing:
            config.hook.pytest_deselected(items=needing)
            items[:] = [item for item in items if item not in needing]
            print(f"\n{len(needing)} tests need {what}: deselected")
