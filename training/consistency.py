"""The share of faces that keep their label when the image changes slightly. Needs no labelled faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdmood.core.errors import DataError
from training.augment import shrink
from training.crowds import crop, labelled_photos, square
from training.serving import predict

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MIN_FACE_PX: Final = 40
_WIDER: Final = 0.2
_FARTHER_PX: Final = 24


def views(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Cut every clear face of at least 40 pixels from crowd photos, once as it is and once for each change.

    Args:
        folder: Photos and their `boxes.json`.

    Returns:
        `(N, 48, 48) uint8` each: `as_is`; `farther`, reduced to 24 pixels and back; `wider`, from a box that is
        20 % wider; `mirrored`.

    Raises:
        DataError: There is no such face, or the photos cannot be read.
    """
    as_is: list[NDArray[np.uint8]] = []
    wider: list[NDArray[np.uint8]] = []
    for photo in labelled_photos(folder, _MIN_FACE_PX):
        for box in photo.clear:
            left, top, side = square(box)
            as_is.append(crop(photo.gray, left, top, side))
            margin = side * _WIDER / 2
            wider.append(crop(photo.gray, left - margin, top - margin, side + 2 * margin))
    if not as_is:
        raise DataError(f"{folder}: shows no clear face of at least {_MIN_FACE_PX} pixels; give more photos")
    faces = np.stack(as_is)
    return {
        "as_is": faces,
        "farther": np.stack([shrink(face, _FARTHER_PX) for face in faces]),
        "wider": np.stack(wider),
        "mirrored": np.ascontiguousarray(faces[:, :, ::-1]),
    }


def agreement(model: Any, folder: Path) -> dict[str, float]:
    """Return the shares of faces that keep their label: for each change, and for all of them at once.

    Args:
        model: A served network (see `training.serving`).
        folder: Photos and their `boxes.json`.
    """
    seen = {name: predict(model, faces)[0].argmax(axis=1) for name, faces in views(folder).items()}
    same = {name: labels == seen["as_is"] for name, labels in seen.items() if name != "as_is"}
    rates = {name: float(kept.mean()) for name, kept in same.items()}
    every = np.logical_and.reduce(list(same.values()))
    return {"faces": float(len(every)), **rates, "every_change": float(every.mean())}
