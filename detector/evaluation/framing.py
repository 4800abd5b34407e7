"""Measures framings: detect faces of known expression, crop them in many ways, and classify the crops."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import av
import av.error
import cv2
import numpy as np
import numpy.typing as npt

from crowdmood.core.errors import DataError
from crowdmood.domain.framing import Framing, tilts_of, to_squares
from detector.base import Detector, EyeDetector, Image
from detector.images import crop_faces

Classify: TypeAlias = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.intp]]
"""Returns the most probable label of each crop: uint8 (N, 48, 48) to (N,)."""

_SIDES = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2)
_SHIFTS = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06)
_FACE_PX, _SEAT_PX = 80, 120
_ROWS, _COLUMNS = 6, 10


@dataclass(frozen=True, slots=True, eq=False)
class Seats:
    """An image of faces whose position and expression are known.

    Attributes:
        image: uint8 (height, width, 3), BGR, 0-255.
        squares: int32 (S, 4), xyxy in pixels: each face in the framing of the training data.
        labels: (S,), label codes.
    """

    image: Image
    squares: npt.NDArray[np.int32]
    labels: npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Redetected:
    """The known faces that a detector found in an image.

    Attributes:
        image: The image that was searched.
        boxes: float64 (N, 4), xyxy in pixels, from the detector.
        tilts: float64 (N,), radians; 0 if the detector finds no eyes.
        squares: int32 (N, 4), xyxy in pixels, the true position of the face.
        labels: (N,), the true label codes.
    """

    image: Image
    boxes: npt.NDArray[np.float64]
    tilts: npt.NDArray[np.float64]
    squares: npt.NDArray[np.int32]
    labels: npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class FramingResult:
    """The accuracy of a network with one framing.

    Attributes:
        framing: The framing of the crops.
        aligned: Whether faces were rotated until their eyes were level.
        accuracy: Share of faces that were classified correctly.
    """

    framing: Framing
    aligned: bool
    accuracy: float


def seats_of_footage(footage: Path, times_a_phase: int) -> Iterator[Seats]:
    """Yield frames of footage whose seats are known, like the terrace clips of the test assets.

    Args:
        footage: A video; a `.json` beside it has `phases` of `start_s`, `end_s` and `seats_xywh_label`.
        times_a_phase: Number of frames of each phase, spread evenly.

    Raises:
        DataError: The footage or its JSON cannot be read.
    """
    try:
        phases = json.loads(footage.with_suffix(".json").read_text())["phases"]
        moments = [
            (phase["start_s"] + (phase["end_s"] - phase["start_s"]) * (i + 0.5) / times_a_phase, phase)
            for phase in phases
            for i in range(times_a_phase)
        ]
        with av.open(str(footage)) as container:
            for frame in container.decode(video=0):
                while moments and frame.time is not None and frame.time >= moments[0][0]:
                    seats = np.array(moments.pop(0)[1]["seats_xywh_label"], np.int32)
                    squares = np.concatenate([seats[:, :2], seats[:, :2] + seats[:, 2:4]], axis=1)
                    image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                    yield Seats(image, squares, seats[:, 4].astype(np.intp))
    except (OSError, av.error.FFmpegError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{footage} and its truth cannot be read: {error!r}") from None


def seats_of_faces(faces: npt.NDArray[np.uint8], labels: npt.NDArray[np.intp]) -> Iterator[Seats]:
    """Yield images of a data set's faces on seats like the terraces': faces of 80 px in a blurred, extended border.

    Args:
        faces: uint8 (N, 48, 48), gray, 0-255, in the framing of the training data.
        labels: (N,), label codes.
    """
    border = (_SEAT_PX - _FACE_PX) // 2
    places = [(row * _SEAT_PX, column * _SEAT_PX) for row in range(_ROWS) for column in range(_COLUMNS)]
    for start in range(0, len(faces), len(places)):
        image = np.full((_ROWS * _SEAT_PX, _COLUMNS * _SEAT_PX), 90, np.uint8)
        chosen = faces[start : start + len(places)]
        for face, (top, left) in zip(chosen, places, strict=False):
            large = cv2.resize(face, (_FACE_PX, _FACE_PX), interpolation=cv2.INTER_CUBIC)
            seat = cv2.copyMakeBorder(large, border, border, border, border, cv2.BORDER_REPLICATE)
            seat = cv2.GaussianBlur(seat, (0, 0), 4)
            seat[border:-border, border:-border] = large
            image[top : top + _SEAT_PX, left : left + _SEAT_PX] = seat
        corners = np.array([(left + border, top + border) for top, left in places[: len(chosen)]], np.int32)
        squares = np.concatenate([corners, corners + _FACE_PX], axis=1)
        bgr = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
        yield Seats(bgr, squares, labels[start : start + len(chosen)])


def redetect(seats: Seats, detector: Detector) -> Redetected:
    """Detect the faces of an image. A box belongs to the face that contains its centre; other boxes are ignored."""
    if isinstance(detector, EyeDetector):
        boxes, _, eyes = detector.detect_with_eyes(seats.image)
        tilts = tilts_of(eyes)
    else:
        boxes, _ = detector.detect(seats.image)
        tilts = np.zeros(len(boxes))
    middles = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    inside = ((middles >= seats.squares[:, :2]) & (middles < seats.squares[:, 2:])).all(axis=2)
    box, seat = np.nonzero(inside)
    return Redetected(seats.image, boxes[box].astype(np.float64), tilts[box], seats.squares[seat], seats.labels[seat])


def accuracy(
    found: Sequence[Redetected], classify: Classify, framing: Framing | None, *, aligned: bool = False
) -> float:
    """Return the share of faces that are classified correctly.

    Args:
        found: Faces that were detected.
        classify: The network.
        framing: The framing of the crops; None crops the true squares.
        aligned: Rotate faces until their eyes are level.
    """
    crops = [
        crop_faces(
            one.image,
            one.squares if framing is None else to_squares(one.boxes, framing),
            one.tilts if aligned else None,
        )
        for one in found
    ]
    labels = np.concatenate([one.labels for one in found])
    return float((classify(np.concatenate(crops)) == labels).mean())


def sweep(found: Sequence[Redetected], classify: Classify, in_use: Framing | None = None) -> list[FramingResult]:
    """Measure framings: sides first, then shifts of the best one, downwards and to the right; then aligned faces.

    Args:
        found: Faces that were detected.
        classify: The network.
        in_use: A framing to measure in any case.

    Returns:
        The results. The first is of the unchanged box. The last is of the best framing with level eyes, if the detector
        finds eyes.
    """
    tried: list[FramingResult] = []

    def try_all(framings: list[Framing]) -> Framing:
        new = [framing for framing in framings if framing not in [each.framing for each in tried]]
        tried.extend(FramingResult(framing, False, accuracy(found, classify, framing)) for framing in new)
        return max(tried, key=lambda each: each.accuracy).framing

    try_all([Framing()])
    best = try_all([Framing(side=side) for side in _SIDES])
    best = try_all([replace(best, down=down) for down in _SHIFTS])
    best = try_all([replace(best, right=right) for right in _SHIFTS])
    if in_use is not None:
        try_all([in_use])
    if any(one.tilts.any() for one in found):
        tried.append(FramingResult(best, True, accuracy(found, classify, best, aligned=True)))
    return tried
