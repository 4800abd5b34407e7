"""Summaries of a timeline and the states of its cameras."""

from dataclasses import replace

import pytest

from app.reports.timeline import StatePeriod
from tests.timelines import mood, timeline, too_few


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], []),
        ([(1, "live"), (2, "live")], [("live", 0, 2)]),
        ([(1, "live"), (2, "idle"), (3, "ended")], [("live", 0, 1), ("idle", 1, 2), ("ended", 2, 3)]),
        # No window ends between 2 and 8 s, because no camera has frames.
        ([(1, "live"), (2, "idle"), (9, "live")], [("live", 0, 1), ("idle", 1, 8), ("live", 8, 9)]),
        ([(5, "live")], [("live", 4, 5)]),
    ],
)
def test_joins_equal_states_of_a_camera(states: list[tuple[int, str]], expected: list[tuple[str, int, int]]) -> None:
    made = timeline([replace(mood(at), cameras={"north": state}) for at, state in states])
    (camera,) = made.cameras
    assert camera.periods == tuple(StatePeriod(state, start * 1000, end * 1000) for state, start, end in expected)
    assert camera.seconds("live") == sum(end - start for state, start, end in expected if state == "live")


def test_a_camera_is_live_in_the_hop_in_which_it_ends() -> None:
    moods = [replace(mood(at), cameras={"north": "live" if at < 3 else "ended"}) for at in (1, 2, 3, 4)]
    (camera,) = timeline(moods, last_frame_s=2.8).cameras
    assert camera.periods == (StatePeriod("live", 0, 3000), StatePeriod("ended", 3000, 4000))


def test_people_and_readable_are_medians_of_windows_with_figures() -> None:
    counts = ((1, 30, 21), (2, 50, 40), (3, 31, 20))
    made = timeline([*(replace(mood(at), people=seen, readable=read) for at, seen, read in counts), too_few(4)])
    assert (made.people(), made.readable()) == (31, 21)
    for moods in ([], [too_few(1)]):
        assert (timeline(moods).people(), timeline(moods).readable()) == (None, None)
