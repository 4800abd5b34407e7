"""Fixtures that every kind of test may use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ASSETS = Path(os.environ.get("CROWDMOOD_TEST_ASSETS", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of test data and footage that stands beside the project."""
    return ASSETS


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test sees neither the developer's environment nor a crowdmood.toml that happens to lie here."""
    for name in [name for name in os.environ if name.startswith("CROWDMOOD_") and name != "CROWDMOOD_TEST_ASSETS"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the assets, tests that need them are deselected with one clear line; in CI their absence is a failure."""
    if ASSETS.is_dir() or os.environ.get("CI"):
        return
    needing = [item for item in items if "assets" in getattr(item, "fixturenames", ())]
    if needing:
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]
        print(f"\n{len(needing)} tests need the test assets ({ASSETS} is no folder): deselected")
