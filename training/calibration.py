"""Confidence that means what it says: a temperature, and what prevalence estimation needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from classifier.card import Calibration, Prevalence
from training import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS: Final = 50
_LEAST_FACES: Final = 2
_LEAST_PROBABILITY: Final = 1e-4
_DAMPING: Final = 1e-6
_HALVINGS: Final = 20


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities `(N, K)` of logits `(N, K)`."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """Finds the temperature that minimises log loss on held-out faces (Guo et al., ICML 2017).

    Args:
        logits: `(N, K) float32`.
        labels: `(N,) uint8`.
    """
    return 1 / _minimise(logits, labels, slice(0, 1))[0]


def fit_biases(logarithms: NDArray[np.float32], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Finds the bias of each class that minimises log loss on held-out faces (Alexandari et al., ICML 2020).

    With a temperature alone, labels that the network gives too rarely stay rare. A single face is judged a little worse
    with them, a crowd is counted far better.

    Args:
        logarithms: `(N, K) float32`, of calibrated probabilities.
        labels: `(N,) uint8`.

    Returns:
        `(K,)`, they sum to zero.
    """
    return _minimise(logarithms, labels, slice(1, None))[1]


def _minimise(logits: NDArray[np.float32], labels: NDArray[np.uint8], free: slice) -> tuple[float, NDArray[np.float64]]:
    """Inverse temperature and biases; only the `free` of the 1 + K are moved from 1 and 0.

    The loss is convex, so Newton's method, with steps halved until they help, finds its minimum.
    """
    wide = logits.astype(np.float64)
    count, classes = wide.shape
    true = np.eye(classes)[labels]
    inverse, biases = 1.0, np.zeros(classes)
    for _ in range(_STEPS):
        chances = softmax((wide * inverse + biases).astype(np.float32)).astype(np.float64)
        mean = (chances * wide).sum(axis=1, keepdims=True)
        slope = np.concatenate([[(mean - wide[true > 0][:, None]).mean()], (chances - true).mean(axis=0)])
        curvature = np.zeros((classes + 1, classes + 1))
        curvature[0, 0] = (chances * wide * (wide - mean)).sum() / count
        curvature[0, 1:] = curvature[1:, 0] = (chances * (wide - mean)).mean(axis=0)
        curvature[1:, 1:] = np.diag(chances.mean(axis=0)) - chances.T @ chances / count
        step = np.zeros(classes + 1)
        step[free] = np.linalg.solve((curvature + _DAMPING * np.eye(classes + 1))[free, free], slope[free])
        loss = _loss(wide, true, inverse, biases)
        for _ in range(_HALVINGS):
            tried = float(np.clip(inverse - step[0], 0.1, 10.0)), biases - step[1:] + step[1:].mean()
            if _loss(wide, true, *tried) < loss:
                inverse, biases = tried
                break
            step /= 2
    return inverse, biases


def _loss(logits: NDArray[np.float64], true: NDArray[np.float64], inverse: float, biases: NDArray[np.float64]) -> float:
    scores = logits * inverse + biases
    highest = scores.max(axis=1, keepdims=True)
    return float((np.log(np.exp(scores - highest).sum(axis=1)) + highest[:, 0] - (scores * true).sum(axis=1)).mean())


def calibrate(logits: NDArray[np.float32], labels: NDArray[np.uint8], fitted_on: str) -> Calibration:
    """Fits a temperature and says honestly what it gains.

    It is fitted on all faces given. The losses after it are cross-fitted: each half is judged by the temperature of the
    other half.
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
    """Fits what crowds are counted with, on held-out faces: biases, and how labels spread over what they correct.

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
    logarithms = np.log(np.maximum(probabilities, _LEAST_PROBABILITY))
    biases = fit_biases(logarithms, labels)
    corrected = softmax(logarithms + biases.astype(np.float32)).astype(np.float64)
    by_label = [corrected[labels == label] for label in range(classes)]
    hard = metrics.confusion_matrix(probabilities.argmax(axis=1), labels, classes)
    return Prevalence(
        fitted_on=fitted_on,
        faces=len(labels),
        biases=tuple(round(float(bias), 6) for bias in biases),
        priors=tuple(round(float(share), 6) for share in hard.sum(axis=1) / max(len(labels), 1)),
        soft_confusion=_rounded(np.stack([faces.mean(axis=0) for faces in by_label])),
        soft_covariance=tuple(_rounded(np.cov(faces, rowvar=False)) for faces in by_label),
        confusion=tuple(tuple(int(cell) for cell in row) for row in hard),
    )


def _rounded(matrix: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(float(cell), 6) for cell in row) for row in matrix)
