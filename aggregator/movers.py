"""People who move through a picture: whose faces, from frame to frame, lie where they are heading. Pure.

As in SORT (Bewley et al., ICIP 2016) and its successors each is expected at the last place plus the velocity. As in
OC-SORT (Cao et al., CVPR 2023) the velocity is that of observations, so that those who are missed for a while are
looked for where they were going. ByteTrack's second association (Zhang et al., ECCV 2022), of what the first one left,
is the search around places whose velocity is not known yet.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.matching import Indices, Places, Sides, match

STEP_MS: Final = 200
"""Time in which `AS_FAR` holds; in longer ones people get farther."""

AS_FAR: Final = 2.0
"""How far people get in `STEP_MS`, in sides of a face: 2 m a second, of faces 20 cm wide."""

_FARTHEST: Final = 3.0
"""How far away someone is looked for whose velocity is not known, however much time has passed."""

_NEAR, _NEAR_LOST = 0.75, 1.5
"""How far from the expected place a face may be, in sides: at the next sight, and after frames without one."""

_LOST_MS: Final = 1000
"""How long someone is looked for who was missed."""

_STEADY: Final = 0.5
"""How much of a velocity is the one before."""

_UNKNOWN: Final = 2
"""Observations from which on there is a velocity."""


def follow(
    times_ms: Sequence[int], places: Sequence[Places], sides: Sequence[Sides], step_ms: float
) -> list[npt.NDArray[np.intp]]:
    """Number the people who move.

    Args:
        times_ms: When each frame was captured, ascending.
        places: For each frame complex128 (N,), where faces are in the picture.
        sides: For each frame float64 (N,), their sides.
        step_ms: The usual time between two frames.

    Returns:
        For each frame intp (N,), the number of each face's person, from 0 in the order of first sight.
    """
    seen = _Moving(sum(len(one) for one in places))
    numbers = []
    for at_ms, here, across in zip(times_ms, places, sides, strict=True):
        who = np.full(len(here), -1, np.intp)
        for known, longest_ms, within in (
            (True, 1.5 * step_ms, _NEAR),
            (True, max(_LOST_MS, 2.5 * step_ms), _NEAR_LOST),
            (False, 1.5 * step_ms, reach(step_ms)),
            (False, 2.5 * step_ms, reach(2 * step_ms)),
        ):
            free = np.flatnonzero(who < 0)
            if not len(free):
                break
            left = seen.expected(at_ms, longest_ms, known, who)
            if not len(left):
                continue
            i, j, _ = match(seen.at(left, at_ms), seen.sides[left], here[free], across[free], within=within)
            who[free[j]] = left[i]
        seen.observe(at_ms, who, here, across)
        numbers.append(who)
    return numbers


def reach(time_ms: float) -> float:
    """Return how far people get in a time, in sides of a face."""
    return float(min(AS_FAR * max(time_ms / STEP_MS, 0.5), _FARTHEST))


class _Moving:
    """Where people were seen last, and how they were moving."""

    def __init__(self, most: int) -> None:
        self.count = 0
        self.sides = np.empty(most, np.float64)
        self._places, self._speeds = np.empty(most, np.complex128), np.zeros(most, np.complex128)
        self._times, self._sights = np.empty(most, np.int64), np.zeros(most, np.intp)

    def expected(self, at_ms: int, longest_ms: float, known: bool, found: npt.NDArray[np.intp]) -> Indices:
        """Return who was seen lately, whose velocity is known or not, and who is not found yet."""
        free = np.ones(self.count, np.bool_)
        free[found[found >= 0]] = False
        lately = self._times[: self.count] >= at_ms - longest_ms
        return np.flatnonzero(free & lately & ((self._sights[: self.count] >= _UNKNOWN) == known))

    def at(self, people: Indices, at_ms: int) -> Places:
        """Return where people are expected."""
        expected: Places = self._places[people] + self._speeds[people] * (at_ms - self._times[people])
        return expected

    def observe(self, at_ms: int, who: npt.NDArray[np.intp], places: Places, sides: Sides) -> None:
        """Take in where people are; number those who are new, in place."""
        old = np.flatnonzero(who >= 0)
        people = who[old]
        speed = (places[old] - self._places[people]) / np.maximum(at_ms - self._times[people], 1)
        first = self._sights[people] < _UNKNOWN
        self._speeds[people] = np.where(first, speed, _STEADY * self._speeds[people] + (1 - _STEADY) * speed)
        new = np.flatnonzero(who < 0)
        who[new] = np.arange(self.count, self.count + len(new))
        self.count += len(new)
        self._places[who], self.sides[who], self._times[who] = places, sides, at_ms
        self._sights[who] += 1
