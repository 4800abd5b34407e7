"""Frames and images of every kind become JPEG without losing brightness, size or orientation."""

import struct
import zlib

import av
import cv2
import numpy as np
import pytest
import simplejpeg

from crowdmood.core.errors import UndecodableError
from crowdmood.core.settings import IngestSettings
from ingest.encoding import Planes, check_size
from ingest.sources.images import to_picture

SETTINGS = IngestSettings()


def ramp(width: int, height: int) -> np.ndarray:
    """A gray picture, uint8 (height, width), that grows brighter from left to right."""
    return np.tile(np.linspace(20, 230, width, dtype=np.uint8), (height, 1))


def frame(width: int, height: int, pixel_format: str) -> av.VideoFrame:
    if pixel_format == "gray10le":  # FFmpeg's own conversion to it reads beyond a picture that is one pixel wide
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
def test_any_size_and_pixel_format_keeps_its_brightness_in_full_range(size: tuple[int, int], pixel_format: str) -> None:
    if pixel_format == "yuyv422" and size[0] % 2:
        size = size[0] + 1, size[1]  # two pixels share a word
    picture = Planes.of(frame(*size, pixel_format), 50).encode(95)
    decoded = simplejpeg.decode_jpeg(picture.jpeg, "GRAY")[..., 0]
    assert (picture.width, picture.height) == size
    assert decoded.shape == size[::-1]
    assert np.abs(decoded.astype(int) - ramp(*size)).mean() < 4


def test_colours_survive() -> None:
    red = np.zeros((32, 48, 3), np.uint8)
    red[..., 0] = 200
    picture = Planes.of(av.VideoFrame.from_ndarray(red, format="rgb24"), 50).encode(90)
    decoded = simplejpeg.decode_jpeg(picture.jpeg, "RGB")
    assert np.abs(decoded.astype(int) - red).max() < 8


def test_the_digest_tells_pictures_apart_by_their_pixels_only() -> None:
    # 63 pixels wide: each line ends in padding whose content is anybody's guess.
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
def test_frames_without_pixels_or_with_too_many_are_refused(width: int, height: int, refused: bool) -> None:
    if not refused:
        check_size(width, height, 1.0)
        return
    with pytest.raises(UndecodableError, match=f"{width}x{height}") as caught:
        check_size(width, height, 1.0)
    assert caught.value.reason == "frame_too_large"


def test_a_jpeg_that_is_fit_stays_as_it_is() -> None:
    jpeg = simplejpeg.encode_jpeg_yuv_planes(ramp(63, 47), None, None, quality=80)
    assert to_picture(jpeg, SETTINGS).jpeg is jpeg
    colour = cv2.imencode(".jpg", cv2.cvtColor(ramp(63, 47), cv2.COLOR_GRAY2BGR))[1].tobytes()
    picture = to_picture(colour, SETTINGS)
    assert (picture.jpeg, picture.width, picture.height) == (colour, 63, 47)


def test_a_jpeg_with_exif_is_turned_upright_and_sheds_it() -> None:
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(ramp(64, 48), cv2.COLOR_GRAY2BGR))[1].tobytes()
    # One Exif entry: orientation 6, "turn clockwise to view".
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack(">I", 0)
    segment = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(tiff)) + b"Exif\0\0" + tiff
    picture = to_picture(jpeg[:2] + segment + jpeg[2:], SETTINGS)
    decoded = simplejpeg.decode_jpeg(picture.jpeg, "GRAY")[..., 0]
    assert (picture.width, picture.height) == (48, 64)
    assert decoded[:8].mean() < 60 < 190 < decoded[-8:].mean()  # the dark left side is on top now
    assert b"Exif" not in picture.jpeg


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tif"])
@pytest.mark.parametrize("channels", ["gray", "colour"])
def test_other_images_are_encoded_anew(suffix: str, channels: str) -> None:
    image = ramp(63, 47) if channels == "gray" else cv2.cvtColor(ramp(63, 47), cv2.COLOR_GRAY2BGR)
    picture = to_picture(cv2.imencode(suffix, image)[1].tobytes(), SETTINGS)
    decoded = simplejpeg.decode_jpeg(picture.jpeg, "GRAY")[..., 0]
    assert (picture.width, picture.height) == (63, 47)
    assert np.abs(decoded.astype(int) - ramp(63, 47)).mean() < 4


def image(suffix: str) -> bytes:
    return cv2.imencode(suffix, np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))[1].tobytes()


def png_claiming(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "unreadable"),
        (b"hello", "unreadable"),
        (image(".jpg")[:1000], "unreadable"),  # breaks off
        (image(".jpg")[:100] + b"\0" * 100, "unreadable"),
        (image(".png")[:1000], "unreadable"),
        (image(".webp")[:300], "unreadable"),
        (png_claiming(64, 48), "unreadable"),
        (png_claiming(0, 48), "frame_too_large"),
        (png_claiming(30_000, 30_000), "frame_too_large"),  # refused before it takes 2.7 GB
    ],
)
def test_damaged_images_are_told_by_their_reason_and_nothing_is_printed(
    data: bytes, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UndecodableError) as caught:
        to_picture(data, SETTINGS)
    assert caught.value.reason == reason
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_images_that_are_too_large_are_refused(suffix: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        to_picture(image(suffix), IngestSettings(max_frame_megapixels=0.003))
    assert caught.value.reason == "frame_too_large"
