"""From the people in a closed window to shares, and how sure those are. Pure.

Whichever method: the mean of some feature of the people is seen, and the shares are the mix of the labels' own means
that explains it. What is not known exactly are the deviation of these people from their labels' means, and those means
themselves; both grow into the shares by the inverse of the confusion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from aggregator.crowd import Crowd
from aggregator.prevalence import Adjustment, Matrix, Vector, count, expectation_maximisation, probabilistic_count
from crowdmood import LABELS
from crowdmood.confusions import Confusions

Method: TypeAlias = Literal["sld", "pacc", "pcc", "raw"]

GROUPS: Final = (("happy",), ("angry", "disgust", "fear", "sad"), ("surprise", "neutral"))
"""Positive, negative and neutral labels: what can still be told apart when single labels cannot."""

_Z90: Final = 1.6449
"""Half of a 90 % interval, in standard deviations of a normal distribution."""

_ILL_CONDITIONED: Final = 30.0
"""Confusions beyond this blow a deviation of one person in a hundred up to a third of the crowd."""

_PSEUDO_PEOPLE: Final = 0.25
"""People of each label that are assumed when a share's variance is estimated: none seen does not mean none there."""

_ASSUMED_PEOPLE: Final = 3.0
"""People whom `sld` assumes beside those seen: few, and enough that nobody is taken for disgusted who may be angry."""

_HELD_OUT_WEIGHT: Final = 2.0
"""The labels' means are uncertain twice: they were measured on few faces, and this crowd's differ from those by as
much again."""

_LEAST_POSTERIOR: Final = 1e-4
"""No network is surer than this that a face does not show a label; half precision is not finer either."""

_LEAST_SINGULAR: Final = 0.02
"""Directions in which a crowd's labels look more alike than this are not blown up further."""


_MEMBERSHIP: Final = np.array([[label in group for group in GROUPS] for label in LABELS], np.float64)


@dataclass(frozen=True, eq=False)
class Estimate:
    """Shares of a crowd.

    Attributes:
        people: How many people it rests on.
        raw: float64 (7,), in the order of `LABELS`, shares of the likeliest labels; adds up to one.
        shares: float64 (7,), adds up to one.
        low: float64 (7,), lower ends of the 90 % intervals.
        high: float64 (7,), upper ends.
        covariance: float64 (7, 7) of the shares' errors.
        method: How they were estimated.
    """

    people: int
    raw: Vector
    shares: Vector
    low: Vector
    high: Vector
    covariance: Matrix
    method: str

    def deviation(self, weights: Vector) -> float:
        """Standard deviation of a sum of shares weighted by `weights (7,)`."""
        return math.sqrt(max(float(weights @ self.covariance @ weights), 0.0))

    def interval(self, weights: Vector) -> tuple[float, float]:
        """90 % interval of a sum of shares weighted by `weights (7,)`."""
        middle, half = float(weights @ self.shares), _Z90 * self.deviation(weights)
        return middle - half, middle + half


def estimate(crowd: Crowd, method: Method, confusions: Confusions | None) -> Estimate:
    """Estimate shares and their uncertainty.

    The intervals are for the shares among the people seen, and speak of the network's mistakes alone. For `sld` and
    `pacc` they cover about nine in ten true shares (measured: aggregator/README.md); `raw` and `pcc` know nothing of
    the confusions, and theirs are only as wide as a poll's of as many people.

    Args:
        crowd: People with calibrated posteriors, at least one.
        method: `sld`, `pacc`, `pcc` or `raw`.
        confusions: What is known about the network; None when it does not say: shares are then raw counts.
    """
    if confusions is None:
        return _plain(crowd, count(crowd.posteriors, crowd.weights), "raw")
    posteriors = (crowd.posteriors + _LEAST_POSTERIOR) * np.exp(confusions.biases)
    crowd = replace(crowd, posteriors=posteriors / posteriors.sum(axis=1, keepdims=True))
    if method == "raw":
        return _plain(crowd, count(crowd.posteriors, crowd.weights), "raw")
    if method == "pcc":
        return _plain(crowd, probabilistic_count(crowd.posteriors, crowd.weights), "pcc")
    if adjustment_of(confusions).condition <= _ILL_CONDITIONED:
        return _finished(crowd, *_adjusted(crowd, method, confusions), method)
    return _by_groups(crowd, method, confusions)


@lru_cache(maxsize=16)
def adjustment_of(confusions: Confusions) -> Adjustment:
    """Undoes a network's confusions; worked out once."""
    return Adjustment(confusions.means)


@lru_cache(maxsize=16)
def _grouped(confusions: Confusions) -> Confusions:
    """The same for the three groups instead of seven labels."""
    weights = confusions.priors[:, None] * _MEMBERSHIP
    weights /= weights.sum(axis=0)
    rows = confusions.means @ _MEMBERSHIP
    means = weights.T @ rows
    away = rows[:, None, :] - means[None, :, :]
    within = np.einsum("lg,lij->gij", weights, _MEMBERSHIP.T @ confusions.covariances @ _MEMBERSHIP)
    between = np.einsum("lg,lgi,lgj->gij", weights, away, away)
    return Confusions(confusions.faces, np.zeros(len(GROUPS)), confusions.priors @ _MEMBERSHIP, means, within + between)


def combined(estimates: list[Estimate]) -> Estimate:
    """The estimate for several crowds together, weighted by their people.

    Args:
        estimates: Of different people, at least one.
    """
    if len(estimates) == 1:
        return estimates[0]
    people = sum(each.people for each in estimates)
    weights = [each.people / people for each in estimates]
    raw = sum((w * each.raw for w, each in zip(weights, estimates, strict=True)), np.zeros(len(LABELS)))
    shares = sum((w * each.shares for w, each in zip(weights, estimates, strict=True)), np.zeros(len(LABELS)))
    covariance = sum(
        (w * w * each.covariance for w, each in zip(weights, estimates, strict=True)), np.zeros((len(LABELS),) * 2)
    )
    method = "+".join(sorted({each.method for each in estimates}))
    low, high = _interval(shares, covariance)
    return Estimate(people, raw, shares, low, high, covariance, method)


def _adjusted(crowd: Crowd, method: Method, confusions: Confusions) -> tuple[Vector, Matrix]:
    """Shares (K,) and the covariance (K, K) of their errors."""
    people, classes = len(crowd), crowd.posteriors.shape[1]
    held_out = np.maximum(confusions.priors * confusions.faces, 1.0)
    if method == "pacc":
        shares = adjustment_of(confusions).shares(probabilistic_count(crowd.posteriors, crowd.weights)[None])[0]
        padded = _padded(shares, people)
        means, spreads = confusions.means, confusions.covariances
        trust = 1.0
    else:
        shares = expectation_maximisation(crowd.posteriors, confusions.priors, _ASSUMED_PEOPLE, crowd.weights)
        trust = people / (people + _ASSUMED_PEOPLE)
        padded = _padded(shares, people)
        # The feature is the posterior corrected for this crowd. Its mean over those who probably show a label, and the
        # spread of people about that mean, are read off the crowd itself.
        corrected = crowd.posteriors * (padded / confusions.priors)
        corrected /= corrected.sum(axis=1, keepdims=True)
        means, _ = _of_labels(corrected, crowd.weights)
        _, spreads = _of_labels(crowd.by_person(corrected), np.ones(people))
    noise = padded / people + _HELD_OUT_WEIGHT * padded**2 / held_out
    # How a deviation of the mean feature moves the shares: the derivative of what they are the fixed point of.
    inverse = trust * np.linalg.pinv((1 - trust) * np.eye(classes) + trust * means.T, rcond=_LEAST_SINGULAR)
    return shares, inverse @ np.einsum("k,kij->ij", noise, spreads) @ inverse.T


def _of_labels(rows: Matrix, weights: Vector) -> tuple[Matrix, npt.NDArray[np.float64]]:
    """Means (K, K) and covariances (K, K, K) of rows (N, K) that say of which label they probably are."""
    classes = rows.shape[1]
    weighted = rows * weights[:, None]
    total = weighted.sum(axis=0)
    means = weighted.T @ rows / total[:, None]
    products = (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
    squares = (weighted.T @ products / total[:, None]).reshape((classes,) * 3)
    return means, squares - means[:, :, None] * means[:, None, :]


def _padded(shares: Vector, people: int) -> Vector:
    """Shares with a little of every label, so that no label's absence looks certain."""
    padded: Vector = (shares * people + _PSEUDO_PEOPLE) / (people + _PSEUDO_PEOPLE * len(shares))
    return padded


def _by_groups(crowd: Crowd, method: Method, confusions: Confusions) -> Estimate:
    """Shares of groups, divided within each as the mean posterior is; a label's interval reaches from none to all."""
    grouped = _grouped(confusions)
    found, covariance = _adjusted(replace(crowd, posteriors=crowd.posteriors @ _MEMBERSHIP), method, grouped)
    low, high = _interval(found, covariance)
    mean = probabilistic_count(crowd.posteriors, crowd.weights)
    within = _MEMBERSHIP * mean[:, None] / np.maximum(mean @ _MEMBERSHIP, 1e-12)
    alone = _MEMBERSHIP.sum(axis=0) == 1
    return Estimate(
        len(crowd),
        count(crowd.posteriors, crowd.weights),
        within @ found,
        _MEMBERSHIP @ np.where(alone, low, 0.0),
        _MEMBERSHIP @ high,
        within @ covariance @ within.T,
        f"{method}-groups",
    )


def _plain(crowd: Crowd, shares: Vector, method: str) -> Estimate:
    padded = _padded(shares, len(crowd))
    return _finished(crowd, shares, (np.diag(padded) - np.outer(padded, padded)) / len(crowd), method)


def _finished(crowd: Crowd, shares: Vector, covariance: Matrix, method: str) -> Estimate:
    raw = count(crowd.posteriors, crowd.weights)
    return Estimate(len(crowd), raw, shares, *_interval(shares, covariance), covariance, method)


def _interval(shares: Vector, covariance: Matrix) -> tuple[Vector, Vector]:
    half = _Z90 * np.sqrt(np.diag(covariance).clip(0))
    return (shares - half).clip(0), (shares + half).clip(max=1)
