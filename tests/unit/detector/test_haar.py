"""Haar's windows become faces with scores; images that cannot be searched are refused."""

import cv2
import numpy as np
import pytest

from crowdmood.core.errors import SettingsError, UndecodableError
from crowdmood.core.settings import DetectorSettings
from crowdmood.domain.labels import LABELS
from detector.boxes import iou
from detector.haar import HaarDetector
from detector.hits import score, to_faces
from simulator.bank import load_bank

CASCADE = "haarcascade_frontalface_default"


def hits(*places: tuple[float, float, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` windows of 30 px at each place, one pixel apart, with increasing weights."""
    rows = [[x + i, y, x + i + 30, y + 30] for x, y, count in places for i in range(count)]
    return np.array(rows, np.float32).reshape(-1, 4), np.arange(len(rows), dtype=np.float32) / 10


def test_box_of_a_face_is_the_mean_of_its_windows() -> None:
    boxes, scores = to_faces(*hits((0, 0, 3), (100, 50, 1)), CASCADE, 1.1)
    assert sorted(boxes.tolist()) == [[1, 0, 31, 30], [100, 50, 130, 80]]
    assert scores.shape == (2,)


def test_no_windows_give_no_faces() -> None:
    boxes, scores = to_faces(*hits(), CASCADE, 1.1)
    assert (boxes.shape, scores.shape) == ((0, 4), (0,))


@pytest.mark.parametrize("cascade", [CASCADE, "haarcascade_frontalface_alt2", "haarcascade_profileface"])
def test_score_rises_with_the_number_of_windows_and_the_weight(cascade: str) -> None:
    number = np.array([1, 5, 5, 50], np.float32)
    best = np.array([2, 2, 4, 4], np.float32) + (52 if cascade.endswith("alt2") else 0)
    likely = score(number, best, cascade)
    assert (np.diff(likely) >= 0).all()
    assert 0 <= likely[0] < likely[-1] <= 1


def test_score_does_not_depend_on_the_scale_factor() -> None:
    coarse = to_faces(*hits((0, 0, 4)), CASCADE, 1.2)[1]
    fine = to_faces(*hits((0, 0, 8)), CASCADE, 1.1)[1]
    assert coarse[0] == pytest.approx(fine[0], abs=0.12)


@pytest.mark.parametrize("weight", [-1e6, 0.0, 1e6])
def test_score_is_finite_for_any_weight(weight: float) -> None:
    likely = score(np.ones(1, np.float32), np.full(1, weight, np.float32), CASCADE)
    assert 0 <= likely[0] <= 1


def test_finds_no_faces_in_a_uniform_image() -> None:
    boxes, scores = HaarDetector(DetectorSettings(profile=True)).detect(np.full((100, 200), 90, np.uint8))
    assert (boxes.shape, boxes.dtype) == ((0, 4), np.int32)
    assert (scores.shape, scores.dtype) == ((0,), np.float32)


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (300, 5)])
def test_finds_no_faces_in_an_image_smaller_than_a_face(shape: tuple[int, int]) -> None:
    assert len(HaarDetector(DetectorSettings()).detect(np.zeros(shape, np.uint8))[0]) == 0


def test_refuses_an_image_without_pixels() -> None:
    with pytest.raises(UndecodableError):
        HaarDetector(DetectorSettings()).detect(np.empty((0, 0), np.uint8))


def test_refuses_an_unknown_cascade_and_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="haarcascade_frontalface_default"):
        HaarDetector(DetectorSettings(cascade="haarcascade_nose"))


def test_enlarges_the_frame_for_small_faces_and_does_not_shrink_it_for_large_ones() -> None:
    searched = [
        HaarDetector(DetectorSettings(min_face_px=side)).searched_pixels(100, 100) for side in (12, 20, 24, 200)
    ]
    assert searched == [167**2, 10_000, 10_000, 10_000]


def stand(width: int, height: int, sides: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with eight of the simulator's faces in a row for each size, and their boxes."""
    people, image, boxes, top = load_bank(), np.full((height, width), 90, np.uint8), [], 20
    for side in sides:
        for number in range(8):
            face = cv2.resize(people.face(LABELS.index("neutral"), number), (side, side))
            hair = side // 6
            left = 20 + number * 2 * side
            head = cv2.copyMakeBorder(face, hair, hair, hair, hair, cv2.BORDER_REPLICATE)
            image[top : top + len(head), left : left + len(head)] = head
            boxes.append([left + hair, top + hair, left + hair + side, top + hair + side])
        top += 2 * side
    return image, np.array(boxes, np.float32)


@pytest.mark.parametrize("min_face_px", [20, 45, 90])
@pytest.mark.parametrize(("width", "height"), [(2000, 1700), (2200, 1700), (3840, 2160)])
def test_finds_faces_of_every_searched_size_in_frames_of_any_width(width: int, height: int, min_face_px: int) -> None:
    sides = [side for side in (24, 50, 70, 75, 95, 110, 125) if side >= min_face_px]
    image, truth = stand(width, height, sides)
    boxes, _ = HaarDetector(DetectorSettings(min_face_px=min_face_px)).detect(image)
    found = (iou(truth, boxes.astype(np.float32)) > 0.3).any(axis=1).reshape(-1, 8).sum(axis=1)
    assert found.min() >= 7, dict(zip(sides, found.tolist(), strict=True))
    assert len(boxes) <= len(truth) + 2


def test_does_not_search_levels_without_faces_of_the_smallest_size() -> None:
    wide = [HaarDetector(DetectorSettings(min_face_px=side)).searched_pixels(3840, 2160) for side in (80, 90)]
    assert wide[0] > 3840 * 2160
    assert wide[1] == 1920 * 1080
