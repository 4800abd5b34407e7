"""Frames of every kind are encoded as JPEG without losing brightness or size."""

import av
import cv2
import numpy as np
import pytest
import simplejpeg

from crowdmood.core.errors import UndecodableError
from ingest.encoding import Planes, check_size


def ramp(width: int, height: int) -> np.ndarray:
    """Return a gray image, uint8 (height, width), that is brighter to the right."""
    return np.tile(np.linspace(20, 230, width, dtype=np.uint8), (height, 1))


def frame(width: int, height: int, pixel_format: str) -> av.VideoFrame:
    if pixel_format == "gray10le":  # FFmpeg's own conversion to it reads beyond an image that is one pixel wide
        made = av.VideoFrame(width, height, pixel_format)
        lines = np.zeros((height, made.planes[0].line_size // 2), "<u2")
        lines[:, :width] = ramp(width, height).astype("<u2") << 2
        made.planes[0].update(lines.tobytes())
        return made
    bgr = cv2.cvtColor(ramp(width, height), cv2.COLOR_GRAY2BGR)
    return av.VideoFrame.from_ndarray(bgr, format="bgr24").reformat(format=pixel_format)


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (65, 33), (640, 2), (1, 1), (2, 1), (1, 7)])
@pytest.mark.parametrize(
    "pixel_format",
    ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "gray", "gray10le", "yuv420p10le", "yuyv422", "rgb24"],
)
def test_keeps_brightness_in_full_range_for_any_size_and_pixel_format(size: tuple[int, int], pixel_format: str) -> None:
    if pixel_format == "yuyv422" and size[0] % 2:
        size = size[0] + 1, size[1]  # two pixels share a word
    image = Planes.of(frame(*size, pixel_format), 50).encode(95)
    decoded = simplejpeg.decode_jpeg(image.jpeg, "GRAY")[..., 0]
    assert (image.width, image.height) == size
    assert decoded.shape == size[::-1]
    assert np.abs(decoded.astype(int) - ramp(*size)).mean() < 4


def test_keeps_colours() -> None:
    red = np.zeros((32, 48, 3), np.uint8)
    red[..., 0] = 200
    image = Planes.of(av.VideoFrame.from_ndarray(red, format="rgb24"), 50).encode(90)
    decoded = simplejpeg.decode_jpeg(image.jpeg, "RGB")
    assert np.abs(decoded.astype(int) - red).max() < 8


def test_digest_depends_on_the_pixels_only() -> None:
    # 63 pixels wide: each line ends in padding with undefined content.
    first, same = (Planes.of(frame(63, 47, "yuv420p"), 50) for _ in range(2))
    assert first.digest() == same.digest()
    other = ramp(63, 47)
    other[20, 30] += 5
    changed = Planes.of(av.VideoFrame.from_ndarray(other, format="gray"), 50)
    unchanged = Planes.of(av.VideoFrame.from_ndarray(ramp(63, 47), format="gray"), 50)
    assert changed.digest() != unchanged.digest()


@pytest.mark.parametrize(
    ("width", "height", "refused"),
    [(0, 0, True), (0, 48, True), (1, 1, False), (1000, 1000, False), (1001, 1000, True), (10_000, 10_000, True)],
)
def test_refuses_frames_without_pixels_or_with_too_many(width: int, height: int, refused: bool) -> None:
    if not refused:
        check_size(width, height, 1.0)
        return
    with pytest.raises(UndecodableError, match=f"{width}x{height}") as caught:
        check_size(width, height, 1.0)
    assert caught.value.reason == "frame_too_large"
