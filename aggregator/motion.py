"""Motions of the camera between two frames, fitted to the faces that they match. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.matching import Indices, Layout, Places, Sides, match

STEADY: Final = 6.0
"""How strongly zoom and roll are pulled towards none: a scatter of faces of 0.05 sides against one of zooms of 0.02."""

_ABOUT_AS_WELL: Final = 0.75
"""Share of the best motion's worth from which a motion explains two frames about as well."""

_ABOUT_AS_NEAR: Final = 0.5
"""Share of the largest surplus from which a motion brings faces about as near."""

_SCATTERS: Final = ((0.7, 0.06), (0.3, 0.15))
"""Shares of faces and their scatter around a motion of the camera, in sides: the detector alone causes most of it, and
moving people the rest."""

_ALIKE: Final = 0.16
"""Scatter of people around the places of other people, in sides, where seats repeat and the match is off by a seat."""

_SEAT: Final = 2.0
"""Area of one person in a full stand, in squared sides of a face."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """A motion of the camera and the faces that it matches.

    Attributes:
        turn: Zoom and roll: a place p of the earlier frame is at `turn * p + shift` in the later one.
        shift: See `turn`; in pixels.
        i: intp (K,), faces of the earlier frame.
        j: intp (K,), their matches in the later frame.
        apart: float64 (K,), distances of the matches, in sides.
    """

    turn: complex
    shift: complex
    i: Indices
    j: Indices
    apart: npt.NDArray[np.float64]

    @classmethod
    def of(cls, a: Layout, b: Layout, turn: complex = 1, shift: complex = 0) -> "Motion":
        """Return a motion with the faces of two frames that it matches."""
        return cls(turn, shift, *match(turn * a.places + shift, a.sides * abs(turn), b.places, b.sides))

    @property
    def typically_apart(self) -> float:
        """The median of `apart`; infinite without matches."""
        return float(np.median(self.apart)) if len(self.apart) else math.inf

    @property
    def worth(self) -> float:
        """Logarithm of the likelihood ratio of these matches to faces anywhere in a full stand."""
        return float(np.log1p(self._density() * _SEAT).sum())

    @property
    def surplus(self) -> float:
        """Logarithm of the likelihood ratio of these matches to those of a motion to similarly arranged seats."""
        return float(np.log(self._density() / _normal(self.apart, _ALIKE)).sum())

    def _density(self) -> npt.NDArray[np.float64]:
        density: npt.NDArray[np.float64] = np.sum(
            [share * _normal(self.apart, scatter) for share, scatter in _SCATTERS], axis=0
        )
        return density


def refined(a: Layout, b: Layout, turn: complex, shift: complex, steady: float = STEADY) -> Motion:
    """Return a motion after two rounds of fitting it to the faces that it matches, by least squares."""
    for _ in range(2):
        i, j, _ = match(turn * a.places + shift, a.sides * abs(turn), b.places, b.sides)
        turn, shift = _fit(a.places[i], b.places[j], b.sides[j], turn, shift, steady)
    return Motion.of(a, b, turn, shift)


def likely(motions: Sequence[Motion]) -> list[Motion]:
    """Return the motions that explain the faces about as well as the best one.

    A match supports a motion more, the nearer the two faces are. Where seats repeat, a motion by one seat matches
    nearly as many faces as the true motion, but less closely, since people rarely sit exactly like their neighbours.
    """
    most = _ABOUT_AS_WELL * max(motion.worth for motion in motions)
    good = [motion for motion in motions if motion.worth >= most]
    least = _ABOUT_AS_NEAR * max(motion.surplus for motion in good)
    return [motion for motion in good if least <= 0 or motion.surplus >= least]


def _normal(apart: npt.NDArray[np.float64], scatter: float) -> npt.NDArray[np.float64]:
    """Return the density of a normal scatter in the plane at a distance, per squared side."""
    density: npt.NDArray[np.float64] = np.exp(-0.5 * (apart / scatter) ** 2) / (2 * np.pi * scatter**2)
    return density


def _fit(a: Places, b: Places, sides: Sides, turn: complex, shift: complex, steady: float) -> tuple[complex, complex]:
    """Return zoom, roll and shift from `a` to `b`, weighted by 1/side^2; unchanged without faces."""
    if not len(a):
        return turn, shift
    weights = 1 / sides**2
    total = weights.sum()
    a_middle, b_middle = (weights * a).sum() / total, (weights * b).sum() / total
    a, b = a - a_middle, b - b_middle
    turn = complex(((weights * a.conj() * b).sum() + steady) / ((weights * np.abs(a) ** 2).sum() + steady))
    return turn, complex(b_middle - turn * a_middle)
