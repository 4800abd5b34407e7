"""Finds the picture that each frame of a window shows: the same as before, an earlier one, or a new one. Pure.

A picture is the part of the stadium that a camera shows between two cuts. It has its own coordinates, in which people
who sit still keep their place while the camera pans, zooms and shakes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any, Final

import numpy as np

from aggregator.association import Link, Walk, link, register, walk
from aggregator.matching import Layout, Places, Sides
from crowdmood.domain.messages import Emotions

_BACK: Final = 5
"""Number of preceding frames that a frame is compared with while none fits: few faces may all be missed in a frame."""

_COMPARED: Final = 6
"""Most views that a frame is compared with after a cut, newest first: the camera may cut back."""

_SAME_PART, _SAME_KEY = 0.8, 0.95
"""Overlap from which views of a picture show the same part of it, so that only one of them is compared."""

_SUDDEN, _SUDDEN_SIDES = 1.5, 0.03
"""When the distance of matched faces is larger than so many times that of the adjacent frames, plus so many sides, the
people differ: the camera has cut to similarly arranged seats."""

_AGAIN_SIDES: Final = 0.04
"""Replaces `_SUDDEN_SIDES` when time has passed, in which people move."""

_SURPLUS: Final = 4.0
"""Least `Link.surplus` at which faces are those of the same people again; otherwise they must be about as near as from
frame to frame."""

_KEY_EVERY: Final = 5
"""One of so many frames is compared with those of other pictures."""

_SHORTEST_MS: Final = 300
"""Shortest time from the first frame of a picture to the last one."""

_FEW: Final = 4
"""With fewer faces than this in both frames no cut is assumed: the people may have walked anywhere."""

_CERTAIN, _LIKELY = 1e-3, 0.05
"""Largest probability that unrelated faces match as well, at which people certainly, or likely, walk."""

_AROUND, _MOST_FIT = 5, 0.5
"""Of so many steps between frames before one step, and as many after it, this share must have a common motion."""


@dataclass(frozen=True, slots=True)
class View:
    """The part of a picture that a frame shows: the picture's place p is at `turn * p + shift` in the frame.

    Attributes:
        frame: The frame's index in the window.
        picture: Number of the picture, from 0.
        turn: Zoom and roll.
        shift: In pixels of the frame.
        guessed: Whether no motion of the camera was found, so that it is assumed to stand still.
    """

    frame: int
    picture: int
    turn: complex
    shift: complex
    guessed: bool = False

    def then(self, frame: int, found: Link) -> "View":
        """Return the view of a later frame that is linked to this one."""
        turn, shift = found.turn * self.turn, found.turn * self.shift + found.shift
        return View(frame, self.picture, turn, shift, self.guessed)

    def still(self, frame: int) -> "View":
        """Return the view of another frame, assuming that the camera stands still."""
        return replace(self, frame=frame, guessed=True)

    def places(self, faces: Layout) -> tuple[Places, Sides]:
        """Return the places of the frame's faces in the picture, and their sides there."""
        return (faces.places - self.shift) / self.turn, faces.sides / abs(self.turn)

    def corners(self, frame: Emotions) -> tuple[complex, complex]:
        """Return the places of the frame's upper left and lower right corner in the picture."""
        return -self.shift / self.turn, (frame.ref.width + 1j * frame.ref.height - self.shift) / self.turn


class Links:
    """Cache of the links between one camera's frames, which overlapping windows share.

    It keeps the results that the newest two windows used. All are pure functions of two frames, so the cache does not
    change any result, and it starts empty after a restart.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[Any, ...], Any] = {}
        self._asked: dict[tuple[Any, ...], Any] = {}

    def link(self, earlier: Emotions, later: Emotions) -> Link:
        """Return the result of `association.link`."""
        found: Link = self._once(link, earlier, later)
        return found

    def register(self, earlier: Emotions, later: Emotions) -> Link:
        """Return the result of `association.register`."""
        found: Link = self._once(register, earlier, later)
        return found

    def walk(self, earlier: Emotions, later: Emotions) -> Walk:
        """Return the result of `association.walk`."""
        found: Walk = self._once(walk, earlier, later)
        return found

    def __len__(self) -> int:
        return len(self._held.keys() | self._asked.keys())

    def end_window(self) -> None:
        """Drop results that the finished window did not use."""
        self._held, self._asked = self._asked, {}

    def _once(self, of: Callable[[Emotions, Emotions], Any], earlier: Emotions, later: Emotions) -> Any:
        key = (of, earlier.ref.run_id, earlier.ref.frame_id, later.ref.run_id, later.ref.frame_id)
        found = self._asked.get(key) or self._held.get(key) or of(earlier, later)
        self._asked[key] = found
        return found


def views(frames: Sequence[Emotions], links: Links) -> list[View]:
    """Return the views of the frames that have faces, in their order.

    A frame continues the picture of one shortly before when their faces match with one motion of the camera. If they do
    not match, people may have walked, each in their own way, or the camera has cut to an earlier picture, perhaps with
    another zoom, or to a new one.

    Args:
        frames: One camera's frames, in their order.
        links: Computes the link of two frames.
    """
    shown = [number for number, frame in enumerate(frames) if len(frame.boxes)]
    steps = [links.link(frames[a], frames[b]) for a, b in pairwise(shown)]
    usual = float(np.median([step.apart for step in steps if step.fits] or [0.0]))
    again = _SUDDEN * usual + _AGAIN_SIDES
    found: list[View] = []
    for number, frame in enumerate(shown):
        view: View | None = None
        if found and _restless(steps, number - 1):
            view = found[-1].still(frame)
        elif found and not _sudden(steps, number - 1):
            view = _next(frames, found, frame, links, again)
        if view is None and found:
            view = _known(frames, found, frame, links, again)
        found.append(view or View(frame, max((view.picture for view in found), default=-1) + 1, 1, 0))
    return _merged(frames, _steadied(frames, found), links, again)


def _restless(steps: Sequence[Link], number: int) -> bool:
    """Return whether few frames around this step have a common motion, so that it does not show the camera's."""
    around = [*steps[max(number - _AROUND, 0) : number], *steps[number + 1 : number + 1 + _AROUND]]
    return sum(step.fits for step in around) < _MOST_FIT * len(around) or not (around or steps[number].fits)


def _next(frames: Sequence[Emotions], found: Sequence[View], frame: int, links: Links, near: float) -> View | None:
    """Return the view of a frame that continues the picture of those before; None after a cut."""
    newest = found[-1]
    if links.link(frames[newest.frame], frames[frame]).fits:
        return _followed(frames, found, frame, links, math.inf)
    walked = links.walk(frames[newest.frame], frames[frame])
    if walked.faces < _FEW or walked.chance <= _CERTAIN:
        return newest.still(frame)
    view = _followed(frames, found, frame, links, near) or _known(frames, found, frame, links, near)
    return newest.still(frame) if view is None and walked.chance <= _LIKELY else view


def _merged(frames: Sequence[Emotions], found: list[View], links: Links, near: float) -> list[View]:
    """Return the views after merging pictures that show the same people.

    After a cut the camera may pan back to an earlier part.
    """
    pictures = sorted({view.picture for view in found})
    for later in pictures[1:]:
        for earlier in pictures[: pictures.index(later)]:
            keys = product(_keys(frames, found, later), _keys(frames, found, earlier))
            both = ((b, a.then(b.frame, step)) for b, a in keys for step in _again(frames, a, b.frame, links, near))
            key, there = next(both, (None, None))
            if key is not None and there is not None:
                found = [_moved(view, key, there) if view.picture == later else view for view in found]
    return found


def _again(frames: Sequence[Emotions], view: View, frame: int, links: Links, near: float) -> Iterator[Link]:
    """Yield the links with which a frame shows the people of a view again."""
    for of in (links.link, links.register):
        step = of(frames[view.frame], frames[frame])
        if _same_people(step, near):
            yield step


def _same_people(step: Link, near: float) -> bool:
    """Return whether a link is of the same people, and not of others in similarly arranged seats."""
    return step.fits and (step.apart <= near or step.surplus >= _SURPLUS)


def _keys(frames: Sequence[Emotions], found: Sequence[View], picture: int) -> list[View]:
    """Return some views of a picture that show different parts of it; overlapping windows select the same ones."""
    own = [view for view in found if view.picture == picture]
    every = [view for view in own if frames[view.frame].ref.frame_id % _KEY_EVERY == 0] or own[:1]
    keys = every[:1]
    for view in every[1:]:
        if _differ(frames[view.frame], view, keys[-1], _SAME_KEY):
            keys.append(view)
    return keys


def _moved(view: View, key: View, there: View) -> View:
    """Return a view converted to another picture, given one view in both."""
    turn = view.turn * there.turn / key.turn
    shift = view.turn * (there.shift - key.shift) / key.turn + view.shift
    return replace(view, picture=there.picture, turn=turn, shift=shift)


def _steadied(frames: Sequence[Emotions], found: list[View]) -> list[View]:
    """Return the views with too short pictures replaced by the one before: cameras do not cut so fast."""
    begin = 0
    for number in range(1, len(found) + 1):
        if number < len(found) and found[number].picture == found[begin].picture:
            continue
        long_ms = frames[found[number - 1].frame].ref.captured_at_ms - frames[found[begin].frame].ref.captured_at_ms
        if begin and long_ms < _SHORTEST_MS:
            before = found[begin - 1]
            found[begin:number] = [before.still(view.frame) for view in found[begin:number]]
        else:
            begin = number
    return found


def _sudden(steps: Sequence[Link], number: int) -> bool:
    """Return whether faces match much worse in this step than in the steps before and after."""
    if not 0 < number < len(steps) - 1:
        return False
    before, here, after = steps[number - 1 : number + 2]
    if not (before.fits and here.fits and after.fits):
        return False
    return here.apart > _SUDDEN * max(before.apart, after.apart) + _SUDDEN_SIDES


def _followed(frames: Sequence[Emotions], found: Sequence[View], frame: int, links: Links, near: float) -> View | None:
    """Return the view of a frame that continues one of the newest views; None if none matches."""
    newest = found[: -_BACK - 1 : -1]
    for before in [view for view in newest if not view.guessed] + [view for view in newest if view.guessed]:
        step = links.link(frames[before.frame], frames[frame])
        if _same_people(step, near):
            return before.then(frame, step)
    return None


def _known(frames: Sequence[Emotions], found: Sequence[View], frame: int, links: Links, near: float) -> View | None:
    """Return the view of a frame that shows an earlier picture, by its newest views of different parts, or None."""
    compared: list[View] = []
    for before in reversed(found):
        if all(_differ(frames[before.frame], before, other) for other in compared):
            compared.append(before)
            for step in _again(frames, before, frame, links, near):
                return before.then(frame, step)
        if len(compared) == _COMPARED:
            break
    return None


def _differ(frame: Emotions, one: View, other: View, part: float = _SAME_PART) -> bool:
    """Return whether two views show different pictures, or different parts of one."""
    if one.picture != other.picture:
        return True
    (a, b), (c, d) = one.corners(frame), other.corners(frame)
    wide = min(b.real, d.real) - max(a.real, c.real)
    high = min(b.imag, d.imag) - max(a.imag, c.imag)
    both = max(wide, 0) * max(high, 0)
    areas = [(q.real - p.real) * (q.imag - p.imag) for p, q in ((a, b), (c, d))]
    return bool(both < part * max(areas))
