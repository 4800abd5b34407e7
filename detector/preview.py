"""Draws a camera's regions and the faces found as an image in which no person can be recognised."""

import cv2
import numpy as np

from crowdmood.core.errors import DataError
from detector.base import Image
from detector.finder import FaceFinder
from detector.images import decode
from detector.regions import Region, corners

_INCLUDED = (80, 200, 80)
_MASKED = (60, 60, 220)
_FACE = (0, 200, 255)
_BLOCKS_ACROSS_FACE = 6
_BLOCK_PX = 24
"""Side of the blocks outside the region. Faces there are not searched, so all of it is pixelated."""
_MARGIN = 0.15
"""Margin around a box that is pixelated too, as a share of the box: hair and ears can identify a person."""


def preview(jpeg: bytes, finder: FaceFinder, region: Region, max_megapixels: float, *, show_faces: bool) -> bytes:
    """Draw a frame with its regions and faces.

    Args:
        jpeg: The frame.
        finder: Finds the faces.
        region: The region to search.
        max_megapixels: Larger frames are refused, in megapixels.
        show_faces: Do not pixelate faces and the parts outside the region.

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
        _hide_outside(image, region)
        for box in found.boxes:
            _pixelate(image, box)
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


def _hide_outside(image: Image, region: Region) -> None:
    if not region.include and not region.mask:
        return
    height, width = image.shape[:2]
    outside = ~region.allowed(width, height)
    blocks = _blocks(image, max(1, width // _BLOCK_PX), max(1, height // _BLOCK_PX))
    image[outside] = blocks[outside] // 2


def _pixelate(image: Image, box: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> None:
    height, width = image.shape[:2]
    margin = np.rint((box[2:] - box[:2]) * _MARGIN).astype(int)
    left, top = np.maximum(box[:2] - margin, 0)
    right, bottom = np.minimum(box[2:] + margin, (width, height))
    face = image[top:bottom, left:right]
    if face.size:
        face[:] = _blocks(face, _BLOCKS_ACROSS_FACE, _BLOCKS_ACROSS_FACE)


def _blocks(pixels: Image, across: int, down: int) -> Image:
    height, width = pixels.shape[:2]
    few = cv2.resize(pixels, (min(across, width), min(down, height)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(few, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
