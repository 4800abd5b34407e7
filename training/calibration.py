"""Confidence that means what it says: temperature scaling, and what prevalence estimation needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from classifier.card import Calibration, Prevalence
from training import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS: Final = 50
_LEAST_FACES: Final = 2


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities `(N, K)` of logits `(N, K)`."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """Finds the temperature that minimises log loss on held-out faces (Guo et al. 2017).

    The loss is convex in the inverse temperature, so Newton's method finds the one minimum.

    Args:
        logits: `(N, K) float32`.
        labels: `(N,) uint8`.

    Returns:
        The temperature, in [0.1, 10].
    """
    wide = logits.astype(np.float64)
    true = wide[np.arange(len(labels)), labels]
    inverse = 1.0
    for _ in range(_STEPS):
        weights = softmax((wide * inverse).astype(np.float32)).astype(np.float64)
        mean = (weights * wide).sum(axis=1)
        slope = (mean - true).mean()
        curvature = ((weights * wide**2).sum(axis=1) - mean**2).mean()
        inverse = float(np.clip(inverse - slope / max(curvature, 1e-9), 0.1, 10.0))
    return 1 / inverse


def calibrate(logits: NDArray[np.float32], labels: NDArray[np.uint8], fitted_on: str) -> Calibration:
    """Fits a temperature and says honestly what it gains.

    The temperature is fitted on all faces given. The losses before and after are cross-fitted: each half is judged by
    the temperature of the other half.
    """
    even = np.arange(len(labels)) % 2 == 0
    scaled = np.empty_like(logits)
    for half in (even, ~even):
        scaled[half] = logits[half] / fit_temperature(logits[~half], labels[~half])
    return Calibration(
        method="temperature",
        temperature=round(fit_temperature(logits, labels), 6),
        fitted_on=fitted_on,
        log_loss_before=round(metrics.log_loss(softmax(logits), labels), 6),
        log_loss_after=round(metrics.log_loss(softmax(scaled), labels), 6),
        ece_before=round(metrics.reliability(softmax(logits), labels)[1], 6),
        ece_after=round(metrics.reliability(softmax(scaled), labels)[1], 6),
    )


def fit_prevalence(probabilities: NDArray[np.float32], labels: NDArray[np.uint8], fitted_on: str) -> Prevalence | None:
    """Measures how true labels spread over calibrated probabilities and predictions on held-out faces.

    Args:
        probabilities: `(N, K) float32`, calibrated.
        labels: `(N,) uint8`.
        fitted_on: What the faces are.

    Returns:
        None when there are not at least two faces of every label.
    """
    classes = probabilities.shape[1]
    if np.bincount(labels, minlength=classes).min() < _LEAST_FACES:
        return None
    by_label = [probabilities[labels == label].astype(np.float64) for label in range(classes)]
    hard = metrics.confusion_matrix(probabilities.argmax(axis=1), labels, classes)
    return Prevalence(
        fitted_on=fitted_on,
        faces=len(labels),
        priors=tuple(round(float(share), 6) for share in hard.sum(axis=1) / max(len(labels), 1)),
        soft_confusion=_rounded(np.stack([faces.mean(axis=0) for faces in by_label])),
        soft_covariance=tuple(_rounded(np.cov(faces, rowvar=False)) for faces in by_label),
        confusion=tuple(tuple(int(cell) for cell in row) for row in hard),
    )


def _rounded(matrix: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(float(cell), 6) for cell in row) for row in matrix)
