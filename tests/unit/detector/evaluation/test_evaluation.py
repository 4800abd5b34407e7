"""Detections matched with labels: found and missed faces, and false detections."""

import json
from pathlib import Path

import numpy as np
import pytest

from crowdmood.core.errors import DataError
from detector.evaluation.labels import labelled_images
from detector.evaluation.matching import Curve, HeightRange, Matches, curve, match

ALL = HeightRange(12)


def boxes(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def matched(
    found: np.ndarray, scores: list[float], truth: np.ndarray, invalid: list[int], heights: HeightRange
) -> Matches:
    return match(found, np.array(scores, np.float32), truth, np.array(invalid, np.bool_), heights)


FACE = [10.0, 10.0, 40.0, 40.0]
NEAR = [12.0, 10.0, 42.0, 40.0]
FAR = [100.0, 100.0, 130.0, 130.0]
TINY = [200.0, 200.0, 208.0, 208.0]


@pytest.mark.parametrize(
    ("found", "scores", "truth", "invalid", "right"),
    [
        ([], [], [], [], []),
        ([], [], [FACE], [0], []),
        ([FACE], [0.9], [], [], [False]),
        ([NEAR], [0.9], [FACE], [0], [True]),
        ([FACE, NEAR], [0.8, 0.9], [FACE], [0], [True, False]),  # the second detection of a face is false
        ([FAR], [0.9], [FACE], [0], [False]),
        ([FACE], [0.9], [FACE], [1], []),  # invalid faces do not count
        ([TINY], [0.9], [TINY], [0], []),  # too small to count
        ([TINY], [0.9], [FACE], [0], []),  # a false detection counts in the range of its own height
    ],
)
def test_matches_each_face_at_most_once(
    found: list, scores: list[float], truth: list, invalid: list[int], right: list[bool]
) -> None:
    result = matched(boxes(*found), scores, boxes(*truth), invalid, ALL)
    assert result.right.tolist() == right
    assert result.faces == sum(1 for face, out in zip(truth, invalid, strict=True) if not out and face is not TINY)


def test_curve_has_one_point_for_equal_scores() -> None:
    scores = np.array([0.9, 0.5, 0.5, 0.3], np.float32)
    line = curve([Matches(scores[:2], np.array([True, False]), 2), Matches(scores[2:], np.array([True, False]), 2)])
    assert line.scores.tolist() == pytest.approx([0.9, 0.5, 0.3])
    assert line.recall.tolist() == [0.25, 0.5, 0.5]
    assert line.precision.tolist() == pytest.approx([1, 2 / 3, 0.5])
    assert line.at(0.5) == pytest.approx((0.5, 2 / 3))
    assert line.at(0.95) == (0.0, 1.0)
    assert line.best_recall(0.6) == pytest.approx((0.5, 0.5))
    assert line.best_recall(1.0)[0] == 0.25


def test_curve_without_detections_has_recall_0() -> None:
    line: Curve = curve([])
    assert line.at(0.5) == (0.0, 1.0)
    assert line.best_recall(0.9)[0] == 0.0


def test_reads_images_with_a_boxes_json(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    (tmp_path / "boxes.json").write_text(json.dumps({"a.jpg": {"boxes_xywh": [[1, 2, 3, 4]], "invalid": [1]}}))
    (image,) = labelled_images(tmp_path)
    assert image.boxes.tolist() == [[1, 2, 4, 6]]
    assert image.invalid.tolist() == [True]


def test_reads_the_layout_of_wider_face(tmp_path: Path) -> None:
    split, images = tmp_path / "wider_face_split", tmp_path / "WIDER_val" / "images" / "0--Parade"
    split.mkdir()
    images.mkdir(parents=True)
    for name in ("one.jpg", "none.jpg"):
        (images / name).write_bytes(b"")
    (split / "wider_face_val_bbx_gt.txt").write_text(
        "0--Parade/one.jpg\n2\n1 2 3 4 0 0 0 0 0 0 \n5 6 7 8 0 0 0 1 0 0 \n"
        "0--Parade/none.jpg\n0\n0 0 0 0 0 0 0 0 0 0 \n"
    )
    none, one = labelled_images(tmp_path)
    assert one.boxes.tolist() == [[1, 2, 4, 6], [5, 6, 12, 14]]
    assert one.invalid.tolist() == [False, True]
    assert none.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (None, "holds neither"),
        ("{", "damaged"),
        ('{"a.jpg": {}}', "damaged"),
        ("[1]", "damaged"),
        ("{}", "name no image"),
        ('{"a.jpg": {"boxes_xywh": []}}', "a.jpg has labels but does not exist"),
    ],
)
def test_refuses_missing_or_damaged_labels(tmp_path: Path, labels: str | None, text: str) -> None:
    if labels is not None:
        (tmp_path / "boxes.json").write_text(labels)
    with pytest.raises(DataError, match=text):
        labelled_images(tmp_path)
