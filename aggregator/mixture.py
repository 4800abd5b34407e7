"""The shares under which a network's answers about a crowd are most probable, given what its card knows. Pure.

The mean answer of a crowd is a mixture of the mean answers of its labels. It deviates from that by the few people seen,
by the few held-out faces that the labels' means were measured on, and by the scene: light, distance and viewing angle
push all answers of a camera the same way. The covariances of all three are known, so the best mixture is the one of
generalised least squares; a weak Dirichlet prior decides what the answers leave open, such as a share of two people in
a thousand.

What remains beyond these covariances is a misfit: the network sees a kind of crowd that its card does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from aggregator.crowd import Crowd
from aggregator.prevalence import Matrix, Vector
from crowdmood.domain.confusions import Confusions

_ASSUMED_PEOPLE: Final = 5.0
"""People that are added to those seen: few, so that a crowd may be of any mix."""

_OF_ANY_LABEL: Final = 0.05
"""How many of them show any label alike; the others are of the card's shares."""

_SCENE_WEIGHT: Final = 0.1
"""How much of a scene's covariance enters into the weights of the answers; all of it enters into the intervals.

With all of it, the assumed people would decide on what a scene may have changed. Measured on photographs, stands and
FER2013: a tenth has the smallest errors, up to a fifth smaller.
"""

_LEAST_DEVIATION: Final = 1e-3
"""No mean answer is known better than this: answers travel in half precision."""

_ROUNDS: Final = 2
"""The covariances depend on the shares; after the second round, shares move by less than a thousandth."""

_NEWTON_STEPS: Final = 50
_NEWTON_TOLERANCE: Final = 1e-10
_LEAST_SHARE: Final = 0.1
"""Each search begins at shares that are mixed with this much of equal shares, away from the edge."""

_STEP: Final = 0.95
"""How far a step may go towards a share of zero."""

_EXPECTED_MISFIT: Final = 6.0
"""Squared Mahalanobis distance up to which a mixture explains a crowd.

Measured with the network that comes with CrowdMood: held-out photographs have 2.7 (median), 97 of 100 of them less than
5.7; crowds of FER2013's faces, which its card does not know, have 11 to 32.
"""


@dataclass(frozen=True, eq=False)
class Mixture:
    """The most probable shares.

    Attributes:
        shares: float64 (K,), adds up to one.
        covariance: float64 (K, K) of their errors.
        sampling: float64 (K, K), the part of `covariance` that comes from the people seen: the rest is the same
            in all windows of one scene.
        fit: How well they explain the answers, in (0, 1]: 1 up to the expected misfit, then its inverse square.
    """

    shares: Vector
    covariance: Matrix
    sampling: Matrix
    fit: float


def most_probable(crowd: Crowd, confusions: Confusions) -> Mixture:
    """Find the shares that explain the mean answer of a crowd.

    Args:
        crowd: At least one person.
        confusions: What is known about the network; with as many labels as the crowd.
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
    """Return the inverse of a curvature among changes that add up to zero: the inverse bordered by ones."""
    inverse = np.linalg.inv(curvature)
    ones = inverse.sum(axis=1)
    reduced: Matrix = inverse - np.outer(ones, ones) / ones.sum()
    return reduced
