"""Overlap, suppression and order of boxes."""

import numpy as np
import pytest

from detector.boxes import iou, iou_in_parts, reading_order, suppress, to_pixels


def boxes(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
        ([0, 0, 10, 10], [10, 0, 20, 10], 0.0),  # they touch
        ([0, 0, 10, 10], [5, 0, 15, 10], 1 / 3),
        ([0, 0, 10, 10], [0, 0, 0, 0], 0.0),  # no area
        ([0, 0, 0, 0], [0, 0, 0, 0], 0.0),
        ([10, 10, 0, 0], [0, 0, 10, 10], 0.0),  # corners swapped
    ],
)
def test_overlap_is_intersection_over_union(a: list[float], b: list[float], expected: float) -> None:
    assert iou(boxes(a), boxes(b))[0, 0] == pytest.approx(expected)


def test_overlap_in_parts_equals_the_overlap() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 200, (1300, 2)).astype(np.float32)
    many = np.concatenate([corner, corner + 30], axis=1)
    parts = np.concatenate([part for _, part in iou_in_parts(many, many[:50])])
    assert np.array_equal(parts, iou(many, many[:50]))


def test_suppression_keeps_the_overlapping_box_with_the_highest_score() -> None:
    rows = boxes([0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10])
    assert suppress(rows, np.array([0.5, 0.9, 0.1], np.float32), 0.4).tolist() == [1, 2]


def test_suppression_accepts_equal_negative_and_no_scores() -> None:
    rows = boxes([0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10])
    assert suppress(rows, np.array([-3, -3, 0], np.float32), 0.4).tolist() == [2, 0]
    assert suppress(boxes(), np.empty(0, np.float32), 0.4).tolist() == []


def test_suppresses_20_000_boxes_in_seconds() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 3800, (20_000, 2)).astype(np.float32)
    kept = suppress(np.concatenate([corner, corner + 24], axis=1), rng.random(20_000).astype(np.float32), 0.45)
    assert 5_000 < len(kept) < 20_000


def test_reading_order_is_from_top_to_bottom_and_left_to_right() -> None:
    rows = np.array([[30, 5, 40, 15], [0, 5, 10, 15], [9, 0, 19, 10]], np.int32)
    scores = np.array([0.1, 0.2, 0.3], np.float32)
    shuffled = [2, 0, 1]
    for order in ([0, 1, 2], shuffled):
        sorted_boxes = rows[order][reading_order(rows[order], scores[order])]
        assert sorted_boxes[:, 0].tolist() == [9, 0, 30]


def test_infinite_boxes_become_finite_pixels() -> None:
    infinite = boxes([-np.inf, np.nan, np.inf, 1e30], [1.4, 2.6, 10.5, 11.5])
    assert to_pixels(infinite, 100, 50).tolist() == [[-100, 0, 200, 100], [1, 3, 10, 12]]
