"""Pieces of what one person did in a window, put together: before and after someone was lost or moved. Pure."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from aggregator.matching import Indices, Places, match
from aggregator.movers import AS_FAR, reach
from aggregator.places import MOVED, Faces, spread

_STEPS: Final = 3
"""Frames within which another piece of a person begins, or shows the person again."""

_TURNED: Final = 1.2
"""How far apart two pieces of a person lie who keeps the place, of which one follows the other at once, in sides: the
box of a face that turned differs."""

_HOME: Final = 0.6
"""How far apart two pieces of a person lie who keeps the place, after any time, in sides."""

_SHORT: Final = 10
"""Most sights of a piece that may be of someone who rose from a place nearby."""


def joined(faces: Faces, who: Indices) -> Indices:
    """Put pieces together of which no frame shows both.

    One piece goes on where and when another ends, as when someone gets up and walks away. Two pieces lie at one place,
    as when someone was hidden for long. Or a short piece lies near the place of someone who is missed just then, as
    when people rise in a wave.

    Args:
        faces: The faces of a window.
        who: intp (N,), the number of the piece that each face belongs to; -1 for none.

    Returns:
        intp (N,), the number of each face's person from 0 without gaps, in the order of first sight; -1 for none.
    """
    who = in_order(who)
    return in_order(_again(faces, _continued(faces, who)))


def in_order(who: Indices) -> Indices:
    """Renumber from 0 without gaps in the order of first sight; -1 stays."""
    known = np.flatnonzero(who >= 0)
    values, first, inverse = np.unique(who[known], return_index=True, return_inverse=True)
    rank = np.empty(len(values), np.intp)
    rank[np.argsort(first, kind="stable")] = np.arange(len(values))
    numbers = np.full(len(who), -1, np.intp)
    numbers[known] = rank[inverse]
    return numbers


class _Pieces:
    """What is known of each piece.

    Attributes:
        first: intp (P,), its first face.
        last: intp (P,), its last face.
        picture: intp (P,), where it lies.
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
    """Join pieces of which one begins where and soon after the other ends; the nearest first."""
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
            # Only those who walk get far.
            may = still | ~pieces.still[a[i]] | ~pieces.still[b[j]]
            goes_on_from[b[j[may]]] = a[i[may]]
            continued[a[i[may]]] = True
    # What a piece goes on from was seen earlier and has a smaller number.
    for number in range(pieces.count):
        goes_on_from[number] = goes_on_from[goes_on_from[number]]
    joined = np.where(who >= 0, goes_on_from[who], -1) if pieces.count else who
    return in_order(joined)


def _meeting(pieces: _Pieces) -> Iterator[tuple[Indices, Indices]]:
    """Yield pieces that begin together, and those that ended in the frames before, in the order of time."""
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
    """Return the frames shortly before a piece, and those shortly after it, where there are any."""
    steps = np.flatnonzero(faces.picture == pieces.picture[piece])
    before, after = faces.turn[steps] - pieces.began[piece], faces.turn[steps] - pieces.ended[piece]
    found = [steps[(before < 0) & (before >= -_STEPS)], steps[(after > 0) & (after <= _STEPS)]]
    return [part for part in found if len(part)]
