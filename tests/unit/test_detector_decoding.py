"""Decoding, cropping and the cascade's edge cases."""

import numpy as np
import pytest
import simplejpeg

from crowdmood.errors import SettingsError, UndecodableError
from crowdmood.settings import DetectorSettings
from detector.cropping import crop_faces
from detector.decoding import decode_gray
from detector.haar import HaarDetector

GRADIENT = np.tile(np.arange(0, 200, dtype=np.uint8), (100, 1))


def jpeg(gray: np.ndarray) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(gray[:, :, None]), quality=95, colorspace="GRAY"))


def test_a_frame_decodes_to_its_luma() -> None:
    decoded = decode_gray(jpeg(GRADIENT), max_megapixels=1)
    assert decoded.shape == GRADIENT.shape
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - GRADIENT).max() <= 4


@pytest.mark.parametrize(
    ("data", "limit", "reason"),
    [
        (b"", 1, "undecodable"),
        (b"GIF89a", 1, "undecodable"),
        (jpeg(GRADIENT)[:-200], 1, "undecodable"),  # cut short
        (jpeg(GRADIENT), 0.01, "frame_too_large"),  # refused by its header
    ],
)
def test_what_cannot_be_decoded_is_refused_with_a_reason(data: bytes, limit: float, reason: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode_gray(data, limit)
    assert caught.value.reason == reason


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
def test_crops_have_the_networks_size_and_the_faces_brightness(boxes: list[list[int]]) -> None:
    given = np.array(boxes, np.int32).reshape(-1, 4)
    crops = crop_faces(GRADIENT, given)
    assert crops.shape == (len(boxes), 48, 48)
    for crop, (left, top, right, bottom) in zip(crops, given, strict=True):
        face = GRADIENT[max(top, 0) : bottom, max(left, 0) : right]
        assert abs(crop.mean() - face.mean()) < 2


def test_a_box_outside_the_frame_gives_a_black_crop() -> None:
    assert not crop_faces(GRADIENT, np.array([[300, 300, 340, 340]], np.int32)).any()


def test_an_empty_wall_has_no_faces() -> None:
    boxes, scores = HaarDetector(DetectorSettings()).detect(GRADIENT)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_an_unknown_cascade_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match="haarcascade_frontalface_default"):
        HaarDetector(DetectorSettings(cascade="haarcascade_nose"))
