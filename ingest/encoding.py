"""Encodes decoded frames as JPEG directly from their planes. A conversion to RGB would take most of the time."""

import zlib
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import simplejpeg

from crowdmood.core.errors import UndecodableError

Plane = npt.NDArray[np.uint8]

SQUARE = Fraction(1)
"""Pixel aspect of most footage."""


@dataclass(frozen=True, slots=True)
class JpegImage:
    """A JPEG-coded image.

    Attributes:
        jpeg: The JPEG data.
        width: Width in pixels.
        height: Height in pixels.
    """

    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """An upright image in the format of JPEG: full-range YCbCr, chroma at half the resolution, rounded up.

    Attributes:
        luma: uint8 (H, W), 0-255.
        blue: uint8 (ceil(H/2), ceil(W/2)), 0-255.
        red: uint8 (ceil(H/2), ceil(W/2)), 0-255.
    """

    luma: Plane
    blue: Plane
    red: Plane

    @classmethod
    def of(cls, frame: av.VideoFrame, max_megapixels: float, pixel_aspect: Fraction = SQUARE) -> "Planes":
        """Convert a decoded frame of any pixel format, stretch it to square pixels, and rotate it as its metadata says.

        Args:
            frame: The frame.
            max_megapixels: The largest size, after stretching.
            pixel_aspect: Width of a pixel divided by its height; anamorphic footage has one that is not 1.

        Raises:
            UndecodableError: The frame has no pixels or too many (`frame_too_large`), or cannot be converted
                (`unreadable`).
        """
        width, height = square_size(frame.width, frame.height, pixel_aspect)
        check_size(width, height, max_megapixels)
        try:
            # "yuvj" has the full range of JPEG; most video has 16-235.
            full = frame.reformat(width, height, format="yuvj420p")
        except (av.error.FFmpegError, ValueError):
            raise UndecodableError(f"pixel format {frame.format.name} cannot be converted", "unreadable") from None
        turns = round(frame.rotation / 90) % 4
        return cls(*(_array(plane, turns) for plane in full.planes))

    def encode(self, quality: int) -> JpegImage:
        """Encode as JPEG of a quality from 1 to 100."""
        height, width = self.luma.shape
        jpeg = simplejpeg.encode_jpeg_yuv_planes(self.luma, self.blue, self.red, quality=quality)
        return JpegImage(jpeg, width, height)

    def digest(self) -> int:
        """Return a checksum of the image's brightness."""
        return zlib.crc32(np.ascontiguousarray(self.luma).data)


def square_size(width: int, height: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """Return the size of a frame with square pixels; its shorter direction is stretched, so that no detail is lost."""
    if pixel_aspect > 1:
        return round(width * pixel_aspect), height
    return width, round(height / pixel_aspect)


def check_size(width: int, height: int, max_megapixels: float) -> None:
    """Refuse a frame of an impossible or excessive size.

    Raises:
        UndecodableError: The frame has no pixels or too many; the reason is `frame_too_large` in both cases.
    """
    if width <= 0 or height <= 0:
        raise UndecodableError(f"a frame of {width}x{height} pixels is empty", "frame_too_large")
    if width * height > max_megapixels * 1e6:
        raise UndecodableError(
            f"a frame of {width}x{height} pixels is larger than the {max_megapixels:g} megapixels that "
            "CROWDMOOD_INGEST__MAX_FRAME_MEGAPIXELS allows",
            "frame_too_large",
        )


def _array(plane: av.video.plane.VideoPlane, turns: int) -> Plane:
    # FFmpeg pads lines for alignment: cut the padding off.
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    inside = lines[: plane.height, : plane.width]
    return np.ascontiguousarray(np.rot90(inside, turns)) if turns else inside
