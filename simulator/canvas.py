"""A canvas for drawing people, in units of the face square, with a mask of what is covered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = tuple[float, float, float]
"""Blue, green, red; 0-255."""

# Extent of a sprite in sides of the face square, relative to the square's top left corner.
LEFT: Final = -0.95
RIGHT: Final = 1.95
TOP: Final = -1.25
BOTTOM: Final = 2.3
SUPERSAMPLING: Final = 2
_SUBPIXEL_BITS: Final = 4


@dataclass(frozen=True, slots=True)
class Sprite:
    """A drawn person, ready to paste into a scene.

    Attributes:
        bgr: `(H, W, 3) uint8`.
        mask: `(H, W) uint8`, 255 where the person is.
        left: Left edge of the sprite relative to that of the face square, in pixels.
        top: Top edge of the sprite relative to that of the face square, in pixels.
        free: Share of the face that the person shows: 1, or less if turned away or behind an own arm, scarf or flag.
    """

    bgr: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    left: int
    top: int
    free: float = 1.0


def shade(colour: Colour, factor: float) -> Colour:
    """Return a darker colour (factor below 1) or a lighter one."""
    blue, green, red = colour
    return min(blue * factor, 255.0), min(green * factor, 255.0), min(red * factor, 255.0)


class Canvas:
    """An image and a mask of what is covered, drawn in units of the face square.

    Args:
        scale: Pixels of the canvas for one side of the face square.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale
        width = round((RIGHT - LEFT) * scale / SUPERSAMPLING) * SUPERSAMPLING
        height = round((BOTTOM - TOP) * scale / SUPERSAMPLING) * SUPERSAMPLING
        self.bgr = np.zeros((height, width, 3), np.uint8)
        self.mask = np.zeros((height, width), np.uint8)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, start: int = 0, end: int = 360) -> None:
        """Fill an ellipse, or its sector from `start` to `end` degrees, clockwise from the right."""
        axes = (self._length(rx), self._length(ry))
        for target, value in ((self.bgr, colour), (self.mask, 255)):
            cv2.ellipse(target, self._point(x, y), axes, 0, start, end, value, -1, cv2.LINE_AA, _SUBPIXEL_BITS)

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """Fill a polygon."""
        corners = [np.array([self._point(x, y) for x, y in points], np.int32)]
        for target, value in ((self.bgr, colour), (self.mask, 255)):
            cv2.fillPoly(target, corners, value, cv2.LINE_AA, _SUBPIXEL_BITS)

    def line(self, points: list[tuple[float, float]], width: float, colour: Colour) -> None:
        """Draw a line through points; `width` is in sides of the face square."""
        thickness = max(1, round(width * self.scale))
        corners = [np.array([self._point(x, y) for x, y in points], np.int32)]
        for target, value in ((self.bgr, colour), (self.mask, 255)):
            cv2.polylines(target, corners, False, value, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

    def lay(self, other: Canvas, tilt_deg: float = 0.0) -> None:
        """Paste another canvas over this one, rotated around the chin."""
        left, top, width, height = cv2.boundingRect(other.mask)
        bgr, mask = (
            other.bgr[top : top + height, left : left + width],
            other.mask[top : top + height, left : left + width],
        )
        if tilt_deg:
            pivot = ((0.5 - LEFT) * self.scale, (1.0 - TOP) * self.scale)
            turn = cv2.getRotationMatrix2D(pivot, tilt_deg, 1)
            # Compute only the part that the rotated drawing can cover.
            corners = np.array([[left, top], [left + width, top], [left, top + height], [left + width, top + height]])
            reached = corners @ turn[:, :2].T + turn[:, 2]
            left, top = (max(int(edge) - 1, 0) for edge in reached.min(axis=0))
            right, bottom = (int(edge) + 2 for edge in reached.max(axis=0))
            size = (min(right, self.mask.shape[1]) - left, min(bottom, self.mask.shape[0]) - top)
            turn[:, 2] -= left, top
            bgr = np.asarray(cv2.warpAffine(other.bgr, turn, size, flags=cv2.INTER_LINEAR), dtype=np.uint8)
            mask = np.asarray(cv2.warpAffine(other.mask, turn, size, flags=cv2.INTER_LINEAR), dtype=np.uint8)
        rows, columns = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
        cv2.copyTo(bgr, cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY)[1], self.bgr[rows, columns])
        np.maximum(self.mask[rows, columns], mask, out=self.mask[rows, columns])

    def square(self) -> tuple[slice, slice]:
        """Return the rows and columns of the face square."""
        side = round(self.scale)
        left, top = round(-LEFT * self.scale), round(-TOP * self.scale)
        return slice(top, top + side), slice(left, left + side)

    def sprite(self, free: float = 1.0) -> Sprite:
        """Return the drawing at its final size without its empty edges; `free` is stored in the sprite."""
        left, top, width, height = cv2.boundingRect(self.mask)
        x, y = left // SUPERSAMPLING, top // SUPERSAMPLING
        size = (-(-(left + width) // SUPERSAMPLING) - x, -(-(top + height) // SUPERSAMPLING) - y)
        rows = slice(y * SUPERSAMPLING, (y + size[1]) * SUPERSAMPLING)
        columns = slice(x * SUPERSAMPLING, (x + size[0]) * SUPERSAMPLING)
        covered = cv2.resize(self.mask[rows, columns], size, interpolation=cv2.INTER_AREA)
        # Pixels at an edge are partly empty, which is black: use the colour of the covered part only.
        share = np.maximum(covered, 1)[:, :, None] / np.float32(255)
        bgr = cv2.resize(self.bgr[rows, columns], size, interpolation=cv2.INTER_AREA) / share
        mask = cv2.threshold(covered, 127, 255, cv2.THRESH_BINARY)[1]
        within_x, within_y, width, height = cv2.boundingRect(mask)
        inside = slice(within_y, within_y + height), slice(within_x, within_x + width)
        face_px = self.scale / SUPERSAMPLING
        return Sprite(
            np.ascontiguousarray(bgr[inside].clip(0, 255), dtype=np.uint8),
            np.ascontiguousarray(mask[inside], dtype=np.uint8),
            round(LEFT * face_px) + x + within_x,
            round(TOP * face_px) + y + within_y,
            free,
        )

    def _point(self, x: float, y: float) -> tuple[int, int]:
        return self._length(x - LEFT), self._length(y - TOP)

    def _length(self, units: float) -> int:
        return round(units * self.scale * (1 << _SUBPIXEL_BITS))
