"""Matches detections with faces, one to one by overlap, for one range of heights at a time.

A face outside the range or marked as invalid does not count, whether found or missed. A false detection counts in the
range of its own height.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from detector.boxes import Boxes, Scores, iou

SAME_FACE_IOU = 0.4


@dataclass(frozen=True, slots=True)
class HeightRange:
    """A range of face heights in pixels, as in WIDER FACE: from `low`, below `high`."""

    low: float
    high: float = inf

    def holds(self, boxes: Boxes) -> npt.NDArray[np.bool_]:
        """Return which boxes have a height in this range: bool (N,)."""
        tall = boxes[:, 3] - boxes[:, 1]
        within: npt.NDArray[np.bool_] = (tall >= self.low) & (tall < self.high)
        return within

    def __str__(self) -> str:
        """Return the range for tables."""
        return f"{self.low:g}+ px" if self.high == inf else f"{self.low:g}-{self.high:g} px"


RANGES = (HeightRange(12, 20), HeightRange(20, 40), HeightRange(40), HeightRange(12), HeightRange(20))


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Recall and precision at every threshold.

    Attributes:
        scores: float32 (K,), thresholds in descending order.
        recall: float64 (K,), share of the faces found with at least this score.
        precision: float64 (K,), share of faces among the detections.
        faces: Number of faces.
    """

    scores: Scores
    recall: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    faces: int

    def at(self, min_score: float) -> tuple[float, float]:
        """Return recall and precision at this threshold; precision is 1 if nothing was found."""
        count = int((self.scores >= min_score).sum())
        return (float(self.recall[count - 1]), float(self.precision[count - 1])) if count else (0.0, 1.0)

    def best_recall(self, min_precision: float) -> tuple[float, float]:
        """Return the highest recall with at least this precision, and its threshold; 0 and infinity if none exists."""
        good = np.flatnonzero(self.precision >= min_precision)
        return (float(self.recall[good[-1]]), float(self.scores[good[-1]])) if len(good) else (0.0, inf)


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The detections of one image matched with its faces, in one range.

    Attributes:
        scores: float32 (K,), scores of the detections that count.
        right: bool (K,), whether the detection is a face.
        faces: Number of faces that count.
    """

    scores: Scores
    right: npt.NDArray[np.bool_]
    faces: int


def match(boxes: Boxes, scores: Scores, truth: Boxes, invalid: npt.NDArray[np.bool_], heights: HeightRange) -> Matches:
    """Match the detections of one image, highest score first, each with the best remaining face.

    Args:
        boxes: float32 (N, 4), detections, xyxy in pixels.
        scores: float32 (N,).
        truth: float32 (M, 4), labelled faces, xyxy in pixels.
        invalid: bool (M,), faces that do not count.
        heights: Faces of these heights count.
    """
    counts = heights.holds(truth) & ~invalid
    own_height = heights.holds(boxes)
    overlap = iou(boxes, truth) >= SAME_FACE_IOU
    best = np.where(overlap, iou(boxes, truth), 0)
    free = counts.copy()
    kept: list[int] = []
    right: list[bool] = []
    for i in np.argsort(-scores, kind="stable"):
        candidates = np.where(free, best[i], 0)
        face = int(candidates.argmax()) if len(candidates) else -1
        hit = face >= 0 and candidates[face] > 0
        if hit:
            free[face] = False
        elif (overlap[i] & ~counts).any() or not own_height[i]:
            continue
        kept.append(int(i))
        right.append(hit)
    return Matches(scores[kept], np.array(right, np.bool_), int(counts.sum()))


def curve(images: Sequence[Matches]) -> Curve:
    """Return recall and precision over all images, with a point for every score that occurs."""
    scores = np.concatenate([np.empty(0, np.float32), *(one.scores for one in images)])
    right = np.concatenate([np.empty(0, np.bool_), *(one.right for one in images)])
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], right[order]
    faces = sum(one.faces for one in images)
    found = np.cumsum(right)
    # Detections with equal scores share one threshold.
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], np.ones(min(len(scores), 1), np.bool_)))
    return Curve(scores[last], found[last] / max(faces, 1), found[last] / (last + 1), faces)
