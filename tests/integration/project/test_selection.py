"""Which tests run where something is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILE = "tests/unit/training/test_crowd_faces.py"  # some of its tests need assets


def collect(**environment: str) -> str:
    cleared = {name: value for name, value in os.environ.items() if name not in ("CI", "CROWDMOOD_TEST_ASSETS")}
    cleared["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # saves seconds; pyproject.toml has an option of pytest-timeout
    words = [sys.executable, "-m", "pytest", "-p", "pytest_timeout", "--collect-only", "--quiet", FILE]
    done = subprocess.run(words, cwd=ROOT, env=cleared | environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 5), done.stdout + done.stderr  # 5: none is left
    return done.stdout


@pytest.mark.parametrize("ci", [{}, {"CI": "true"}], ids=["here", "in CI"])
def test_tests_that_need_assets_are_left_out_where_none_are_promised(ci: dict[str, str]) -> None:
    assert "tests need the test assets (CROWDMOOD_TEST_ASSETS is none): deselected" in collect(
        CROWDMOOD_TEST_ASSETS="none", **ci
    )


def test_a_folder_of_assets_that_is_missing_is_no_excuse_in_ci(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert "need the test assets" in collect(CROWDMOOD_TEST_ASSETS=missing)
    assert "need the test assets" not in collect(CROWDMOOD_TEST_ASSETS=missing, CI="true")
