"""Cuts faces out as the network wants them, 48x48 gray."""

from math import cos, sin

import cv2
import numpy as np
import numpy.typing as npt

from crowdmood.domain.messages import CROP_SIZE
from detector.base import Image
from detector.decoding import as_colour


def crop_faces(
    image: Image, squares: npt.NDArray[np.int32], tilts: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.uint8]:
    """Cut out and resize faces; of a colour picture only the faces become gray.

    Args:
        image: uint8 (height, width), gray, or (height, width, 3), BGR; 0-255.
        squares: int32 (N, 4), xyxy in pixels; what lies outside the picture is left out.
        tilts: float64 (N,), radians by which each face is turned clockwise: it is turned back; none: all are upright.

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
    """The square around (x, y) that is turned clockwise by `tilt`, upright; beyond the picture its border goes on."""
    # As many pixels as the square has, in multiples of the crop's: so that shrinking leaves nothing out.
    fine = CROP_SIZE * max(1, round(side / CROP_SIZE))
    across, down = np.array([cos(tilt), sin(tilt)]) * side / fine, np.array([-sin(tilt), cos(tilt)]) * side / fine
    # Pixels are points at their middles.
    corner = np.array([x, y]) - 0.5 - (across + down) * (fine - 1) / 2
    matrix = np.stack([across, down, corner], axis=1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(image, matrix, (fine, fine), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)
