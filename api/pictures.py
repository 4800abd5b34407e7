"""Converts an uploaded file to a JPEG for the workers: checks its header, decodes it and removes all metadata."""

import io
from dataclasses import dataclass
from typing import Final

from PIL import ExifTags, Image, PngImagePlugin

from api.problems import Kind, ProblemError

NO_PICTURE = Kind("no-picture", 415, "The body is not a JPEG, PNG or WebP image.")
TOO_MANY_PIXELS = Kind("too-many-pixels", 413, "The image has too many pixels.")

_FORMATS: Final = ("JPEG", "PNG", "WEBP")
_QUALITY: Final = 95
_LONGEST_SIDE: Final = 65_500
"""Longest side in pixels that JPEG supports."""
PngImagePlugin.MAX_TEXT_MEMORY = 4 * 1024 * 1024  # bytes of all texts in a PNG; Pillow's default is 64 MB
_MOST_SCANS: Final = 100
"""Most scans of a progressive JPEG, which usually has 10: each scan costs as much as decoding the whole image."""
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Operation that turns an image upright, by its EXIF orientation (EXIF 2.32, 4.6.4 A)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image for the workers.

    Attributes:
        jpeg: The upright image as a JPEG file, without metadata such as author, time and place.
        width: Width of the upright image in pixels.
        height: Height of the upright image in pixels.
    """

    jpeg: bytes
    width: int
    height: int


def to_picture(body: bytes, max_megapixels: float) -> Picture:
    """Return the first image of a JPEG, PNG or WebP file, turned upright.

    Args:
        body: The file.
        max_megapixels: Larger images are refused by their header, before memory is allocated for them.

    Raises:
        ProblemError: The file has another format, is damaged, or is too large.
    """
    if body.startswith(b"\xff\xd8") and body.count(b"\xff\xda") > _MOST_SCANS:
        raise ProblemError(NO_PICTURE, f"a JPEG with more than {_MOST_SCANS} scans is not accepted")
    try:
        with Image.open(io.BytesIO(body), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > max_megapixels * 1e6 or max(width, height) > _LONGEST_SIDE:
                raise ProblemError(TOO_MANY_PIXELS, f"{width}x{height}; at most {max_megapixels:g} megapixels")
            image.load()
            turn = _UPRIGHT.get(_orientation(image))
            upright = (image if turn is None else image.transpose(turn)).convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ProblemError(TOO_MANY_PIXELS, f"at most {max_megapixels:g} megapixels are accepted") from None
    except (OSError, SyntaxError, ValueError, EOFError):
        raise ProblemError(
            NO_PICTURE, "send the file itself as the body, as in `curl --data-binary @face.jpg`; it may be damaged"
        ) from None
    upright.info = {}  # otherwise a comment or a colour profile would be saved as well
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=_QUALITY)
    return Picture(out.getvalue(), *upright.size)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) if it is missing or invalid."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow's EXIF reader raises many types of errors; the pixels are valid nevertheless
        return 1
