"""Crops from crowd photos: faces without an expression label, and squares without a face.

A detector makes mistakes, and in a crowd they would vote. Two kinds of background train the network to reject them:
random squares that touch no labelled face, and false detections of a Haar cascade. Faces of the same photos are cut as
well: without them the network would learn to distinguish data sets instead of faces.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from cv2.data import haarcascades

from crowdmood.core.errors import DataError
from training.data import SIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_HELD_BACK_EVERY: Final = 5
_MIN_FACE_PX: Final = 16
_RANDOM_PER_PHOTO: Final = 30
_CASCADE: Final = "haarcascade_frontalface_default.xml"


@dataclass(frozen=True, slots=True)
class CrowdCrops:
    """Crops of one set of photos.

    Attributes:
        faces: `(F, 48, 48) uint8`, gray.
        backgrounds: `(B, 48, 48) uint8`, gray; random squares first, then the cascade's false detections.
        mistakes: Number of the cascade's false detections among the backgrounds.
    """

    faces: NDArray[np.uint8]
    backgrounds: NDArray[np.uint8]
    mistakes: int


@dataclass(frozen=True, slots=True)
class Photo:
    """One labelled photo.

    Attributes:
        gray: `(H, W) uint8`.
        boxes: Every labelled face, `(N, 4) float64`, left, top, width, height in pixels.
        clear: Those faces that are large enough, valid and hardly hidden, `(M, 4) float64`.
    """

    gray: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    clear: NDArray[np.float64]


def labelled_photos(folder: Path, min_face_px: int, held_back: bool | None = None) -> Iterator[Photo]:
    """Yield the photos in `folder/images` that `folder/boxes.json` labels, in the order of names.

    Args:
        folder: Photos and their face boxes (`boxes_xywh`, pixels; flags `invalid`, `occlusion`).
        min_face_px: Shorter side of the smallest clear face.
        held_back: True for every fifth photo, which is never trained on; False for the others; None for all.

    Raises:
        DataError: `boxes.json` or a photo cannot be read.
    """
    try:
        labelled = json.loads((folder / "boxes.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / 'boxes.json'}: cannot be read ({error}); give the folder of crowds") from error
    if not isinstance(labelled, dict):
        raise DataError(f"{folder / 'boxes.json'}: is no JSON object of photos by name; give the folder of crowds")
    for number, name in enumerate(sorted(labelled)):
        if held_back is not None and (number % _HELD_BACK_EVERY == 0) != held_back:
            continue
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise DataError(f"{folder / 'boxes.json'}: {name!r} points outside the folder; remove it")
        gray = cv2.imread(str(folder / "images" / name), cv2.IMREAD_GRAYSCALE)
        if gray is None:
            raise DataError(
                f"{folder / 'images' / name}: is no readable image; restore it or remove it from boxes.json"
            )
        try:
            boxes = np.asarray(labelled[name]["boxes_xywh"], dtype=np.float64).reshape(-1, 4)
            clear = boxes[
                ~np.asarray(labelled[name]["invalid"], dtype=bool)
                & (np.asarray(labelled[name]["occlusion"]) < 2)
                & (boxes[:, 2:].min(axis=1) >= min_face_px)
            ]
        except (LookupError, TypeError, ValueError) as error:
            raise DataError(
                f"{folder / 'boxes.json'}: the entry of {name} cannot be used ({error!r}); correct it"
            ) from error
        yield Photo(np.asarray(gray, dtype=np.uint8), boxes, clear)


def load_crowds(folder: Path, held_back: bool, seed: int = 0) -> CrowdCrops:
    """Cut faces and backgrounds from crowd photos.

    Args:
        folder: Photos and their `boxes.json` (see `labelled_photos`).
        held_back: True for every fifth photo, which is never trained on; False for all others.
        seed: Seed of the random squares.

    Raises:
        DataError: The photos cannot be read, or show no clear face, or no background.
    """
    rng = np.random.default_rng(seed)
    cascade = cv2.CascadeClassifier(haarcascades + _CASCADE)
    faces: list[NDArray[np.uint8]] = []
    squares: list[NDArray[np.uint8]] = []
    mistakes: list[NDArray[np.uint8]] = []
    for photo in labelled_photos(folder, _MIN_FACE_PX, held_back):
        gray, boxes = photo.gray, photo.boxes
        faces += [crop(gray, *square(box)) for box in photo.clear]
        squares += [crop(gray, *empty) for empty in _random_squares(gray.shape, boxes, rng)]
        hits = np.asarray(cascade.detectMultiScale(gray, 1.1, 1, minSize=(_MIN_FACE_PX, _MIN_FACE_PX)))
        mistakes += [crop(gray, x, y, w) for x, y, w, h in hits.reshape(-1, 4) if not _touches((x, y, w, h), boxes)]
    if not faces or not squares + mistakes:
        which = "every fifth photo" if held_back else "all but every fifth photo"
        lacking = "background beside the faces" if faces else f"clear face of at least {_MIN_FACE_PX} pixels"
        raise DataError(f"{folder}: {which} shows no {lacking}; give more photos")
    return CrowdCrops(np.stack(faces), np.stack(squares + mistakes), len(mistakes))


def crop(photo: NDArray[np.uint8], left: float, top: float, side: float) -> NDArray[np.uint8]:
    """Return a square of a photo, scaled to 48x48; edge pixels are repeated outside the photo."""
    x, y, size = round(left), round(top), max(round(side), 2)
    height, width = photo.shape
    rows = np.arange(y, y + size).clip(0, height - 1)
    columns = np.arange(x, x + size).clip(0, width - 1)
    return np.asarray(
        cv2.resize(
            photo[np.ix_(rows, columns)],
            (SIDE, SIDE),
            interpolation=cv2.INTER_AREA if size > SIDE else cv2.INTER_LINEAR,
        ),
        dtype=np.uint8,
    )


def square(box: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the square around the middle of a box `(4,)`: left, top and side in pixels."""
    x, y, width, height = box
    side = max(width, height)
    return x + (width - side) / 2, y + (height - side) / 2, side


def _touches(box: tuple[float, float, float, float], boxes: NDArray[np.float64]) -> bool:
    x, y, width, height = box
    return bool(
        np.any(
            (boxes[:, 0] < x + width)
            & (boxes[:, 0] + boxes[:, 2] > x)
            & (boxes[:, 1] < y + height)
            & (boxes[:, 1] + boxes[:, 3] > y)
        )
    )


def _random_squares(
    shape: tuple[int, ...], boxes: NDArray[np.float64], rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    height, width = shape[:2]
    found: list[tuple[float, float, float]] = []
    for _ in range(_RANDOM_PER_PHOTO * 4):
        side = float(np.exp(rng.uniform(np.log(_MIN_FACE_PX), np.log(min(height, width) / 3))))
        x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
        if not _touches((x, y, side, side), boxes):
            found.append((x, y, side))
        if len(found) == _RANDOM_PER_PHOTO:
            break
    return found
