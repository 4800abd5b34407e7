"""Decodes a frame's JPEG once, no larger than needed, converts colours, and crops faces to 48x48 gray."""

from math import cos, sin
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from crowdmood.core.errors import UndecodableError
from crowdmood.domain.messages import CROP_SIZE
from detector.base import Colour, Image

REDUCTIONS = (8, 4, 2, 1)
"""Divisors of a JPEG's sides for which decoding costs less than at full size."""


def decode(jpeg: bytes, colour: Colour, max_megapixels: float, reduction: int = 1) -> Image:
    """Decode a JPEG.

    Args:
        jpeg: A whole JPEG file.
        colour: For `gray`, only the luma is decoded.
        max_megapixels: Larger images are refused by their header, before memory is allocated.
        reduction: One of `REDUCTIONS`: width and height are divided by it, rounded up.

    Returns:
        uint8 (height, width) for `gray`, (height, width, 3) for `bgr`, 0-255; writable, and not shared.

    Raises:
        UndecodableError: The data is not a JPEG, is cut short, has no pixels, or is too large.
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
    cmyk = space in ("CMYK", "YCCK")
    wanted = "CMYK" if cmyk else colour.upper()
    least = {"min_height": -(-height // reduction), "min_width": -(-width // reduction)} if reduction > 1 else {}
    try:
        pixels: Any = simplejpeg.decode_jpeg(jpeg, wanted, **least)
    except ValueError as error:
        raise UndecodableError(f"the frame's JPEG is damaged: {error}") from None
    if cmyk:
        # Adobe writes inverted CMYK, and no other files are in use: 255 is no ink.
        pixels = (pixels[:, :, 2::-1].astype(np.uint16) * pixels[:, :, 3:] // 255).astype(np.uint8)
    return as_colour(pixels, colour)


def as_colour(image: Image, colour: Colour) -> Image:
    """Convert an image to a colour; an image that has it is returned without a copy.

    Args:
        image: uint8 (height, width), gray, or (height, width, 1, 3 or 4), gray, BGR or BGRA.
        colour: The colour of the result.

    Raises:
        UndecodableError: The image has no pixels, another dtype, or another number of channels.
    """
    channels = 1 if image.ndim == 2 else image.shape[-1]
    if image.ndim not in (2, 3) or image.size == 0 or channels not in (1, 3, 4) or image.dtype != np.uint8:
        raise UndecodableError(
            f"an image of shape {image.shape} and type {image.dtype} cannot be searched: height x width bytes with "
            "1, 3 or 4 channels are needed"
        )
    if channels == 1:
        gray = image.reshape(image.shape[:2])
        return gray if colour == "gray" else np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)
    if colour == "gray":
        code = cv2.COLOR_BGR2GRAY if channels == 3 else cv2.COLOR_BGRA2GRAY
        return np.asarray(cv2.cvtColor(image, code), np.uint8)
    return image if channels == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), np.uint8)


def crop_faces(
    image: Image, squares: npt.NDArray[np.int32], tilts: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.uint8]:
    """Crop faces and scale them to the network's input; only the crops of a colour image are converted to gray.

    Args:
        image: uint8 (height, width), gray, or (height, width, 3), BGR; 0-255.
        squares: int32 (N, 4), xyxy in pixels; parts outside the image are left out.
        tilts: float64 (N,), clockwise tilt of each face in radians, which is rotated back; None for upright faces.

    Returns:
        uint8 (N, 48, 48), gray, 0-255.
    """
    height, width = image.shape[:2]
    crops = np.zeros((len(squares), CROP_SIZE, CROP_SIZE), np.uint8)
    tilts = np.zeros(len(squares)) if tilts is None else tilts
    for crop, (left, top, right, bottom), tilt in zip(crops, squares, tilts, strict=True):
        face = image[max(top, 0) : max(min(bottom, height), 0), max(left, 0) : max(min(right, width), 0)]
        if tilt and face.size:
            face = _upright(image, (left + right) / 2, (top + bottom) / 2, right - left, tilt)
        if face.size:
            shrinking = min(face.shape[:2]) > CROP_SIZE
            method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
            crop[:] = cv2.resize(as_colour(face, "gray"), (CROP_SIZE, CROP_SIZE), interpolation=method)
    return crops


def _upright(image: Image, x: float, y: float, side: int, tilt: float) -> Image:
    """Return the square around (x, y), rotated back by `tilt`; the border of the image is repeated beyond its edges."""
    # About as many pixels as the square has, in multiples of the crop's side, so that shrinking uses all of them.
    fine = CROP_SIZE * max(1, round(side / CROP_SIZE))
    across, down = np.array([cos(tilt), sin(tilt)]) * side / fine, np.array([-sin(tilt), cos(tilt)]) * side / fine
    # A pixel's position is its centre.
    corner = np.array([x, y]) - 0.5 - (across + down) * (fine - 1) / 2
    matrix = np.stack([across, down, corner], axis=1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(image, matrix, (fine, fine), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)
