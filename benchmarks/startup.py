"""How long a user waits: for the help text, for the first mood of footage, and for a network."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import httpx

from benchmarks.figures import Chart, Figure
from benchmarks.session import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.session import Session

_LONGEST_S: Final = 120.0
_LOAD: Final = """
import time
from classifier import DEFAULT_MODEL
from classifier.engines import load_engine
from crowdmood.core.settings import ClassifierSettings
began = time.perf_counter()
load_engine(DEFAULT_MODEL, ClassifierSettings(engine={engine!r}))
print(time.perf_counter() - began)
"""


def measure(session: Session) -> Figure:
    """Start everything several times."""
    video = session.match() / "stand-1.mp4"
    ways: dict[str, Callable[[], float]] = {
        "crowdmood --help": _help,
        "first mood of footage at GET /mood, from crowdmood replay on": lambda: _first_mood(video),
        "network loaded and warm, OpenVINO": lambda: _load("openvino"),
        "network loaded and warm, TensorFlow": lambda: _load("tensorflow"),
    }
    rounds = session.size(5, 1)
    seconds = {name: [way() for _ in range(rounds)] for name, way in ways.items()}
    return Figure(
        title="Start-up",
        rows=[{"what": name, "s": statistics.median(each), "s at most": max(each)} for name, each in seconds.items()],
        chart=Chart("what", ["s"], "seconds"),
        notes=[
            f"Medians of {rounds}. The first mood is of the footage's first second, and needs both servers and every "
            "stage started; a network's time includes the import of its framework, not the start of Python."
        ],
    )


def _help() -> float:
    began_s = time.perf_counter()
    subprocess.run([sys.executable, "-m", "app", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began_s


def _first_mood(video: Path) -> float:
    port = free_port()
    command = [sys.executable, "-m", "app", "replay", "--serve", "--speed", "max", str(video)]
    environment = os.environ | {"CROWDMOOD_DETECTOR__MIN_FACE_PX": "40", "CROWDMOOD_API__PORT": str(port)}
    began_s = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _has_mood(port):
            if process.poll() is not None:
                raise RuntimeError(f"crowdmood replay ended with {process.returncode}")
            if time.perf_counter() - began_s > _LONGEST_S:
                raise TimeoutError(f"no mood came within {_LONGEST_S:g} s")
            time.sleep(0.02)
        return time.perf_counter() - began_s
    finally:
        process.terminate()
        process.wait(60)


def _has_mood(port: int) -> bool:
    try:
        mood = httpx.get(f"http://127.0.0.1:{port}/mood", timeout=10).raise_for_status().json()
        return mood["as_of"] is not None
    except httpx.HTTPError:  # the API does not listen yet
        return False


def _load(engine: str) -> float:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", _LOAD.format(engine=engine)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout.split()[-1])
