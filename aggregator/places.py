"""The faces of a window in the coordinates of its pictures, and which of them keep their place. Pure."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.matching import Indices, Layout, Places, Sides, match
from aggregator.views import View
from crowdmood.domain.messages import Emotions

MIN_SEEN: Final = 0.2
"""Share of the frames that show a place, plus half a frame, in which a face must be found there to count.

Trackers that confirm a track after some hits do the same (SORT, Bewley et al., ICIP 2016).
"""

AROUND_MS: Final = 3000
"""`MIN_SEEN` applies to the frames from so long before the first face at a place until so long after the last."""

_MAX_RATIO: Final = 2.0
"""Largest ratio of a missed person's sides before and after: at the same place it is rarely another person, but the box
of a turned face differs."""

_HOME_SIGHTS: Final = 10
"""Number of faces over which a person's home, the usual place, is averaged."""

MOVED: Final = 2.0
"""Spread of a person's faces, in sides, above which the person has moved."""

Flags = npt.NDArray[np.bool_]


class Faces:
    """The faces of all frames with faces, one frame after the other, each in the order of its layout.

    Args:
        frames: One camera's frames.
        views: The views of the frames with faces, in their order.

    Attributes:
        begin: intp (V + 1,), index of the first face of each view.
        step: intp (N,), index of each face's view.
        index: intp (N,), its index among the frame's faces.
        place: complex128 (N,), its place in the picture.
        side: float64 (N,), its side in the picture.
        who: intp (N,), number of its place, in the order of the places' first faces.
        picture: intp (V,), the picture of each view.
        turn: intp (V,), number of the view among those of its picture, from 0; time in other pictures does not count.
        times: int64 (V,), capture time of each view, in milliseconds.
        step_ms: The usual time between two views.
    """

    def __init__(self, frames: Sequence[Emotions], views: Sequence[View]) -> None:
        layouts = [Layout.of(frames[view.frame]) for view in views]
        counts = [len(layout.order) for layout in layouts]
        self.begin = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
        self.step: Indices = np.repeat(np.arange(len(views)), counts)
        self.index: Indices = np.concatenate([layout.order for layout in layouts])
        placed = [view.places(layout) for view, layout in zip(views, layouts, strict=True)]
        self.place: Places = np.concatenate([place for place, _ in placed])
        self.side: Sides = np.concatenate([side for _, side in placed])
        self.picture: Indices = np.array([view.picture for view in views], np.intp)
        self.turn: Indices = np.array([np.count_nonzero(self.picture[:i] == p) for i, p in enumerate(self.picture)])
        self.times = np.array([frames[view.frame].ref.captured_at_ms for view in views], np.int64)
        between = np.diff(self.times)
        self.step_ms = float(np.median(between[between > 0])) if (between > 0).any() else 1.0
        self._inside = np.concatenate([_inside(one.places, one.sides, one.size) for one in layouts])
        self._views = views
        self._sizes = [layout.size for layout in layouts]
        self.who = self._found()

    def of(self, step: int) -> slice:
        """Return the slice of a view's faces."""
        return slice(int(self.begin[step]), int(self.begin[step + 1]))

    def keep_place(self) -> Flags:
        """Return which faces are at a place with faces in enough frames: bool (N,).

        People who move leave places at which few faces are found, or their place moves with them.
        """
        count = int(self.who.max()) + 1
        places, sides, pictures = np.empty(count, np.complex128), np.empty(count), np.empty(count, np.intp)
        places[self.who], sides[self.who], pictures[self.who] = self.place, self.side, self.picture[self.step]
        nearest = np.full(count, np.inf)
        np.minimum.at(nearest, self.who, self._inside)
        first, last = np.full(count, np.iinfo(np.int64).max), np.full(count, np.iinfo(np.int64).min)
        np.minimum.at(first, self.who, self.times[self.step])
        np.maximum.at(last, self.who, self.times[self.step])
        shown = np.zeros(count, np.intp)
        for view, size, at in zip(self._views, self._sizes, self.times, strict=True):
            inside = _inside(view.turn * places + view.shift, abs(view.turn) * sides, size)
            around = (at >= first - AROUND_MS) & (at <= last + AROUND_MS)
            shown += (inside >= np.minimum(nearest, 0)) & around & (pictures == view.picture)
        often = np.bincount(self.who, minlength=count) - 0.5 >= MIN_SEEN * shown
        kept: Flags = (often & (spread(self.who, self.place, count) <= MOVED * sides))[self.who]
        return kept

    def _found(self) -> Indices:
        """Number the places: match each face with the nearest home, or else with the nearest last place."""
        numbers = np.empty(len(self.step), np.intp)
        most = len(self.step)
        homes, places, sides = np.zeros(most, np.complex128), np.empty(most, np.complex128), np.empty(most)
        sights, pictures = np.zeros(most, np.intp), np.empty(most, np.intp)
        count = 0
        for step, view in enumerate(self._views):
            here = self.of(step)
            place, side = self.place[here], self.side[here]
            who = np.full(len(place), -1, np.intp)
            known = np.flatnonzero(pictures[:count] == view.picture)
            for at in (homes, places):
                loose = np.flatnonzero(who < 0)
                i, j, _ = match(at[known], sides[known], place[loose], side[loose], _MAX_RATIO)
                who[loose[j]] = known[i]
                known = np.delete(known, i)
            new = np.flatnonzero(who < 0)
            who[new] = np.arange(count, count + len(new))
            count += len(new)
            sights[who] += 1
            places[who], sides[who], pictures[who] = place, side, view.picture
            homes[who] += (place - homes[who]) / np.minimum(sights[who], _HOME_SIGHTS)
            numbers[here] = who
        return numbers


def spread(who: npt.NDArray[np.intp], places: Places, count: int) -> npt.NDArray[np.float64]:
    """Return the distance over which the places of each number are spread, float64 (count,)."""
    low, high = np.full((2, count), np.inf), np.full((2, count), -np.inf)
    for axis, along in enumerate((places.real, places.imag)):
        np.minimum.at(low[axis], who, along)
        np.maximum.at(high[axis], who, along)
    wide: npt.NDArray[np.float64] = np.hypot(*(high - low))
    return wide


def _inside(places: Places, sides: Sides, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return how far square faces are inside a frame of this width and height, in pixels; negative outside."""
    x, y = places.real, places.imag
    nearest: npt.NDArray[np.float64] = np.minimum(np.minimum(x, size[0] - x), np.minimum(y, size[1] - y)) - sides / 2
    return nearest
