"""Summaries of a replay's moods."""

from dataclasses import replace

import pytest

from app.replay import leading_label, low_fits, minutes
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


def test_a_minute_has_the_windows_that_end_in_it() -> None:
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
def test_leading_label_has_a_known_share(shares: Shares, label: str | None) -> None:
    assert leading_label(shares) == label


def test_low_fits_are_counted_among_moods_of_the_stadium_with_a_fit() -> None:
    moods = [replace(MOOD, fit=fit) for fit in (0.49, 0.5, 1.0, None)]
    assert low_fits([*moods, replace(MOOD, fit=0.1, camera="north")]) == (1, 3)
    assert low_fits([]) == (0, 0)
