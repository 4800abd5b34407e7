"""Draws one person from the waist up: a face on a head with hair, neck, shoulders and a jersey."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from simulator.canvas import LEFT, SUPERSAMPLING, TOP, Canvas, Colour, Sprite

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Relative blue, green and red of skin; scaled so that their luma is one, since the bank's faces bring the brightness.
_SKIN_TINTS: Final = ((0.74, 0.92, 1.22), (0.70, 0.91, 1.25), (0.66, 0.90, 1.28), (0.62, 0.90, 1.30))
_SKIN_LEVELS: Final = (1.12, 1.05, 0.95, 0.82)
_HAIR: Final[tuple[Colour, ...]] = ((22, 24, 28), (30, 42, 62), (42, 66, 104), (88, 138, 176), (150, 152, 155))
_HOME_COLOURS: Final[tuple[Colour, ...]] = ((52, 40, 180), (225, 225, 225), (40, 34, 140))
_OTHER_COLOURS: Final[tuple[Colour, ...]] = ((90, 70, 50), (40, 40, 44), (120, 120, 110), (60, 110, 70), (140, 90, 40))


class Gesture(IntEnum):
    """What a person does with the arms."""

    NONE = 0
    ARMS = 1
    SCARF = 2


@dataclass(frozen=True, slots=True)
class Look:
    """What makes a person recognisable.

    Attributes:
        face: Row of the face bank.
        mirrored: Whether that face is mirrored.
        skin: Index of the tint.
        hair: Blue, green, red.
        hair_style: 0 short, 1 long, 2 bald, 3 cap.
        jersey: Blue, green, red.
        stripes: Whether the jersey has stripes.
        tilt_deg: Lean of the head.
        head_width: Width of the head relative to the usual one.
    """

    face: int
    mirrored: bool
    skin: int
    hair: Colour
    hair_style: int
    jersey: Colour
    stripes: bool
    tilt_deg: float
    head_width: float


def random_look(rng: np.random.Generator, face: int) -> Look:
    """Dresses a person who wears row `face` of the bank; most support the home team."""
    home = rng.random() < 0.65
    colours = _HOME_COLOURS if home else _OTHER_COLOURS
    return Look(
        face=face,
        mirrored=bool(rng.random() < 0.5),
        skin=int(rng.choice(len(_SKIN_TINTS), p=(0.35, 0.3, 0.2, 0.15))),
        hair=_HAIR[int(rng.choice(len(_HAIR), p=(0.25, 0.3, 0.2, 0.15, 0.1)))],
        hair_style=int(rng.choice(4, p=(0.5, 0.27, 0.08, 0.15))),
        jersey=colours[int(rng.integers(len(colours)))],
        stripes=bool(home and rng.random() < 0.4),
        tilt_deg=float(rng.uniform(-5, 5)),
        head_width=float(rng.uniform(0.95, 1.06)),
    )


def draw_person(look: Look, face: NDArray[np.uint8], face_px: float, gesture: Gesture = Gesture.NONE) -> Sprite:
    """Draws a person.

    Args:
        look: Who it is.
        face: `(64, 64) uint8`, gray, in FER2013's framing.
        face_px: Side of the face square in the picture, in pixels.
        gesture: What the arms do.
    """
    canvas = Canvas(face_px * SUPERSAMPLING)
    skin = _skin_colour(look, face)
    _draw_body(canvas, look, skin, gesture)
    head = Canvas(face_px * SUPERSAMPLING)
    _draw_head(head, look, skin)
    _lay_face(head, look, face)
    _draw_hair_front(head, look)
    canvas.lay(head, look.tilt_deg)
    return canvas.sprite()


def _skin_colour(look: Look, face: NDArray[np.uint8]) -> Colour:
    """The colour of cheeks and forehead, where no feature darkens them."""
    level = float(np.percentile(face[8:48, 12:52], 60)) * _SKIN_LEVELS[look.skin]
    blue, green, red = _tint(look.skin)
    return min(level * blue, 250.0), min(level * green, 250.0), min(level * red, 250.0)


def _tint(skin: int) -> Colour:
    blue, green, red = _SKIN_TINTS[skin]
    luma = 0.114 * blue + 0.587 * green + 0.299 * red
    return blue / luma, green / luma, red / luma


def _shade(colour: Colour, factor: float) -> Colour:
    blue, green, red = colour
    return min(blue * factor, 255.0), min(green * factor, 255.0), min(red * factor, 255.0)


def _draw_body(canvas: Canvas, look: Look, skin: Colour, gesture: Gesture) -> None:
    if look.hair_style == 1:
        canvas.ellipse(0.5, 0.6, 0.56 * look.head_width, 0.82, _shade(look.hair, 0.8))
    canvas.polygon([(0.3, 0.85), (0.7, 0.85), (0.74, 1.35), (0.26, 1.35)], _shade(skin, 0.78))
    shoulders = [(-0.42, 2.3), (-0.38, 1.5), (-0.18, 1.28), (0.28, 1.14), (0.5, 1.27)]
    canvas.polygon([*shoulders, *((1 - x, y) for x, y in reversed(shoulders))], look.jersey)
    if look.stripes:
        for left in (0.0, 0.42, 0.84):
            canvas.polygon([(left, 1.36), (left + 0.16, 1.36), (left + 0.16, 2.3), (left, 2.3)], (235, 235, 235))
    if gesture is not Gesture.NONE:
        for side in (-1, 1):
            reach = 0.98 if gesture is Gesture.SCARF else 0.86
            shoulder, elbow, hand = (0.5 + side * 0.72, 1.5), (0.5 + side * 1.05, 0.7), (0.5 + side * reach, -0.55)
            canvas.line([shoulder, elbow], 0.27, _shade(look.jersey, 0.85))
            canvas.line([elbow, hand], 0.17, _shade(skin, 0.9))
            canvas.ellipse(hand[0], hand[1] - 0.06, 0.13, 0.16, _shade(skin, 0.95))
    if gesture is Gesture.SCARF:
        for number in range(8):
            left = -0.7 + number * 0.3
            colour = _HOME_COLOURS[0] if number % 2 else _HOME_COLOURS[1]
            canvas.polygon([(left, -0.82), (left + 0.3, -0.82), (left + 0.3, -0.5), (left, -0.5)], colour)


def _draw_head(canvas: Canvas, look: Look, skin: Colour) -> None:
    if look.hair_style != 2:
        canvas.ellipse(0.5, 0.3, 0.53 * look.head_width, 0.58, look.hair)
    for side in (-1, 1):
        canvas.ellipse(0.5 + side * 0.46 * look.head_width, 0.5, 0.07, 0.13, _shade(skin, 0.8))
    canvas.ellipse(0.5, 0.42, 0.46 * look.head_width, 0.63, skin)


def _lay_face(canvas: Canvas, look: Look, face: NDArray[np.uint8]) -> None:
    """Blends the gray face, tinted, into the head; its own brightness and shadows stay as they are."""
    side = round(canvas.scale)
    enlarged = cv2.resize(face[:, ::-1] if look.mirrored else face, (side, side), interpolation=cv2.INTER_CUBIC)
    tinted = enlarged[:, :, None] * (np.array(_tint(look.skin), np.float32) * _SKIN_LEVELS[look.skin])
    weight = face_weight(side)[:, :, None]
    left, top = round(-LEFT * canvas.scale), round(-TOP * canvas.scale)
    area = canvas.bgr[top : top + side, left : left + side]
    area[:] = (weight * tinted + (1 - weight) * area).clip(0, 255).astype(np.uint8)


def face_weight(side: int) -> NDArray[np.float32]:
    """How much of each pixel of the face square is the face, 0 to 1: `(side, side) float32`; the rest is head."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    radius = np.sqrt(((columns - 0.5) / 0.41) ** 2 + ((rows - 0.485) / 0.515) ** 2)
    return np.asarray(np.clip((1.0 - radius) / 0.2, 0, 1), dtype=np.float32)


def _draw_hair_front(canvas: Canvas, look: Look) -> None:
    if look.hair_style == 3:
        canvas.ellipse(0.5, 0.06, 0.5 * look.head_width, 0.34, look.jersey, 180, 360)
        canvas.ellipse(0.5, 0.05, 0.52 * look.head_width, 0.09, _shade(look.jersey, 0.6))
    elif look.hair_style != 2:
        canvas.ellipse(0.5, 0.02, 0.47 * look.head_width, 0.27, look.hair, 180, 360)
