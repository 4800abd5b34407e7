"""Published figures are coarse, and held until several people have changed."""

import json
from collections.abc import Iterable

import numpy as np
import pytest

from aggregator.crowd import Crowd
from aggregator.estimate import Estimate, estimate
from aggregator.holding import FIRST_STEP, SEVERAL, STEP, Figures, HeldFigures
from crowdmood.domain.labels import FER_LABELS, LABELS
from tests.crowds import showing

CAMERAS = frozenset({"north"})


def crowd(known: Iterable[str] = LABELS, **people: int) -> Estimate:
    labels = [label for label, number in people.items() for _ in range(number)]
    return estimate(Crowd.of(showing(labels, tuple(known)).astype(np.float64)), "raw", None)


def update(held: HeldFigures, found: Estimate, people: int | None = None) -> Figures:
    return held.update(CAMERAS, found.people if people is None else people, found)


def test_one_person_changes_nothing() -> None:
    held = HeldFigures()
    before = update(held, crowd(happy=30, neutral=70))
    for one_more in (crowd(happy=31, neutral=70), crowd(angry=1, happy=30, neutral=70), crowd(happy=31, neutral=69)):
        assert update(held, one_more) == before


def test_a_single_person_with_an_expression_does_not_appear() -> None:
    figures = update(HeldFigures(), crowd(angry=1, happy=6, neutral=14))
    assert (figures["raw"]["angry"], figures["shares"]["angry"]) == (0.0, 0.0)


def test_new_figures_are_published_at_once_when_several_people_have_changed() -> None:
    held = HeldFigures()
    before = update(held, crowd(happy=30, neutral=70))
    assert update(held, crowd(happy=30 + SEVERAL, neutral=70 - SEVERAL)) == before
    after = update(held, crowd(happy=31 + SEVERAL, neutral=69 - SEVERAL))
    assert (before["shares"]["happy"], after["shares"]["happy"]) == (0.3, 0.4)


@pytest.mark.parametrize(
    ("people", "first", "later"), [(20, 2, 5), (40, 4, 10), (200, 20, 50), (2000, 200, 500), (60_000, 1000, 1000)]
)
def test_larger_crowds_have_more_resolution(people: int, first: int, later: int) -> None:
    assert (max(people // FIRST_STEP, 2), people // STEP) == (first, later) or people > 4000
    held = HeldFigures()
    for steps, found in (
        (first, crowd(happy=people * 3 // 10, sad=people // 10, neutral=people * 6 // 10)),
        (later, crowd(happy=people * 19 // 20, neutral=people // 20)),
    ):
        for label, share in update(held, found)["shares"].items():
            assert share * steps == pytest.approx(round(share * steps), abs=1e-4 * steps)
            assert share == pytest.approx(found.shares[LABELS.index(label)], abs=1 / steps)


def test_a_crowd_that_grows_gets_the_resolution_of_its_size() -> None:
    held = HeldFigures()
    assert update(held, crowd(happy=8, neutral=12))["shares"]["happy"] == 0.5
    assert update(held, crowd(happy=800, neutral=1200))["shares"]["happy"] == 0.4


def test_no_held_share_is_wrong_by_more_than_several_people() -> None:
    rng = np.random.default_rng(0)
    for people in (20, 47, 120, 800):
        held, labels = HeldFigures(), rng.choice(len(LABELS), people)
        for _ in range(200):
            labels[rng.integers(people)] = rng.integers(len(LABELS))
            found = estimate(Crowd.of(np.eye(len(LABELS))[labels]), "raw", None)
            figures = update(held, found)
            shares, low, high = (np.array(list(figures[name].values())) for name in ("shares", "low", "high"))
            assert np.abs(shares - found.shares).max() <= max(SEVERAL / figures["readable"], 0.4) + 1e-4
            assert np.abs(shares - found.shares).max() <= SEVERAL / figures["readable"] + 1e-4 or people < 50
            assert ((low - 1e-4 <= found.shares) & (found.shares <= high + 1e-4)).all() or people < 50


def test_everything_is_derived_from_the_rounded_shares() -> None:
    one, other = crowd(happy=30, sad=22, neutral=48), crowd(happy=30, sad=23, neutral=47)
    assert update(HeldFigures(), one) == update(HeldFigures(), other)
    figures = update(HeldFigures(), one)
    assert figures["valence"] == pytest.approx(figures["shares"]["happy"] - figures["shares"]["sad"], abs=1e-4)


@pytest.mark.parametrize(("people", "published"), [(22, 20), (23, 25), (97, 95), (203, 200), (498, 500), (2230, 2200)])
def test_numbers_of_people_are_rounded(people: int, published: int) -> None:
    figures = update(HeldFigures(), crowd(happy=20), people)
    assert (figures["people"], figures["readable"]) == (published, 20)


def test_numbers_of_people_are_held_until_they_are_wrong_by_a_unit() -> None:
    held = HeldFigures()
    assert [update(held, crowd(happy=number))["readable"] for number in (22, 23, 24, 25, 23, 21, 20)] == [
        *(20, 20, 20, 25),
        *(25, 25, 20),
    ]


def test_no_fewer_people_are_seen_than_read() -> None:
    held = HeldFigures()
    update(held, crowd(happy=22), 27)
    figures = update(held, crowd(happy=28), 29)
    assert (figures["people"], figures["readable"]) == (30, 30)


def test_scopes_of_the_same_cameras_share_their_figures() -> None:
    held = HeldFigures()
    first = held.update(frozenset({"north"}), 100, crowd(happy=30, neutral=70))
    assert held.update(frozenset({"north"}), 100, crowd(happy=33, neutral=67)) is not first
    assert held.update(frozenset({"north"}), 100, crowd(happy=33, neutral=67)) == first
    assert held.update(frozenset({"south"}), 100, crowd(happy=90, neutral=10)) != first


def test_a_network_with_other_labels_gets_new_figures() -> None:
    held = HeldFigures()
    assert update(held, crowd(happy=30, neutral=70))["shares"]["cheering"] == 0
    assert update(held, crowd(FER_LABELS, happy=30, neutral=70))["shares"]["cheering"] is None


def test_a_successor_continues_where_its_predecessor_stopped() -> None:
    held, successor = HeldFigures(), HeldFigures()
    before = update(held, crowd(happy=30, neutral=70))
    successor.restore(json.loads(json.dumps(held.snapshot())))
    later = crowd(happy=37, neutral=63)
    assert update(successor, later) == before
    assert update(HeldFigures(), later) != before


def test_figures_of_scopes_that_are_gone_are_forgotten() -> None:
    held = HeldFigures()
    update(held, crowd(happy=30))
    held.keep([frozenset({"south"})])
    assert held.snapshot() == []
