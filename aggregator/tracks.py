"""Through the frames of one camera in one window: which faces are the same person's. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aggregator.association import Link
from aggregator.matching import Indices, Layout, Places, Sides, match
from crowdmood.domain.messages import Emotions

Linking: TypeAlias = Callable[[Emotions, Emotions], Link]
"""`link`, or what remembers its results."""

MIN_SEEN: Final = 0.2
"""Share of the frames that show a place in which a face must be found there, plus half a frame: else it is none.

So it is with trackers that confirm a track after some hits (SORT, Bewley et al., ICIP 2016).
"""

_MAX_RATIO: Final = 2.0
"""How much larger the face of a person who was missed may be when found again: at the same place it is hardly another,
but boxes of a face that turned differ."""

_AROUND_MS: Final = 3000
"""Which frames count for `MIN_SEEN`: those from so long before the first sight until so long after the last."""

_BACK: Final = 5
"""Frames back to which a frame is compared when it does not fit the ones after: few faces may all be missed once."""

_PICTURES: Final = 4
"""Pictures that a frame is compared with at most, the newest first: a camera that cut away may cut back."""


@dataclass(frozen=True, slots=True)
class _View:
    """How a frame shows a picture: the picture's place p is seen at `turn * p + shift`."""

    frame: int
    picture: int
    turn: complex
    shift: complex

    def then(self, frame: int, link: Link) -> "_View":
        return _View(frame, self.picture, link.turn * self.turn, link.turn * self.shift + link.shift)


def tracks(frames: Sequence[Emotions], links: Linking) -> list[npt.NDArray[np.int32]]:
    """Number the people whose faces are seen.

    Args:
        frames: One camera's frames, in their order.
        links: Computes the link of two frames.

    Returns:
        For each frame int32 (N,), the person's number for each face; -1 for what is found too rarely to be one. Numbers
        go from 0 without gaps in the order of first sight, and no frame has one twice.
    """
    total = sum(len(frame.boxes) for frame in frames)
    known = _Tracks(total)
    seen: list[npt.NDArray[np.int32]] = []
    views: list[_View] = []
    for frame in frames:
        numbers = np.full(len(frame.boxes), -1, np.int32)
        seen.append(numbers)
        if len(frame.boxes):
            view = _View(len(seen) - 1, len({before.picture for before in views}), 1, 0)
            for before in _before(views):
                found = links(frames[before.frame], frame)
                if found.fits:
                    linked = found.previous >= 0
                    numbers[linked] = seen[before.frame][found.previous[linked]]
                    view = before.then(view.frame, found)
                    break
            views.append(view)
            known.observe(Layout.of(frame), view, numbers)
    return _renumbered(seen, known.often_seen(frames, views, seen))


def _before(views: Sequence[_View]) -> list[_View]:
    """The frames that the next one may follow, likeliest first: the newest ones, then where the camera cut away."""
    newest = list(views[: -_BACK - 1 : -1])
    last = {view.picture: view for view in views}
    older = sorted(last.values(), key=lambda view: -view.frame)[:_PICTURES]
    return newest + [view for view in older if view not in newest]


class _Tracks:
    """Where everybody was seen last, in the coordinates of the picture."""

    def __init__(self, most: int) -> None:
        self._count = 0
        self._places = np.empty(most, np.complex128)
        self._sides = np.empty(most, np.float64)
        self._pictures = np.empty(most, np.intp)
        # How far a face lay inside the frame, in pixels, when it was nearest to the edge; negative outside.
        self._inside = np.full(most, np.inf)

    def observe(self, faces: Layout, view: _View, numbers: npt.NDArray[np.int32]) -> None:
        """Find again who was missed before, and number who is new.

        Args:
            faces: The faces of the frame.
            view: How the frame shows its picture.
            numbers: int32 (N,), who is known by a link, otherwise -1; filled in place.
        """
        places, sides = (faces.places - view.shift) / view.turn, faces.sides / abs(view.turn)
        here = np.zeros(self._count, np.bool_)
        here[numbers[numbers >= 0]] = True
        missed = np.flatnonzero((self._pictures[: self._count] == view.picture) & ~here)
        loose = np.flatnonzero(numbers[faces.order] < 0)
        i, j, _ = match(self._places[missed], self._sides[missed], places[loose], sides[loose], _MAX_RATIO)
        numbers[faces.order[loose[j]]] = missed[i]
        new = faces.order[loose[np.isin(np.arange(len(loose)), j, invert=True)]]
        numbers[new] = np.arange(self._count, self._count + len(new))
        self._count += len(new)
        who = numbers[faces.order]
        self._places[who], self._sides[who], self._pictures[who] = places, sides, view.picture
        self._inside[who] = np.minimum(self._inside[who], _inside(faces.places, faces.sides, faces.size))

    def often_seen(
        self, frames: Sequence[Emotions], views: Sequence[_View], seen: Sequence[npt.NDArray[np.int32]]
    ) -> npt.NDArray[np.bool_]:
        """Who was found often enough in the frames around that show the place: bool, one a track."""
        places, pictures = self._places[: self._count], self._pictures[: self._count]
        times = np.array([frames[view.frame].ref.captured_at_ms for view in views], np.int64)
        first, last = np.full(self._count, np.iinfo(np.int64).max), np.full(self._count, np.iinfo(np.int64).min)
        for view, at in zip(views, times, strict=True):
            who = seen[view.frame]
            first[who], last[who] = np.minimum(first[who], at), np.maximum(last[who], at)
        shown = np.zeros(self._count, np.intp)
        for view, at in zip(views, times, strict=True):
            ref = frames[view.frame].ref
            size, sides = (ref.width, ref.height), abs(view.turn) * self._sides[: self._count]
            inside = _inside(view.turn * places + view.shift, sides, size) >= np.minimum(self._inside[: self._count], 0)
            around = (at >= first - _AROUND_MS) & (at <= last + _AROUND_MS)
            shown += inside & around & (pictures == view.picture)
        found = np.bincount(np.concatenate([np.empty(0, np.int32), *seen]), minlength=self._count)
        often: npt.NDArray[np.bool_] = found - 0.5 >= MIN_SEEN * shown
        return often


def _inside(places: Places, sides: Sides, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """How far square faces lie inside a frame of a width and height, in pixels."""
    x, y = places.real, places.imag
    nearest: npt.NDArray[np.float64] = np.minimum(np.minimum(x, size[0] - x), np.minimum(y, size[1] - y)) - sides / 2
    return nearest


def _renumbered(seen: list[npt.NDArray[np.int32]], people: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int32]]:
    numbers: Indices = np.where(people, np.cumsum(people) - 1, -1)
    return [numbers[of_frame].astype(np.int32) for of_frame in seen]
