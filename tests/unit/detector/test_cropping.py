"""Boxes become squares, and squares become crops, rotated where eyes are not level."""

import cv2
import numpy as np
import pytest

from crowdmood.domain.framing import FRAMINGS, Framing, tilts_of, to_squares
from detector.images import crop_faces

GRADIENT = np.tile(np.arange(0, 200, dtype=np.uint8), (100, 1))


@pytest.mark.parametrize("image", [GRADIENT, cv2.cvtColor(GRADIENT, cv2.COLOR_GRAY2BGR)], ids=["gray", "bgr"])
@pytest.mark.parametrize(
    "boxes",
    [
        [],
        [[0, 0, 48, 48]],
        [[10, 20, 90, 95]],  # scaled down
        [[5, 5, 17, 17]],  # scaled up
        [[-20, -10, 40, 50], [180, 80, 260, 160]],  # over the edges
    ],
)
def test_crops_have_the_size_of_the_network_and_the_brightness_of_the_face(
    image: np.ndarray, boxes: list[list[int]]
) -> None:
    given = np.array(boxes, np.int32).reshape(-1, 4)
    crops = crop_faces(image, given)
    assert crops.shape == (len(boxes), 48, 48)
    for crop, (left, top, right, bottom) in zip(crops, given, strict=True):
        face = GRADIENT[max(top, 0) : bottom, max(left, 0) : right]
        assert abs(crop.mean() - face.mean()) < 2


@pytest.mark.parametrize("box", [[300, 300, 340, 340], [-90, -90, -40, -40], [10, 10, 10, 10]])
def test_box_without_pixels_of_the_frame_gives_a_black_crop(box: list[int]) -> None:
    assert not crop_faces(GRADIENT, np.array([box], np.int32)).any()


def test_default_framing_keeps_a_square_box() -> None:
    box = np.array([[10.0, 20.0, 58.0, 68.0]])
    assert to_squares(box, Framing()).tolist() == [[10, 20, 58, 68]]


def test_framing_scales_and_shifts_by_shares_of_the_side() -> None:
    tall = np.array([[40.0, 20.0, 60.0, 60.0]])  # 20 wide, 40 tall, around (50, 40)
    assert to_squares(tall, Framing()).tolist() == [[30, 20, 70, 60]]
    assert to_squares(tall, Framing(side=1.5, down=0.1)).tolist() == [[20, 16, 80, 76]]


def test_every_detector_has_a_framing() -> None:
    from detector.evaluation.references import BaselineHaar, OpenCVYuNet
    from detector.haar import HaarDetector
    from detector.yunet import YuNetDetector

    assert {kind.name for kind in (BaselineHaar, OpenCVYuNet, HaarDetector, YuNetDetector)} == set(FRAMINGS)


def eyes(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 2, 2)


@pytest.mark.parametrize(
    ("points", "degrees"),
    [
        ([10, 10, 30, 10], 0),
        ([10, 10, 30, 30], 45),
        ([10, 20, 30, 10], -26.57),
        ([10, 10, 10, 30], 0),  # too steep: the eyes are wrong
        ([30, 10, 10, 10], 0),
        ([10, 10, 10, 10], 0),
    ],
)
def test_tilt_is_the_angle_between_the_eyes(points: list[float], degrees: float) -> None:
    assert np.rad2deg(tilts_of(eyes(points))) == pytest.approx([degrees], abs=0.01)


def test_no_eyes_give_no_tilts() -> None:
    assert tilts_of(eyes()).shape == (0,)


@pytest.mark.parametrize("colour", ["gray", "bgr"])
@pytest.mark.parametrize("side", [24, 60, 150])
@pytest.mark.parametrize("degrees", [-30, 20])
def test_rotates_a_tilted_face_upright(colour: str, side: int, degrees: float) -> None:
    rng = np.random.default_rng(1)
    scene = np.asarray(cv2.resize(rng.integers(0, 256, (25, 25)).astype(np.uint8), (400, 400)), np.uint8)
    # OpenCV's angles are counterclockwise.
    turn = cv2.getRotationMatrix2D((199.5, 199.5), -degrees, 1.0)
    turned = np.asarray(cv2.warpAffine(scene, turn, (400, 400)), np.uint8)
    if colour == "bgr":
        turned = np.asarray(cv2.cvtColor(turned, cv2.COLOR_GRAY2BGR), np.uint8)
    square = np.array([[200 - side // 2, 200 - side // 2, 200 + side // 2, 200 + side // 2]], np.int32)
    wanted = crop_faces(scene, square)[0].astype(int)
    assert np.abs(crop_faces(turned, square, np.deg2rad([degrees]))[0] - wanted).mean() < 4
    assert np.abs(crop_faces(turned, square)[0] - wanted).mean() > 12


def test_crops_a_tilted_face_at_the_border_and_one_outside() -> None:
    squares = np.array([[-20, -20, 40, 40], [500, 500, 560, 560]], np.int32)
    at_border, beyond = crop_faces(GRADIENT, squares, np.array([0.3, 0.3]))
    assert at_border.any()
    assert not beyond.any()
