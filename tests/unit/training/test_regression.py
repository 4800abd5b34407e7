"""Logistic regression with soft labels, on numbers whose optimum can be checked."""

import numpy as np
import pytest

from training.regression import fit_logistic, softmax


def problem(rows: int = 400, features: int = 6, labels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return features with an intercept and votes that follow them, five for each row."""
    rng = np.random.default_rng(0)
    drawn = np.concatenate([rng.normal(size=(rows, features)) * 3, np.ones((rows, 1))], axis=1)
    chances = softmax(drawn @ rng.normal(size=(features + 1, labels)))
    votes = np.stack([rng.multinomial(5, row) for row in chances]).astype(np.float64)
    return drawn, votes


@pytest.mark.parametrize("penalty", [0.1, 1.0, 100.0])
def test_loss_has_no_slope_at_the_solution(penalty: float) -> None:
    features, votes = problem()
    ridge = np.array([penalty] * 6 + [0.0])

    coefficients = fit_logistic(features, votes, ridge)

    expected = votes.sum(axis=1, keepdims=True) * softmax(features @ coefficients)
    slope = features.T @ (expected - votes) + ridge[:, None] * coefficients
    assert np.abs(slope).max() < 1e-4 * votes.sum()
    # An intercept without a penalty makes the mean prediction the mean label.
    assert expected.sum(axis=0) == pytest.approx(votes.sum(axis=0), rel=1e-3)


def test_row_counts_as_often_as_its_targets_sum_to() -> None:
    features, votes = problem(rows=50)
    ridge = np.full(7, 2.0)

    twice = fit_logistic(features, 2 * votes, ridge)

    assert np.allclose(twice, fit_logistic(np.tile(features, (2, 1)), np.tile(votes, (2, 1)), ridge), atol=1e-4)
    assert not np.allclose(twice, fit_logistic(features, votes, ridge), atol=1e-2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_keeps_the_dtype_and_bears_large_scores(dtype: type) -> None:
    probabilities = softmax(np.array([[1000.0, 1000.0], [0.0, -1000.0]], dtype))
    assert probabilities.dtype == dtype
    assert probabilities.tolist() == [[0.5, 0.5], [1.0, 0.0]]
