"""Temperature, label biases and readable offset of a network, fitted on held-out faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from classifier.card import Calibration
from training import metrics
from training.regression import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS: Final = 50
_DAMPING: Final = 1e-6
_HALVINGS: Final = 20
_BIAS_STEPS: Final = 500
_ENOUGH_FACES: Final = 20
"""Fewest faces of a label for fitting its bias."""

_READABLE_LOST: Final = 0.055
"""Share of the readable faces that are rejected so that most unreadable ones do not vote."""


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """Return the temperature that minimises the log loss on held-out faces (Guo et al., ICML 2017).

    The loss is convex in the inverse temperature, so Newton's method, with steps halved until they lower the loss,
    finds the minimum.

    Args:
        logits: `(N, K) float32`.
        labels: `(N,) uint8`.
    """
    wide = logits.astype(np.float64)
    true = wide[np.arange(len(labels)), labels]
    inverse = 1.0
    for _ in range(_STEPS):
        chances = softmax(wide * inverse)
        mean = (chances * wide).sum(axis=1)
        slope = float((mean - true).mean())
        curvature = float((chances * wide * (wide - mean[:, None])).sum()) / len(labels)
        step = slope / (curvature + _DAMPING)
        loss = _loss(wide, true, inverse)
        for _ in range(_HALVINGS):
            tried = float(np.clip(inverse - step, 0.1, 10.0))
            if _loss(wide, true, tried) < loss:
                inverse = tried
                break
            step /= 2
        else:
            break
    return 1 / inverse


def _loss(logits: NDArray[np.float64], true: NDArray[np.float64], inverse: float) -> float:
    scores = logits * inverse
    highest = scores.max(axis=1, keepdims=True)
    return float((np.log(np.exp(scores - highest).sum(axis=1)) + highest[:, 0] - true * inverse).mean())


def calibrate(logits: NDArray[np.float32], labels: NDArray[np.uint8], fitted_on: str) -> Calibration:
    """Fit a temperature on all faces, and measure the loss before and after.

    The figures after it are cross-fitted: each half of the faces is measured with the temperature of the other half.
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


def calibrate_crowd(
    logits: NDArray[np.float32],
    labels: NDArray[np.uint8],
    readable_logits: NDArray[np.float32],
    fitted_on: str,
) -> Calibration:
    """Fit the temperature, the label biases and the readable offset of a network for crowds.

    A network trained on real crowds predicts rare labels too rarely. Each face is weighted by the inverse square root
    of the frequency of its label, which puts the biases half-way between the crowd's shares and equal shares. The most
    frequent label has a bias of zero, and so do labels with too few faces.

    Args:
        logits: `(N, K) float32`, the faces with a label.
        labels: `(N,) uint8`.
        readable_logits: `(M,) float32`, all readable faces.
        fitted_on: What the faces are.
    """
    fitted = calibrate(logits, labels, fitted_on)
    counts = np.bincount(labels, minlength=logits.shape[1])
    frequent = np.flatnonzero(counts >= _ENOUGH_FACES)
    of_frequent = np.isin(labels, frequent)
    biases = np.zeros(logits.shape[1])
    if len(frequent):
        biases[frequent] = _fit_biases(
            logits[of_frequent][:, frequent] / fitted.temperature,
            np.searchsorted(frequent, labels[of_frequent]),
            1 / np.sqrt(counts[frequent]),
        )
        biases[frequent] -= biases[counts.argmax()]
    return fitted.model_copy(
        update={
            "method": "temperature, biases",
            "biases": tuple(round(float(bias), 6) for bias in biases),
            "readable_offset": round(float(np.quantile(readable_logits, _READABLE_LOST)), 6),
        }
    )


def _fit_biases(
    scores: NDArray[np.floating], labels: NDArray[np.integer], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the biases `(K,)` that minimise the log loss, each face weighted by its label's weight.

    The steps are Newton's for the largest curvature there is (Boehning 1992): every step lowers the loss.
    """
    wide = scores.astype(np.float64)
    true = np.eye(wide.shape[1])[labels] * weights[labels][:, None]
    total = true.sum(axis=1, keepdims=True)
    biases = np.zeros(wide.shape[1])
    for _ in range(_BIAS_STEPS):
        chances = softmax(wide + biases)
        biases -= 2 * (total * chances - true).sum(axis=0) / total.sum()
    return biases
