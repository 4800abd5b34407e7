"""Figures of a classifier from its probabilities, in plain NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crowdmood.domain.labels import FER_LABELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TINY = 1e-7


def accuracy(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """Return the share of rows of `probabilities (N, K)` whose largest column is the label `(N,)`."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def log_loss(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """Return the mean negative log probability of the true label, in nats."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(chosen, _TINY)).mean())


def confusion_matrix(
    predicted: NDArray[np.int64], labels: NDArray[np.uint8] | NDArray[np.int64], classes: int = len(FER_LABELS)
) -> NDArray[np.int64]:
    """Return counts `(K, K)`: row true label, column predicted label."""
    flat = labels.astype(np.int64) * classes + predicted
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def precision_recall_f1(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return precision, recall and F1 of each class, `(K, 3)`; zero where a class never occurs."""
    hits = np.diag(confusion).astype(np.float64)
    precision = hits / np.maximum(confusion.sum(axis=0), 1)
    recall = hits / np.maximum(confusion.sum(axis=1), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, _TINY)
    return np.stack([precision, recall, f1], axis=1)


def reliability(
    probabilities: NDArray[np.float32], labels: NDArray[np.uint8], bins: int = 15
) -> tuple[NDArray[np.float64], float]:
    """Compare confidence with accuracy.

    Returns:
        Rows `(bins, 3)` of mean confidence, accuracy and count in equal-width bins of the top probability, and the
        expected calibration error: the mean gap, weighted by count (Guo et al. 2017).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    hit = probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    counts = np.bincount(which, minlength=bins).astype(np.float64)
    divisor = np.maximum(counts, 1)
    rows = np.stack(
        [
            np.bincount(which, confidence, minlength=bins) / divisor,
            np.bincount(which, hit, minlength=bins) / divisor,
            counts,
        ],
        axis=1,
    )
    return rows, float((np.abs(rows[:, 0] - rows[:, 1]) * counts).sum() / max(len(labels), 1))
