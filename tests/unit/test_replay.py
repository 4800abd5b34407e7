"""Names of footage and the mood of each minute."""

from dataclasses import replace
from pathlib import Path

import pytest

from crowdmood import LABELS
from crowdmood.errors import SettingsError
from crowdmood.mood import Mood
from crowdmood.replay import footage_cameras, minutes
from crowdmood.supervisor import RestartBudget

MOOD = Mood(0, 0, 0, "insufficient", "stadium", None, None, None, None, None, None, "raw", None, None, {})


def test_cameras_are_named_after_their_footage(tmp_path: Path) -> None:
    for name in ("a/Stand North.mp4", "b/stand north.mp4", "c/--.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    cameras = footage_cameras(sorted(tmp_path.glob("*/*")))
    assert [camera.id for camera in cameras] == ["stand-north", "stand-north-2", "footage"]
    assert all(camera.recorded for camera in cameras)


@pytest.mark.parametrize(("footage", "text"), [([], "no footage"), ([Path("missing.mp4")], "missing.mp4: no such")])
def test_footage_that_is_not_there_is_named(footage: list[Path], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        footage_cameras(footage)


def test_a_minute_holds_the_windows_that_end_in_it() -> None:
    def mood(as_of_s: int, happy: float | None) -> Mood:
        shares = None if happy is None else dict.fromkeys(LABELS, 0.0) | {"happy": happy}
        return replace(MOOD, as_of_ms=as_of_s * 1000, shares=shares)

    rows = list(minutes([mood(1, 0.5), mood(60, 1.0), mood(61, None), mood(62, 0.25), mood(121, None)]))
    assert [(minute, count, means.get("happy")) for minute, count, means in rows] == [
        (0, 2, 0.75),
        (1, 1, 0.25),
        (2, 0, None),
    ]


def test_a_stage_may_die_so_often_within_the_window_and_no_more() -> None:
    budget = RestartBudget(max_restarts=2, window_s=60)
    assert [budget.spend(now) for now in (0, 10, 20)] == [True, True, False]
    assert [budget.spend(now) for now in (60, 61)] == [True, False]  # the first restart is forgotten
