"""Distances of synthetic faces from the photos that the model was fitted to, and of those from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from facebank.alignment import flatten

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME_PICTURE: Final = 0.9
"""Correlation from which two rows count as the same photo: FER2013 holds many photos twice, cropped, mirrored or
compressed again. By inspection, nearly all pairs above it are one photo, and hardly any below."""
PERCENTILE: Final = 1.0
_BLOCK: Final = 512
_REFERENCES: Final = 1500
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class NoveltyFigures:
    """Distances of synthetic faces from photos, as `nearest` measures them.

    Attributes:
        photographs: Number of photos that they were compared with, as they are and mirrored.
        closest: Distance of the synthetic face that is closest to a photo.
        median: Half of the synthetic faces are farther from every photo.
        allowed: 1st percentile of the distances between a photo and the nearest different one.
        percentile: Percentage of photos that have a different one as near as `closest`; must be above 1.
    """

    photographs: int
    closest: float
    median: float
    allowed: float
    percentile: float


def measure_novelty(faces: NDArray[np.uint8], photographs: NDArray[np.uint8]) -> NoveltyFigures:
    """Compare synthetic faces `(N, S, S) uint8` with photos `(M, T, T) uint8`, both in FER2013's framing."""
    size = photographs.shape[1:]
    scaled = np.stack([cv2.resize(face, size, interpolation=cv2.INTER_AREA) for face in faces]).astype(np.uint8)
    pictures, mirrored = flatten(photographs), flatten(photographs[:, :, ::-1])
    rows = flatten(scaled)
    apart = np.minimum(nearest(rows, pictures), nearest(rows, mirrored))
    sample = np.random.default_rng(_SEED).permutation(len(pictures))[:_REFERENCES]
    usual = distances_among(pictures, mirrored, sample)
    return NoveltyFigures(
        photographs=len(photographs),
        closest=round(float(apart.min()), 4),
        median=round(float(np.median(apart)), 4),
        allowed=round(float(np.percentile(usual, PERCENTILE)), 4),
        percentile=round(100 * float(np.mean(usual <= apart.min())), 2),
    )


def nearest(rows: NDArray[np.float32], others: NDArray[np.float32], ignore_above: float = 2.0) -> NDArray[np.float64]:
    """Return the distance of each row from the most similar other row.

    Args:
        rows: `(N, P)`, of mean zero and unit contrast; contrasts are evened out again here.
        others: `(M, P)`, likewise.
        ignore_above: Correlations of at least this are ignored; a value above 1 ignores none.

    Returns:
        `(N,)` root mean square difference to the nearest of the `others`, in units of the contrast; 0 is the same
        image, about 1.4 an unrelated one.
    """
    unit, references = _unit(rows), _unit(others).T
    best = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        correlations = unit[start : start + _BLOCK] @ references
        correlations[correlations >= ignore_above] = -1
        best[start : start + _BLOCK] = correlations.max(axis=1)
    return np.sqrt(np.maximum(2 - 2 * best, 0))


def closest_allowed(pictures: NDArray[np.float32], mirrored: NDArray[np.float32], sample: NDArray[np.int64]) -> float:
    """Return the 1st percentile of `distances_among`."""
    return float(np.percentile(distances_among(pictures, mirrored, sample), PERCENTILE))


def distances_among(
    pictures: NDArray[np.float32], mirrored: NDArray[np.float32], sample: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return distances `(S,)` between training images and the nearest different one of each.

    Args:
        pictures: `(N, P)`, flattened training images.
        mirrored: `(N, P)`, the same ones mirrored: they count as training images too.
        sample: The rows of `pictures` whose nearest neighbours are searched.
    """
    rows = pictures[sample]
    return np.minimum(nearest(rows, pictures, SAME_PICTURE), nearest(rows, mirrored, SAME_PICTURE))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6), dtype=np.float32)
