"""`crowdmood run` continues when an embedded server dies, and when a camera crashes its process."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import simplejpeg

from app.embedded import running_servers
from crowdmood.bus.connection import connect
from tests.disks import unable_to_save
from tests.http_cameras import http_camera
from tests.ports import free_port
from tests.waiting import eventually

from .conftest import COMMAND, running
from .test_commands import video

RECOVERY_S = 15.0
_RESTARTS_WITHIN_S = 3.0
"""More than a process needs to die as often as the budget allows."""


@dataclass
class Run:
    """A running `crowdmood run`, in its own process group."""

    url: str
    data_dir: Path
    log: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path, timeout=5).raise_for_status().json()

    def ledger(self) -> list[dict[str, Any]]:
        """Return what `crowdmood ledger` prints; nothing before the servers run."""
        command = [*COMMAND, "ledger", "--json", "--data-dir", str(self.data_dir)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return list(json.loads(done.stdout or "[]"))

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
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB; only root may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    @contextmanager
    def started(cameras: Mapping[str, str | Path], folder: Path = tmp_path, **settings: str) -> Iterator[Run]:
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
                [*COMMAND, "run", "--data-dir", str(folder / "data")],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            yield Run(f"http://127.0.0.1:{port}", folder / "data", log, process)
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

        def history() -> list[dict[str, Any]]:
            try:
                return list(installation.get("/moods?limit=1000")["moods"])
            except httpx.HTTPStatusError:  # the API connects again
                return []

        assert first in {mood["as_of"] for mood in eventually(history)}


def test_a_full_disk_under_the_state_store_ends_no_process_and_moods_resume_by_themselves(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    with run({"stand": video(tmp_path / "stand.mp4", 3000)}) as installation:
        installation.wait_for_a_new_mood()
        servers = running_servers(installation.data_dir)
        assert servers is not None
        with unable_to_save(connect(servers.state_url)):
            eventually(lambda: "writes wait and reads go on" in installation.log.read_text())
            (aggregator,) = running("aggregate", "--name", "aggregator-0")
            os.kill(aggregator, signal.SIGKILL)  # the next one waits for the lease, which is a write too
            eventually(lambda: running("aggregate", "--name", "aggregator-0") not in ([], [aggregator]))
            time.sleep(3 * _RESTARTS_WITHIN_S)
            before = installation.get("/mood")["as_of"]
            assert httpx.get(f"{installation.url}/readyz", timeout=5).status_code in (200, 503)
        freed_s = time.monotonic()
        eventually(lambda: installation.get("/mood")["as_of"] > before, 60, (httpx.HTTPError, TypeError))
        assert time.monotonic() - freed_s < RECOVERY_S
        log = installation.log.read_text()
        died = [json.loads(line)["text"] for line in log.splitlines() if " died " in line]
        assert died == ["aggregator-0 died (exit code -9): restarted"]
        pids = [json.loads(line)["pid"] for line in log.splitlines() if "writes wait and reads go on" in line]
        assert len(pids) == len(set(pids))  # each process logs it once


@pytest.mark.soak
def test_a_server_that_dies_on_a_full_disk_starts_again_when_space_is_free(
    run: Callable[..., Any], tmp_path: Path, small_disk: Path
) -> None:
    with run({"stand": video(tmp_path / "stand.mp4", 3000)}, folder=small_disk) as installation:
        installation.wait_for_a_new_mood()
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        eventually(lambda: "cannot write to its disk" in installation.log.read_text())
        os.kill(installation.pid_of("state"), signal.SIGKILL)
        eventually(lambda: "no space is left in" in installation.log.read_text())
        time.sleep(3 * _RESTARTS_WITHIN_S)
        ballast.unlink()
        freed_s = time.monotonic()
        installation.wait_for_a_new_mood()
        assert time.monotonic() - freed_s < RECOVERY_S
        assert [
            line for line in installation.log.read_text().splitlines() if " died " in line and "stage" in line
        ] == []


def test_a_planned_restart_loses_no_frame_of_live_cameras(run: Callable[..., Any], tmp_path: Path) -> None:
    grain = np.random.default_rng(0)
    images = [simplejpeg.encode_jpeg(grain.integers(0, 256, (48, 64, 3), np.uint8), 80) for _ in range(20)]
    with http_camera(images) as north, http_camera(images) as south:
        cameras = {"north": north.uri, "south": south.uri}
        with run(cameras) as installation:
            before = eventually(
                installation.ledger, until=lambda rows: rows and all(row["counted"] > 60 for row in rows)
            )
        log = installation.log.read_text()
        (published,) = re.findall(r"ingest ingest-0 stops after .*: (\d+) frames, lost: none", log)
        assert sum(row["counted"] for row in before) <= int(published)
        with run(cameras) as installation:
            rows = eventually(
                installation.ledger,
                until=lambda rows: rows and sum(row["counted"] for row in rows) > int(published) + 60,
            )
        assert [(row["lost"], row["balance"]) for row in rows] == [({}, 0)] * 2


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
