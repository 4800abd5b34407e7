"""`make demo` as a user sees it, with a match that is short and there already."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.waiting import eventually

from .conftest import crowdmood

ROOT = Path(__file__).parents[2]


def test_the_demo_compares_with_the_truth_serves_the_mood_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    match, port, output = tmp_path / "match", free_port(), tmp_path / "output"
    done = crowdmood("simulate", "--minutes", "0.2", "--cameras", "2", "--people", "80", "--fps", "1", "--out", match)
    assert done.returncode == 0, done.stderr
    make = ["make", "--directory", ROOT, "--old-file", ".venv/installed", "demo"]
    variables = [f"BIN={Path(sys.executable).parent}", f"MATCH={match}", "SPEED=max"]
    environment = os.environ | {"CROWDMOOD_API__PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    with (
        output.open("w") as out,
        subprocess.Popen(
            [*make, *variables],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        ) as demo,
    ):
        try:
            # At the start, and when the replay has ended and it goes on serving.
            eventually(
                output.read_text,
                240,
                until=lambda shown: shown.count(f"curl {url}/mood") == 2,
                unless=lambda: demo.poll() is not None,
            )
            with urllib.request.urlopen(f"{url}/mood") as answer:
                mood = json.load(answer)
        finally:
            os.killpg(demo.pid, signal.SIGINT)
        demo.wait(60)

    shown = output.read_text()
    assert set(mood["cameras"]) == {"stand-1", "stand-2"}
    assert "24/24" in shown
    assert "The first mood came" in shown
    assert "Measured and true" in shown
    assert "error: " not in shown
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{url}/livez", timeout=60)
