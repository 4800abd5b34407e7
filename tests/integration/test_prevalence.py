"""Our estimators on a real network's judgements: the same as a reference's, and closer to the truth than counting."""

from pathlib import Path

import numpy as np
import pytest
from quapy.functional import normalize_prevalence
from quapy.method.aggregative import ACC, EMQ

from aggregator.estimate import adjustment_of
from aggregator.prevalence import Matrix, count, expectation_maximisation, probabilistic_count
from benchmarks.changes import tell
from benchmarks.prevalence import METHODS, MIXES, PEOPLE, Row, measure, posteriors_of, samples
from classifier import DEFAULT_MODEL
from crowdmood.settings import AggregatorSettings


@pytest.fixture(scope="module")
def judged(assets: Path) -> tuple[Matrix, np.ndarray]:
    return posteriors_of(DEFAULT_MODEL, assets / "data" / "fer2013.npz")


@pytest.fixture(scope="module")
def table(judged: tuple[Matrix, np.ndarray]) -> dict[tuple[str, int, str], Row]:
    """The table of aggregator/README.md."""
    return {(row.mix, row.people, row.method): row for row in measure(*judged)}


def test_every_estimator_agrees_with_quapy(judged: tuple[Matrix, np.ndarray]) -> None:
    compared = 0
    for sample in samples(*judged, splits=1, crowds=3):
        known = sample.confusions
        given = sample.posteriors * np.exp(known.biases)
        given /= given.sum(axis=1, keepdims=True)
        reference = ACC.solve_adjustment(known.means.T, given.mean(axis=0), method="inversion", solver="minimize")
        ours = adjustment_of(known).shares(given.mean(axis=0)[None])[0]
        assert np.abs(ours - normalize_prevalence(reference, method="clip")).max() < 1e-3
        theirs, _ = EMQ.EM(known.priors, given, epsilon=1e-7)
        assert np.abs(expectation_maximisation(given, known.priors) - theirs).max() < 1e-3
        assert np.abs(count(given) - np.bincount(given.argmax(axis=1), minlength=7) / len(given)).max() < 1e-9
        assert np.abs(probabilistic_count(given) - given.mean(axis=0)).max() < 1e-9
        compared += 1
    assert compared == 2 * len(MIXES) * len(PEOPLE) * 3


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize(("people", "most"), [(50, 0.8), (200, 0.5), (1000, 0.4)])
def test_shares_are_about_twice_as_close_as_counts(
    table: dict[tuple[str, int, str], Row], mix: str, people: int, most: float
) -> None:
    assert table[mix, people, "sld"].ratio <= most


@pytest.mark.parametrize("method", ["sld", "pacc"])
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("people", PEOPLE)
def test_intervals_hold_nine_of_ten_true_shares(
    table: dict[tuple[str, int, str], Row], mix: str, people: int, method: str
) -> None:
    assert 0.85 <= table[mix, people, method].coverage <= 0.95


def test_the_default_method_is_the_one_that_errs_least(table: dict[tuple[str, int, str], Row]) -> None:
    errors = {method: sum(row.error for key, row in table.items() if key[2] == method) for method in METHODS}
    assert min(METHODS, key=lambda method: errors[method]) == AggregatorSettings().method


def test_crowds_of_sixty_have_their_two_changes_told_within_eight_seconds(judged: tuple[Matrix, np.ndarray]) -> None:
    told = list(tell(*judged, crowds=20))
    assert len(told) == 20
    for crowd in told:
        assert crowd.two_in_time()
        assert crowd.changes[0] == ("neutral", "happy")
        assert crowd.changes[1][0] == "happy"
    # Of 24 sad people and 18 angry ones the network does not always know which are more.
    assert np.mean([crowd.changes[1][1] == "sad" for crowd in told]) >= 0.5
