"""`crowdmood run` continues when an embedded server dies, and when a camera crashes its process."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.embedded import running_servers
from crowdmood.bus.connection import connect
from tests.ports import free_port
from tests.waiting import eventually

from .conftest import COMMAND, running
from .test_commands import video

RECOVERY_S = 15.0


@dataclass
class Run:
    """A running `crowdmood run`, in its own process group."""

    url: str
    data_dir: Path
    log: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path, timeout=5).raise_for_status().json()

    def pid_of(self, server: str) -> int:
        servers = running_servers(self.data_dir)
        assert servers is not None
        url = servers.bus_url if server == "bus" else servers.state_url
        return int(connect(url).info("server")["process_id"])

    def wait_for_a_new_mood(self) -> str:
        """Wait for a mood that is newer than the current one, and return the time of the latter."""
        before: str = eventually(lambda: self.get("/mood")["as_of"], 60, (httpx.HTTPError,))
        eventually(lambda: self.get("/mood")["as_of"] > before, 60, (httpx.HTTPError, TypeError))
        return before


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    @contextmanager
    def started(cameras: dict[str, Path], **settings: str) -> Iterator[Run]:
        port, log = free_port(), tmp_path / "log"
        environment = os.environ | {
            "CROWDMOOD_CAMERAS": json.dumps([{"id": name, "uri": str(uri)} for name, uri in cameras.items()]),
            "CROWDMOOD_API__PORT": str(port),
            "CROWDMOOD_RUN__DETECTORS": "1",
            "CROWDMOOD_LOG__FORMAT": "json",
            **settings,
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*COMMAND, "run", "--data-dir", str(tmp_path / "data")],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            yield Run(f"http://127.0.0.1:{port}", tmp_path / "data", log, process)
            assert process.poll() is None, log.read_text()
        finally:
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(60) == 0, log.read_text()

    yield started


def test_moods_resume_within_15_s_after_a_server_or_the_keeper_is_killed(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    with run({"stand": video(tmp_path / "stand.mp4", 3000)}) as installation:
        first = installation.wait_for_a_new_mood()
        for server in ("bus", "state"):
            victim = installation.pid_of(server)
            os.kill(victim, signal.SIGKILL)
            killed_s = time.monotonic()
            installation.wait_for_a_new_mood()
            assert time.monotonic() - killed_s < RECOVERY_S
            assert installation.pid_of(server) != victim
            assert f"the embedded {server} server died: restarted" in installation.log.read_text()
        (keeper,) = (pid for pid in processes_with("app.embedded", installation.data_dir))
        os.kill(keeper, signal.SIGKILL)
        killed_s = time.monotonic()
        installation.wait_for_a_new_mood()
        assert time.monotonic() - killed_s < RECOVERY_S
        assert "the keeper of the embedded servers died" in installation.log.read_text()
        assert first in {mood["as_of"] for mood in installation.get("/moods?limit=1000")["moods"]}


def test_a_camera_that_keeps_crashing_its_process_does_not_stop_others(run: Callable[..., Any], tmp_path: Path) -> None:
    # A fault in a decoder ends its process with SIGSEGV. Every process that reads the camera `bad` gets one.
    videos = {name: video(tmp_path / f"{name}.mp4", 3000) for name in ("bad", "north", "south")}
    with run(videos, CROWDMOOD_RUN__MAX_RESTARTS="5") as installation:
        installation.wait_for_a_new_mood()
        crashes = 0

        def crash() -> dict[str, Any]:
            nonlocal crashes
            for pid in ingest_processes_of("bad"):
                os.kill(pid, signal.SIGSEGV)
                crashes += 1
            return {row["id"]: row for row in installation.get("/cameras")}

        # More crashes than the budget allows restarts.
        rows = eventually(crash, until=lambda rows: crashes > 5 and rows["bad"]["state"] == "down")
        assert "its decoder crashed (SIGSEGV" in rows["bad"]["detail"]
        installation.wait_for_a_new_mood()
        assert {row["state"] for row in installation.get("/cameras") if row["id"] != "bad"} == {"live"}


def processes_with(word: str, folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if word in words and str(folder) in words:
                found.append(int(entry.name))
    return found


def ingest_processes_of(camera: str) -> list[int]:
    """Return the ids of the ingest processes that read a camera, alone or with others."""
    everything = running("ingest", "--name", "ingest-0")
    others = [names for names in (("bad",), ("bad", "north"), ("north", "south")) if camera in names]
    chosen = [
        pid
        for number in range(3)
        for names in others
        for pid in running("--name", f"ingest-{number}", *(word for name in names for word in ("--camera", name)))
    ]
    return everything + chosen
