"""Decoding of JPEGs for a detector; what cannot be decoded is refused."""

import numpy as np
import pytest
import simplejpeg

from crowdmood.core.errors import UndecodableError
from detector.images import as_colour, decode

GRADIENT = np.tile(np.arange(0, 200, dtype=np.uint8), (100, 1))


def jpeg(gray: np.ndarray) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(gray[:, :, None]), quality=95, colorspace="GRAY"))


def test_decodes_a_frame_to_its_luma() -> None:
    decoded = decode(jpeg(GRADIENT), "gray", max_megapixels=1)
    assert decoded.shape == GRADIENT.shape
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - GRADIENT).max() <= 4


def test_decodes_a_colour_frame_to_bgr() -> None:
    blue = np.zeros((16, 24, 3), np.uint8)
    blue[:, :, 0] = 250
    decoded = decode(bytes(simplejpeg.encode_jpeg(blue, 95, "BGR", "444")), "bgr", max_megapixels=1)
    assert decoded.shape == (16, 24, 3)
    assert np.abs(decoded.astype(int) - blue).max() <= 4


def test_decodes_a_gray_frame_to_bgr() -> None:
    assert decode(jpeg(GRADIENT), "bgr", max_megapixels=1).shape == (100, 200, 3)


@pytest.mark.parametrize(("colour", "shape"), [("gray", (10, 20)), ("bgr", (10, 20, 3))])
def test_decodes_cmyk_to_colours(colour: str, shape: tuple[int, ...]) -> None:
    inks = np.zeros((10, 20, 4), np.uint8)
    inks[:, :, 0] = inks[:, :, 3] = 255  # inverted, as Adobe writes them: no cyan and black, full magenta and yellow
    data = bytes(simplejpeg.encode_jpeg(inks, 95, "CMYK", "444"))
    decoded = decode(data, colour, max_megapixels=1)  # type: ignore[arg-type]
    assert decoded.shape == shape
    red = [0, 0, 255] if colour == "bgr" else 76
    assert np.abs(decoded.astype(int) - red).max() <= 6


@pytest.mark.parametrize(("reduction", "shape"), [(1, (100, 200)), (2, (50, 100)), (4, (25, 50)), (8, (13, 25))])
def test_decodes_a_frame_at_a_fraction_of_its_size(reduction: int, shape: tuple[int, int]) -> None:
    assert decode(jpeg(GRADIENT), "gray", 1, reduction).shape == shape


def without_size(data: bytes, width: bool) -> bytes:
    """Return the JPEG with a height or width of 0 in its header."""
    frame_header = data.index(b"\xff\xc0") + 5
    place = frame_header + (2 if width else 0)
    return data[:place] + b"\0\0" + data[place + 2 :]


@pytest.mark.parametrize(
    ("data", "limit", "reason"),
    [
        (b"", 1, "undecodable"),
        (b"GIF89a", 1, "undecodable"),
        (jpeg(GRADIENT)[:-200], 1, "undecodable"),  # cut short
        (without_size(jpeg(GRADIENT), width=False), 1, "undecodable"),
        (without_size(jpeg(GRADIENT), width=True), 1, "undecodable"),
        (jpeg(GRADIENT), 0.01, "frame_too_large"),  # refused by the header
    ],
)
@pytest.mark.parametrize("colour", ["gray", "bgr"])
def test_refuses_a_damaged_or_too_large_frame_with_a_reason(
    data: bytes, limit: float, reason: str, colour: str
) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode(data, colour, limit)  # type: ignore[arg-type]
    assert caught.value.reason == reason


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 1), (6, 8, 3), (6, 8, 4)])
def test_converts_images_of_one_three_and_four_channels(shape: tuple[int, ...]) -> None:
    image = np.full(shape, 90, np.uint8)
    assert np.array_equal(as_colour(image, "gray"), np.full((6, 8), 90, np.uint8))
    assert np.array_equal(as_colour(image, "bgr"), np.full((6, 8, 3), 90, np.uint8))


def test_does_not_copy_an_image_that_has_the_colour() -> None:
    gray, bgr = np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8)
    assert np.shares_memory(as_colour(gray, "gray"), gray)
    assert np.shares_memory(as_colour(bgr, "bgr"), bgr)


@pytest.mark.parametrize("shape", [(0, 8), (6, 0), (6, 8, 2), (6, 8, 5), (48,), (1, 6, 8, 3)])
def test_refuses_an_image_without_pixels_or_with_other_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(UndecodableError, match="cannot be searched"):
        as_colour(np.zeros(shape, np.uint8), "gray")
