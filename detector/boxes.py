"""Arithmetic on face boxes: overlap, suppression of doubles, and the one order in which boxes leave a detector."""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]

_CANDIDATES = 20_000
"""Boxes that suppression looks at, the most certain ones: its time grows with the square of their number."""

_ROWS_AT_ONCE = 512
"""Rows of an overlap matrix that are held at once: 20,000 boxes against 20,000 would take gigabytes."""


def iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float32]:
    """Intersection over union of every pair.

    Args:
        a: float32 (N, 4), xyxy in pixels.
        b: float32 (M, 4), xyxy in pixels.

    Returns:
        float32 (N, M), 0-1; 0 where a box has no area.
    """
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    union = _area(a)[:, None] + _area(b)[None, :] - shared
    overlap: npt.NDArray[np.float32] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def iou_in_parts(a: Boxes, b: Boxes) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """The rows of `iou(a, b)` a few hundred at a time: so memory does not grow with the square of a crowd."""
    for start in range(0, len(a), _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, len(a)))
        yield rows, iou(a[rows], b)


def suppress(boxes: Boxes, scores: Scores, max_iou: float) -> npt.NDArray[np.intp]:
    """Non-maximum suppression: of boxes that overlap too much only the most confident stays.

    Of more than 20,000 boxes, which no real frame has, the least confident are left out.

    Args:
        boxes: float32 (N, 4), xyxy in pixels.
        scores: float32 (N,), larger is more confident.
        max_iou: Overlap from which two boxes are one face, 0-1.

    Returns:
        Indices of the boxes that stay, most confident first; equal scores keep their order.
    """
    if not len(boxes):
        return np.empty(0, np.intp)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    # Ranks instead of scores: OpenCV takes no negative ones, and drops those of 0.
    ranks = np.empty(len(scores), np.float32)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores), 0, -1)
    kept = cv2.dnn.NMSBoxes(xywh.tolist(), ranks.tolist(), 0.5, max_iou, 1.0, _CANDIDATES)
    return np.asarray(kept, np.intp).reshape(-1)


def reading_order(boxes: npt.NDArray[np.int32], scores: Scores) -> npt.NDArray[np.intp]:
    """Indices of boxes from top to bottom and left to right, whatever found them first."""
    return np.lexsort((-scores, boxes[:, 3], boxes[:, 2], boxes[:, 0], boxes[:, 1]))


def to_pixels(boxes: Boxes, width: int, height: int) -> npt.NDArray[np.int32]:
    """Whole pixels, at most one frame's size outside the frame: a wild network's infinities stay harmless.

    Args:
        boxes: float32 (N, 4), xyxy in pixels.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.

    Returns:
        int32 (N, 4), xyxy.
    """
    limit = np.array([width, height, width, height], np.float32)
    return np.rint(np.clip(np.nan_to_num(boxes), -limit, 2 * limit)).astype(np.int32)


def _area(boxes: Boxes) -> npt.NDArray[np.float32]:
    area: npt.NDArray[np.float32] = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    return area
