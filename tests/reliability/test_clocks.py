"""Wall clocks are wrong, or are set by an hour and past daylight saving: windows and retries do not depend on them."""

import datetime
import itertools
import mmap
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from crowdmood.core.settings import to_environment
from tests.http_cameras import http_camera, images_of
from tests.ports import free_port
from tests.receiver import Answer, Taken, receiving
from tests.waiting import eventually

from .rig import installation

HOUR_S = 3600.0


class WallClock:
    """What the wall clocks of all processes that are started from now on show."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = folder / "wall-clock"
        file.write_bytes(struct.pack("<d", 0.0))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), 8)
        here = str(Path(__file__).parent / "jumping")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])))
        monkeypatch.setenv("WALL_CLOCK", str(file))

    def set(self, ahead_s: float) -> None:
        """Let it show so many seconds more than it should."""
        self._shared[:8] = struct.pack("<d", ahead_s)


@pytest.fixture
def wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WallClock:
    return WallClock(tmp_path, monkeypatch)


@pytest.mark.soak
def test_recorded_footage_gives_the_same_bytes_whatever_is_done_to_the_wall_clock(
    wall_clock: WallClock,
    short_terraces: list[dict[str, str]],
    undisturbed: list[str],
    yunet: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    figures: Callable[..., None],
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    night = datetime.datetime(2026, 10, 25, 0, 59, 58, tzinfo=datetime.UTC).timestamp() - time.time()
    over = threading.Event()
    jumps = 0

    def jump() -> None:
        nonlocal jumps
        for ahead_s in itertools.cycle((HOUR_S, 0.0, -HOUR_S, night)):
            if over.wait(0.4):
                return
            wall_clock.set(ahead_s)
            jumps += 1

    jumper = threading.Thread(target=jump)
    jumper.start()
    try:
        with installation(tmp_path, short_terraces, detector=yunet, ingest={"speed": 2}, log={"level": "ERROR"}) as rig:
            eventually(rig.complete, 120)
            told = [mood.to_json() for mood in rig.moods()]
            ledger = rig.settled()
    finally:
        over.set()
        jumper.join()
    assert told == undisturbed
    assert jumps > 10
    assert all(row["accepted"] == row["counted"] for row in ledger.values())
    figures(f"{jumps} jumps of the wall clock, to and fro by an hour and past the end of summer time: same bytes")


def test_live_moods_and_retries_go_on_when_the_clock_is_set(
    wall_clock: WallClock, assets: Path, yunet: dict[str, Any], tmp_path: Path, figures: Callable[..., None]
) -> None:
    shown = images_of(assets / "footage" / "terrace-north.mp4", seconds=2)
    more = {
        "ingest": {"sample_fps": 2},
        "aggregator": {"window_s": 3, "allowed_lateness_s": 10, "max_wait_s": 10},
        "log": {"level": "ERROR"},
    }
    with (
        http_camera(shown) as eye,
        receiving() as receiver,
        installation(
            tmp_path,
            [{"id": "north", "uri": eye.uri}],
            serve=True,
            detector=yunet,
            webhooks={"allow_networks": ["127.0.0.0/8"]},
            **more,
        ) as rig,
    ):
        eventually(lambda: len(rig.of_stadium()) > 2, 60)
        api = f"http://127.0.0.1:{rig.settings.api.port}"
        receiver.answer = lambda taken: Answer(500 if len(receiver.taken) == 1 else 204)
        hook = httpx.post(f"{api}/webhooks", json={"url": receiver.url(), "events": ["camera.down"]}, timeout=60).json()

        set_forward = len(rig.of_stadium())
        wall_clock.set(HOUR_S)
        eventually(lambda: len(rig.of_stadium()) >= set_forward + 5, 60)
        assert httpx.post(f"{api}/webhooks/{hook['id']}/test", timeout=60).status_code < 300
        receiver.wait(1)
        wall_clock.set(0.0)  # the webhook is sent again after seconds, not after an hour
        set_back = len(rig.of_stadium())
        eventually(lambda: len(rig.of_stadium()) >= set_back + 5, 60)
        receiver.wait(2)
        moods = rig.of_stadium()
        ledger = rig.ledger()["north"]
    retried: list[Taken] = receiver.taken
    assert retried[0].id == retried[1].id
    times = [mood.as_of_ms for mood in moods]
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {1000}
    assert {mood.status for mood in moods} <= {"ok", "insufficient"}
    assert ledger["late"] == 0
    pause_s = retried[1].at_s - retried[0].at_s
    figures(
        f"every wall clock set by an hour, forward and back: {len(moods)} moods, each a second after the last; a "
        f"webhook that failed before it was sent again after {pause_s:.1f} s"
    )


@pytest.mark.parametrize("ahead_s", [8, -30])
def test_ingest_host_whose_clock_is_wrong_costs_no_frame(
    programs: dict[str, str],
    assets: Path,
    yunet: dict[str, Any],
    tmp_path: Path,
    figures: Callable[..., None],
    ahead_s: int,
) -> None:
    names = ("right", "wrong")
    with ExitStack() as stack:
        shown = images_of(assets / "footage" / "terrace-north.mp4", seconds=2)
        cameras = [{"id": name, "uri": stack.enter_context(http_camera(shown)).uri} for name in names]
        rig = stack.enter_context(
            installation(
                tmp_path,
                cameras,
                start_ingest=False,
                detector=yunet,
                ingest={"sample_fps": 1},
                aggregator={"window_s": 3, "allowed_lateness_s": 10, "max_wait_s": 10},
                log={"level": "WARNING"},
            )
        )
        metrics_port = free_port()
        for name in names:
            wrong = name == "wrong"
            command = [programs["faketime"], "-f", f"{ahead_s:+d}s"] if wrong else []
            more = {"CROWDMOOD_METRICS__PORT": str(metrics_port)} if wrong else {}
            host = subprocess.Popen(
                [*command, sys.executable, "-m", "app", "ingest", "--camera", name],
                env=os.environ | to_environment(rig.settings) | more,
                start_new_session=True,
            )
            stack.callback(host.wait, 20)
            # faketime is a process of its own, which passes no signal on.
            stack.callback(os.killpg, host.pid, signal.SIGTERM)
        eventually(lambda: min((row["frames"] for row in rig.cameras().values()), default=0) >= 20, 120)
        eventually(lambda: set(rig.of_stadium()[-1].cameras.values()) == {"live"})
        rows = rig.cameras()
        behind_s = time.time() - rig.of_stadium()[-1].as_of_ms / 1000
        scraped = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics", timeout=60).text
        (skew,) = re.findall(r'^crowdmood_clock_skew_seconds{partition="0"} (.*)$', scraped, re.M)
        ledger = rig.ledger()
    assert set(rows) == set(names)
    assert {name: row["late"] for name, row in rows.items()} == {"right": 0, "wrong": 0}
    assert float(skew) == pytest.approx(ahead_s, abs=1)
    assert -1 < behind_s < 30
    counted = sum(row["counted"] for row in ledger.values())
    accepted = sum(row["accepted"] for row in ledger.values())
    figures(
        f"one ingest host of two {ahead_s:+d} s: {counted} of {accepted} frames counted, none late; "
        f"its skew is reported as {float(skew):+.2f} s"
    )
