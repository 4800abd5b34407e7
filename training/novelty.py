"""How far synthetic faces are from the photographs that taught the model, and how far those are from one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME_PICTURE: Final = 0.9
"""Correlation from which two rows count as the same picture: FER2013 holds many photographs twice, cropped, mirrored
or compressed anew. Judged by eye: above it nearly all pairs are one photograph, below it hardly any."""
PERCENTILE: Final = 1.0
_BLOCK: Final = 512


def nearest(rows: NDArray[np.float32], others: NDArray[np.float32], ignore_above: float = 2.0) -> NDArray[np.float64]:
    """Finds how alike each row and its most alike other row are.

    Args:
        rows: `(N, P)`, of mean zero and unit contrast; contrasts are evened out again here.
        others: `(M, P)`, likewise.
        ignore_above: Correlations from this one on are passed over; more than 1 passes over none.

    Returns:
        `(N,)` root mean square difference to the nearest of the `others`, in units of the contrast; 0 is the same
        picture, about 1.4 one that has nothing to do with it.
    """
    unit, references = _unit(rows), _unit(others).T
    best = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        correlations = unit[start : start + _BLOCK] @ references
        correlations[correlations >= ignore_above] = -1
        best[start : start + _BLOCK] = correlations.max(axis=1)
    return np.sqrt(np.maximum(2 - 2 * best, 0))


def closest_allowed(pictures: NDArray[np.float32], mirrored: NDArray[np.float32], sample: NDArray[np.int64]) -> float:
    """The 1st percentile of the distances between a training picture and the nearest different one.

    Args:
        pictures: `(N, P)`, flattened training pictures.
        mirrored: `(N, P)`, the same ones mirrored: they count as training pictures too.
        sample: The rows of `pictures` whose nearest neighbours are looked for.
    """
    rows = pictures[sample]
    apart = np.minimum(nearest(rows, pictures, SAME_PICTURE), nearest(rows, mirrored, SAME_PICTURE))
    return float(np.percentile(apart, PERCENTILE))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6), dtype=np.float32)
