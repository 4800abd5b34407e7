"""The wall clock is set, by an hour to and fro and past daylight saving: no window and no retry minds."""

import datetime
import itertools
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http_cameras import http_camera, images_of
from tests.receiver import Answer, Taken, receiving
from tests.waiting import eventually, seconds_until

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
        "aggregator": {"window_s": 3, "allowed_lateness_s": 10},
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
        newest = lambda: rig.of_stadium()[-1].as_of_ms  # noqa: E731
        eventually(lambda: len(rig.of_stadium()) > 2, 60)
        api = f"http://127.0.0.1:{rig.settings.api.port}"
        receiver.answer = lambda taken: Answer(500 if len(receiver.taken) == 1 else 204)
        hook = httpx.post(f"{api}/webhooks", json={"url": receiver.url(), "events": ["camera.down"]}, timeout=60).json()

        wall_clock.set(HOUR_S)
        before_ms = time.time_ns() // 1_000_000
        forward_s = seconds_until(lambda: newest() > before_ms + HOUR_S * 1000, 60)
        assert httpx.post(f"{api}/webhooks/{hook['id']}/test", timeout=60).status_code < 300
        receiver.wait(1)
        wall_clock.set(0.0)  # back by an hour: what is to be sent again in seconds is not put off by it
        set_back = len(rig.of_stadium())
        eventually(lambda: len(rig.of_stadium()) >= set_back + 5, 60)
        receiver.wait(2)
        moods = rig.of_stadium()
        ledger = rig.ledger()["north"]
    retried: list[Taken] = receiver.taken
    assert retried[0].id == retried[1].id
    times = [mood.as_of_ms for mood in moods]
    assert times == sorted(set(times))
    assert {later - earlier for earlier, later in itertools.pairwise(times[set_back:])} == {1000}
    assert {mood.status for mood in moods} <= {"ok", "insufficient"}  # never stale: there was always a new one
    assert ledger["late"] == 0
    pause_s = retried[1].at_s - retried[0].at_s
    figures(
        f"set forward by an hour: a mood of then after {forward_s:.1f} s; set back: {len(moods) - set_back} moods, "
        f"each a second after the last; a webhook that failed before it was sent again after {pause_s:.1f} s"
    )
