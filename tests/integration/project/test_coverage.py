"""`make coverage` counts the lines that run in processes that a test starts, however they end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PARENT = """
import subprocess, sys
with subprocess.Popen([sys.executable, "-m", "core.child"], cwd="elsewhere", stdout=subprocess.PIPE) as child:
    for _ in range(3):
        child.stdout.readline()
    {end}
"""
CHILD = """
import time
for _ in range({times}):
    print("ready", flush=True)
    time.sleep(0.01)
"""


@pytest.mark.parametrize(("end", "times"), [("child.wait()", 3), ("child.terminate()", 10_000)], ids=["exit", "signal"])
def test_lines_of_a_process_that_a_test_starts_are_counted(tmp_path: Path, end: str, times: int) -> None:
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for folder in ("core", "elsewhere", "build/coverage"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "core/__init__.py").touch()
    (tmp_path / "core/child.py").write_text(CHILD.format(times=times))
    (tmp_path / "parent.py").write_text(PARENT.format(end=end))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    for words in (["run", "parent.py"], ["combine"], ["json", "-o", "report.json"]):
        subprocess.run(
            [sys.executable, "-m", "coverage", *words],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(tmp_path)},
            check=True,
            timeout=60,
        )
    files = json.loads((tmp_path / "report.json").read_text())["files"]
    assert files["core/child.py"]["summary"]["missing_lines"] == 0
    assert len(files["core/child.py"]["executed_lines"]) >= 4
