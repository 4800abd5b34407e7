"""Draws in units of a face: what is drawn can be pasted into a picture where it covers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = tuple[float, float, float]
"""Blue, green, red; 0-255."""

# The sprite's extent around the face square, in sides of that square; its origin is the square's top left corner.
LEFT: Final = -0.95
RIGHT: Final = 1.95
TOP: Final = -1.25
BOTTOM: Final = 2.3
SUPERSAMPLING: Final = 2
_SUBPIXEL_BITS: Final = 4


@dataclass(frozen=True, slots=True)
class Sprite:
    """A person ready to be pasted.

    Attributes:
        bgr: `(H, W, 3) uint8`.
        mask: `(H, W) uint8`, 255 where the person is.
        left: Column of the picture's left edge relative to the face square's, in pixels.
        top: Row of the picture's upper edge relative to the face square's, in pixels.
    """

    bgr: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    left: int
    top: int


class Canvas:
    """A picture with coverage, drawn in units of the face square.

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
        """Fills an ellipse, or its part from `start` to `end` degrees, clockwise from the right."""
        axes = (self._length(rx), self._length(ry))
        for target, value in ((self.bgr, colour), (self.mask, 255)):
            cv2.ellipse(target, self._point(x, y), axes, 0, start, end, value, -1, cv2.LINE_AA, _SUBPIXEL_BITS)

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """Fills a polygon."""
        corners = [np.array([self._point(x, y) for x, y in points], np.int32)]
        for target, value in ((self.bgr, colour), (self.mask, 255)):
            cv2.fillPoly(target, corners, value, cv2.LINE_AA, _SUBPIXEL_BITS)

    def line(self, points: list[tuple[float, float]], width: float, colour: Colour) -> None:
        """Draws a line through points, `width` sides of the face square thick."""
        thickness = max(1, round(width * self.scale))
        corners = [np.array([self._point(x, y) for x, y in points], np.int32)]
        for target, value in ((self.bgr, colour), (self.mask, 255)):
            cv2.polylines(target, corners, False, value, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

    def lay(self, other: Canvas, tilt_deg: float) -> None:
        """Puts another canvas over this one, turned around the chin."""
        pivot = ((0.5 - LEFT) * self.scale, (1.0 - TOP) * self.scale)
        turn = cv2.getRotationMatrix2D(pivot, tilt_deg, 1)
        size = (self.mask.shape[1], self.mask.shape[0])
        bgr = cv2.warpAffine(other.bgr, turn, size, flags=cv2.INTER_LINEAR)
        mask = cv2.warpAffine(other.mask, turn, size, flags=cv2.INTER_LINEAR)
        cv2.copyTo(bgr, np.where(mask > 127, np.uint8(255), np.uint8(0)), self.bgr)
        np.maximum(self.mask, mask, out=self.mask)

    def sprite(self) -> Sprite:
        """Scales what was drawn down to its final size and cuts off what is empty."""
        size = (self.mask.shape[1] // SUPERSAMPLING, self.mask.shape[0] // SUPERSAMPLING)
        covered = cv2.resize(self.mask, size, interpolation=cv2.INTER_AREA)
        # Pixels at an edge are partly empty, that is black: their colour is that of the covered part alone.
        share = np.maximum(covered, 1)[:, :, None] / 255
        bgr = (cv2.resize(self.bgr, size, interpolation=cv2.INTER_AREA) / share).clip(0, 255).astype(np.uint8)
        mask = cv2.threshold(covered, 127, 255, cv2.THRESH_BINARY)[1]
        x, y, width, height = cv2.boundingRect(mask)
        face_px = self.scale / SUPERSAMPLING
        return Sprite(
            np.ascontiguousarray(bgr[y : y + height, x : x + width], dtype=np.uint8),
            np.ascontiguousarray(mask[y : y + height, x : x + width], dtype=np.uint8),
            round(LEFT * face_px) + x,
            round(TOP * face_px) + y,
        )

    def _point(self, x: float, y: float) -> tuple[int, int]:
        return self._length(x - LEFT), self._length(y - TOP)

    def _length(self, units: float) -> int:
        return round(units * self.scale * (1 << _SUBPIXEL_BITS))
