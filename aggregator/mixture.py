"""The most probable shares of a crowd, given the network's answers and its card. Pure.

The mean answer for a crowd is a mixture of the mean answers of its labels. It deviates from that for three reasons: the
crowd is small, the labels' means were measured on few held-out faces, and light, distance and viewing angle of a scene
shift all answers of a camera in the same direction. The covariances of all three are known, so the best mixture is that
of generalised least squares. A weak Dirichlet prior decides where the answers do not, such as on a share of two people
in a thousand.

A larger deviation is a misfit: the network sees a kind of crowd that its card does not describe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from aggregator.crowd import Crowd
from aggregator.prevalence import Matrix, Vector
from crowdmood.domain.confusions import Confusions

_ASSUMED_PEOPLE: Final = 5.0
"""People added to those seen: few, so that a crowd may have any shares."""

_OF_ANY_LABEL: Final = 0.05
"""Part of the added people with equal shares of all labels; the others have the card's shares."""

_SCENE_WEIGHT: Final = 0.1
"""Part of a scene's covariance that enters the weights of the answers; all of it enters the intervals.

With all of it, the added people would decide in the directions that a scene may have shifted. Measured on photographs,
stands and FER2013: a tenth has the smallest errors, up to a fifth smaller.
"""

_LEAST_DEVIATION: Final = 1e-3
"""Smallest deviation of a mean answer: answers are transmitted in half precision."""

_ROUNDS: Final = 2
"""The covariances depend on the shares; after the second round, shares move by less than a thousandth."""

_NEWTON_STEPS: Final = 50
_NEWTON_TOLERANCE: Final = 1e-10
_LEAST_SHARE: Final = 0.1
"""Each search starts at shares mixed with this part of equal shares, away from the edge of the simplex."""

_STEP: Final = 0.95
"""Largest part of the way to a share of zero that a step may go."""

_EXPECTED_MISFIT: Final = 6.0
"""Squared Mahalanobis distance up to which a mixture explains a crowd.

Measured with the network included in CrowdMood: held-out photographs have 2.7 (median), 97 of 100 of them less than
5.7; crowds of FER2013's faces, which its card does not describe, have 11 to 32.
"""


@dataclass(frozen=True, eq=False)
class Mixture:
    """The most probable shares.

    Attributes:
        shares: float64 (K,), adds up to one.
        covariance: float64 (K, K) of their errors.
        sampling: float64 (K, K), the part of `covariance` from the sample of people; the rest is the same in all
            windows of one scene.
        fit: How well they explain the answers, in (0, 1]: 1 up to the expected misfit, beyond it the square of expected
            by actual misfit.
    """

    shares: Vector
    covariance: Matrix
    sampling: Matrix
    fit: float


def most_probable(crowd: Crowd, confusions: Confusions) -> Mixture:
    """Return the shares that explain the mean answer for a crowd.

    Args:
        crowd: At least one person.
        confusions: The network's confusions, with as many labels as the crowd.
    """
    mean = np.average(crowd.features[:, : confusions.means.shape[1]], axis=0, weights=crowd.weights)
    people, means, labels = crowd.independent_people, confusions.means, confusions.labels
    least = _LEAST_DEVIATION**2 * np.eye(len(mean))
    of_scene = crowd.scene_weight * confusions.scene
    likely = (1 - _OF_ANY_LABEL) * confusions.priors / confusions.priors.sum() + _OF_ANY_LABEL / labels
    prior, shares = _ASSUMED_PEOPLE * likely, likely
    for _ in range(_ROUNDS):
        sampling = np.einsum("k,kij->ij", shares / people, confusions.covariances)
        measuring = np.einsum("k,kij->ij", shares**2 / confusions.counts, confusions.covariances)
        measuring += float((shares**2 / confusions.scenes).sum()) * confusions.scene
        weights = np.linalg.inv(sampling + measuring + _SCENE_WEIGHT * of_scene + least)
        start = (1 - _LEAST_SHARE) * shares + _LEAST_SHARE / labels
        shares = _maximised(mean, means, weights, prior, start)
    deviation = mean - shares @ means
    misfit = float(deviation @ np.linalg.solve(sampling + measuring + of_scene + least, deviation))
    covariance = _on_simplex(means @ weights @ means.T + np.diag(prior / shares**2))
    moved = covariance @ means @ weights
    return Mixture(
        shares,
        covariance + (1 - _SCENE_WEIGHT) * (moved @ of_scene @ moved.T),
        moved @ sampling @ moved.T,
        (_EXPECTED_MISFIT / max(misfit, _EXPECTED_MISFIT)) ** 2,
    )


def _maximised(mean: Vector, means: Matrix, weights: Matrix, prior: Vector, start: Vector) -> Vector:
    """Return the shares on the simplex that minimise half the squared distance less `prior @ log(shares)`.

    The function is convex and grows without bound towards the edge, so damped Newton steps find its minimum.
    """
    squares, products = means @ weights @ means.T, means @ weights @ mean

    def loss(shares: Vector) -> float:
        return float(0.5 * shares @ squares @ shares - products @ shares - prior @ np.log(shares))

    shares, least = start, loss(start)
    for _ in range(_NEWTON_STEPS):
        slope = squares @ shares - products - prior / shares
        step = -_on_simplex(squares + np.diag(prior / shares**2)) @ slope
        shrinking = step < 0
        length = min(1.0, _STEP * float((shares[shrinking] / -step[shrinking]).min(initial=np.inf)))
        while length > _NEWTON_TOLERANCE and loss(shares + length * step) > least:
            length /= 2
        tried = shares + length * step
        gained = least - loss(tried)
        if gained <= 0:
            break
        shares, least = tried / tried.sum(), least - gained
        if gained < _NEWTON_TOLERANCE:
            break
    return shares


def _on_simplex(curvature: Matrix) -> Matrix:
    """Return the inverse of a curvature restricted to changes that add up to zero."""
    inverse = np.linalg.inv(curvature)
    ones = inverse.sum(axis=1)
    reduced: Matrix = inverse - np.outer(ones, ones) / ones.sum()
    return reduced
