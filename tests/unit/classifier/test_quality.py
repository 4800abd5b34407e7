"""The quality of a face depends on its pixels and their sharpness."""

import cv2
import numpy as np
import pytest

from classifier.quality import quality, sharpness

NOISE = np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
"""Of maximum sharpness"""
FORMS = cv2.normalize(cv2.GaussianBlur(NOISE, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX)
FACE = cv2.addWeighted(FORMS, 0.7, NOISE, 0.3, 0)
"""Large forms and fine detail, as in a face"""


def box(side: int) -> np.ndarray:
    return np.array([[10, 20, 10 + side, 20 + side]], np.int32)


def blurred(sigma: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(FACE, (0, 0), sigma), np.uint8)


@pytest.mark.parametrize(("side", "expected"), [(96, 1.0), (48, 1.0), (24, 0.5), (12, 0.25), (0, 0.0)])
def test_quality_of_a_sharp_face_is_its_resolution(side: int, expected: float) -> None:
    assert quality(box(side), NOISE[None]) == pytest.approx(expected)


def test_resolution_is_that_of_the_shorter_side() -> None:
    assert quality(np.array([[0, 0, 96, 24]], np.int32), NOISE[None]) == pytest.approx(0.5)


def test_quality_of_a_large_face_falls_with_blur() -> None:
    values = [float(quality(box(200), blurred(sigma)[None])[0]) for sigma in (0.5, 1, 1.5, 2)]
    assert values == sorted(values, reverse=True)
    assert values[0] == 1
    assert 0 < values[-1] < 0.3


def test_quality_is_the_lower_of_size_and_sharpness() -> None:
    soft = float(quality(box(200), blurred(1)[None])[0])
    assert quality(box(round(soft * 48) + 1), blurred(1)[None])[0] == pytest.approx(soft)


def test_quality_of_a_face_of_uniform_brightness_is_0() -> None:
    assert quality(box(80), np.full((1, 48, 48), 90, np.uint8)).tolist() == [0]


def test_sharpness_falls_with_blur_and_does_not_depend_on_contrast() -> None:
    faint = (blurred(1) // 2 + 60).astype(np.uint8)
    flat = np.full((48, 48), 90, np.uint8)
    sharp, soft, soft_and_faint, nothing = sharpness(np.stack([NOISE, blurred(1), faint, flat]))
    assert sharp > 10 > 0.1 > soft > 0
    assert soft_and_faint == pytest.approx(soft, rel=0.5)
    assert nothing == 0


def test_no_faces_give_no_quality() -> None:
    assert quality(np.empty((0, 4), np.int32), np.empty((0, 48, 48), np.uint8)).shape == (0,)


def test_quality_does_not_depend_on_the_other_faces() -> None:
    crops = np.stack([blurred(sigma) for sigma in (1, 2, 3, 4, 5)] * 7)
    boxes = np.repeat(box(44), 35, axis=0)
    together = quality(boxes, crops)
    alone = [quality(boxes[i : i + 1], crops[i : i + 1])[0] for i in range(35)]
    assert together.tolist() == alone
    assert together.dtype == np.float16
