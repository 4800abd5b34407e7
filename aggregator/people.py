"""Finds the people in one camera's frames of one window, each with the mean of their readable faces. Pure.

The result depends only on the window's frames, so it is the same at any speed and after any restart. Known trackers
(SORT, ByteTrack, OC-SORT) keep state from before the window, so they are not used. `views` finds the picture of each
frame; its links of two frames are cached because windows overlap. `tracks` follows people in the coordinates of these
pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.crowd import Crowd, crowd_of
from aggregator.tracks import tracks
from aggregator.views import Links
from crowdmood.domain.labels import LABELS
from crowdmood.domain.messages import Emotions

MIN_READABLE: Final = 0.5
"""Default of the least probability of being readable with which faces count."""

_LEAST_READABLE: Final = 1e-3
"""The least weight of a face that counts, for settings with which all faces count."""


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """The people that a camera saw in a window, in the order in which they were first seen.

    Attributes:
        crowd: The expressions of their readable faces, by person; values of people without a readable face are
            arbitrary.
        quality: float64 (P,), of each person's best face, 0-1.
        readable: bool (P,), whether a face of quality above 0 was readable in at least one observation.
        side_px: int32 (P,), the shorter side of each person's largest face in pixels.
        faces: int32 (P,), the number of frames in which each person was found.
        at_once: Most readable people in one frame.
        person: For each frame int32 (N,), the number of each face's person; -1 for detections that were too rare to
            be a face.
    """

    crowd: Crowd
    quality: npt.NDArray[np.float64]
    readable: npt.NDArray[np.bool_]
    side_px: npt.NDArray[np.int32]
    faces: npt.NDArray[np.int32]
    at_once: int
    person: list[npt.NDArray[np.int32]]

    def __len__(self) -> int:
        return len(self.faces)


def people(frames: Sequence[Emotions], links: Links | None = None, min_readable: float = MIN_READABLE) -> People:
    """Group faces by person, and average each person's readable faces.

    Two faces of one frame are two people. A person who leaves the image and returns to the same place is the same
    person, also when the camera cuts away and back. A person seen in two images with nothing else in common counts
    twice, since people are not identified. While the camera stands still there are at most `tracks.MOST` times as many
    people as are found in one frame.

    Args:
        frames: One camera's frames of one window, in their order; all with the same number of labels.
        links: Cache of the links of this camera's frames.
        min_readable: Faces with a lower probability of being readable do not count.

    Returns:
        The people. Each readable face weighs by its quality and its probability of being readable, and each person by
        the mean of that probability over the faces that count.
    """
    person = tracks(frames, Links() if links is None else links)
    if not frames:
        empty = Crowd.of(np.empty((0, len(LABELS))))
        return People(
            empty, np.empty(0), np.empty(0, np.bool_), np.empty(0, np.int32), np.empty(0, np.int32), 0, person
        )
    who = np.concatenate(person)
    counted = who >= 0
    who = who[counted]
    count = int(who.max(initial=-1)) + 1
    boxes = np.concatenate([frame.boxes for frame in frames])[counted]
    quality = np.concatenate([frame.quality for frame in frames])[counted].astype(np.float64)
    readable = np.concatenate([frame.readable for frame in frames])[counted].astype(np.float64)
    rows = np.concatenate([frame.probabilities for frame in frames])[counted].astype(np.float64)
    best, side_px = np.zeros(count), np.zeros(count, np.int32)
    np.maximum.at(best, who, quality)
    np.maximum.at(side_px, who, np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]))
    votes = quality * np.where(readable >= min_readable, np.maximum(readable, _LEAST_READABLE), 0.0)
    voters = np.bincount(who, votes, count) > 0
    frame = np.repeat(np.arange(len(frames)), [len(frame.boxes) for frame in frames])[counted]
    at_ms = np.array([frame.ref.captured_at_ms for frame in frames], np.int64)[frame]
    faces = np.bincount(who, minlength=count).astype(np.int32)
    crowd = crowd_of(rows, np.where(voters[who], votes, 1.0), at_ms, who, count)
    counted_faces = np.bincount(who, votes > 0, count)
    sure = np.bincount(who, np.where(votes > 0, readable, 0.0), count) / np.maximum(counted_faces, 1)
    crowd = replace(crowd, weights=crowd.weights * np.maximum(sure, _LEAST_READABLE)[crowd.person])
    at_once = int(np.bincount(frame[votes > 0], minlength=1).max())
    return People(crowd, best, voters, side_px, faces, at_once, person)
