"""Multinomial logistic regression with soft labels, in plain NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

_Scores = TypeVar("_Scores", np.float32, np.float64)

_STEPS: Final = 1000
_CONVERGED: Final = 1e-5
"""Largest change of a coefficient in one step below which the fit has converged."""


def softmax(scores: NDArray[_Scores]) -> NDArray[_Scores]:
    """Return probabilities `(N, K)` of scores `(N, K)`, of the same dtype."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: NDArray[_Scores] = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


def fit_logistic(features: Matrix, targets: Matrix, ridge: Matrix) -> Matrix:
    """Find the coefficients that minimise the cross-entropy plus half of the ridge times their squares.

    The steps are Newton's for the largest curvature there is (Boehning 1992), with Nesterov's momentum and restarts
    (O'Donoghue & Candes 2015): no step size has to be chosen.

    Args:
        features: `(N, F)`; a column of ones is an intercept.
        targets: `(N, K)`, the label of each row as shares; a row that sums to more than one weighs more.
        ridge: `(F,)`, the penalty of each feature's coefficients.

    Returns:
        `(F, K)`.
    """
    weights = targets.sum(axis=1, keepdims=True)
    bound = np.linalg.inv((features.T * weights[:, 0]) @ features / 2 + np.diag(ridge))
    coefficients = np.zeros((features.shape[1], targets.shape[1]))
    ahead, speed = coefficients, 1.0
    for _ in range(_STEPS):
        slope = features.T @ (weights * softmax(features @ ahead) - targets) + ridge[:, None] * ahead
        step = bound @ slope
        moved = ahead - step - coefficients
        coefficients = ahead - step
        if np.abs(step).max() < _CONVERGED:
            break
        # Momentum that points uphill starts again.
        speed = 1.0 if (slope * moved).sum() > 0 else speed
        faster = (1 + np.sqrt(1 + 4 * speed**2)) / 2
        ahead, speed = coefficients + (speed - 1) / faster * moved, faster
    return coefficients
