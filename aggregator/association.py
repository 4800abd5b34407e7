"""Find out whether two frames show the same people, and how the camera or the people moved between them. Pure.

Only boxes are compared, never the appearance of faces.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from aggregator.matching import Layout, Places, match
from aggregator.motion import Motion, likely, refined
from aggregator.votes import Votes, tail
from crowdmood.domain.messages import Emotions

_STILL: Final = 0.5
"""Share of faces found at their former places from which the camera counts as standing still, or nearly: where seats
repeat and some faces are missed, chance may favour a motion by one seat."""

_FINE: Final = 0.12
"""Largest median distance, in sides, at which faces at their former places are the same; no other motion is tried."""

_FEWEST: Final = 4
"""Fewest faces whose arrangement can be recognised."""

_REFINED: Final = 3
"""Number of motions that `link` refines, in addition to no motion."""

_DISTINCT: Final = 0.125
"""Of shifts nearer to each other than this, in sides, only one is tried."""

_ZOOMS: Final = (0.84, 0.89, 0.94, 1.0, 1.06, 1.12, 1.19)
"""Zooms that `register` tries, as multiples of the ratio of the median sizes of faces."""

_TRIED: Final = 8
"""Number of motions that `register` refines, those with the most votes."""

_FREE: Final = 0.1
"""How strongly `register` pulls zoom and roll towards none: see `STEADY`."""

_ZOOM_HYPOTHESES: Final = 20.0
"""Factor by which an arbitrary zoom increases the number of motions."""

_MAX_CHANCES: Final = 0.005
"""Largest expected number of motions with which unrelated faces fit as well, for a fit to be accepted."""

_MIN_COMMON, _AGREED = 0.35, 0.2
"""Share of the faces in the overlap of both frames that a motion of the camera must match, and within which distance,
in sides: detectors miss some faces, but people who walk, each in their own way, have no motion in common."""

_FEW_AGREE: Final = 0.7
"""So many more matches are required, times the root of the number of faces: of few faces, some that walk may have a
motion in common by chance."""

_STEP_MS: Final = 200
_REACHES: Final = (0.5, 1.0, 1.5, 2.0)
"""Distances that people may walk in `_STEP_MS`, in sides of a face; each is tried."""

_LONGEST_STEPS: Final = 1.5
"""Largest number of steps within which people are searched, however much time has passed."""

_MIN_WALKING: Final = 0.25
"""Share of the fuller frame's faces that must have a match when people walk; with fewer, the camera has cut."""


@dataclass(frozen=True, slots=True)
class Link:
    """The camera's motion from an earlier frame to a later one.

    Attributes:
        turn: Zoom and roll: a place p of the earlier frame is at `turn * p + shift` in the later one.
        shift: See `turn`; in pixels.
        fits: Whether the frames show the same people; if not, the other attributes have no meaning.
        apart: Median distance of the matched faces, in sides of a face.
        surplus: Logarithm of the likelihood ratio of the same people to others in a similar arrangement of seats.
    """

    turn: complex = 1
    shift: complex = 0
    fits: bool = False
    apart: float = 0.0
    surplus: float = 0.0


@dataclass(frozen=True, slots=True)
class Walk:
    """How well two frames match when all people walk, each in their own way.

    Attributes:
        chance: Bound on the probability that as many unrelated faces match.
        faces: Number of faces of the fuller frame.
    """

    chance: float
    faces: int


def link(earlier: Emotions, later: Emotions) -> Link:
    """Match the faces of two frames of one camera.

    All pairs of faces of similar size vote for the camera's motion (a Hough transform, Ballard 1981). The votes
    expected by chance are subtracted, and larger motions weigh less. The best motion is refined by least squares. It is
    accepted when unrelated faces would hardly fit as well: an a-contrario test (Moisan, Moulon and Monasse, "Automatic
    homographic registration of a pair of images, with a contrario elimination of outliers", IPOL 2012).

    Args:
        earlier: A frame of the camera.
        later: Another.

    Returns:
        The link, which does not depend on the order of the faces.
    """
    a, b = Layout.of(earlier), Layout.of(later)
    if not len(a.places) or not len(b.places):
        return Link()
    votes = Votes(a, b)
    fewer = min(len(a.places), len(b.places))
    if fewer < _FEWEST:
        # With few faces, a motion of people cannot be distinguished from one of the camera.
        return _believed(a, b, Motion.of(a, b), votes)
    best = refined(a, b, 1, 0)
    if len(best.i) < _STILL * fewer or best.typically_apart > _FINE:
        motions = [best, *(refined(a, b, 1, shift) for shift in _promising(a, b, votes.leading()))]
        # Where all people sit exactly like their neighbours, take the smallest motion.
        best = min(likely(motions), key=lambda motion: abs(motion.shift))
    return _believed(a, b, best, votes)


def register(earlier: Emotions, later: Emotions) -> Link:
    """Match the faces of two frames between which the camera may have cut to any part, with any zoom.

    The sizes of the faces suggest zooms; for each, pairs of faces vote for the shift. Since there are more motions than
    in `link`, the fit must be less likely among unrelated faces. The best motion is the one with the largest `surplus`.

    Args:
        earlier: A frame of the camera.
        later: Another.
    """
    a, b = Layout.of(earlier), Layout.of(later)
    if min(len(a.places), len(b.places)) < _FEWEST:
        return Link()
    peaks: list[tuple[int, complex, complex]] = []
    for zoom in float(np.median(b.sides) / np.median(a.sides)) * np.array(_ZOOMS):
        peaks += [(votes, complex(zoom), shift) for votes, shift in Votes(_zoomed(a, zoom), b).peaks()]
    peaks.sort(key=lambda peak: -peak[0])
    motions = [refined(a, b, zoom, shift, _FREE) for _, zoom, shift in peaks[:_TRIED]]
    best = max(motions, key=lambda motion: motion.surplus)
    return _believed(a, b, best, Votes(_zoomed(a, abs(best.turn)), b), zoomed=True)


def walk(earlier: Emotions, later: Emotions) -> Walk:
    """Match the faces of two frames within the distance that people walk.

    Args:
        earlier: A frame of the camera, which stands still or nearly so.
        later: A later one.
    """
    a, b = Layout.of(earlier), Layout.of(later)
    fewer, more = sorted((len(a.places), len(b.places)))
    if not fewer:
        return Walk(math.inf, more)
    steps = min(max(later.ref.captured_at_ms - earlier.ref.captured_at_ms, 1) / _STEP_MS, _LONGEST_STEPS)
    square = float(np.mean(np.concatenate([a.sides, b.sides]) ** 2))
    chance = math.inf
    for reach in _REACHES:
        hits = len(match(a.places, a.sides, b.places, b.sides, within=reach * steps)[0])
        if hits >= _MIN_WALKING * more:
            near = more * math.pi * (reach * steps) ** 2 * square / (0.5 * a.size[0] * a.size[1])
            chance = min(chance, tail(hits, fewer, 1 - math.exp(-near)))
    return Walk(chance, more)


def _promising(a: Layout, b: Layout, shifts: Sequence[complex]) -> list[complex]:
    """Return the few shifts that explain the faces best without refinement."""
    distinct: list[complex] = []
    for shift in shifts:
        if all(abs(shift - other) > _DISTINCT * b.sides.min() for other in distinct):
            distinct.append(shift)
    worth = np.array([Motion.of(a, b, 1, shift).worth for shift in distinct])
    return [distinct[number] for number in np.argsort(-worth, kind="stable")[:_REFINED]]


def _believed(a: Layout, b: Layout, best: Motion, votes: Votes, *, zoomed: bool = False) -> Link:
    common = _in_common(a, b, best.turn, best.shift)
    needed = _MIN_COMMON * common + (0 if zoomed else _FEW_AGREE * math.sqrt(common))
    chances = (_ZOOM_HYPOTHESES if zoomed else 1) * votes.chances(best.shift, best.apart)
    if np.count_nonzero(best.apart <= _AGREED) < needed or chances > _MAX_CHANCES:
        return Link()
    return Link(best.turn, best.shift, True, best.typically_apart, best.surplus)


def _zoomed(faces: Layout, zoom: float) -> Layout:
    return replace(faces, places=faces.places * zoom, sides=faces.sides * zoom)


def _in_common(a: Layout, b: Layout, turn: complex, shift: complex) -> int:
    """Return the number of faces in the overlap of both frames, of the frame that has more there."""
    return max(_inside(turn * a.places + shift, b.size), _inside((b.places - shift) / turn, a.size))


def _inside(places: Places, size: tuple[int, int]) -> int:
    x, y = places.real, places.imag
    return int(np.count_nonzero((x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])))
