"""From what somebody uploads to the JPEG that workers get: checked by its header, decoded, stripped of all else."""

import io
from dataclasses import dataclass
from typing import Final

from PIL import ExifTags, Image, PngImagePlugin

from api.problems import Kind, ProblemError

NO_PICTURE = Kind("no-picture", 415, "The body is no JPEG, PNG or WebP picture.")
TOO_MANY_PIXELS = Kind("too-many-pixels", 413, "The picture has too many pixels.")

_FORMATS: Final = ("JPEG", "PNG", "WEBP")
_QUALITY: Final = 95
_LONGEST_SIDE: Final = 65_500
"""What a JPEG can hold."""
PngImagePlugin.MAX_TEXT_MEMORY = 4 * 1024 * 1024  # bytes of all texts in a PNG; Pillow allows 64 MB
_MOST_SCANS: Final = 100
"""Of a progressive JPEG, which usually has ten: each scan costs as much as decoding the whole picture."""
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How to turn a picture upright, by the orientation that its camera noted (EXIF 2.32, 4.6.4 A)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture for the workers.

    Attributes:
        jpeg: The upright picture, JPEG-coded, without anything about who took it, when and where.
        width: Its width in pixels.
        height: Its height in pixels.
    """

    jpeg: bytes
    width: int
    height: int


def to_picture(body: bytes, max_megapixels: float) -> Picture:
    """Read a JPEG, PNG or WebP file, of several pictures the first, turned as its camera was held.

    Args:
        body: The file.
        max_megapixels: Larger pictures are refused by their header, before memory is taken for them.

    Raises:
        ProblemError: It is no such picture, is damaged, or is too large.
    """
    if body.startswith(b"\xff\xd8") and body.count(b"\xff\xda") > _MOST_SCANS:
        raise ProblemError(NO_PICTURE, f"a JPEG of more than {_MOST_SCANS} scans is not accepted")
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
    upright.info = {}  # else a comment or a colour profile would go along
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=_QUALITY)
    return Picture(out.getvalue(), *upright.size)


def _orientation(image: Image.Image) -> int:
    """How its camera was held, 1 to 8; 1, upright, where that is not told or cannot be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # of whatever kind what Pillow's reader stumbles over is: the pixels are there all the same
        return 1
