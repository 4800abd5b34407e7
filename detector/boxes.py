"""Operations on face boxes: overlap, non-maximum suppression, and the order in which detectors return boxes."""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]

_CANDIDATES = 20_000
"""Most boxes in a suppression, those with the highest scores; its time grows with the square of their number."""

_ROWS_AT_ONCE = 512
"""Rows of an overlap matrix in memory at once: the matrix of 20,000 boxes by 20,000 takes gigabytes."""


def iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float32]:
    """Return the intersection over union of every pair.

    Args:
        a: float32 (N, 4), xyxy in pixels.
        b: float32 (M, 4), xyxy in pixels.

    Returns:
        float32 (N, M), 0-1; 0 for a box without area.
    """
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    union = _area(a)[:, None] + _area(b)[None, :] - shared
    overlap: npt.NDArray[np.float32] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def iou_in_parts(a: Boxes, b: Boxes) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield the rows of `iou(a, b)` a few hundred at a time, to bound the memory for large crowds."""
    for start in range(0, len(a), _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, len(a)))
        yield rows, iou(a[rows], b)


def suppress(boxes: Boxes, scores: Scores, max_iou: float) -> npt.NDArray[np.intp]:
    """Return the boxes that remain after non-maximum suppression: of overlapping boxes, the one with the highest score.

    Of more than 20,000 boxes, which no real frame has, those with the lowest scores are ignored.

    Args:
        boxes: float32 (N, 4), xyxy in pixels.
        scores: float32 (N,); higher is more confident.
        max_iou: Overlap above which two boxes are one face, 0-1.

    Returns:
        Indices of the remaining boxes, highest score first; equal scores keep their order.
    """
    if not len(boxes):
        return np.empty(0, np.intp)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    # Use ranks instead of scores: OpenCV refuses negative scores and drops those of 0.
    ranks = np.empty(len(scores), np.float32)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores), 0, -1)
    kept = cv2.dnn.NMSBoxes(xywh.tolist(), ranks.tolist(), 0.5, max_iou, 1.0, _CANDIDATES)
    return np.asarray(kept, np.intp).reshape(-1)


def reading_order(boxes: npt.NDArray[np.int32], scores: Scores) -> npt.NDArray[np.intp]:
    """Return indices that sort boxes from top to bottom and left to right."""
    return np.lexsort((-scores, boxes[:, 3], boxes[:, 2], boxes[:, 0], boxes[:, 1]))


def to_pixels(boxes: Boxes, width: int, height: int) -> npt.NDArray[np.int32]:
    """Round boxes to pixels, and clip them to one frame size around the frame, so that infinite values become finite.

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
