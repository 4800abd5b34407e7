"""From an estimate to the figures that are told: no finer than they are known. Pure."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from aggregator.estimate import Estimate
from aggregator.prevalence import Vector
from crowdmood import LABELS
from crowdmood.mood import Shares

MIXED: Final = "mixed"
"""What leads when no label does."""

_VALENCE: Final = np.array([{"happy": 1.0, "surprise": 0.0, "neutral": 0.0}.get(label, -1.0) for label in LABELS])
"""Sign of each expression; surprise may be either and counts as neither, like neutral."""

_Z90_ONE_SIDED: Final = 1.2816
_MOST_DIGITS: Final = 4


def told(estimate: Estimate) -> dict[str, Any]:
    """The figures of a mood, by field.

    All are rounded to a power of ten of which the widest interval holds at least four: more digits would tell of single
    people, and of nothing that is known. Rounded shares still add up to 1, and rounded intervals hold the exact ones.

    Args:
        estimate: The shares.
    """
    digits = resolution(float((estimate.high - estimate.low).max()))
    low, high = estimate.interval(_VALENCE)
    unit = 10.0**-digits
    return {
        "shares": _named(rounded(estimate.shares, digits)),
        "low": _named([_down(value, unit, digits) for value in estimate.low]),
        "high": _named([min(_up(value, unit, digits), 1.0) for value in estimate.high]),
        "raw": _named(rounded(estimate.raw, digits)),
        "dominant": dominant(estimate),
        "valence": round(float(_VALENCE @ estimate.shares), digits) + 0.0,
        "valence_low": max(_down(low, unit, digits), -1.0),
        "valence_high": min(_up(high, unit, digits), 1.0),
    }


def resolution(width: float) -> int:
    """Decimal digits with which an interval of this width is told, 1 to 4."""
    return _MOST_DIGITS if width <= 0 else min(max(math.ceil(-math.log10(width / 4)), 1), _MOST_DIGITS)


def rounded(shares: Vector, digits: int) -> list[float]:
    """Shares that add up to one, rounded so that they still do: what is left goes where most was cut off."""
    scaled = shares * 10**digits
    whole = np.floor(scaled + 1e-9)
    left = round(10**digits - whole.sum())
    whole[np.argsort(whole - scaled, kind="stable")[:left]] += 1
    return [round(float(value) / 10**digits, digits) for value in whole]


def dominant(estimate: Estimate) -> str:
    """The label with the largest share, or `mixed` when its lead over another may be chance (one-sided 90 %)."""
    first = int(estimate.shares.argmax())
    for other in range(len(LABELS)):
        weights = np.zeros(len(LABELS))
        weights[first], weights[other] = 1.0, -1.0
        if other != first and weights @ estimate.shares <= _Z90_ONE_SIDED * estimate.deviation(weights):
            return MIXED
    return LABELS[first]


def _named(values: Sequence[float]) -> Shares:
    return dict(zip(LABELS, values, strict=True))


def _down(value: float, unit: float, digits: int) -> float:
    return round(math.floor(value / unit + 1e-9) * unit, digits) + 0.0


def _up(value: float, unit: float, digits: int) -> float:
    return round(math.ceil(value / unit - 1e-9) * unit, digits) + 0.0
