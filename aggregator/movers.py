"""Follows people who move through a picture, by their velocity. Pure.

As in SORT (Bewley et al., ICIP 2016) and its successors, a person is expected at the last place plus the velocity. As
in OC-SORT (Cao et al., CVPR 2023), the velocity is that of observations, so that a person who is missed for a while is
searched for along the way. The second association of ByteTrack (Zhang et al., ECCV 2022), for faces without a match in
the first one, corresponds to the search around people whose velocity is not known yet.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.matching import Indices, Places, Sides, match

STEP_MS: Final = 200
"""Time in which people move as far as `AS_FAR`."""

AS_FAR: Final = 2.0
"""Largest distance that people move in `STEP_MS`, in sides of a face: 2 m/s, with faces 20 cm wide."""

_FARTHEST: Final = 3.0
"""Largest distance at which a person without a known velocity is searched for, however much time has passed."""

_NEAR, _NEAR_LOST = 0.75, 1.5
"""Largest distance of a face from the expected place, in sides: in the next frame, and after frames without a face."""

_LOST_MS: Final = 1000
"""Time for which a missed person is searched for."""

_STEADY: Final = 0.5
"""Weight of the velocity before in the new one."""

_UNKNOWN: Final = 2
"""Number of observations from which the velocity is known."""


def follow(
    times_ms: Sequence[int], places: Sequence[Places], sides: Sequence[Sides], step_ms: float
) -> list[npt.NDArray[np.intp]]:
    """Number the people who move.

    Args:
        times_ms: Capture time of each frame, ascending.
        places: For each frame complex128 (N,), the places of faces in the picture.
        sides: For each frame float64 (N,), their sides.
        step_ms: The usual time between two frames.

    Returns:
        For each frame intp (N,), the number of each face's person, from 0 in the order of their first faces.
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
    """Return the largest distance that people move in a time, in sides of a face."""
    return float(min(AS_FAR * max(time_ms / STEP_MS, 0.5), _FARTHEST))


class _Moving:
    """The last places and the velocities of people."""

    def __init__(self, most: int) -> None:
        self.count = 0
        self.sides = np.empty(most, np.float64)
        self._places, self._speeds = np.empty(most, np.complex128), np.zeros(most, np.complex128)
        self._times, self._sights = np.empty(most, np.int64), np.zeros(most, np.intp)

    def expected(self, at_ms: int, longest_ms: float, known: bool, found: npt.NDArray[np.intp]) -> Indices:
        """Return the people seen in the last `longest_ms` and not yet found, with or without a known velocity."""
        free = np.ones(self.count, np.bool_)
        free[found[found >= 0]] = False
        lately = self._times[: self.count] >= at_ms - longest_ms
        return np.flatnonzero(free & lately & ((self._sights[: self.count] >= _UNKNOWN) == known))

    def at(self, people: Indices, at_ms: int) -> Places:
        """Return the expected places of people."""
        expected: Places = self._places[people] + self._speeds[people] * (at_ms - self._times[people])
        return expected

    def observe(self, at_ms: int, who: npt.NDArray[np.intp], places: Places, sides: Sides) -> None:
        """Update the places of people; number new people in `who`, in place."""
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
