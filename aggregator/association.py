"""Whether two frames show the same people, and how the camera, or the people, moved between them. Pure.

Only boxes are compared, never looks.
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
"""Share of the faces found where they were from which the camera is taken to stand still, or nearly: where seats repeat
and some faces are missed, chance may favour a motion by one seat."""

_FINE: Final = 0.12
"""Up to so many sides apart, as a median, faces that are where they were are the same, and no other motion is tried."""

_FEWEST: Final = 4
"""Fewer faces than this have no arrangement by which to know them again."""

_REFINED: Final = 3
"""Motions that `link` refines, beside that of a camera that stands still."""

_DISTINCT: Final = 0.125
"""Shifts that lie nearer than this are not tried both, in sides."""

_ZOOMS: Final = (0.84, 0.89, 0.94, 1.0, 1.06, 1.12, 1.19)
"""Zooms that `register` tries, as multiples of what the median sizes of the faces say."""

_TRIED: Final = 8
"""Motions with the most votes that `register` refines."""

_FREE: Final = 0.1
"""How strongly `register` holds zoom and roll at none: see `STEADY`."""

_ZOOM_HYPOTHESES: Final = 20.0
"""How many times as many motions a zoom of any amount allows."""

_MAX_CHANCES: Final = 0.005
"""Motions by which unrelated faces may be expected to fit as well, up to which a fit is believed."""

_MIN_COMMON, _AGREED = 0.35, 0.2
"""Share of the faces in the part that both frames show which a motion of the camera must bring together, and how near,
in sides: detectors miss some, but people who walk, each in their own way, have no motion in common."""

_FEW_AGREE: Final = 0.7
"""Times the root of their number, so many more: of few faces, some that walk may have a motion in common by chance."""

_STEP_MS: Final = 200
_REACHES: Final = (0.5, 1.0, 1.5, 2.0)
"""How far people may have walked in `_STEP_MS`, in sides of a face; each is tried."""

_LONGEST_STEPS: Final = 1.5
"""No one is looked for farther away than in so many steps, however much time has passed."""

_MIN_WALKING: Final = 0.25
"""Share of the faces of the fuller frame that must go on for people to be walking rather than the camera cutting."""


@dataclass(frozen=True, slots=True)
class Link:
    """How a later frame follows from an earlier one.

    Attributes:
        turn: Zoom and roll: a place p of the earlier frame is seen at `turn * p + shift` in the later one.
        shift: See `turn`; in pixels.
        fits: Whether the two show the same people; otherwise the rest says nothing.
        apart: How far apart the matched faces are, in sides of a face, as their median.
        surplus: Logarithm of how much likelier that is than that others sit in seats that stand alike.
    """

    turn: complex = 1
    shift: complex = 0
    fits: bool = False
    apart: float = 0.0
    surplus: float = 0.0


@dataclass(frozen=True, slots=True)
class Walk:
    """How well a later frame follows from an earlier one when everybody walks in their own way.

    Attributes:
        chance: Bound on the chance that as many of unrelated faces would go on.
        faces: Faces of the fuller frame.
    """

    chance: float
    faces: int


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
    if not len(a.places) or not len(b.places):
        return Link()
    votes = Votes(a, b)
    fewer = min(len(a.places), len(b.places))
    if fewer < _FEWEST:
        # Whether few people or the camera moved cannot be known.
        return _believed(a, b, Motion.of(a, b), votes)
    best = refined(a, b, 1, 0)
    if len(best.i) < _STILL * fewer or best.typically_apart > _FINE:
        motions = [best, *(refined(a, b, 1, shift) for shift in _promising(a, b, votes.leading()))]
        # Where everybody does sit just as the neighbour does, the least motion is true.
        best = min(likely(motions), key=lambda motion: abs(motion.shift))
    return _believed(a, b, best, votes)


def register(earlier: Emotions, later: Emotions) -> Link:
    """Match the faces of two frames between which the camera may have cut, to any part and with any zoom.

    Sizes suggest the zoom, and shifts are voted for with the earlier frame zoomed so. There are more motions to choose
    from than in `link`, and the fit must be the less likely among unrelated faces; and seats that stand alike must
    explain it less well.

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
    """Pair the faces of two frames as far as people walk.

    Args:
        earlier: A frame of the camera, which stands still or nearly.
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
    """Return the few shifts that explain the faces best before they are refined."""
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
    """Return how many faces the part that both frames show has, in the frame that has more of them there."""
    return max(_inside(turn * a.places + shift, b.size), _inside((b.places - shift) / turn, a.size))


def _inside(places: Places, size: tuple[int, int]) -> int:
    x, y = places.real, places.imag
    return int(np.count_nonzero((x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])))
