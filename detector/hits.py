"""Combines the many windows that a cascade finds for a face into one box and one score."""

from math import log
from typing import Final

import numpy as np

from detector.boxes import Boxes, Scores, iou_in_parts, suppress

_SAME_FACE_IOU: Final = 0.4
"""Overlap from which two windows are the same face."""

_OF_CASCADE: Final = {
    "haarcascade_frontalface_default": (1.19, 0.195, 3.22),
    "haarcascade_frontalface_alt": (1.16, 1.219, 131.98),
    "haarcascade_frontalface_alt2": (1.31, 1.073, 61.15),
    "haarcascade_profileface": (1.35, 0.169, 1.92),
}
_OF_OTHERS: Final = (2.0, 0.0, 4.0)
"""Coefficients of `score`: of the logarithm of the number of hits, of the best weight, and the offset.

Fitted by logistic regression on every second photograph of the crowds, at 1.5 times its size (profile: 1.2). The scale
of weights differs between cascades, so other cascades use the number only.
"""
_FITTED_SCALE_FACTOR: Final = 1.1


def to_faces(hits: Boxes, weights: Scores, cascade: str, scale_factor: float) -> tuple[Boxes, Scores]:
    """Combine windows into faces.

    Each of the strongest windows that do not overlap each other starts a face. Every other window is added to the face
    whose first window it overlaps most. The box of a face is the mean of its windows.

    Args:
        hits: float32 (N, 4), xyxy in pixels: windows that passed all stages of a cascade.
        weights: float32 (N,), by how much each exceeds the threshold of the last stage.
        cascade: OpenCV's name of the cascade.
        scale_factor: Step between two sizes searched; a smaller step finds more windows for a face.

    Returns:
        Boxes, float32 (M, 4), xyxy in pixels; and scores, float32 (M,), as from `score`.
    """
    leaders = suppress(hits, weights, _SAME_FACE_IOU)
    number = np.zeros(len(leaders), np.float32)
    total = np.zeros((len(leaders), 4), np.float64)
    for rows, overlap in iou_in_parts(hits, hits[leaders]):
        nearest = overlap.argmax(axis=1)
        joins = overlap.max(axis=1) >= _SAME_FACE_IOU
        np.add.at(number, nearest[joins], 1)
        np.add.at(total, nearest[joins], hits[rows][joins])
    boxes = (total / number[:, None]).astype(np.float32)
    comparable = number * np.float32(log(scale_factor) / log(_FITTED_SCALE_FACTOR))
    return boxes, score(comparable, weights[leaders], cascade)


def score(number: Scores, best: Scores, cascade: str) -> Scores:
    """Return the probability that hits are a face.

    Args:
        number: float32 (M,), number of overlapping windows, converted to a scale factor of 1.1; more than 0.
        best: float32 (M,), largest weight of these windows.
        cascade: OpenCV's name of the cascade.

    Returns:
        float32 (M,), 0-1.
    """
    of_number, of_weight, offset = _OF_CASCADE.get(cascade, _OF_OTHERS)
    odds = of_number * np.log(number) + of_weight * best.astype(np.float64) - offset
    likely: Scores = (1 / (1 + np.exp(-np.clip(odds, -50, 50)))).astype(np.float32)
    return likely
