"""Slow and flapping cameras, and cameras whose clock is ahead, among others: moods stay valid, and frames count."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.waiting import eventually

from .live_crowds import LiveCamera, two_aggregators, wall_ms

STEADY = tuple(f"steady-{number}" for number in range(8))
SLOW = tuple(f"slow-{number}" for number in range(3))
SECONDS = 40


def test_slow_and_flapping_cameras_leave_moods_valid(tmp_path: Path, figures: Callable[..., None]) -> None:
    with two_aggregators(tmp_path, (*STEADY, *SLOW, "flapping")) as (crowd, bus), ExitStack() as stack:
        cameras = [LiveCamera(bus.url, crowd.settings, name, every_s=1) for name in (*STEADY, "flapping")]
        cameras += [LiveCamera(bus.url, crowd.settings, name, every_s=7) for name in SLOW]
        for camera in cameras:
            stack.callback(camera.close)
        eventually(lambda: len(crowd.of_stadium()) > 10)
        since_ms = wall_ms()
        flapping = next(camera for camera in cameras if camera.name == "flapping")
        for _ in range(SECONDS // 8):
            flapping.silent = not flapping.silent
            time.sleep(8)
        expired, valid = crowd.validity(since_ms)
        rows = crowd.store.cameras()
    late = {name: row["late"] for name, row in rows.items()}
    figures(
        f"{len(SLOW)} cameras with a frame each 7 s and one that flaps, among {len(STEADY)}: {expired:.0%} of the "
        f"moods expired when published, a valid mood {valid:.1%} of the time, {sum(late.values())} frames late"
    )
    assert expired == 0
    assert valid > 0.9
    assert sum(late.values()) == 0
    assert all(rows[name]["frames"] > 0 for name in SLOW)


@pytest.mark.parametrize("ahead_s", [8.0, 30.0])
def test_frames_of_a_camera_whose_clock_is_ahead_count_beside_the_others(
    tmp_path: Path, figures: Callable[..., None], ahead_s: float
) -> None:
    with two_aggregators(tmp_path, ("right", "ahead")) as (crowd, bus), ExitStack() as stack:
        right = LiveCamera(bus.url, crowd.settings, "right")
        ahead = LiveCamera(bus.url, crowd.settings, "ahead", ahead_s=ahead_s)
        for camera in (right, ahead):
            stack.callback(camera.close)
        since_ms = wall_ms()
        eventually(lambda: min(right.sent, ahead.sent) >= 40)
        expired, valid = crowd.validity(since_ms)
        rows = crowd.store.cameras()
        assert "ahead of the bus server's clock" in crowd.log("one")
        newest = crowd.newest()
    assert {name: row["late"] for name, row in rows.items()} == {"ahead": 0, "right": 0}
    assert newest.as_of_ms <= wall_ms()
    assert expired == 0
    figures(
        f"frames stamped {ahead_s:g} s ahead: {rows['ahead']['frames']} of them counted beside "
        f"{rows['right']['frames']} right ones, none late, a valid mood {valid:.1%} of the time"
    )
