"""Finds which faces of one camera's frames in one window are the same person's. Pure.

People who keep their place come first: in the coordinates of the picture, their faces stay at one place. The other
boxes are faces of people who move, which are followed by their velocity, and false detections. At the end, pieces of
one person's track are joined.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.matching import Indices
from aggregator.movers import follow
from aggregator.pieces import in_order, joined
from aggregator.places import AROUND_MS, MIN_SEEN, MOVED, Faces, spread
from aggregator.views import Links, View, views
from crowdmood.domain.messages import Emotions

MOST: Final = 1.3
"""Most people as a multiple of those found in one frame, while the camera shows the same part of a picture: more would
be pieces of the same people. The limit grows in proportion to the part of the picture that the camera shows."""

_FIXED: Final = 1.1
"""Largest ratio of the part that a camera shows in total to the part of one frame, for a camera that stands still."""

_MIN_SIGHTS, _MIN_DENSE = 6, 0.5
"""A person who moves must be found in so many frames, and in this share of the frames from the first to the last."""


def tracks(frames: Sequence[Emotions], links: Links) -> list[npt.NDArray[np.int32]]:
    """Number the people of a window.

    Args:
        frames: One camera's frames, in their order.
        links: Computes the link of two frames.

    Returns:
        For each frame int32 (N,), the person's number for each face; -1 for boxes that are found too rarely to be a
        person, and for people beyond the limit of `MOST`. Numbers go from 0 without gaps in the order of the people's
        first faces, and occur at most once in a frame.
    """
    numbers = [np.full(len(frame.boxes), -1, np.int32) for frame in frames]
    shown = views(frames, links)
    if shown:
        faces = Faces(frames, shown)
        who = in_order(_bounded(faces, frames, shown, joined(faces, _pieces(faces))))
        for step, view in enumerate(shown):
            here = faces.of(step)
            numbers[view.frame][faces.index[here]] = who[here]
    return numbers


def _pieces(faces: Faces) -> Indices:
    """Return the number of each face's place, or of the piece of a person who moves; -1 for false detections."""
    kept = faces.keep_place()
    who = np.where(kept, faces.who, -1)
    count = int(faces.who.max(initial=-1)) + 1
    for picture in np.unique(faces.picture):
        steps = np.flatnonzero(faces.picture == picture)
        parts = [np.arange(faces.begin[step], faces.begin[step + 1]) for step in steps]
        parts = [part[~kept[part]] for part in parts]
        pool = np.concatenate(parts)
        if len(pool):
            places, sides = [faces.place[part] for part in parts], [faces.side[part] for part in parts]
            found = np.concatenate(follow(faces.times[steps].tolist(), places, sides, faces.step_ms))
            who[pool] = np.where(_likely(faces, steps, pool, found)[found], count + found, -1)
            count += int(found.max()) + 1
    return who


def _likely(faces: Faces, steps: Indices, pool: Indices, found: Indices) -> npt.NDArray[np.bool_]:
    """Return which of the followed tracks are people: those that move, or are found in enough frames."""
    count = int(found.max()) + 1
    sights = np.bincount(found, minlength=count)
    side = np.bincount(found, faces.side[pool], count) / sights
    moved = spread(found, faces.place[pool], count) > MOVED * side
    at, times = faces.times[faces.step[pool]], faces.times[steps]
    first, last = np.full(count, np.iinfo(np.int64).max), np.full(count, np.iinfo(np.int64).min)
    np.minimum.at(first, found, at)
    np.maximum.at(last, found, at)
    around = np.searchsorted(times, last + AROUND_MS, "right") - np.searchsorted(times, first - AROUND_MS)
    between = np.searchsorted(times, last, "right") - np.searchsorted(times, first)
    walks = moved & (sights >= _MIN_SIGHTS) & (sights >= _MIN_DENSE * between)
    likely: npt.NDArray[np.bool_] = walks | (sights - 0.5 >= MIN_SEEN * around)
    return likely


def _bounded(faces: Faces, frames: Sequence[Emotions], shown: Sequence[View], who: Indices) -> Indices:
    """Drop the people found in the fewest frames where there are more than `MOST` allows."""
    found = np.bincount(who[who >= 0])
    for picture in np.unique(faces.picture):
        steps = np.flatnonzero(faces.picture == picture).tolist()
        parts = [who[faces.of(step)] for step in steps]
        most = max(
            np.count_nonzero(part >= 0) * times
            for part, times in zip(parts, _extents(frames, [shown[step] for step in steps]), strict=True)
        )
        people = np.unique(np.concatenate(parts))
        people = people[people >= 0]
        # Rounding errors must not decide about a person.
        limit = int(MOST * most + 1e-9)
        if len(people) > limit:
            surplus = people[np.argsort(-found[people], kind="stable")[limit:]]
            who = np.where(np.isin(who, surplus), -1, who)
    return who


def _extents(frames: Sequence[Emotions], shown: Sequence[View]) -> list[float]:
    """Return for each view the ratio of the part that all views show to its own; 1 when the camera stands still."""
    corners = np.array([view.corners(frames[view.frame]) for view in shown])
    low, high = corners[:, 0], corners[:, 1]
    wide, high_ = high.real.max() - low.real.min(), high.imag.max() - low.imag.min()
    areas = (high.real - low.real) * (high.imag - low.imag)
    times = wide * high_ / areas
    return [float(part) if part > _FIXED else 1.0 for part in times]
