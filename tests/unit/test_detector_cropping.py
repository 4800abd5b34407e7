"""Boxes become squares, squares become crops, and crops tell how sharp they are."""

import cv2
import numpy as np
import pytest

from detector.cropping import crop_faces, sharpness
from detector.framing import FRAMINGS, Framing, to_squares

GRADIENT = np.tile(np.arange(0, 200, dtype=np.uint8), (100, 1))


@pytest.mark.parametrize("image", [GRADIENT, cv2.cvtColor(GRADIENT, cv2.COLOR_GRAY2BGR)], ids=["gray", "bgr"])
@pytest.mark.parametrize(
    "boxes",
    [
        [],
        [[0, 0, 48, 48]],
        [[10, 20, 90, 95]],  # shrinks
        [[5, 5, 17, 17]],  # grows
        [[-20, -10, 40, 50], [180, 80, 260, 160]],  # over the edges
    ],
)
def test_crops_have_the_networks_size_and_the_faces_brightness(image: np.ndarray, boxes: list[list[int]]) -> None:
    given = np.array(boxes, np.int32).reshape(-1, 4)
    crops = crop_faces(image, given)
    assert crops.shape == (len(boxes), 48, 48)
    for crop, (left, top, right, bottom) in zip(crops, given, strict=True):
        face = GRADIENT[max(top, 0) : bottom, max(left, 0) : right]
        assert abs(crop.mean() - face.mean()) < 2


@pytest.mark.parametrize("box", [[300, 300, 340, 340], [-90, -90, -40, -40], [10, 10, 10, 10]])
def test_a_box_without_pixels_of_the_frame_gives_a_black_crop(box: list[int]) -> None:
    assert not crop_faces(GRADIENT, np.array([box], np.int32)).any()


def test_a_square_box_is_taken_as_it_is() -> None:
    box = np.array([[10.0, 20.0, 58.0, 68.0]])
    for framing in FRAMINGS.values():
        assert to_squares(box, framing).tolist() == [[10, 20, 58, 68]]


def test_a_framing_widens_and_shifts_by_shares_of_the_side() -> None:
    tall = np.array([[40.0, 20.0, 60.0, 60.0]])  # 20 wide, 40 tall, around (50, 40)
    assert to_squares(tall, Framing()).tolist() == [[30, 20, 70, 60]]
    assert to_squares(tall, Framing(side=1.5, down=0.1)).tolist() == [[20, 16, 80, 76]]


def test_every_detector_has_a_framing() -> None:
    from detector.evaluation.references import HobbyHaar, OpenCVYuNet
    from detector.haar import HaarDetector
    from detector.yunet import YuNetDetector

    assert {kind.name for kind in (HobbyHaar, OpenCVYuNet, HaarDetector, YuNetDetector)} == set(FRAMINGS)


def test_a_blurred_crop_is_less_sharp_whatever_its_contrast() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2)
    faint = (blurred // 2 + 60).astype(np.uint8)
    flat = np.full((48, 48), 90, np.uint8)
    sharp, soft, soft_and_faint, nothing = sharpness(np.stack([noise, blurred, faint, flat]))
    assert sharp > 10 > 1 > soft > 0
    assert soft_and_faint == pytest.approx(soft, rel=0.5)
    assert nothing == 0
    assert sharpness(np.empty((0, 48, 48), np.uint8)).shape == (0,)
