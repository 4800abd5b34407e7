"""The quality of real faces: that of an ordinary face is its resolution, that of a blurred face is lower."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from classifier.quality import quality


@pytest.fixture(scope="module")
def faces(assets: Path) -> np.ndarray:
    with np.load(assets / "data" / "fer2013.npz") as archive:
        chosen: np.ndarray = archive["images"][archive["usage"] == 1][:600]
    return chosen


def of_size(side: int, crops: list[np.ndarray]) -> np.ndarray:
    boxes = np.repeat(np.array([[0, 0, side, side]], np.int32), len(crops), axis=0)
    return quality(boxes, np.stack(crops).astype(np.uint8))


@pytest.mark.parametrize("side", [12, 20, 24, 32, 40, 48])
def test_quality_of_an_ordinary_face_is_its_resolution(faces: np.ndarray, side: int) -> None:
    # Scaled down, as if far from the camera, and up again to the network's input.
    small = [cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for face in faces]
    kept = of_size(side, [cv2.resize(face, (48, 48), interpolation=cv2.INTER_LINEAR) for face in small])
    assert (kept == np.float16(side / 48)).mean() >= 0.95


def test_quality_of_a_blurred_face_is_that_of_a_smaller_one(faces: np.ndarray) -> None:
    soft, softer = (of_size(80, [cv2.GaussianBlur(face, (0, 0), sigma) for face in faces]) for sigma in (2, 4))
    assert 0.2 < np.median(soft) < 0.5
    assert np.median(softer) < 0.6 * np.median(soft)
