"""Image files of every kind become upright JPEG of the same brightness; damaged and oversized ones are refused."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg

from crowdmood.core.errors import UndecodableError
from crowdmood.core.settings import IngestSettings
from ingest.sources.images import to_jpeg

SETTINGS = IngestSettings()


def ramp(width: int, height: int) -> np.ndarray:
    """Return a gray image, uint8 (height, width), that is brighter to the right."""
    return np.tile(np.linspace(20, 230, width, dtype=np.uint8), (height, 1))


def test_keeps_a_suitable_jpeg_unchanged() -> None:
    jpeg = simplejpeg.encode_jpeg_yuv_planes(ramp(63, 47), None, None, quality=80)
    assert to_jpeg(jpeg, SETTINGS).jpeg is jpeg
    colour = cv2.imencode(".jpg", cv2.cvtColor(ramp(63, 47), cv2.COLOR_GRAY2BGR))[1].tobytes()
    encoded = to_jpeg(colour, SETTINGS)
    assert (encoded.jpeg, encoded.width, encoded.height) == (colour, 63, 47)


def test_rotates_a_jpeg_by_its_exif_data_and_removes_them() -> None:
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(ramp(64, 48), cv2.COLOR_GRAY2BGR))[1].tobytes()
    # One Exif entry: orientation 6, "turn clockwise to view".
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack(">I", 0)
    segment = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(tiff)) + b"Exif\0\0" + tiff
    encoded = to_jpeg(jpeg[:2] + segment + jpeg[2:], SETTINGS)
    decoded = simplejpeg.decode_jpeg(encoded.jpeg, "GRAY")[..., 0]
    assert (encoded.width, encoded.height) == (48, 64)
    assert decoded[:8].mean() < 60 < 190 < decoded[-8:].mean()  # the dark left side is on top now
    assert b"Exif" not in encoded.jpeg


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tif"])
@pytest.mark.parametrize("channels", ["gray", "colour"])
def test_encodes_other_images_as_jpeg(suffix: str, channels: str) -> None:
    image = ramp(63, 47) if channels == "gray" else cv2.cvtColor(ramp(63, 47), cv2.COLOR_GRAY2BGR)
    encoded = to_jpeg(cv2.imencode(suffix, image)[1].tobytes(), SETTINGS)
    decoded = simplejpeg.decode_jpeg(encoded.jpeg, "GRAY")[..., 0]
    assert (encoded.width, encoded.height) == (63, 47)
    assert np.abs(decoded.astype(int) - ramp(63, 47)).mean() < 4


def noise(suffix: str) -> bytes:
    return cv2.imencode(suffix, np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))[1].tobytes()


def png_declaring(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "unreadable"),
        (b"hello", "unreadable"),
        (noise(".jpg")[:1000], "unreadable"),  # cut short
        (noise(".jpg")[:100] + b"\0" * 100, "unreadable"),
        (noise(".png")[:1000], "unreadable"),
        (noise(".webp")[:300], "unreadable"),
        (png_declaring(64, 48), "unreadable"),
        (png_declaring(0, 48), "frame_too_large"),
        (png_declaring(30_000, 30_000), "frame_too_large"),  # refused before 2.7 GB are allocated
    ],
)
def test_refuses_damaged_images_with_a_reason_and_prints_nothing(
    data: bytes, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UndecodableError) as caught:
        to_jpeg(data, SETTINGS)
    assert caught.value.reason == reason
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_refuses_images_that_are_too_large(suffix: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        to_jpeg(noise(suffix), IngestSettings(max_frame_megapixels=0.003))
    assert caught.value.reason == "frame_too_large"
