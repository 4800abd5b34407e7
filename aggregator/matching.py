"""Matches two sets of faces by place and size only: people are not identified. Pure.

Places are complex numbers (x + iy in pixels), so that one product rotates and zooms and one sum shifts.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from crowdmood.domain.messages import Emotions

Indices: TypeAlias = npt.NDArray[np.intp]
Places: TypeAlias = npt.NDArray[np.complex128]
Sides: TypeAlias = npt.NDArray[np.float64]

REACH: Final = 0.5
"""Largest distance of one person's faces without the camera's motion, as a share of their side: seats are farther."""

MAX_RATIO: Final = 1.4
"""Largest ratio of the sides of two faces of one person."""

_NEIGHBOURS: Final = 128
"""Most candidates in a row that a face is compared with, so that pairs do not grow with the square of the crowd."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The places of a frame's faces, in an order that depends only on the faces.

    Attributes:
        order: intp (N,), indices into the frame's own order.
        places: complex128 (N,), the boxes' middles in pixels.
        sides: float64 (N,), square roots of the boxes' areas in pixels, at least 1.
        size: Width and height of the frame in pixels.
    """

    order: Indices
    places: Places
    sides: Sides
    size: tuple[int, int]

    @classmethod
    def of(cls, frame: Emotions) -> "Layout":
        """Return the layout of a frame's faces, sorted by box, then by quality and probabilities."""
        boxes = frame.boxes.T
        # Sorting one number per corner is several times as fast as four; only faces with the same corner need more.
        corners = boxes[0].astype(np.int64) * 2**32 + boxes[1]
        order = np.argsort(corners)
        if (corners[order[1:]] == corners[order[:-1]]).any():
            known = np.concatenate([boxes, frame.quality[None], frame.probabilities.T]).astype(np.float64)
            order = np.lexsort(known[::-1])
        x1, y1, x2, y2 = boxes[:, order].astype(np.float64)
        sides = np.sqrt(np.maximum(x2 - x1, 1) * np.maximum(y2 - y1, 1))
        return cls(order, (x1 + x2) / 2 + 0.5j * (y1 + y2), sides, (frame.ref.width, frame.ref.height))


def match(
    a: Places, a_sides: Sides, b: Places, b_sides: Sides, max_ratio: float = MAX_RATIO, within: float = REACH
) -> tuple[Indices, Indices, npt.NDArray[np.float64]]:
    """Pair faces that are near each other and of similar size, nearest first, each at most once.

    Args:
        a: complex128 (N,), places in pixels.
        a_sides: float64 (N,), in pixels.
        b: complex128 (M,), places in the same pixels.
        b_sides: float64 (M,), in pixels.
        max_ratio: Largest ratio of the sides of a pair.
        within: Largest distance of a pair, in sides.

    Returns:
        intp (K,), indices into `a`; intp (K,), indices into `b`; float64 (K,), their distances in sides. Of equally
        near pairs, those with the nearest indices are preferred.
    """
    reach = within * b_sides * (1 + max_ratio) / 2
    # With rows as high as the farthest reach, a near face is in the same row or an adjacent one.
    high = max(float(reach.max(initial=0)), 1.0)
    left, right = min(a.real.min(initial=0), b.real.min(initial=0)), max(a.real.max(initial=0), b.real.max(initial=0))
    row_length = right - left + 3 * high
    along = np.floor(a.imag / high) * row_length + a.real - left
    by_place = np.argsort(along, kind="stable")
    along = along[by_place]
    rows = np.floor(b.imag / high) + np.array([[-1], [0], [1]])
    at = (rows * row_length + b.real - left).ravel()
    # The search is several times as fast in ascending order.
    ascending = np.argsort(at)
    at, aside, who = at[ascending], np.tile(reach, 3)[ascending], np.tile(np.arange(len(b)), 3)[ascending]
    first, beyond = np.searchsorted(along, at - aside), np.searchsorted(along, at + aside, side="right")
    if (beyond - first).max(initial=0) > _NEIGHBOURS // 2:
        middle = np.searchsorted(along, at)
        first, beyond = np.maximum(first, middle - _NEIGHBOURS // 2), np.minimum(beyond, middle + _NEIGHBOURS // 2)
    counts = np.maximum(beyond - first, 0)
    j = np.repeat(who, counts)
    i = by_place[np.arange(len(j)) - np.repeat(np.cumsum(counts) - counts - first, counts)]
    apart = np.abs(a[i] - b[j]) / ((a_sides[i] + b_sides[j]) / 2)
    near = (apart <= within) & similar(a_sides[i], b_sides[j], max_ratio)
    i, j, apart = i[near], j[near], apart[near]
    ranked = np.lexsort((j, i, np.abs(i - j), apart))
    return _greedy(i[ranked], j[ranked], apart[ranked], len(a), len(b))


def _greedy(
    i: Indices, j: Indices, cost: npt.NDArray[np.float64], n: int, m: int
) -> tuple[Indices, Indices, npt.NDArray[np.float64]]:
    """Return the pairs, in the order of preference, whose two faces are in no pair before.

    Each round selects all pairs that come first for both faces; the result is the same as that of one after the other.
    """
    selected: list[tuple[Indices, Indices, npt.NDArray[np.float64]]] = []
    while len(i):
        backwards = np.arange(len(i))[::-1]
        first_i, first_j = np.empty(n, np.intp), np.empty(m, np.intp)
        first_i[i[::-1]], first_j[j[::-1]] = backwards, backwards
        both = first_i[i] == first_j[j]
        selected.append((i[both], j[both], cost[both]))
        free_i, free_j = np.ones(n, np.bool_), np.ones(m, np.bool_)
        free_i[i[both]], free_j[j[both]] = False, False
        left = free_i[i] & free_j[j]
        i, j, cost = i[left], j[left], cost[left]
    if not selected:
        return i, j, cost
    of_a, of_b, costs = (np.concatenate(parts) for parts in zip(*selected, strict=True))
    return of_a, of_b, costs


def similar(a: Sides, b: Sides, max_ratio: float) -> npt.NDArray[np.bool_]:
    """Return element by element whether the ratio of two sides is at most `max_ratio`."""
    alike: npt.NDArray[np.bool_] = (a <= max_ratio * b) & (b <= max_ratio * a)
    return alike
