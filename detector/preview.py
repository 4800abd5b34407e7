"""Draws a camera's regions and the faces found, over blocks in which no person can be recognised."""

import cv2
import numpy as np

from crowdmood.core.errors import DataError
from crowdmood.core.pixelation import block_px
from detector.base import Image
from detector.finder import FaceFinder
from detector.images import decode
from detector.regions import Region, corners

_INCLUDED = (80, 200, 80)
_MASKED = (60, 60, 220)
_FACE = (0, 200, 255)


def preview(jpeg: bytes, finder: FaceFinder, region: Region, max_megapixels: float, *, show_faces: bool) -> bytes:
    """Draw a frame with its regions and faces.

    Args:
        jpeg: The frame.
        finder: Finds the faces.
        region: The region to search.
        max_megapixels: Larger frames are refused, in megapixels.
        show_faces: Leave the frame as it is, instead of pixelated.

    Returns:
        A PNG file.

    Raises:
        UndecodableError: The frame cannot be decoded, or is too large.
        DataError: The image cannot be encoded.
    """
    image = decode(jpeg, "bgr", max_megapixels)
    found = finder.find(jpeg, region)
    height, width = image.shape[:2]
    if not show_faces:
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1)
        image[:] = _blocks(image, block_px(width, height, sides.tolist()))
        outside = ~region.allowed(width, height)
        image[outside] //= 2
    thickness = max(1, round(min(width, height) / 400))
    for colour, polygons in ((_INCLUDED, region.include), (_MASKED, region.mask)):
        outlines = [corners(polygon, width, height) for polygon in polygons]
        cv2.polylines(image, outlines, True, colour, 2 * thickness)
    for left, top, right, bottom in found.boxes.tolist():
        cv2.rectangle(image, (left, top), (right, bottom), _FACE, thickness)
    label = f"faces found by {finder.detector.name}: {len(found.boxes)}"
    size = max(0.5, height / 1000)
    for colour, width_px in (((0, 0, 0), 4 * thickness), ((255, 255, 255), thickness)):
        cv2.putText(image, label, (10, round(30 * size) + 5), cv2.FONT_HERSHEY_SIMPLEX, size, colour, width_px)
    done, png = cv2.imencode(".png", image)
    if not done:
        raise DataError("the preview cannot be encoded as PNG")
    return png.tobytes()


def _blocks(image: Image, side_px: int) -> Image:
    height, width = image.shape[:2]
    few = cv2.resize(image, (max(1, width // side_px), max(1, height // side_px)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(few, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
