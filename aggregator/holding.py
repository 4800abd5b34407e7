"""Publishes figures that single out no one: coarse, and held until several people have changed. Pure.

A mood per second shows the effect of one person who arrives, leaves or changes expression: in a crowd of N people a
share moves by 1/N. So the figures of a scope are one block. A new block is published when a share in it is wrong by
more than `SEVERAL` people; until then the block is repeated. Its shares are multiples of about `STEP` people, and
everything else in it is derived from them. So a block seldom changes with one person, and does not show what a single
person contributed. Numbers of people are rounded and held on their own.

`benchmarks/attacks.py` measures what an attacker learns from published figures: with smaller values of `SEVERAL`, more
than five points above guessing.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from aggregator.disclosure import Cameras
from aggregator.estimate import Estimate
from aggregator.prevalence import Vector
from aggregator.shares import published_figures

SEVERAL: Final = 8
"""Number of people by which a share may be wrong before new figures are published."""

STEP, FIRST_STEP = 4, 10
"""Number of people: the least difference of two values of a share. The first block has larger steps: it shows one crowd
as it is, while later ones mix many changes."""

_LEAST_STEPS: Final = 2
"""Shares of the smallest crowds are multiples of a half."""

_MOST_STEPS: Final = 1000

_TOLERANCE: Final = 1e-9

_UNITS: Final = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_PARTS: Final = 20
"""Numbers of people are rounded to the largest unit that is at most a twentieth of them, but to at least five."""

Figures: TypeAlias = dict[str, Any]
"""The figures of a mood, by field."""


class HeldFigures:
    """The published figures of each scope.

    Scopes of the same cameras share their figures: two blocks that change at different times would show more than one.

    Args:
        several: Number of people.
    """

    def __init__(self, several: int = SEVERAL) -> None:
        self._several = several
        self._held: dict[Cameras, Figures] = {}

    def update(self, cameras: Cameras, people: int, estimate: Estimate) -> Figures:
        """Return the figures to publish.

        Args:
            cameras: The cameras of the scope.
            people: Number of people seen.
            estimate: Shares of the readable people.
        """
        before = self._held.get(cameras, {})
        readable = _held_count(estimate.people, before.get("readable"))
        figures, wrong_by = before, _wrong_by(before, estimate)
        if wrong_by * readable - self._several > _TOLERANCE:
            steps = readable // (STEP if np.isfinite(wrong_by) else FIRST_STEP)
            may_be_wrong_by = self._several / readable
            figures = published_figures(estimate, min(max(steps, _LEAST_STEPS), _MOST_STEPS), may_be_wrong_by)
        counts = {"people": max(_held_count(people, before.get("people")), readable), "readable": readable}
        self._held[cameras] = figures | counts
        return self._held[cameras]

    def keep(self, scopes: Collection[Cameras]) -> None:
        """Forget the figures of other scopes."""
        self._held = {cameras: figures for cameras, figures in self._held.items() if cameras in scopes}

    def snapshot(self) -> list[Any]:
        """Return the state that a successor needs, as JSON values."""
        return [{"cameras": sorted(cameras), "figures": figures} for cameras, figures in self._held.items()]

    def restore(self, snapshot: Iterable[Any]) -> None:
        """Continue where `snapshot` was made."""
        self._held = {frozenset(stored["cameras"]): stored["figures"] for stored in snapshot}


def _held_count(count: int, held: int | None) -> int:
    """Return a rounded number, which stays the same until it is wrong by a whole unit."""
    unit = _unit(count)
    return held if held is not None and abs(count - held) < unit else (2 * count + unit) // (2 * unit) * unit


def _unit(count: int) -> int:
    return max((unit for unit in _UNITS if unit * _PARTS <= count), default=_UNITS[0])


def _wrong_by(held: Mapping[str, Any], estimate: Estimate) -> float:
    """Return the largest error of held shares; infinite when there are none, or with other labels."""
    if not held:
        return np.inf
    shares, raw = _known(held["shares"]), _known(held["raw"])
    if len(shares) != len(estimate.shares):
        return np.inf
    return float(max(np.abs(shares - estimate.shares).max(), np.abs(raw - estimate.raw).max()))


def _known(shares: Mapping[str, float | None]) -> Vector:
    return np.array([share for share in shares.values() if share is not None])
