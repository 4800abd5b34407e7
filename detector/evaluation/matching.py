"""Which detections are faces: matched one to one by overlap, for faces of one range of heights at a time.

A face outside the range, or marked invalid, counts neither when it is found nor when it is missed; a false detection
counts in the range of its own height.
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
    """Faces by their height in pixels of the frame, as WIDER FACE measures them: from `low`, below `high`."""

    low: float
    high: float = inf

    def holds(self, boxes: Boxes) -> npt.NDArray[np.bool_]:
        """Which boxes belong to it: bool (N,)."""
        tall = boxes[:, 3] - boxes[:, 1]
        within: npt.NDArray[np.bool_] = (tall >= self.low) & (tall < self.high)
        return within

    def __str__(self) -> str:
        """For tables."""
        return f"{self.low:g}+ px" if self.high == inf else f"{self.low:g}-{self.high:g} px"


RANGES = (HeightRange(12, 20), HeightRange(20, 40), HeightRange(40), HeightRange(12), HeightRange(20))


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Recall and precision for every threshold.

    Attributes:
        scores: float32 (K,), thresholds, falling.
        recall: float64 (K,), share of the faces found with at least that score.
        precision: float64 (K,), share of faces among what was found.
        faces: How many faces there are.
    """

    scores: Scores
    recall: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    faces: int

    def at(self, min_score: float) -> tuple[float, float]:
        """Recall and precision of everything with at least this score; precision is 1 where nothing was found."""
        count = int((self.scores >= min_score).sum())
        return (float(self.recall[count - 1]), float(self.precision[count - 1])) if count else (0.0, 1.0)

    def best_recall(self, min_precision: float) -> tuple[float, float]:
        """The highest recall with at least this precision, and its threshold; 0 and infinity where there is none."""
        good = np.flatnonzero(self.precision >= min_precision)
        return (float(self.recall[good[-1]]), float(self.scores[good[-1]])) if len(good) else (0.0, inf)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One picture's detections against its faces, in one range.

    Attributes:
        scores: float32 (K,), of the detections that count.
        right: bool (K,), whether each is a face.
        faces: How many faces there were to find.
    """

    scores: Scores
    right: npt.NDArray[np.bool_]
    faces: int


def judge(boxes: Boxes, scores: Scores, truth: Boxes, invalid: npt.NDArray[np.bool_], heights: HeightRange) -> Judged:
    """Match the detections of one picture, the most certain first, each with the best face that is left.

    Args:
        boxes: float32 (N, 4), detections, xyxy in pixels.
        scores: float32 (N,).
        truth: float32 (M, 4), labelled faces, xyxy in pixels.
        invalid: bool (M,), faces that do not count.
        heights: Which faces count.
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
        match = int(candidates.argmax()) if len(candidates) else -1
        hit = match >= 0 and candidates[match] > 0
        if hit:
            free[match] = False
        elif (overlap[i] & ~counts).any() or not own_height[i]:
            continue
        kept.append(int(i))
        right.append(hit)
    return Judged(scores[kept], np.array(right, np.bool_), int(counts.sum()))


def curve(judged: Sequence[Judged]) -> Curve:
    """Recall and precision over all pictures, one point for every score that occurs."""
    scores = np.concatenate([np.empty(0, np.float32), *(one.scores for one in judged)])
    right = np.concatenate([np.empty(0, np.bool_), *(one.right for one in judged)])
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], right[order]
    faces = sum(one.faces for one in judged)
    found = np.cumsum(right)
    # Detections of one score stand or fall together.
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], np.ones(min(len(scores), 1), np.bool_)))
    return Curve(scores[last], found[last] / max(faces, 1), found[last] / (last + 1), faces)
