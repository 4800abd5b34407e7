"""Makes the published figures from an estimate, rounded to its precision. Pure."""

import math
from collections.abc import Mapping, Sequence
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

_FEWEST_DIGITS, _MOST_DIGITS = 2, 4
_FIT_DIGITS: Final = 2


def published_figures(estimate: Estimate) -> dict[str, Any]:
    """Return the figures of a mood by field, for all labels; None for labels that the network does not know.

    All are rounded to a power of ten that is at most a quarter of the widest interval, but to at least two digits: more
    digits would describe single people without adding information. Rounded shares still add up to 1, and rounded
    intervals contain the exact ones.
    """
    digits = resolution(float((estimate.high - estimate.low).max()))
    unit = 10.0**-digits
    valence = _balance(estimate, _VALENCE, digits, -1.0)
    energy = _balance(estimate, _ENERGY, digits, 0.0) if len(estimate.shares) == len(LABELS) else (None, None, None)
    return {
        "shares": _named(rounded(estimate.shares, digits)),
        "low": _named([_down(value, unit, digits) for value in estimate.low]),
        "high": _named([min(_up(value, unit, digits), 1.0) for value in estimate.high]),
        "raw": _named(rounded(estimate.raw, digits)),
        "dominant": dominant(estimate),
        **dict(zip(("valence", "valence_low", "valence_high"), valence, strict=True)),
        **dict(zip(("energy", "energy_low", "energy_high"), energy, strict=True)),
        "method": estimate.method,
        "fit": None if estimate.fit is None else round(estimate.fit, _FIT_DIGITS),
    }


def resolution(width: float) -> int:
    """Return the number of decimal digits for an interval of this width, 2 to 4."""
    if width <= 0:
        return _MOST_DIGITS
    return min(max(math.ceil(-math.log10(width / 4)), _FEWEST_DIGITS), _MOST_DIGITS)


def rounded(shares: Vector, digits: int) -> list[float]:
    """Round shares so that they still add up to one: the remainder goes to the shares that lost most by rounding."""
    scaled = shares * 10**digits
    whole = np.floor(scaled + 1e-9)
    left = round(10**digits - whole.sum())
    whole[np.argsort(whole - scaled, kind="stable")[:left]] += 1
    return [round(float(value) / 10**digits, digits) for value in whole]


def dominant(estimate: Estimate) -> str:
    """Return the label with the largest share, or `mixed` when its lead may be chance (one-sided 80 %)."""
    first = int(estimate.shares.argmax())
    for other in range(len(estimate.shares)):
        weights = np.zeros(len(estimate.shares))
        weights[first], weights[other] = 1.0, -1.0
        if other != first and weights @ estimate.shares <= _Z80_ONE_SIDED * estimate.deviation(weights):
            return MIXED
    return LABELS[first]


def _balance(estimate: Estimate, signs: Mapping[str, float], digits: int, least: float) -> tuple[float, float, float]:
    """Return a sum of signed shares with its interval, clipped to `least` and 1."""
    weights = np.array([signs.get(label, 0.0) for label in LABELS[: len(estimate.shares)]])
    low, high = estimate.interval(weights)
    unit = 10.0**-digits
    middle = round(float(weights @ estimate.shares), digits) + 0.0
    return middle, max(_down(low, unit, digits), least), min(_up(high, unit, digits), 1.0)


def _named(values: Sequence[float]) -> Shares:
    known: Shares = dict(zip(LABELS, values, strict=False))
    return {label: known.get(label) for label in LABELS}


def _down(value: float, unit: float, digits: int) -> float:
    return round(math.floor(value / unit + 1e-9) * unit, digits) + 0.0


def _up(value: float, unit: float, digits: int) -> float:
    return round(math.ceil(value / unit - 1e-9) * unit, digits) + 0.0
