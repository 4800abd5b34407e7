"""The region of a camera's frames to search; the rest is blotted out before detection, and cut off where possible."""

from collections.abc import Sequence
from math import ceil

import cv2
import numpy as np
import numpy.typing as npt

from crowdmood.core.polygons import Polygon
from crowdmood.core.settings import CameraSettings
from detector.base import Image

_BLOT = 127
"""Grey level of pixels that are blotted out; a middle level has no hard edges against bright or dark parts."""

_PARTS = 8
"""Sides of the searched part are multiples of this fraction of the frame's, because each size is compiled for."""


class Region:
    """The part of a camera's frames to search.

    Args:
        include: Polygons to search; empty for the whole frame.
        mask: Polygons to leave out, also inside the others.
        floor: A region that this one cannot exceed: what it leaves out stays out.
    """

    def __init__(
        self, include: Sequence[Polygon] = (), mask: Sequence[Polygon] = (), floor: "Region | None" = None
    ) -> None:
        self.include = tuple(include)
        self.mask = tuple(mask)
        self.floor = floor
        self._size = (0, 0)
        self._allowed: npt.NDArray[np.bool_] = np.empty((0, 0), np.bool_)

    @classmethod
    def of(cls, camera: CameraSettings) -> "Region":
        """Return the region in a camera's settings."""
        return cls(camera.include, camera.mask)

    @property
    def everywhere(self) -> bool:
        """Whether nothing is left out."""
        return not self.include and not self.mask and (self.floor is None or self.floor.everywhere)

    def allowed(self, width: int, height: int) -> npt.NDArray[np.bool_]:
        """Return which pixels may be searched: bool (height, width)."""
        if self._size != (width, height):
            allowed = np.zeros((height, width), np.uint8)
            allowed[:] = not self.include
            for value, polygons in ((1, self.include), (0, self.mask)):
                for polygon in polygons:
                    cv2.fillPoly(allowed, [corners(polygon, width, height)], value)
            if self.floor is not None:
                allowed[~self.floor.allowed(width, height)] = 0
            self._size, self._allowed = (width, height), allowed.astype(np.bool_)
        return self._allowed

    def blot(self, image: Image) -> tuple[Image, tuple[int, int]]:
        """Blot out the pixels that may not be searched, in place.

        Args:
            image: uint8 (height, width) or (height, width, 3), 0-255; changed in place.

        Returns:
            The part of the image to search (a view, not a copy), whose sides are eighths of the image's; it has no
            pixels if nothing is allowed. And the position of its top left corner, x and y in pixels of the image.
        """
        if self.everywhere:
            return image, (0, 0)
        allowed = self.allowed(image.shape[1], image.shape[0])
        image[~allowed] = _BLOT
        if not allowed.any():
            return image[:0, :0], (0, 0)
        rows, columns = (_cut(np.flatnonzero(allowed.any(axis=1 - axis)), allowed.shape[axis]) for axis in (0, 1))
        return image[rows, columns], (columns.start, rows.start)

    def holds(self, boxes: npt.NDArray[np.int32], width: int, height: int) -> npt.NDArray[np.bool_]:
        """Return which boxes have their centre in the region.

        Args:
            boxes: int32 (N, 4), xyxy in pixels.
            width: Width of the image in pixels.
            height: Height of the image in pixels.

        Returns:
            bool (N,).
        """
        if self.everywhere:
            return np.ones(len(boxes), np.bool_)
        x = np.clip((boxes[:, 0] + boxes[:, 2]) // 2, 0, width - 1)
        y = np.clip((boxes[:, 1] + boxes[:, 3]) // 2, 0, height - 1)
        held: npt.NDArray[np.bool_] = self.allowed(width, height)[y, x]
        return held


def _cut(allowed: npt.NDArray[np.intp], side: int) -> slice:
    """Return the range of the allowed positions along a side, with the length of the eighths of the side it needs."""
    first, end = int(allowed[0]), int(allowed[-1]) + 1
    length = ceil(ceil((end - first) * _PARTS / side) * side / _PARTS)
    first = min(first, side - length)
    return slice(first, first + length)


def corners(polygon: Polygon, width: int, height: int) -> npt.NDArray[np.int32]:
    """Return a polygon in pixels of an image for OpenCV's drawing functions: int32 (corners, 1, 2), xy."""
    scaled = np.asarray(polygon, np.float64) * (width - 1, height - 1)
    return np.rint(scaled).astype(np.int32).reshape(-1, 1, 2)
