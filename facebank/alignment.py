"""Align frontal faces: eyes, nose and mouth corners are at the same places in every tile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from crowdmood.core.errors import DataError
from training.data import SIDE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TILE: Final = 64
"""Side of an aligned tile, in pixels: more than the 48 of the images, so that rotating one loses nothing."""
_PLACES: Final = np.array([[15.4, 17.6], [32.6, 17.6], [24.0, 28.2], [17.0, 36.8], [31.0, 36.8]])
"""Where FER2013's frontal faces have the eyes, the nose's tip and the mouth's corners on average, in 48x48 pixels."""
_BORDER_PX: Final = 12
_SEARCHED_PX: Final = 160
_MIN_SCORE: Final = 0.8
_MAX_YAW: Final = 0.15
"""Largest distance of the nose from the middle between the eyes, in distances between the eyes; a head tilted
by more than about 14 degrees exceeds it too."""
_MAX_MISFIT_PX: Final = 1.6
_SCALES: Final = (0.6, 1.6)
_SIGMA: Final = 5.0


def find_landmarks(images: NDArray[np.uint8], yunet: Path) -> NDArray[np.float64]:
    """Return both eyes, the nose's tip and the mouth's corners, as found by YuNet (Wu et al. 2023).

    Args:
        images: `(N, 48, 48) uint8`, gray.
        yunet: The network's ONNX file.

    Returns:
        `(N, 5, 2) float64`, x and y in pixels of the image; NaN where no face is certain.

    Raises:
        DataError: The file cannot be read.
    """
    if not yunet.is_file():
        raise DataError(f"{yunet}: is no file; give face_detection_yunet_2023mar.onnx of OpenCV's model zoo")
    detector = cv2.FaceDetectorYN.create(str(yunet), "", (_SEARCHED_PX, _SEARCHED_PX), _MIN_SCORE, 0.3, 10)
    found = np.full((len(images), 5, 2), np.nan)
    scale = (SIDE + 2 * _BORDER_PX) / _SEARCHED_PX
    for points, image in zip(found, images, strict=True):
        framed = np.pad(image, _BORDER_PX, mode="reflect")
        searched = cv2.resize(framed, (_SEARCHED_PX, _SEARCHED_PX), interpolation=cv2.INTER_CUBIC)
        _, faces = detector.detect(cv2.cvtColor(searched, cv2.COLOR_GRAY2BGR))
        if faces is not None:
            best = faces[np.argmax(faces[:, 14])]
            points[:] = best[4:14].reshape(5, 2) * scale - _BORDER_PX
    return found


def align(images: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Warp frontal faces so that their landmarks fall on the usual places.

    Args:
        images: `(N, 48, 48) uint8`, gray.
        landmarks: `(N, 5, 2)`, see `find_landmarks`.

    Returns:
        Tiles `(M, 64, 64) uint8` and the rows `(M,)` of `images` they come from; turned heads, faces that no affine
        warp brings into place and exact repetitions are left out.
    """
    tiles: list[NDArray[np.uint8]] = []
    rows: list[int] = []
    seen: set[bytes] = set()
    for row, (image, points) in enumerate(zip(images, landmarks, strict=True)):
        warp = _warp_of(points)
        if warp is None or image.tobytes() in seen:
            continue
        seen.add(image.tobytes())
        tile = cv2.warpAffine(image, warp, (TILE, TILE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        tiles.append(np.asarray(tile, dtype=np.uint8))
        rows.append(row)
    if not tiles:
        raise DataError("none of the training faces is frontal enough to be aligned; give other faces")
    return np.stack(tiles), np.array(rows, dtype=np.int64)


def _warp_of(points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the affine map `(2, 3)` from an image to its tile; None for a face that is not frontal."""
    if not np.isfinite(points).all():
        return None
    between = points[1, 0] - points[0, 0]
    if between < 1 or abs(points[2, 0] - points[:2, 0].mean()) > _MAX_YAW * between:
        return None
    extended = np.c_[points, np.ones(5)]
    solution = np.linalg.lstsq(extended, _PLACES, rcond=None)[0]
    misfit = float(np.sqrt(np.square(extended @ solution - _PLACES).sum(axis=1).mean()))
    warp = np.asarray(solution.T * (TILE / SIDE))
    scale = np.sqrt(abs(np.linalg.det(solution[:2])))
    if misfit > _MAX_MISFIT_PX or not _SCALES[0] < scale < _SCALES[1]:
        return None
    warp[:, 2] += (TILE / SIDE - 1) / 2
    return warp


def oval(side: int = TILE) -> NDArray[np.bool_]:
    """Return which pixels of an image in FER2013's framing are face, not hair or background: `(side, side) bool`."""
    rows, columns = np.mgrid[:side, :side] * (TILE / side)
    return np.asarray(((columns - 31.5) / 26) ** 2 + ((rows - 31) / 33) ** 2 <= 1)


def flatten(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the ovals of images `(N, S, S) uint8` as rows `(N, P) float32` of mean zero and unit contrast."""
    rows = pictures[:, oval(pictures.shape[1])].astype(np.float32)
    spread = rows.std(axis=1, keepdims=True) + _SIGMA
    return np.asarray((rows - rows.mean(axis=1, keepdims=True)) / spread, dtype=np.float32)
