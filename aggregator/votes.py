"""Votes of pairs of faces for the camera's motion between two frames, and the number expected by chance. Pure."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.matching import MAX_RATIO, REACH, Indices, Layout, Sides, similar

_VOTERS: Final = 256
"""Most faces of a frame that vote for the motion, the largest ones: at most 65,536 pairs."""

_CELLS: Final = 1024
"""Most cells of the vote along each axis."""

_COARSE, _SHARP = 0.25, 0.125
"""Sides of a cell, in sides of a face."""

_LIKELY_SIDES: Final = 1.5
"""Motion between two frames, in sides of a face, at which a vote counts half."""

_FINENESS: Final = (1.0, 0.5, 0.25, 0.125)
"""Shares of `REACH` at which a fit is rated: few close matches are as much evidence as many rough ones."""


class Votes:
    """Votes of pairs of faces of similar size for the shift between two frames."""

    def __init__(self, a: Layout, b: Layout) -> None:
        of_a, of_b = _largest(a.sides), _largest(b.sides)
        i, j = np.nonzero(similar(a.sides[of_a][:, None], b.sides[of_b], MAX_RATIO))
        i, j = of_a[i], of_b[j]
        both = np.concatenate([a.places, b.places])
        self._side = float(np.median(np.concatenate([a.sides[of_a], b.sides[of_b]])))
        # The extent of the faces, where chance matches are denser; few faces do not define the extent.
        self._width = max(float(np.ptp(both.real)) + self._side, 0.5 * max(a.size[0], b.size[0]))
        self._height = max(float(np.ptp(both.imag)) + self._side, 0.5 * max(a.size[1], b.size[1]))
        self._fewer = min(len(a.places), len(b.places))
        self._moves = b.places[j] - a.places[i]
        # Pairs among all faces, and the mean square of their sides.
        self._pairs = len(i) * (len(a.places) / len(of_a)) * (len(b.places) / len(of_b))
        self._square = float((a.sides[i] * b.sides[j]).mean()) if len(i) else self._side**2

    def leading(self, count: int = 3) -> list[complex]:
        """Return the shifts of `peaks`, and then the shifts of the largest worth, in pixels.

        The worth is the number of votes beyond chance; a larger shift needs more votes for the same worth.
        """
        sharp = self.peaks(count)
        votes, x, y = self._counted(_COARSE)
        votes[1:-1] = votes[:-2] + votes[1:-1] + votes[2:]
        votes[:, 1:-1] = votes[:, :-2] + votes[:, 1:-1] + votes[:, 2:]
        chance = (
            len(self._moves)
            * ((3 * (x[0, 1] - x[0, 0])) ** 2 / (self._width * self._height))
            * np.maximum(1 - np.abs(x) / self._width, 0)
            * np.maximum(1 - np.abs(y) / self._height, 0)
        )
        worth = (votes - chance) / (1 + np.hypot(x, y) / (_LIKELY_SIDES * self._side))
        wide = self._highest(worth, x, y, count)
        return [shift for _, shift in sharp] + [shift for _, shift in wide]

    def peaks(self, count: int = 3) -> list[tuple[int, complex]]:
        """Return the votes and shifts of the sharpest peaks.

        A peak is sharp where all faces have moved by the same shift. Where seats repeat, many shifts have about as many
        votes, but only with the true one do all people sit exactly as before.
        """
        votes, x, y = self._counted(_SHARP)
        middle = 0.5 * (x[0, 1] - x[0, 0]) * (1 + 1j)
        return [(int(most), shift + middle) for most, shift in self._highest(_sharp(votes), x, y, count)]

    def _counted(self, cell: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the votes of cells of this size in sides, and their shifts along x (1, C) and y (R, 1) in pixels."""
        cell = max(cell * self._side, 2 * max(self._width, self._height) / _CELLS)
        columns, rows = int(self._width / cell) + 2, int(self._height / cell) + 2
        x, y = np.rint(self._moves.real / cell).astype(np.intp), np.rint(self._moves.imag / cell).astype(np.intp)
        shape = (2 * rows + 1, 2 * columns + 1)
        votes = np.bincount((y + rows) * shape[1] + x + columns, minlength=shape[0] * shape[1]).reshape(shape)
        shifts_x: npt.NDArray[np.float64] = cell * np.arange(-columns, columns + 1, dtype=np.float64)[None]
        shifts_y: npt.NDArray[np.float64] = cell * np.arange(-rows, rows + 1, dtype=np.float64)[:, None]
        return votes, shifts_x, shifts_y

    def _highest(
        self, scores: npt.NDArray[np.float64], x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], count: int
    ) -> list[tuple[float, complex]]:
        """Return scores and shifts of the highest cells that are not adjacent."""
        found = []
        for _ in range(count):
            row, column = divmod(int(np.argmax(scores)), scores.shape[1])
            found.append((float(scores[row, column]), complex(x[0, column], y[row, 0])))
            scores[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = -np.inf
        return found

    def chances(self, shift: complex, apart: npt.NDArray[np.float64]) -> float:
        """Return the expected number of motions with which unrelated faces fit as well; infinite without a match.

        Args:
            shift: The motion.
            apart: float64 (K,), distances of the matched faces, in sides.
        """
        motions = (1 + abs(shift) / (REACH * self._side)) ** 4
        least = math.inf
        for reach in (share * REACH for share in _FINENESS):
            chance = min(self._expected(reach) / self._fewer, 1.0)
            least = min(least, tail(int(np.count_nonzero(apart <= reach)), self._fewer, chance))
        return len(_FINENESS) * motions * least

    def _expected(self, reach: float) -> float:
        """Return the expected number of pairs of similar size within reach of each other by chance."""
        return self._pairs * math.pi * reach**2 * self._square / (self._width * self._height)


def tail(hits: int, of: int, chance: float) -> float:
    """Return Chernoff's bound on the probability of at least `hits` hits; infinite up to the expected number."""
    share = hits / of if of else 0.0
    if not hits or share <= chance:
        return math.inf
    divergence = share * math.log(share / chance)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - chance))
    return math.exp(-of * divergence)


def _sharp(votes: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return the votes of each cell together with the adjacent cells to the right and below."""
    sharp = votes.astype(np.float64)
    sharp[:-1] += votes[1:]
    sharp[:, :-1] += sharp[:, 1:].copy()
    return sharp


def _largest(sides: Sides) -> Indices:
    return np.sort(np.argsort(-sides, kind="stable")[:_VOTERS])
