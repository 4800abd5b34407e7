"""Comparison of moods with the truth of a simulated match."""

from dataclasses import replace

import pytest

from api.examples import OK
from crowdmood.domain.labels import FER_LABELS, LABELS
from crowdmood.domain.mood import Mood
from simulator.comparison import compare
from simulator.script import MatchEvent
from simulator.truth import CameraMoment, CrowdTruth, Moment, Truth


def shares(**some: float) -> dict[str, float]:
    return {label: some.get(label, 0.0) for label in LABELS}


def mood(at_s: int, camera: str | None = None, window_s: int = 1, **some: float) -> Mood:
    start_ms = (at_s - window_s) * 1000
    return replace(OK, as_of_ms=at_s * 1000, window_start_ms=start_ms, camera=camera, shares=shares(**some))


def people_at(second: int) -> CameraMoment:
    """Return three people, one of them unreadable: the first until three seconds, then the second."""
    hidden = 0 if second < 3 else 1
    return CameraMoment(
        people=3,
        visible=2,
        readable=2,
        shares=None,
        persons=(0, 1, 2),
        boxes_xyxy=((0, 0, 9, 9),) * 3,
        labels=(6, 6, 6),
        visibility=(1.0,) * 3,
        occluded=(False,) * 3,
        unreadable=tuple(person == hidden for person in range(3)),
    )


CALM, GLAD = shares(neutral=1.0), shares(happy=0.8, neutral=0.2)
TRUTH = Truth(
    seed=1,
    fps=5,
    width=640,
    height=480,
    duration_s=6.0,
    cameras=(),
    events=(MatchEvent(at_s=3, event="goal"),),
    # 0     1     2     3     4     5
    # |---- calm ------|---- glad ----|
    seconds=tuple(
        Moment(
            at_s=second,
            stadium=CrowdTruth(people=3, visible=2, readable=2, shares=CALM if second < 3 else GLAD),
            zones={},
            cameras={"north": people_at(second)},
        )
        for second in range(6)
    ),
)


def test_compares_the_phases_between_events() -> None:
    moods = [mood(1, neutral=1.0), mood(2, neutral=0.8, sad=0.2), mood(4, happy=0.6, neutral=0.4)]
    calm, glad = compare(TRUTH, moods)
    assert (calm.start_s, calm.end_s, calm.began_with) == (0.0, 3.0, "")
    assert calm.true == pytest.approx(CALM)
    assert calm.measured == pytest.approx(shares(neutral=0.9, sad=0.1))
    assert calm.error == pytest.approx(0.2 / 8)
    assert (glad.start_s, glad.end_s, glad.began_with) == (3.0, 6.0, "goal")
    assert glad.error == pytest.approx(0.4 / 8)


def test_compares_a_window_with_the_mean_truth_of_its_seconds() -> None:
    (_, glad) = compare(TRUTH, [mood(5, window_s=4, happy=0.4, neutral=0.6)])
    # Two of its four seconds were calm.
    assert glad.true == pytest.approx(shares(happy=0.4, neutral=0.6))
    assert glad.error == pytest.approx(0)


def test_skips_a_label_that_the_network_does_not_have() -> None:
    of_seven = mood(4, happy=0.6, neutral=0.4)
    assert of_seven.shares is not None
    unknown = replace(of_seven, shares={**of_seven.shares, "cheering": None})

    (_, glad) = compare(TRUTH, [unknown])
    assert glad.measured is not None
    assert tuple(glad.measured) == FER_LABELS
    assert tuple(glad.true) == LABELS
    assert glad.error == pytest.approx(0.4 / 7)


def test_compares_the_people_who_were_readable_in_a_window_with_those_counted() -> None:
    counted = [
        replace(mood(2, window_s=2, neutral=1.0), readable=3),
        replace(mood(5, window_s=4, happy=1.0), readable=4),
    ]

    calm, glad = compare(TRUTH, counted)
    assert (calm.true_readable, calm.measured_readable) == (2, 3)
    # The person who is hidden in the calm seconds is readable after them, and vice versa.
    assert (glad.true_readable, glad.measured_readable) == (3, 4)


def test_ignores_moods_of_cameras_and_zones_and_without_shares() -> None:
    withheld = replace(mood(2), shares=None)
    elsewhere = [mood(1, camera="north", sad=1.0), replace(mood(1, sad=1.0), zone="home")]
    calm, glad = compare(TRUTH, [*elsewhere, withheld, mood(1, neutral=1.0)])
    assert calm.measured == pytest.approx(CALM)
    assert glad.measured is None
    assert glad.error is None
