"""Draw what hides an expression: arms, hands, scarves and flags in front of the face, and turned heads."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from simulator.canvas import Canvas, Colour, shade

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TURN_DEG: Final = 66.0
_FOLDS: Final = 9
_PROFILE: Final = (
    (0.60, -0.10), (0.78, -0.06), (0.90, 0.06), (0.945, 0.20), (0.925, 0.33), (0.985, 0.44), (1.045, 0.54),
    (1.035, 0.59), (0.945, 0.62), (0.965, 0.67), (0.975, 0.71), (0.935, 0.745), (0.965, 0.78), (0.955, 0.83),
    (0.915, 0.86), (0.935, 0.94), (0.90, 1.02), (0.80, 1.05), (0.62, 0.98), (0.44, 0.88), (0.30, 0.78), (0.20, 0.50),
    (0.24, 0.10), (0.40, -0.08),
)  # fmt: skip
"""Outline of a head that looks to the right, in sides of the face square"""


class Hiding(IntEnum):
    """What hides a person's expression."""

    NONE = 0
    ARM = 1
    """An arm in front of the face"""
    HANDS = 2
    """Both hands on the face"""
    SCARF = 3
    """A scarf held in front of the face"""
    FLAG = 4
    """A flag held in front of the face"""
    PROFILE = 5
    """The head is turned to the side."""
    BACK = 6
    """The head is turned away: only its back can be seen."""

    @property
    def turned(self) -> bool:
        """Whether the head is turned to the side or away."""
        return self in (Hiding.PROFILE, Hiding.BACK)


def draw_in_front(
    canvas: Canvas, hiding: Hiding, side: int, sleeve: Colour, skin: Colour, cloth: tuple[Colour, Colour]
) -> None:
    """Draw what a person holds in front of the face.

    Args:
        canvas: Where to draw.
        hiding: `ARM`, `HANDS`, `SCARF` or `FLAG`.
        side: 1 for the right arm, -1 for the left one, as seen by the camera.
        sleeve: Colour of the sleeves.
        skin: Colour of the hands.
        cloth: The two colours of a scarf or flag.
    """
    if hiding is Hiding.ARM:
        _draw_arm(canvas, side, sleeve, skin)
    elif hiding is Hiding.HANDS:
        _draw_hands(canvas, sleeve, skin)
    elif hiding is Hiding.SCARF:
        _draw_cloth(canvas, (-0.42, 1.42), (0.14, 0.98), cloth, across=True)
        _draw_grip(canvas, 0.92, 0.56, sleeve, skin)
    elif hiding is Hiding.FLAG:
        _draw_cloth(canvas, (-0.45, 1.45), (-0.2, 1.4), cloth, across=False)
        _draw_grip(canvas, 0.93, -0.16, sleeve, skin)


def _draw_arm(canvas: Canvas, side: int, sleeve: Colour, skin: Colour) -> None:
    """Draw an upper arm that points to the camera, so that the elbow covers the eyes, and a raised forearm."""
    shoulder, elbow, hand = (0.5 + side * 0.5, 1.5), (0.5 + side * 0.03, 0.5), (0.5 - side * 0.3, -0.55)
    canvas.line([shoulder, elbow], 0.52, shade(sleeve, 0.88))
    canvas.line([(shoulder[0] - side * 0.1, shoulder[1]), (elbow[0] - side * 0.12, elbow[1])], 0.1, shade(sleeve, 0.8))
    canvas.line([elbow, hand], 0.36, shade(sleeve, 0.97))
    canvas.ellipse(elbow[0], elbow[1] - 0.02, 0.33, 0.34, shade(sleeve, 0.95))
    canvas.ellipse(hand[0], hand[1] - 0.08, 0.17, 0.2, shade(skin, 0.95))
    for finger in range(3):
        x = hand[0] - 0.09 + 0.09 * finger
        canvas.line([(x, hand[1] - 0.2), (x, hand[1] - 0.05)], 0.02, shade(skin, 0.65))


def _draw_hands(canvas: Canvas, sleeve: Colour, skin: Colour) -> None:
    for side in (-1, 1):
        elbow, wrist = (0.5 + side * 0.78, 1.75), (0.5 + side * 0.3, 0.98)
        canvas.line([elbow, wrist], 0.3, shade(sleeve, 0.9))
        canvas.ellipse(0.5 + side * 0.21, 0.74, 0.235, 0.29, shade(skin, 0.93))
        for finger, tip in enumerate((0.12, 0.08, 0.12, 0.22)):
            x = 0.5 + side * (0.06 + 0.105 * finger)
            canvas.line([(0.5 + side * (0.1 + 0.08 * finger), 0.62), (x, tip)], 0.125, shade(skin, 0.97))
            canvas.line([(x + side * 0.055, 0.6), (x + side * 0.055, tip + 0.02)], 0.018, shade(skin, 0.66))


def _draw_cloth(
    canvas: Canvas,
    columns: tuple[float, float],
    rows: tuple[float, float],
    cloth: tuple[Colour, Colour],
    *,
    across: bool,
) -> None:
    """Draw hanging cloth with folds, and with stripes across it or along it."""
    (left, right), (top, bottom) = columns, rows
    edges = np.linspace(left, right, _FOLDS + 1)
    sag = 0.05 * np.cos(np.linspace(-np.pi / 2, np.pi / 2, _FOLDS + 1)) + 0.02 * np.cos(np.arange(_FOLDS + 1) * 2.1)
    for fold in range(_FOLDS):
        light = 0.86 + 0.14 * float(np.cos(fold * 2.1))
        x0, x1 = float(edges[fold]), float(edges[fold + 1])
        d0, d1 = float(sag[fold]), float(sag[fold + 1])
        parts = [(0.0, 1.0, cloth[fold % 2])] if across else [(0.0, 0.5, cloth[0]), (0.5, 1.0, cloth[1])]
        for begin, end, colour in parts:
            upper, lower = top + begin * (bottom - top), top + end * (bottom - top)
            corners = [(x0, upper + d0), (x1, upper + d1), (x1, lower + d1), (x0, lower + d0)]
            canvas.polygon(corners, shade(colour, light))


def _draw_grip(canvas: Canvas, reach: float, y: float, sleeve: Colour, skin: Colour) -> None:
    for side in (-1, 1):
        hand = (0.5 + side * reach, y)
        canvas.line([(0.5 + side * 0.72, 1.55), (0.5 + side * 1.08, (1.55 + y) / 2), hand], 0.2, shade(sleeve, 0.85))
        canvas.ellipse(hand[0], hand[1], 0.13, 0.15, shade(skin, 0.95))


def draw_back(canvas: Canvas, style: int, width: float, hair: Colour, skin: Colour, jersey: Colour) -> None:
    """Draw the back of a head; `style` and `width` as in `people.Look`."""
    for side in (-1, 1):
        canvas.ellipse(0.5 + side * 0.47 * width, 0.5, 0.07, 0.13, shade(skin, 0.75))
    canvas.ellipse(0.5, 0.42, 0.46 * width, 0.6, shade(skin, 0.88))
    canvas.polygon([(0.3, 0.8), (0.7, 0.8), (0.74, 1.2), (0.26, 1.2)], shade(skin, 0.8))
    if style == 2:
        canvas.ellipse(0.46, 0.15, 0.3 * width, 0.3, shade(skin, 0.96))
        canvas.line([(0.3, 0.88), (0.7, 0.88)], 0.03, shade(skin, 0.65))
        return
    canvas.ellipse(0.5, 0.3, 0.53 * width, 0.58, hair)
    if style == 1:
        canvas.polygon([(0.0, 0.3), (1.0, 0.3), (1.04, 1.3), (0.78, 1.42), (0.22, 1.42), (-0.04, 1.3)], hair)
        for strand in range(5):
            x = 0.14 + 0.18 * strand
            canvas.line([(0.5 + (x - 0.5) * 0.6, 0.1), (x, 1.3)], 0.03, shade(hair, 1.1 if strand % 2 else 0.85))
    else:
        canvas.ellipse(0.5, 0.62, 0.43 * width, 0.34, hair)
        canvas.ellipse(0.46, 0.12, 0.34, 0.3, shade(hair, 1.08))
    if style == 3:
        canvas.ellipse(0.5, 0.2, 0.54 * width, 0.46, jersey, 180, 360)
        canvas.ellipse(0.5, 0.22, 0.54 * width, 0.1, shade(jersey, 0.7))


def draw_profile(canvas: Canvas, style: int, width: float, hair: Colour, skin: Colour) -> None:
    """Draw a head that looks to the right, without face and ear, and without the hair in front of it."""
    canvas.ellipse(0.42, 0.3, 0.52 * width, 0.56, shade(skin, 0.9) if style == 2 else hair)
    canvas.polygon(list(_PROFILE), shade(skin, 0.94))


def draw_profile_hair(canvas: Canvas, style: int, hair: Colour, skin: Colour, jersey: Colour) -> None:
    """Draw the ear and the hair of a head that looks to the right."""
    if style == 1:
        canvas.polygon([(0.0, 0.1), (0.5, 0.0), (0.42, 0.75), (0.36, 1.4), (-0.02, 1.38)], hair)
    elif style != 2:
        canvas.polygon([(-0.06, 0.2), (0.34, 0.0), (0.44, 0.3), (0.36, 0.62), (0.2, 0.86), (0.06, 0.8)], hair)
    if style != 2:
        canvas.ellipse(0.44, -0.02, 0.46, 0.26, hair, 170, 350)
    if style != 1:
        canvas.ellipse(0.40, 0.5, 0.075, 0.13, shade(skin, 0.8))
        canvas.ellipse(0.405, 0.5, 0.04, 0.08, shade(skin, 0.6))
    if style == 3:
        canvas.ellipse(0.46, 0.1, 0.5, 0.38, jersey, 180, 360)
        canvas.polygon([(0.86, 0.0), (1.3, 0.09), (1.3, 0.14), (0.9, 0.12)], shade(jersey, 0.6))


def turned(face: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn a frontal face to the right, as if on a cylinder that rotates by 66 degrees.

    Args:
        face: `(S, S) float32`, in FER2013's framing.

    Returns:
        `(S, S) float32`; the edge of the face is repeated where the side of the head comes into view.
    """
    side = face.shape[0]
    angle = np.arcsin(np.linspace(-1, 1, side)) - np.radians(_TURN_DEG)
    source = np.where(angle < -np.pi / 2, -1.0, np.sin(angle))
    columns = np.tile(((source + 1) / 2 * (side - 1)).astype(np.float32), (side, 1))
    rows = np.tile(np.arange(side, dtype=np.float32)[:, None], (1, side))
    whole = cv2.remap(face, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(whole, dtype=np.float32)
