"""Makes the published figures from an estimate, rounded to a grid. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from aggregator.estimate import Estimate
from aggregator.prevalence import Vector
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Shares

MIXED: Final = "mixed"
"""The dominant label of a crowd in which no label leads."""

_VALENCE: Final = {"happy": 1.0, "angry": -1.0, "disgust": -1.0, "fear": -1.0, "sad": -1.0}
"""Sign of each expression. Surprise and cheering occur with joy and with anger, so they have no sign, like neutral."""

_ENERGY: Final = {"cheering": 1.0, "surprise": 1.0}
"""Expressions of excited people, positive or negative."""

_Z80_ONE_SIDED: Final = 0.8416
"""Standard deviations from which a lead is clear. By chance a lead is that large in one case of five; since the
intervals include the influence of the scene, 2 % of clear leads are wrong (measured: aggregator/README.md)."""

_Z90: Final = 1.6449
"""Half of a 90 % interval, in standard deviations of a normal distribution."""

_DIGITS, _FIT_DIGITS = 4, 1

_NO_ENERGY: Final = dict.fromkeys(("energy", "energy_low", "energy_high"))


def published_figures(estimate: Estimate, steps: int, wrong_by: float = 0.0) -> dict[str, Any]:
    """Return the figures of a mood by field, for all labels; None for labels that the network does not know.

    Shares are multiples of 1 / `steps` and add up to 1. All other figures are derived from the rounded shares, so that
    they do not show more than these. The ends of intervals are multiples of half a step.

    Args:
        estimate: The exact shares, and their errors.
        steps: Number of steps from 0 to 1.
        wrong_by: By how much a share may be wrong while it is published: the least distance from it to the ends of its
            interval.
    """
    coarse = replace(estimate, shares=rounded(estimate.shares, steps), raw=rounded(estimate.raw, steps))
    low, high = zip(*(_interval(coarse, one, steps, wrong_by, 0.0) for one in np.eye(len(coarse.shares))), strict=True)
    knows_cheering = len(coarse.shares) == len(LABELS)
    return {
        "shares": _named(coarse.shares.tolist()),
        "low": _named(low),
        "high": _named(high),
        "raw": _named(coarse.raw.tolist()),
        "dominant": dominant(coarse),
        **_balance("valence", coarse, _VALENCE, steps, wrong_by, -1.0),
        **(_balance("energy", coarse, _ENERGY, steps, wrong_by, 0.0) if knows_cheering else _NO_ENERGY),
        "method": estimate.method,
        "fit": None if estimate.fit is None else round(estimate.fit, _FIT_DIGITS),
    }


def rounded(shares: Vector, steps: int) -> Vector:
    """Round shares to multiples of 1 / `steps` that add up to one.

    The remainder goes to the shares that lost most by rounding.
    """
    scaled = shares * steps
    whole = np.floor(scaled + 1e-9)
    left = round(steps - whole.sum())
    whole[np.argsort(whole - scaled, kind="stable")[:left]] += 1
    multiples: Vector = whole / steps
    return multiples


def dominant(estimate: Estimate) -> str:
    """Return the label with the largest share, or `mixed` when its lead may be chance (one-sided 80 %)."""
    first = int(estimate.shares.argmax())
    for other in range(len(estimate.shares)):
        weights = np.zeros(len(estimate.shares))
        weights[first], weights[other] = 1.0, -1.0
        if other != first and weights @ estimate.shares <= _Z80_ONE_SIDED * estimate.deviation(weights):
            return MIXED
    return LABELS[first]


def _balance(
    name: str, coarse: Estimate, signs: Mapping[str, float], steps: int, wrong_by: float, least: float
) -> dict[str, float]:
    """Return a sum of signed shares with its interval, clipped to `least` and 1."""
    weights = np.array([signs.get(label, 0.0) for label in LABELS[: len(coarse.shares)]])
    low, high = _interval(coarse, weights, steps, wrong_by, least)
    return {name: round(float(weights @ coarse.shares), _DIGITS) + 0.0, f"{name}_low": low, f"{name}_high": high}


def _interval(coarse: Estimate, weights: Vector, steps: int, wrong_by: float, least: float) -> tuple[float, float]:
    """Return the ends of an interval around a sum of shares: a whole number of half steps from it."""
    halves = math.ceil(2 * steps * max(_Z90 * coarse.deviation(weights), wrong_by) - 1e-9)
    middle, away = float(weights @ coarse.shares), halves / (2 * steps)
    return round(max(middle - away, least), _DIGITS) + 0.0, round(min(middle + away, 1.0), _DIGITS) + 0.0


def _named(values: Sequence[float]) -> Shares:
    known: Shares = {label: round(value, _DIGITS) for label, value in zip(LABELS, values, strict=False)}
    return {label: known.get(label) for label in LABELS}
