"""Requests a second and p99 of `GET /mood` and of a bare FastAPI endpoint that returns the same bytes, by wrk.

Each is served by a process of its own, by uvicorn as `crowdmood api` configures it, and they are asked in turns.
`crowdmood api` reads a real state store, into which a mood is published every second. Needs wrk
(`apt-get install wrk`) and two cores: one serves, one asks.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx
import uvicorn
from fastapi import FastAPI, Response

from api import examples
from benchmarks.figures import Chart, Figure, Goal, MissingError, Row
from benchmarks.processes import servers
from benchmarks.session import free_port
from crowdmood.core.settings import load, required_url
from crowdmood.store.moods import MoodStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.session import Session

_PREFIX: Final = "benchmark"
_CONNECTIONS: Final = 32
_UNITS_MS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3}


class Measured(NamedTuple):
    """Requests a second, and the time within which 99 % were answered, of one run of wrk."""

    per_s: float
    p99_ms: float


def measure(session: Session) -> Figure:
    """Measure both endpoints.

    Raises:
        MissingError: wrk is not installed.
    """
    if shutil.which("wrk") is None:
        raise MissingError("wrk is missing: apt-get install wrk")
    pairs = ask(rounds=session.size(4, 1), seconds=session.size(5, 1))
    rows: list[Row] = [
        {
            "endpoint": name,
            "requests/s": statistics.median(one.per_s for one in runs),
            "p99, ms": statistics.median(one.p99_ms for one in runs),
        }
        for name, runs in zip(("bare FastAPI endpoint", "GET /mood"), zip(*pairs, strict=True), strict=True)
    ]
    per_s = statistics.median(mood.per_s / bare.per_s for bare, mood in pairs)
    p99 = statistics.median(mood.p99_ms / bare.p99_ms for bare, mood in pairs)
    return Figure(
        title="The API",
        rows=rows,
        chart=Chart("endpoint", ["requests/s"], "requests a second"),
        goals=[
            Goal("GET /mood: requests/s over the bare endpoint's", 0.8, per_s),
            Goal("GET /mood: p99 over the bare endpoint's", 2, p99, at_least=False),
        ],
        notes=[
            f"wrk, {_CONNECTIONS} connections; both answer with the same bytes, in turns, one process each, with "
            "uvicorn as `crowdmood api` configures it; a mood is published every second."
        ],
    )


def ask(rounds: int, seconds: int) -> list[tuple[Measured, Measured]]:
    """Return what wrk measured of the bare endpoint and of `GET /mood`, after a first round that does not count."""
    bare_port, port = free_port(), free_port()
    settings = load(bus={"key_prefix": _PREFIX}, log={"level": "WARNING"})
    with servers(settings) as running, ExitStack() as stack:
        state_url = required_url(running.state_url, "state")
        stack.enter_context(_publishing(state_url))
        environment = {
            "CROWDMOOD_STATE_URL": state_url,
            "CROWDMOOD_BUS_URL": required_url(running.bus_url, "bus"),
            "CROWDMOOD_BUS__KEY_PREFIX": _PREFIX,
            "CROWDMOOD_API__PORT": str(port),
        }
        code = f"from benchmarks.api import serve_bare; serve_bare({bare_port}, {examples.OK.to_json().encode()!r})"
        urls = [
            stack.enter_context(_process(["-c", code], bare_port, {})),
            stack.enter_context(_process(["-m", "app", "api"], port, environment)),
        ]
        for url in urls:
            _wrk(url, 1)
        return [(_wrk(urls[0], seconds), _wrk(urls[1], seconds)) for _ in range(rounds)]


def serve_bare(port: int, body: bytes) -> None:
    """Serve the bare endpoint until killed."""
    app = FastAPI(openapi_url=None)

    @app.get("/mood")
    async def mood() -> Response:
        return Response(body, media_type="application/json")

    uvicorn.run(app, port=port, log_config=None, access_log=False, server_header=False)


@contextmanager
def _process(words: list[str], port: int, environment: dict[str, str]) -> Iterator[str]:
    """Run Python until the context ends; yield the address of the mood once there is one."""
    url = f"http://127.0.0.1:{port}/mood"
    process = subprocess.Popen([sys.executable, *words], env=os.environ | environment)
    try:
        deadline_s = time.monotonic() + 30
        while not _serves(url):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{words[-1]} does not serve {url}")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _serves(url: str) -> bool:
    try:
        status: str = httpx.get(url, timeout=5).raise_for_status().json()["status"]
    except httpx.HTTPError:
        return False
    return status == "ok"


@contextmanager
def _publishing(state_url: str) -> Iterator[None]:
    """Publish a mood every second, as live cameras do."""
    stop = threading.Event()

    def publish() -> None:
        with closing(MoodStore(state_url, _PREFIX)) as store:
            while not stop.wait(1.0):
                now_ms = round(time.time() * 1000)
                mood = replace(examples.OK, as_of_ms=now_ms, valid_until_ms=now_ms + 5_000)
                store.publish([mood], run_id="benchmark", checkpoint={}, cameras={})

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _wrk(url: str, seconds: int) -> Measured:
    command = ["wrk", "--latency", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", url]
    return parse(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def parse(printed: str) -> Measured:
    """Return the figures of a report of `wrk --latency`.

    Raises:
        ValueError: It is no report, or some answers were errors.
    """
    rate = re.search(r"^Requests/sec:\s+([\d.]+)$", printed, re.MULTILINE)
    p99 = re.search(r"^\s+99%\s+([\d.]+)(us|ms|s)$", printed, re.MULTILINE)
    if not rate or not p99 or "Non-2xx" in printed or "Socket errors" in printed:
        raise ValueError(f"wrk did not measure good answers:\n{printed}")
    return Measured(float(rate[1]), float(p99[1]) * _UNITS_MS[p99[2]])
