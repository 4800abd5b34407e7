"""Joins pieces of one person's track in a window, from before and after the person was lost or moved. Pure."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from aggregator.matching import Indices, Places, match
from aggregator.movers import AS_FAR, reach
from aggregator.places import MOVED, Faces, spread

_STEPS: Final = 3
"""Number of frames within which another piece of a person begins, or the person is found again."""

_TURNED: Final = 1.2
"""Largest distance, in sides, of two consecutive pieces of a person who keeps the place: the box of a turned face
differs."""

_HOME: Final = 0.6
"""Largest distance, in sides, of two pieces of a person who keeps the place, after any time."""

_SHORT: Final = 10
"""Most faces of a piece that may be of a person who rose from a place nearby."""


def joined(faces: Faces, who: Indices) -> Indices:
    """Join pieces that never occur in the same frame.

    Pieces are joined in three cases. One continues where and when another ends, as when a person gets up and walks
    away. Two are at the same place, as when a person was hidden for long. Or a short piece is near the place of a
    person who is missed at that time, as when people rise in a wave.

    Args:
        faces: The faces of a window.
        who: intp (N,), the number of each face's piece; -1 for none.

    Returns:
        intp (N,), the number of each face's person from 0 without gaps, in the order of their first faces; -1 for none.
    """
    who = in_order(who)
    return in_order(_again(faces, _continued(faces, who)))


def in_order(who: Indices) -> Indices:
    """Return the numbers renumbered from 0 without gaps, in the order of their first faces; -1 stays."""
    known = np.flatnonzero(who >= 0)
    values, first, inverse = np.unique(who[known], return_index=True, return_inverse=True)
    rank = np.empty(len(values), np.intp)
    rank[np.argsort(first, kind="stable")] = np.arange(len(values))
    numbers = np.full(len(who), -1, np.intp)
    numbers[known] = rank[inverse]
    return numbers


class _Pieces:
    """Properties of the pieces.

    Attributes:
        first: intp (P,), the first face of each piece.
        last: intp (P,), its last face.
        picture: intp (P,), its picture.
        side: float64 (P,), mean side of its faces.
        still: bool (P,), whether it keeps its place.
    """

    def __init__(self, faces: Faces, who: Indices) -> None:
        self.known = np.flatnonzero(who >= 0)
        self.count = int(who.max(initial=-1)) + 1
        self.who = who[self.known]
        self.first, self.last = np.zeros(self.count, np.intp), np.zeros(self.count, np.intp)
        self.last[self.who] = self.known
        self.first[self.who[::-1]] = self.known[::-1]
        self.sights = np.bincount(self.who, minlength=self.count)
        self.side = np.bincount(self.who, faces.side[self.known], self.count) / np.maximum(self.sights, 1)
        self.still = spread(self.who, faces.place[self.known], self.count) <= MOVED * self.side
        self.picture = faces.picture[faces.step[self.first]]
        self.began, self.ended = faces.turn[faces.step[self.first]], faces.turn[faces.step[self.last]]

    def middles(self, places: Places) -> Places:
        """Return the median place of each piece, along each axis."""
        middle = np.zeros((2, self.count))
        at = np.cumsum(self.sights) - (self.sights + 1) // 2
        for axis, along in enumerate((places[self.known].real, places[self.known].imag)):
            middle[axis] = along[np.lexsort((along, self.who))][at]
        medians: Places = middle[0] + 1j * middle[1]
        return medians


def _continued(faces: Faces, who: Indices) -> Indices:
    """Join pieces of which one begins near and soon after the end of the other, nearest first."""
    pieces = _Pieces(faces, who)
    goes_on_from = np.arange(pieces.count)
    continued = np.zeros(pieces.count, np.bool_)
    for starts, ends in _meeting(pieces):
        for still, gap in ((True, 1), (True, 2), (True, 3), (False, 1), (False, 2), (False, 3)):
            b = starts[goes_on_from[starts] == starts]
            a = ends[~continued[ends] & (pieces.ended[ends] == pieces.began[starts[0]] - gap)]
            if not len(a) or not len(b):
                continue
            begins, ended = pieces.first[b], pieces.last[a]
            passed_ms = float(faces.times[faces.step[begins[0]]] - faces.times[faces.step[ended[0]]])
            within = _TURNED if still else reach(passed_ms)
            i, j, _ = match(faces.place[ended], pieces.side[a], faces.place[begins], pieces.side[b], within=within)
            # Only people who walk move far.
            may = still | ~pieces.still[a[i]] | ~pieces.still[b[j]]
            goes_on_from[b[j[may]]] = a[i[may]]
            continued[a[i[may]]] = True
    # The piece that another one continues began earlier and has a smaller number.
    for number in range(pieces.count):
        goes_on_from[number] = goes_on_from[goes_on_from[number]]
    joined = np.where(who >= 0, goes_on_from[who], -1) if pieces.count else who
    return in_order(joined)


def _meeting(pieces: _Pieces) -> Iterator[tuple[Indices, Indices]]:
    """Yield pieces that begin in the same frame with pieces that ended shortly before, in the order of time."""
    for picture in np.unique(pieces.picture):
        here = pieces.picture == picture
        for turn in np.unique(pieces.began[here]):
            ends = np.flatnonzero(here & (pieces.ended < turn) & (pieces.ended >= turn - _STEPS))
            if len(ends):
                yield np.flatnonzero(here & (pieces.began == turn)), ends


def _again(faces: Faces, who: Indices) -> Indices:
    """Give pieces to people who keep their place, the shortest first, each to the nearest person it may be of."""
    pieces = _Pieces(faces, who)
    if pieces.count < 2:
        return who
    place, sights, of = pieces.middles(faces.place), pieces.sights, np.arange(pieces.count)
    shown = np.zeros((pieces.count, len(faces.times)), np.bool_)
    shown[pieces.who, faces.step[pieces.known]] = True
    partly = np.flatnonzero(~shown.all(axis=1))
    for piece in partly[np.argsort(sights[partly], kind="stable")]:
        apart = np.abs(place - place[piece]) / ((pieces.side + pieces.side[piece]) / 2)
        people = np.flatnonzero(
            (apart <= AS_FAR) & pieces.still & (sights > 0) & (pieces.picture == pieces.picture[piece])
        )
        people = people[(people != piece) & ~(shown[people] & shown[piece]).any(axis=1)]
        home = people[(apart[people] <= _HOME) & pieces.still[piece]]
        if not len(home) and sights[piece] <= _SHORT:
            home = people[sights[people] > sights[piece]]
            for around in _around(faces, pieces, int(piece)):
                home = home[shown[np.ix_(home, around)].any(axis=1)]
        if len(home):
            person = home[np.argmin(apart[home])]
            of[of == piece] = person
            shown[person] |= shown[piece]
            sights[person] += sights[piece]
            sights[piece] = 0
    return np.where(who >= 0, of[who], -1)


def _around(faces: Faces, pieces: _Pieces, piece: int) -> list[Indices]:
    """Return the frames shortly before a piece, and those shortly after it, if there are any."""
    steps = np.flatnonzero(faces.picture == pieces.picture[piece])
    before, after = faces.turn[steps] - pieces.began[piece], faces.turn[steps] - pieces.ended[piece]
    found = [steps[(before < 0) & (before >= -_STEPS)], steps[(after > 0) & (after <= _STEPS)]]
    return [part for part in found if len(part)]
