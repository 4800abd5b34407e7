"""The mood of each minute, and how often a stage may die."""

from dataclasses import replace

import pytest

from app.replay import minutes, most_shown
from app.supervisor import RestartBudget
from crowdmood.core.settings import STADIUM
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, Shares

MOOD = Mood.blank(
    as_of_ms=0,
    window_start_ms=0,
    valid_until_ms=0,
    zone=STADIUM,
    camera=None,
    method="raw",
    model=None,
    detector=None,
    cameras={},
)


def test_a_minute_holds_the_windows_that_end_in_it() -> None:
    def mood(as_of_s: int, happy: float | None, zone: str = STADIUM, camera: str | None = None) -> Mood:
        shares: Shares | None = None if happy is None else {**dict.fromkeys(LABELS, 0.0), "happy": happy}
        return replace(MOOD, as_of_ms=as_of_s * 1000, shares=shares, zone=zone, camera=camera)

    others = [mood(60, 0.0, zone="home"), mood(60, 0.0, camera="north")]
    rows = list(minutes([mood(1, 0.5), mood(60, 1.0), *others, mood(61, None), mood(62, 0.25), mood(121, None)]))
    assert [(minute, count, means.get("happy")) for minute, count, means in rows] == [
        (0, 2, 0.75),
        (1, 1, 0.25),
        (2, 0, None),
    ]


@pytest.mark.parametrize(
    ("shares", "label"),
    [
        ({}, None),
        ({"happy": None}, None),
        ({"happy": 0.2, "cheering": 0.5}, "cheering"),
        ({"happy": 0.2, "cheering": None}, "happy"),
    ],
)
def test_the_most_shown_label_is_one_whose_share_is_known(shares: Shares, label: str | None) -> None:
    assert most_shown(shares) == label


def test_a_stage_may_die_so_often_within_the_window_and_no_more() -> None:
    budget = RestartBudget(max_restarts=2, window_s=60)
    assert [budget.spend(now) for now in (0, 10, 20)] == [True, True, False]
    assert [budget.spend(now) for now in (60, 61)] == [True, False]  # the first restart is forgotten
