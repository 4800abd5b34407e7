"""Where a camera is looked at: what lies outside is blotted out before detection, and cut off where it can be."""

from collections.abc import Sequence
from math import ceil

import cv2
import numpy as np
import numpy.typing as npt

from crowdmood.core.polygons import Polygon
from crowdmood.core.settings import CameraSettings
from detector.base import Image

_BLOT = 127
"""Grey of what is blotted out: in the middle, so that it makes no hard edges against bright or dark."""


_PARTS = 8
"""What is cut out is so many parts of a frame's width and height, or less: a network is compiled for each size."""


class Region:
    """The part of a camera's frames where faces may be searched.

    Args:
        include: Polygons to look at; none: everything.
        mask: Polygons to leave out, even where they overlap the others.
    """

    def __init__(self, include: Sequence[Polygon] = (), mask: Sequence[Polygon] = ()) -> None:
        self.include = tuple(include)
        self.mask = tuple(mask)
        self._size = (0, 0)
        self._allowed: npt.NDArray[np.bool_] = np.empty((0, 0), np.bool_)

    @classmethod
    def of(cls, camera: CameraSettings) -> "Region":
        """The region that a camera's settings draw."""
        return cls(camera.include, camera.mask)

    def allowed(self, width: int, height: int) -> npt.NDArray[np.bool_]:
        """Which pixels may be looked at: bool (height, width)."""
        if self._size != (width, height):
            allowed = np.zeros((height, width), np.uint8)
            allowed[:] = not self.include
            for value, polygons in ((1, self.include), (0, self.mask)):
                for polygon in polygons:
                    cv2.fillPoly(allowed, [corners(polygon, width, height)], value)
            self._size, self._allowed = (width, height), allowed.astype(np.bool_)
        return self._allowed

    def blot(self, image: Image) -> tuple[Image, tuple[int, int]]:
        """Blot out in place what may not be looked at.

        Args:
            image: uint8 (height, width) or (height, width, 3), 0-255; is changed.

        Returns:
            The part of the picture (not a copy) that holds everything allowed, its sides eighths of the picture's,
            without pixels when nothing is allowed; and where its upper left corner lies in the picture, x and y in
            pixels.
        """
        if not self.include and not self.mask:
            return image, (0, 0)
        allowed = self.allowed(image.shape[1], image.shape[0])
        image[~allowed] = _BLOT
        if not allowed.any():
            return image[:0, :0], (0, 0)
        rows, columns = (_cut(np.flatnonzero(allowed.any(axis=1 - axis)), allowed.shape[axis]) for axis in (0, 1))
        return image[rows, columns], (columns.start, rows.start)

    def holds(self, boxes: npt.NDArray[np.int32], width: int, height: int) -> npt.NDArray[np.bool_]:
        """Which boxes have their middle where it may be looked at.

        Args:
            boxes: int32 (N, 4), xyxy in pixels.
            width: Width of the picture in pixels.
            height: Height of the picture in pixels.

        Returns:
            bool (N,).
        """
        if not self.include and not self.mask:
            return np.ones(len(boxes), np.bool_)
        x = np.clip((boxes[:, 0] + boxes[:, 2]) // 2, 0, width - 1)
        y = np.clip((boxes[:, 1] + boxes[:, 3]) // 2, 0, height - 1)
        held: npt.NDArray[np.bool_] = self.allowed(width, height)[y, x]
        return held


def _cut(allowed: npt.NDArray[np.intp], side: int) -> slice:
    """The range that holds all of the places that are allowed along a side: as many eighths of it as are needed."""
    first, end = int(allowed[0]), int(allowed[-1]) + 1
    length = ceil(ceil((end - first) * _PARTS / side) * side / _PARTS)
    first = min(first, side - length)
    return slice(first, first + length)


def corners(polygon: Polygon, width: int, height: int) -> npt.NDArray[np.int32]:
    """A polygon in pixels of a picture: int32 (corners, 1, 2), xy, as OpenCV's drawing wants it."""
    scaled = np.asarray(polygon, np.float64) * (width - 1, height - 1)
    return np.rint(scaled).astype(np.int32).reshape(-1, 1, 2)
