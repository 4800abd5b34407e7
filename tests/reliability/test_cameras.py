"""One camera misbehaves in every way that cameras do: it is marked, the other is untouched, the mood says so."""

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from crowdmood.domain.mood import Mood
from tests.http_cameras import http_camera, images_of
from tests.waiting import eventually, seconds_until

from .rig import Installation, installation
from .rtsp import coded, rtsp_camera

SETTINGS: dict[str, Any] = {
    "ingest": {"sample_fps": 1, "connect_timeout_s": 3, "frozen_after_s": 3, "reconnect_max_s": 1},
    "aggregator": {"window_s": 3, "idle_timeout_s": 3},
    "log": {"level": "ERROR"},
}


def newest(rig: Installation, camera: str | None) -> Mood:
    return next(mood for mood in reversed(rig.moods()) if (mood.zone, mood.camera) == ("stadium", camera))


def goes_on(rig: Installation, camera: str) -> float:
    """Wait for a mood of a camera, with people in it, of a window that begins after now; returns how long it took."""
    now_ms = time.time_ns() // 1_000_000
    return seconds_until(lambda: (mood := newest(rig, camera)).window_start_ms >= now_ms and mood.status == "ok", 60)


def check(
    assets: Path,
    yunet: dict[str, Any],
    folder: Path,
    modes: Sequence[tuple[str, str]],
    figures: Callable[..., None],
    *,
    changes: bool,
) -> None:
    clip = assets / "footage" / "terrace-north.mp4"
    large, small = coded(clip, 1280, 720), coded(clip, 960, 540)
    other = images_of(assets / "footage" / "terrace-south.mp4", seconds=2)
    told: list[str] = []
    with (
        rtsp_camera(large) as camera,
        http_camera(other) as eye,
        installation(
            folder, [{"id": "bad", "uri": camera.uri}, {"id": "good", "uri": eye.uri}], detector=yunet, **SETTINGS
        ) as rig,
    ):
        state = lambda: rig.cameras()["bad"]["state"]  # noqa: E731
        eventually(lambda: bool(rig.moods()), 60)
        for name in ("bad", "good"):
            eventually(lambda name=name: newest(rig, name).status == "ok", 60)  # type: ignore[misc]
        began = len(rig.moods())

        for mode, marked in modes:
            camera.mode = mode
            took_s = seconds_until(lambda marked=marked: state() == marked, 60)  # type: ignore[misc]
            detail = rig.cameras()["bad"]["detail"]
            eventually(lambda marked=marked: newest(rig, None).cameras["bad"] == marked, 60)  # type: ignore[misc]
            assert newest(rig, None).cameras["good"] == "live"
            goes_on(rig, "good")
            camera.mode = "run"
            eventually(lambda: state() == "live", 60)
            back_s = goes_on(rig, "bad")
            told.append(f"{mode}: {marked} after {took_s:.1f} s ({detail}), a whole window again after {back_s:.1f} s")

        if changes:
            since_ms = rig.cameras()["bad"]["since_ms"]
            for shown, ahead_s in ((small, 0.0), (small, 3600.0), (small, 0.0), (large, 0.0)):
                camera.shown, camera.ahead_s = shown, ahead_s
                goes_on(rig, "bad")
            assert (state(), rig.cameras()["bad"]["since_ms"]) == ("live", since_ms)  # nothing of this made it leave
            told.append("resolution changed, clock an hour on and back, resolution changed: live throughout")
        of_good = [mood for mood in rig.moods()[began:] if mood.camera == "good"]
        frames = rig.ledger()
    assert {mood.status for mood in of_good} == {"ok"}
    assert {mood.cameras["good"] for mood in of_good} == {"live"}
    times = [mood.as_of_ms for mood in of_good]
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {1000}
    for line in told:
        figures(line)
    figures(f"the other camera: {len(of_good)} moods in as many seconds, all ok")
    figures(f"{sum(row['accepted'] for row in frames.values())} frames, the ledger balances")


def test_a_camera_that_sends_noise_is_down_and_the_other_is_untouched(
    assets: Path, yunet: dict[str, Any], tmp_path: Path, figures: Callable[..., None]
) -> None:
    check(assets, yunet, tmp_path, [("garbage", "down")], figures, changes=False)


@pytest.mark.soak
def test_a_camera_that_misbehaves_in_every_way_is_marked_and_the_other_is_untouched(
    assets: Path, yunet: dict[str, Any], tmp_path: Path, figures: Callable[..., None]
) -> None:
    modes = [("stall", "down"), ("freeze", "frozen"), ("garbage", "down"), ("gone", "down")]
    check(assets, yunet, tmp_path, modes, figures, changes=True)
