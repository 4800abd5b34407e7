"""Estimates the shares of the people in a closed window, with intervals. Pure.

`gls` is the default method (`mixture`). The others are for comparison: `raw` counts, `pcc` averages, `pacc` and `sld`
correct the network's confusions, but do not model scenes or misfits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np

from aggregator.crowd import Crowd
from aggregator.mixture import most_probable
from aggregator.prevalence import Adjustment, Matrix, Vector, count, expectation_maximisation, probabilistic_count
from crowdmood.domain.confusions import Confusions

Method: TypeAlias = Literal["gls", "sld", "pacc", "pcc", "raw"]

_Z90: Final = 1.6449
"""Half of a 90 % interval, in standard deviations of a normal distribution."""

_PSEUDO_PEOPLE: Final = 0.25
"""People of each label added to estimate a share's variance: a label that was not seen may still exist."""

_ASSUMED_PEOPLE: Final = 3.0
"""People that `sld` adds to those seen: they decide between similar labels."""

_HELD_OUT_WEIGHT: Final = 2.0
"""For `sld` and `pacc` the labels' means have two errors of equal size: they were measured on few faces, and the means
of this crowd differ from them."""

_LEAST_POSTERIOR: Final = 1e-4
"""Smallest probability of a label: networks are no surer, and half precision is no finer."""

_LEAST_SINGULAR: Final = 0.02
"""Smallest relative singular value that is inverted: directions in which labels are more similar are cut off."""

_UNKNOWN_CROWD: Final = 4.0
"""Number of people whose variance a crowd has that no mixture explains."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """Estimated shares of a crowd.

    Attributes:
        people: Number of people of the crowd.
        raw: float64 (K,), in the order of `LABELS`, shares of the likeliest labels; adds up to one.
        shares: float64 (K,), adds up to one.
        low: float64 (K,), lower ends of the 90 % intervals.
        high: float64 (K,), upper ends.
        covariance: float64 (K, K) of the shares' errors.
        method: The method of the estimate.
        fit: The part of the correction that is applied, in [0, 1]; None for methods without a fit.
    """

    people: int
    raw: Vector
    shares: Vector
    low: Vector
    high: Vector
    covariance: Matrix
    method: str
    fit: float | None

    def deviation(self, weights: Vector) -> float:
        """Return the standard deviation of a sum of shares weighted by `weights (K,)`."""
        return math.sqrt(max(float(weights @ self.covariance @ weights), 0.0))

    def interval(self, weights: Vector) -> tuple[float, float]:
        """Return the 90 % interval of a sum of shares weighted by `weights (K,)`."""
        middle, half = float(weights @ self.shares), _Z90 * self.deviation(weights)
        return middle - half, middle + half


def estimate(crowd: Crowd, method: Method, confusions: Confusions | None, *, within_scene: bool = False) -> Estimate:
    """Return the estimated shares with their intervals.

    The intervals are for the shares among the people seen, and include errors of the network. Those of `gls` cover
    about nine in ten true shares (measured: aggregator/README.md). `raw` and `pcc` do not use the confusions, and their
    intervals are only as wide as those of a poll of as many people.

    Args:
        crowd: At least one person.
        method: `gls`, `sld`, `pacc`, `pcc` or `raw`.
        confusions: The network's confusions, with as many labels as the crowd; None when unknown: the shares are then
            raw counts.
        within_scene: Return intervals for comparison with other windows of the same scene, without the errors from the
            scene, the held-out faces and a misfit, which are the same in all of them. Only `gls` supports this.
    """
    if confusions is None:
        return _poll(crowd, count(crowd.posteriors, crowd.weights), "raw")
    if method == "gls":
        return _mixture(_unbiased(crowd, confusions), confusions, within_scene=within_scene)
    crowd = _unbiased(crowd, confusions)
    if method == "raw":
        return _poll(crowd, count(crowd.posteriors, crowd.weights), "raw")
    if method == "pcc":
        return _poll(crowd, probabilistic_count(crowd.posteriors, crowd.weights), "pcc")
    return _finished(crowd, *_adjusted(crowd, method, confusions), method)


@lru_cache(maxsize=16)
def adjustment_of(confusions: Confusions) -> Adjustment:
    """Return the correction of a network's confusions; computed once."""
    return Adjustment(_probabilities(confusions))


def combined(estimates: list[Estimate]) -> Estimate:
    """Return the estimate of several crowds together, weighted by their people.

    Networks may differ in their labels: the result has the labels that all of them know, and people with other
    expressions do not count.

    Args:
        estimates: At least one; of different people.
    """
    if len(estimates) == 1:
        return estimates[0]
    labels = min(len(each.shares) for each in estimates)
    voters = np.array([each.people * float(each.shares[:labels].sum()) for each in estimates])
    weights = voters / voters.sum()
    known = [_cut(each, labels) for each in estimates]
    fits = [(weight, each.fit) for weight, each in zip(weights, known, strict=True) if each.fit is not None]
    shares = weights @ np.stack([each.shares for each in known])
    covariance = np.einsum("n,nij->ij", weights**2, np.stack([each.covariance for each in known]))
    return Estimate(
        sum(each.people for each in known),
        weights @ np.stack([each.raw for each in known]),
        shares,
        *_interval(shares, covariance),
        covariance,
        "+".join(sorted({each.method for each in known})),
        float(sum(weight * fit for weight, fit in fits) / sum(weight for weight, _ in fits)) if fits else None,
    )


def _cut(found: Estimate, labels: int) -> Estimate:
    """Return the estimate of the first labels among the people who show one of them."""
    kept, counted = float(found.shares[:labels].sum()), float(found.raw[:labels].sum())
    if len(found.shares) == labels or kept <= 0:
        return replace(
            found, raw=found.raw[:labels], shares=found.shares[:labels], covariance=found.covariance[:labels, :labels]
        )
    shares = found.shares[:labels] / kept
    raw = found.raw[:labels] / counted if counted > 0 else shares
    moved = (np.eye(labels) - shares[:, None]) / kept
    covariance = moved @ found.covariance[:labels, :labels] @ moved.T
    low, high = _interval(shares, covariance)
    return replace(found, raw=raw, shares=shares, low=low, high=high, covariance=covariance)


def _mixture(crowd: Crowd, confusions: Confusions, *, within_scene: bool) -> Estimate:
    """Return the most probable mixture, blended with the counts and wide intervals as far as it does not fit."""
    found, raw = most_probable(crowd, confusions), count(crowd.posteriors, crowd.weights)
    fit, unknown = found.fit, 1 - found.fit
    shares = fit * found.shares + unknown * raw
    of_one = _of_one(_padded(shares, len(crowd)))
    if within_scene:
        covariance = fit**2 * found.sampling + unknown**2 * of_one / len(crowd)
    else:
        apart = found.shares - raw
        covariance = found.covariance / fit + unknown * np.outer(apart, apart) + unknown**2 * of_one / _UNKNOWN_CROWD
    return Estimate(len(crowd), raw, shares, *_interval(shares, covariance), covariance, "gls", fit)


def _unbiased(crowd: Crowd, confusions: Confusions) -> Crowd:
    """Return the crowd without the biases that an older card lists."""
    if not confusions.biases.any():
        return crowd
    posteriors = (crowd.posteriors + _LEAST_POSTERIOR) * np.exp(confusions.biases)
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    return replace(crowd, posteriors=posteriors, confidence=posteriors.max(axis=1, initial=0))


def _probabilities(confusions: Confusions) -> Matrix:
    """Return the mean probabilities (K, K) by true label, without other features."""
    return confusions.means[:, : confusions.labels]


def _adjusted(crowd: Crowd, method: Method, confusions: Confusions) -> tuple[Vector, Matrix]:
    """Return the shares (K,) of `pacc` or `sld` and the covariance (K, K) of their errors."""
    people, classes = len(crowd), confusions.labels
    if method == "pacc":
        shares = adjustment_of(confusions).shares(probabilistic_count(crowd.posteriors, crowd.weights)[None])[0]
        padded = _padded(shares, people)
        means, spreads = _probabilities(confusions), confusions.covariances[:, :classes, :classes]
        trust = 1.0
    else:
        # The shares that a network assumes are its mean answer to the faces on which it was measured.
        priors = confusions.priors @ _probabilities(confusions) + _LEAST_POSTERIOR
        posteriors = crowd.posteriors + _LEAST_POSTERIOR
        posteriors /= posteriors.sum(axis=1, keepdims=True)
        shares = expectation_maximisation(posteriors, priors / priors.sum(), _ASSUMED_PEOPLE, crowd.weights)
        trust = people / (people + _ASSUMED_PEOPLE)
        padded = _padded(shares, people)
        # The feature is the posterior corrected for this crowd. Its mean over the people who probably show a label, and
        # the spread of people around that mean, are estimated from the crowd itself.
        corrected = posteriors * (padded / priors)
        corrected /= corrected.sum(axis=1, keepdims=True)
        means, _ = _of_labels(corrected, crowd.weights)
        _, spreads = _of_labels(crowd.by_person(corrected), np.ones(people))
    noise = padded / people + _HELD_OUT_WEIGHT * padded**2 / confusions.counts
    # The effect of a deviation of the mean feature on the shares: the derivative of the fixed-point equation.
    inverse = trust * np.linalg.pinv((1 - trust) * np.eye(classes) + trust * means.T, rcond=_LEAST_SINGULAR)
    return shares, inverse @ np.einsum("k,kij->ij", noise, spreads) @ inverse.T


def _of_labels(rows: Matrix, weights: Vector) -> tuple[Matrix, Matrix]:
    """Return means (K, K) and covariances (K, K, K) by label, of rows (N, K) of label probabilities."""
    classes = rows.shape[1]
    weighted = rows * weights[:, None]
    total = weighted.sum(axis=0)
    means = weighted.T @ rows / total[:, None]
    products = (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
    squares = (weighted.T @ products / total[:, None]).reshape((classes,) * 3)
    return means, squares - means[:, :, None] * means[:, None, :]


def _padded(shares: Vector, people: int) -> Vector:
    """Return shares with a little of every label, so that no label has a variance of zero."""
    padded: Vector = (shares * people + _PSEUDO_PEOPLE) / (people + _PSEUDO_PEOPLE * len(shares))
    return padded


def _of_one(shares: Vector) -> Matrix:
    """Return the covariance of the label of one person drawn from these shares."""
    covariance: Matrix = np.diag(shares) - np.outer(shares, shares)
    return covariance


def _poll(crowd: Crowd, shares: Vector, method: str) -> Estimate:
    return _finished(crowd, shares, _of_one(_padded(shares, len(crowd))) / len(crowd), method)


def _finished(crowd: Crowd, shares: Vector, covariance: Matrix, method: str) -> Estimate:
    raw = count(crowd.posteriors, crowd.weights)
    return Estimate(len(crowd), raw, shares, *_interval(shares, covariance), covariance, method, None)


def _interval(shares: Vector, covariance: Matrix) -> tuple[Vector, Vector]:
    half = _Z90 * np.sqrt(np.diag(covariance).clip(0))
    return (shares - half).clip(0), (shares + half).clip(max=1)
