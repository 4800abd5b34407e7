"""From a frame's JPEG to the picture that a detector searches: decoded once, and to no more than it needs."""

from typing import Any

import cv2
import numpy as np
import simplejpeg

from crowdmood.core.errors import UndecodableError
from detector.base import Colour, Image

REDUCTIONS = (8, 4, 2, 1)
"""By how much a JPEG's sides can be divided while it is decoded, at less cost than decoding it whole."""


def decode(jpeg: bytes, colour: Colour, max_megapixels: float, reduction: int = 1) -> Image:
    """Decode a JPEG.

    Args:
        jpeg: A whole JPEG file.
        colour: `gray` decodes the luma alone: the colours are never computed.
        max_megapixels: Larger pictures are refused by their header, before memory is taken for them.
        reduction: One of `REDUCTIONS`: width and height are divided by it, rounded up.

    Returns:
        uint8 (height, width) for `gray`, (height, width, 3) for `bgr`, 0-255; writable, nobody else's.

    Raises:
        UndecodableError: Not a JPEG, cut short, without pixels, or too large.
    """
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError as error:
        raise UndecodableError(f"the frame is no JPEG: {error}") from None
    if not 0 < height * width <= max_megapixels * 1e6:
        raise UndecodableError(
            f"the frame has {width}x{height} pixels; at most {max_megapixels:g} megapixels are accepted "
            "(CROWDMOOD_INGEST__MAX_FRAME_MEGAPIXELS)",
            "frame_too_large",
        )
    four_inks = space in ("CMYK", "YCCK")
    wanted = "CMYK" if four_inks else colour.upper()
    least = {"min_height": -(-height // reduction), "min_width": -(-width // reduction)} if reduction > 1 else {}
    try:
        pixels: Any = simplejpeg.decode_jpeg(jpeg, wanted, **least)
    except ValueError as error:
        raise UndecodableError(f"the frame's JPEG is damaged: {error}") from None
    if four_inks:
        # Adobe's files, the only ones there are, hold the inks inverted: 255 is no ink.
        pixels = (pixels[:, :, 2::-1].astype(np.uint16) * pixels[:, :, 3:] // 255).astype(np.uint8)
    return as_colour(pixels, colour)


def as_colour(image: Image, colour: Colour) -> Image:
    """A picture with the channels that are wanted; one that has them already is not copied.

    Args:
        image: uint8 (height, width), gray, or (height, width, 1, 3 or 4), gray, BGR or BGRA.
        colour: What is wanted.

    Raises:
        UndecodableError: It has no pixels, is not of bytes, or has another number of channels.
    """
    channels = 1 if image.ndim == 2 else image.shape[-1]
    if image.ndim not in (2, 3) or image.size == 0 or channels not in (1, 3, 4) or image.dtype != np.uint8:
        raise UndecodableError(
            f"a picture of shape {image.shape} and type {image.dtype} cannot be searched: height x width bytes with "
            "1, 3 or 4 channels are needed"
        )
    if channels == 1:
        gray = image.reshape(image.shape[:2])
        return gray if colour == "gray" else np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)
    if colour == "gray":
        code = cv2.COLOR_BGR2GRAY if channels == 3 else cv2.COLOR_BGRA2GRAY
        return np.asarray(cv2.cvtColor(image, code), np.uint8)
    return image if channels == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), np.uint8)
