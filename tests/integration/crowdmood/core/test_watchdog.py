"""A stuck process ends itself; one that works, or waits for a server, does not."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAD = """
import threading, time
from crowdmood.core import health
health.WATCHDOG._after_s = 2
from crowdmood.bus.streams import Bus
from crowdmood.core.health import READINESS, WATCHDOG
from crowdmood.core.settings import BusSettings
"""


def run(body: str) -> subprocess.CompletedProcess[str]:
    code = HEAD + "with WATCHDOG.watch():\n" + "\n".join(f"    {line}" for line in body.splitlines())
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_a_process_that_hangs_ends_with_the_stacks_of_its_threads() -> None:
    done = run("def hangs():\n    time.sleep(60)\nREADINESS.renew()\nhangs()")
    assert done.returncode == 1
    assert "Timeout (0:00:02)!" in done.stderr
    assert "in hangs" in done.stderr


@pytest.mark.parametrize(
    "body",
    [
        "for _ in range(40):\n    time.sleep(0.1)\n    READINESS.renew()",
        "time.sleep(4)",  # it starts with the first sign of life: loading a model may take long
    ],
)
def test_a_process_that_works_or_starts_goes_on(body: str) -> None:
    done = run(f"{body}\nprint('alive')")
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_a_process_that_waits_for_its_server_goes_on(tmp_path: Path) -> None:
    done = run(
        f"stop = threading.Event()\nbus = Bus('unix://{tmp_path}/missing', BusSettings(), stop)\n"
        "READINESS.renew()\nthreading.Timer(5, stop.set).start()\n"
        "try:\n    bus.connection.call(lambda client: client.ping())\n"
        "except Exception as error:\n    print(type(error).__name__)"
    )
    assert (done.returncode, done.stdout) == (0, "ServerUnavailableError\n"), done.stderr
