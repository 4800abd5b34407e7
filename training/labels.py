"""What the network is asked to predict: FER2013's seven labels, and FER+ votes mapped onto them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from crowdmood import LABELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

FERPLUS_COLUMNS: Final = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "not-a-face",
)
# FER+ columns in the order of LABELS. Contempt and unknown have no FER2013 counterpart and are left out.
_FERPLUS_FOR_LABEL: Final = (4, 5, 6, 1, 3, 2, 0)
_NOT_A_FACE_COLUMN: Final = FERPLUS_COLUMNS.index("not-a-face")


def one_hot(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turns label codes `(N,)` into rows `(N, 7) float32` with a single one."""
    return np.eye(len(LABELS), dtype=np.float32)[labels]


def soft_targets(
    labels: NDArray[np.uint8], votes: NDArray[np.uint8] | None, blend: float, smoothing: float
) -> NDArray[np.float32]:
    """Blends the given label with what ten FER+ taggers saw.

    `(1 - blend) * label + blend * votes`, then `smoothing` of uniform probability. A row without a single vote
    for one of the seven labels keeps its given label.

    Args:
        labels: `(N,) uint8`, codes 0-6.
        votes: `(N, 10) uint8` FER+ votes in `FERPLUS_COLUMNS` order, or None.
        blend: Weight of the votes, 0 to 1.
        smoothing: Share of uniform probability mixed in, 0 to 1 (Szegedy et al. 2016).

    Returns:
        `(N, 7) float32`, rows sum to one.
    """
    targets = one_hot(labels)
    if votes is not None and blend > 0:
        chosen = votes[:, _FERPLUS_FOR_LABEL].astype(np.float32)
        totals = chosen.sum(axis=1, keepdims=True)
        shares = np.where(totals > 0, chosen / np.maximum(totals, 1), targets).astype(np.float32)
        targets = ((1 - blend) * targets + blend * shares).astype(np.float32)
    return ((1 - smoothing) * targets + smoothing / len(LABELS)).astype(np.float32)


def not_a_face(votes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Says which rows at least half of the FER+ taggers called "not a face": `(N,) bool`."""
    return votes[:, _NOT_A_FACE_COLUMN].astype(np.int64) * 2 >= np.maximum(votes.sum(axis=1), 1)


def with_face_column(targets: NDArray[np.float32], nothing: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Adds the column "not a face" to targets `(N, 7)`; rows where `nothing (N,)` holds lose their expression."""
    column = nothing.astype(np.float32)[:, None]
    return np.concatenate([targets * (1 - column), column], axis=1)


def class_weights(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Weight of each label `(7,)`: the inverse square root of its frequency, one on average over `labels`."""
    counts = np.bincount(labels, minlength=len(LABELS)).astype(np.float64)
    weights = 1 / np.sqrt(np.maximum(counts, 1))
    return (weights * counts.sum() / np.maximum((weights * counts).sum(), 1e-9)).astype(np.float32)
