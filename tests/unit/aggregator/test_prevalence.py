"""Four estimators of shares agree with what is known of them."""

import numpy as np
import pytest

from aggregator.prevalence import Adjustment, count, expectation_maximisation, probabilistic_count

PRIORS = np.array([0.2, 0.3, 0.5])


def network(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Posteriors of a network that is calibrated under `PRIORS`: exact ones of a mix of normal distributions."""
    features = rng.normal(size=(len(labels), 3)) + 1.2 * np.eye(3)[labels]
    likelihood = np.exp(-0.5 * np.square(features[:, None, :] - 1.2 * np.eye(3)).sum(axis=2))
    joint = likelihood * PRIORS
    posteriors: np.ndarray = joint / joint.sum(axis=1, keepdims=True)
    return posteriors


def crowd(rng: np.random.Generator, shares: np.ndarray, people: int) -> np.ndarray:
    return network(rng, rng.choice(3, people, p=shares))


def test_counting_counts_the_likeliest_and_a_tie_goes_to_the_first() -> None:
    posteriors = np.array([[0.5, 0.5, 0.0], [0.0, 0.2, 0.8], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]])
    assert count(posteriors) == pytest.approx([0.25, 0.25, 0.5])
    assert probabilistic_count(posteriors) == pytest.approx([0.225, 0.35, 0.425])


def test_an_adjustment_finds_the_mix_that_was_made() -> None:
    confusion = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
    mixes = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.4, 0.6]])
    assert Adjustment(confusion).shares(mixes @ confusion) == pytest.approx(mixes, abs=1e-9)


def test_an_adjustment_of_what_no_mix_explains_is_the_nearest_one() -> None:
    confusion = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    rng = np.random.default_rng(0)
    seen = rng.dirichlet([0.2, 0.2, 0.2], 50)
    found = Adjustment(confusion).shares(seen)
    assert found.min() >= 0
    assert found.sum(axis=1) == pytest.approx(np.ones(50))
    grid = rng.dirichlet([1, 1, 1], 20_000)
    misfit = np.square(found @ confusion - seen).sum(axis=1)
    best = np.square((grid @ confusion)[:, None, :] - seen).sum(axis=2).min(axis=0)
    assert (misfit <= best + 1e-9).all()


def test_confusable_labels_are_ill_conditioned_and_still_give_shares() -> None:
    alike = Adjustment(np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))
    assert alike.condition > 1e6
    assert alike.shares(np.array([[0.4, 0.4, 0.2]]))[0].sum() == pytest.approx(1)


@pytest.mark.parametrize("shares", [[0.2, 0.3, 0.5], [0.7, 0.2, 0.1], [0.05, 0.9, 0.05]])
def test_adjusted_shares_come_closer_the_more_people_there_are(shares: list[float]) -> None:
    rng = np.random.default_rng(1)
    held_out = rng.choice(3, 30_000, p=PRIORS)
    posteriors = network(rng, held_out)
    adjustment = Adjustment(np.stack([posteriors[held_out == label].mean(axis=0) for label in range(3)]))
    many = crowd(rng, np.array(shares), 20_000)
    assert adjustment.shares(many.mean(axis=0)[None])[0] == pytest.approx(shares, abs=0.02)
    assert expectation_maximisation(many, PRIORS) == pytest.approx(shares, abs=0.02)
    if shares != PRIORS.tolist():
        assert np.abs(count(many) - shares).max() > 0.03


def test_under_the_priors_of_its_training_a_calibrated_network_needs_no_correction() -> None:
    many = crowd(np.random.default_rng(2), PRIORS, 20_000)
    assert probabilistic_count(many) == pytest.approx(PRIORS, abs=0.01)


def test_one_person_is_a_crowd() -> None:
    one = np.array([[0.6, 0.3, 0.1]])
    for shares in (count(one), probabilistic_count(one), expectation_maximisation(one, PRIORS)):
        assert shares.sum() == pytest.approx(1)
