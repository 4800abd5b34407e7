"""Which faces of two frames are the same people, and how the camera moved between them. Pure.

Only boxes are compared, never looks.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.matching import MAX_RATIO, REACH, Indices, Layout, Places, Sides, match, similar
from crowdmood.domain.messages import Emotions

_VOTERS: Final = 256
"""Faces of a frame that vote for the motion, the largest ones: 65,536 pairs at most."""

_CELLS: Final = 1024
"""Cells of the vote along a side at most."""

_LIKELY_SIDES: Final = 1.5
"""Motion between two frames, in sides of a face, at which a match counts half: if seats repeat, the least is true."""

_STILL: Final = 0.5
"""Share of the faces found where they were from which the camera is taken to stand still, or nearly: where seats repeat
and some faces are missed, chance may favour a motion by one seat."""

_STEADY: Final = 6.0
"""How strongly zoom and roll are held at none: a scatter of faces of 0.05 sides against one of the zoom of 0.02."""

_MAX_CHANCES: Final = 0.005
"""Motions by which unrelated faces may be expected to fit as well, up to which a fit is believed."""

_MIN_COMMON: Final = 0.25
"""Share of the faces in the part that both frames show which both must have: detectors miss some, but not most."""

_FINENESS: Final = (1.0, 0.5, 0.25, 0.125)
"""Shares of `REACH` at which a fit is rated: few faces that fit finely say as much as many that fit roughly."""


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """How a later frame follows from an earlier one.

    Attributes:
        previous: int32 (M,), for each face of the later frame the same person's index in the earlier one, or -1.
        turn: Zoom and roll: a place p of the earlier frame is seen at `turn * p + shift` in the later one.
        shift: See `turn`; in pixels.
        fits: Whether the two show the same scene; otherwise `turn` and `shift` say nothing.
    """

    previous: npt.NDArray[np.int32]
    turn: complex
    shift: complex
    fits: bool


def link(earlier: Emotions, later: Emotions) -> Link:
    """Match the faces of two frames of one camera.

    The camera's motion is voted for by all pairs of faces of similar size (a Hough transform, Ballard 1981), less the
    votes that chance would give, the more so the larger the motion is. The best one is refined by least squares, and
    believed when unrelated faces would hardly fit as well: an a-contrario test (Moisan, Moulon and Monasse, "Automatic
    homographic registration of a pair of images, with a contrario elimination of outliers", IPOL 2012).

    Args:
        earlier: A frame of the camera.
        later: Another.

    Returns:
        A pure function of the two frames, whatever the order of their faces.
    """
    a, b = Layout.of(earlier), Layout.of(later)
    previous = np.full(len(later.boxes), -1, np.int32)
    if not len(a.places) or not len(b.places):
        return Link(previous, 1, 0, fits=False)
    votes = _Votes(a, b)
    turn, shift = complex(1), 0j
    still = len(match(a.places, a.sides, b.places, b.sides)[0])
    if still < _STILL * min(len(a.places), len(b.places)):
        shifts = [0j, *votes.leading()]
        matches = [len(match(a.places + shift, a.sides, b.places, b.sides)[0]) for shift in shifts]
        shift = shifts[int(np.argmax([votes.worth(*pair) for pair in zip(shifts, matches, strict=True)]))]
    for _ in range(2):
        i, j, apart = match(turn * a.places + shift, a.sides, b.places, b.sides)
        turn, shift = _fit(a.places[i], b.places[j], b.sides[j], turn, shift)
    i, j, apart = match(turn * a.places + shift, a.sides * abs(turn), b.places, b.sides)
    if len(i) < _MIN_COMMON * _in_common(a, b, turn, shift) or votes.chances(shift, apart) > _MAX_CHANCES:
        return Link(previous, 1, 0, fits=False)
    previous[b.order[j]] = a.order[i]
    return Link(previous, turn, shift, fits=True)


def _fit(a: Places, b: Places, sides: Sides, turn: complex, shift: complex) -> tuple[complex, complex]:
    """Zoom, roll and shift from `a` to `b` by least squares, weighted by 1/side^2; what was there when nothing fits."""
    if not len(a):
        return turn, shift
    weights = 1 / sides**2
    total = weights.sum()
    a_middle, b_middle = (weights * a).sum() / total, (weights * b).sum() / total
    a, b = a - a_middle, b - b_middle
    turn = complex(((weights * a.conj() * b).sum() + _STEADY) / ((weights * np.abs(a) ** 2).sum() + _STEADY))
    return turn, complex(b_middle - turn * a_middle)


def _in_common(a: Layout, b: Layout, turn: complex, shift: complex) -> int:
    """How many faces the part that both frames show has, in the frame that has more of them there."""
    return max(_inside(turn * a.places + shift, b.size), _inside((b.places - shift) / turn, a.size))


def _inside(places: Places, size: tuple[int, int]) -> int:
    x, y = places.real, places.imag
    return int(np.count_nonzero((x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])))


class _Votes:
    """What pairs of similar size say of the shift between two frames, and what chance would say."""

    def __init__(self, a: Layout, b: Layout) -> None:
        of_a, of_b = _largest(a.sides), _largest(b.sides)
        i, j = np.nonzero(similar(a.sides[of_a][:, None], b.sides[of_b], MAX_RATIO))
        i, j = of_a[i], of_b[j]
        both = np.concatenate([a.places, b.places])
        self._side = float(np.median(np.concatenate([a.sides[of_a], b.sides[of_b]])))
        # Where the faces lie, as chance is denser there; but few faces do not say where others might have been.
        self._width = max(float(np.ptp(both.real)) + self._side, 0.5 * max(a.size[0], b.size[0]))
        self._height = max(float(np.ptp(both.imag)) + self._side, 0.5 * max(a.size[1], b.size[1]))
        self._fewer = min(len(a.places), len(b.places))
        self._moves = b.places[j] - a.places[i]
        # Pairs among all faces, and the mean square of their sides.
        self._pairs = len(i) * (len(a.places) / len(of_a)) * (len(b.places) / len(of_b))
        self._square = float((a.sides[i] * b.sides[j]).mean()) if len(i) else self._side**2

    def leading(self, count: int = 3) -> list[complex]:
        """The shifts with the most votes for their worth, best first, in pixels."""
        cell = max(0.25 * self._side, 2 * max(self._width, self._height) / _CELLS)
        columns, rows = int(self._width / cell) + 2, int(self._height / cell) + 2
        x, y = np.rint(self._moves.real / cell).astype(np.intp), np.rint(self._moves.imag / cell).astype(np.intp)
        shape = (2 * rows + 1, 2 * columns + 1)
        votes = np.bincount((y + rows) * shape[1] + x + columns, minlength=shape[0] * shape[1]).reshape(shape)
        votes[1:-1] = votes[:-2] + votes[1:-1] + votes[2:]
        votes[:, 1:-1] = votes[:, :-2] + votes[:, 1:-1] + votes[:, 2:]
        dx, dy = cell * np.arange(-columns, columns + 1), cell * np.arange(-rows, rows + 1)[:, None]
        chance = (
            len(self._moves)
            * ((3 * cell) ** 2 / (self._width * self._height))
            * np.maximum(1 - np.abs(dx) / self._width, 0)
            * np.maximum(1 - np.abs(dy) / self._height, 0)
        )
        worth = (votes - chance) / (1 + np.hypot(dx, dy) / (_LIKELY_SIDES * self._side))
        found = []
        for _ in range(count):
            row, column = divmod(int(np.argmax(worth)), shape[1])
            found.append(complex(dx[column], dy[row, 0]))
            worth[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = -np.inf
        return found

    def worth(self, shift: complex, matches: int) -> float:
        """What matches beyond those of chance count at a shift."""
        expected = min(self._expected(REACH, shift), self._fewer)
        return (matches - expected) / (1 + abs(shift) / (_LIKELY_SIDES * self._side))

    def chances(self, shift: complex, apart: npt.NDArray[np.float64]) -> float:
        """How many motions would let unrelated faces fit as well: the number of false alarms, infinite for no match.

        Args:
            shift: The motion.
            apart: float64 (K,), how far apart the matched faces are, in sides.
        """
        motions = (1 + abs(shift) / (REACH * self._side)) ** 4
        return len(_FINENESS) * motions * min(self._tail(share * REACH, apart) for share in _FINENESS)

    def _tail(self, reach: float, apart: npt.NDArray[np.float64]) -> float:
        """Chernoff's bound on the chance that so many faces lie within reach of one another."""
        hits = int(np.count_nonzero(apart <= reach))
        share, chance = hits / self._fewer, min(self._expected(reach, 0) / self._fewer, 1.0)
        if not hits or share <= chance:
            return math.inf
        divergence = share * math.log(share / chance)
        if share < 1:
            divergence += (1 - share) * math.log((1 - share) / (1 - chance))
        return math.exp(-self._fewer * divergence)

    def _expected(self, reach: float, shift: complex) -> float:
        """Pairs of similar size that lie within reach of one another by chance."""
        overlap = max(1 - abs(shift.real) / self._width, 0) * max(1 - abs(shift.imag) / self._height, 0)
        return self._pairs * math.pi * reach**2 * self._square * overlap / (self._width * self._height)


def _largest(sides: Sides) -> Indices:
    return np.sort(np.argsort(-sides, kind="stable")[:_VOTERS])
