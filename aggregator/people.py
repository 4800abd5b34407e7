"""From the frames of one camera in one window to people: who was seen, and what their faces say together. Pure.

What a window gives is a function of its frames and of nothing else, so that it is the same at any speed and after any
restart. The trackers of the field (SORT, ByteTrack, OC-SORT) carry their state on from before the window: hence own
code. Like them it goes from frame to frame with the camera's motion taken out: first the links of consecutive frames
(`association`), which are remembered as windows overlap; then who was missed for a while is found again (`tracks`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aggregator.association import Link, link
from aggregator.crowd import Crowd, crowd_of
from aggregator.tracks import Linking, tracks
from crowdmood import LABELS
from crowdmood.messages import Emotions


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """The people that a camera saw in a window, in the order in which they were first seen.

    Attributes:
        crowd: What they show, with a number for each person.
        quality: float64 (P,), of each person's best face, 0-1.
        side_px: int32 (P,), the shorter side of each person's largest face in pixels.
        faces: int32 (P,), in how many frames each person was found.
        person: For each frame int32 (N,), whose face each one is, an index into the others; -1 for what was found too
            rarely to be a face.
    """

    crowd: Crowd
    quality: npt.NDArray[np.float64]
    side_px: npt.NDArray[np.int32]
    faces: npt.NDArray[np.int32]
    person: list[npt.NDArray[np.int32]]

    def __len__(self) -> int:
        return len(self.faces)


class Links:
    """The links of one camera's frames, computed once although windows overlap.

    Holds what the newest two windows asked for. A link is a pure function of its two frames, so what is held changes no
    result: after a restart it begins empty.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, int, str, int], Link] = {}
        self._asked: dict[tuple[str, int, str, int], Link] = {}

    def __call__(self, earlier: Emotions, later: Emotions) -> Link:
        """See `link`."""
        key = (earlier.ref.run_id, earlier.ref.frame_id, later.ref.run_id, later.ref.frame_id)
        found = self._asked.get(key) or self._held.get(key) or link(earlier, later)
        self._asked[key] = found
        return found

    def __len__(self) -> int:
        return len(self._held.keys() | self._asked.keys())

    def end_window(self) -> None:
        """A window has been dealt with: forget what it did not ask for."""
        self._held, self._asked = self._asked, {}


def people(frames: Sequence[Emotions], links: Linking = link) -> People:
    """Say which faces are the same person's, and what they say together.

    Two faces of one frame are two people. Who leaves the picture and comes back is the same person, also when the
    camera cuts away and back. Who is seen in two pictures with nothing else in common is two: nobody is identified.

    Args:
        frames: One camera's frames of one window, in their order.
        links: Computes the link of two frames: `link`, or this camera's `Links`.

    Returns:
        The people. Faces are weighed by their quality: one of 0 says nothing beside others, and as much as another when
        a person has no better ones.
    """
    person = tracks(frames, links)
    if not frames:
        nobody = Crowd.of(np.empty((0, len(LABELS))))
        return People(nobody, np.empty(0), np.empty(0, np.int32), np.empty(0, np.int32), person)
    who = np.concatenate(person)
    counted = who >= 0
    who = who[counted]
    count = int(who.max(initial=-1)) + 1
    boxes = np.concatenate([frame.boxes for frame in frames])[counted]
    quality = np.concatenate([frame.quality for frame in frames])[counted].astype(np.float64)
    rows = np.concatenate([frame.probabilities for frame in frames])[counted].astype(np.float64)
    best, side_px = np.zeros(count), np.zeros(count, np.int32)
    np.maximum.at(best, who, quality)
    np.maximum.at(side_px, who, np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]))
    weights = np.where(best[who] > 0, quality, 1.0)
    at_ms = np.repeat([frame.ref.captured_at_ms for frame in frames], [len(frame.boxes) for frame in frames])[counted]
    faces = np.bincount(who, minlength=count).astype(np.int32)
    return People(crowd_of(rows, weights, at_ms, who, count), best, side_px, faces, person)
