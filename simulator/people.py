"""Draw a person from the waist up: a face on a head with hair, neck, shoulders and a jersey."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from simulator.canvas import SUPERSAMPLING, Canvas, Colour, Sprite, shade
from simulator.hiding import Hiding, draw_back, draw_in_front, draw_profile, draw_profile_hair, turned

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Relative blue, green and red of skin. They are scaled to a luma of one: the brightness comes from the bank's faces.
_SKIN_TINTS: Final = ((0.74, 0.92, 1.22), (0.70, 0.91, 1.25), (0.66, 0.90, 1.28), (0.62, 0.90, 1.30))
_SKIN_LEVELS: Final = (1.12, 1.05, 0.95, 0.82)
_HAIR: Final[tuple[Colour, ...]] = ((22, 24, 28), (30, 42, 62), (42, 66, 104), (88, 138, 176), (150, 152, 155))
_HOME_COLOURS: Final[tuple[Colour, ...]] = ((52, 40, 180), (225, 225, 225), (40, 34, 140))
_OTHER_COLOURS: Final[tuple[Colour, ...]] = ((90, 70, 50), (40, 40, 44), (120, 120, 110), (60, 110, 70), (140, 90, 40))
_FREE_IF_TURNED: Final = {Hiding.PROFILE: 0.4, Hiding.BACK: 0.0}


class Gesture(IntEnum):
    """What a person does with the arms."""

    NONE = 0
    ARMS = 1
    SCARF = 2


@dataclass(frozen=True, slots=True)
class Look:
    """The appearance of a person.

    Attributes:
        face: Row of the face bank.
        mirrored: Whether that face is mirrored.
        skin: Index of the tint.
        hair: Blue, green, red.
        hair_style: 0 short, 1 long, 2 bald, 3 cap.
        jersey: Blue, green, red.
        stripes: Whether the jersey has stripes.
        tilt_deg: Lean of the head.
        head_width: Width of the head relative to the average.
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
    """Return a random appearance with row `face` of the bank; most people wear the colours of the home team."""
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


def draw_person(
    look: Look,
    face: NDArray[np.uint8],
    face_px: float,
    gesture: Gesture = Gesture.NONE,
    hiding: Hiding = Hiding.NONE,
) -> Sprite:
    """Draw a person.

    Args:
        look: The appearance.
        face: `(64, 64) uint8`, gray, in FER2013's framing.
        face_px: Side of the face square, in pixels.
        gesture: What the arms do; without effect while they hold something in front of the face.
        hiding: What hides the expression.
    """
    scale = face_px * SUPERSAMPLING
    canvas, head = Canvas(scale), Canvas(scale)
    skin = _skin_colour(look, face)
    held = hiding is not Hiding.NONE and not hiding.turned
    _draw_body(canvas, look, skin, Gesture.NONE if held else gesture)
    if hiding is Hiding.BACK:
        draw_back(head, look.hair_style, look.head_width, look.hair, skin, look.jersey)
    elif hiding is Hiding.PROFILE:
        _draw_profile(head, look, skin, face)
    else:
        _draw_head(head, look, skin)
        _lay_face(head, look, face)
        _draw_hair_front(head, look)
    canvas.lay(head, look.tilt_deg)
    if not held:
        return canvas.sprite(_FREE_IF_TURNED.get(hiding, 1.0))
    front = Canvas(scale)
    draw_in_front(front, hiding, -1 if look.mirrored else 1, look.jersey, skin, (_HOME_COLOURS[0], _HOME_COLOURS[1]))
    canvas.lay(front)
    covered = front.mask[front.square()]
    return canvas.sprite(float(1 - (covered[face_weight(len(covered)) > 0] > 0).mean()))


def _skin_colour(look: Look, face: NDArray[np.uint8]) -> Colour:
    """Return the colour of the parts of cheeks and forehead that no feature darkens."""
    level = float(np.percentile(face[8:48, 12:52], 60)) * _SKIN_LEVELS[look.skin]
    blue, green, red = _tint(look.skin)
    return min(level * blue, 250.0), min(level * green, 250.0), min(level * red, 250.0)


def _tint(skin: int) -> Colour:
    blue, green, red = _SKIN_TINTS[skin]
    luma = 0.114 * blue + 0.587 * green + 0.299 * red
    return blue / luma, green / luma, red / luma


def _draw_body(canvas: Canvas, look: Look, skin: Colour, gesture: Gesture) -> None:
    if look.hair_style == 1:
        canvas.ellipse(0.5, 0.6, 0.56 * look.head_width, 0.82, shade(look.hair, 0.8))
    canvas.polygon([(0.3, 0.85), (0.7, 0.85), (0.74, 1.35), (0.26, 1.35)], shade(skin, 0.78))
    shoulders = [(-0.42, 2.3), (-0.38, 1.5), (-0.18, 1.28), (0.28, 1.14), (0.5, 1.27)]
    canvas.polygon([*shoulders, *((1 - x, y) for x, y in reversed(shoulders))], look.jersey)
    if look.stripes:
        for left in (0.0, 0.42, 0.84):
            canvas.polygon([(left, 1.36), (left + 0.16, 1.36), (left + 0.16, 2.3), (left, 2.3)], (235, 235, 235))
    if gesture is not Gesture.NONE:
        for side in (-1, 1):
            reach = 0.98 if gesture is Gesture.SCARF else 0.86
            shoulder, elbow, hand = (0.5 + side * 0.72, 1.5), (0.5 + side * 1.05, 0.7), (0.5 + side * reach, -0.55)
            canvas.line([shoulder, elbow], 0.27, shade(look.jersey, 0.85))
            canvas.line([elbow, hand], 0.17, shade(skin, 0.9))
            canvas.ellipse(hand[0], hand[1] - 0.06, 0.13, 0.16, shade(skin, 0.95))
    if gesture is Gesture.SCARF:
        for number in range(8):
            left = -0.7 + number * 0.3
            colour = _HOME_COLOURS[0] if number % 2 else _HOME_COLOURS[1]
            canvas.polygon([(left, -0.82), (left + 0.3, -0.82), (left + 0.3, -0.5), (left, -0.5)], colour)


def _draw_head(canvas: Canvas, look: Look, skin: Colour) -> None:
    if look.hair_style != 2:
        canvas.ellipse(0.5, 0.3, 0.53 * look.head_width, 0.58, look.hair)
    for side in (-1, 1):
        canvas.ellipse(0.5 + side * 0.46 * look.head_width, 0.5, 0.07, 0.13, shade(skin, 0.8))
    canvas.ellipse(0.5, 0.42, 0.46 * look.head_width, 0.63, skin)


def _draw_profile(canvas: Canvas, look: Look, skin: Colour, face: NDArray[np.uint8]) -> None:
    draw_profile(canvas, look.hair_style, look.head_width, look.hair, skin)
    _lay_face(canvas, look, face, profile=True)
    draw_profile_hair(canvas, look.hair_style, look.hair, skin, look.jersey)
    if look.mirrored:  # the head looks to the left; the canvas is symmetric around the centre of the face
        canvas.bgr[:] = canvas.bgr[:, ::-1].copy()
        canvas.mask[:] = canvas.mask[:, ::-1].copy()


def _lay_face(canvas: Canvas, look: Look, face: NDArray[np.uint8], *, profile: bool = False) -> None:
    """Blend the gray face, tinted, into the head. Its brightness and shadows stay unchanged."""
    square = canvas.square()
    area, drawn = canvas.bgr[square], canvas.mask[square]
    side = len(area)
    enlarged = cv2.resize(face[:, ::-1] if look.mirrored else face, (side, side), interpolation=cv2.INTER_CUBIC)
    gray, weight = np.asarray(enlarged, dtype=np.float32), face_weight(side)
    if profile:
        gray, weight = turned(gray), turned(weight) * (drawn > 0)
    tint = np.array(_tint(look.skin), np.float32) * np.float32(_SKIN_LEVELS[look.skin])
    share = weight[:, :, None]
    area[:] = (share * (gray[:, :, None] * tint) + (1 - share) * area).clip(0, 255)


@lru_cache(maxsize=128)
def face_weight(side: int) -> NDArray[np.float32]:
    """Return the weight of the face against the head for each pixel of the face square: `(side, side) float32`, 0-1."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    radius = np.sqrt(((columns - 0.5) / 0.41) ** 2 + ((rows - 0.485) / 0.515) ** 2)
    return np.asarray(np.clip((1.0 - radius) / 0.2, 0, 1), dtype=np.float32)


def _draw_hair_front(canvas: Canvas, look: Look) -> None:
    if look.hair_style == 3:
        canvas.ellipse(0.5, 0.06, 0.5 * look.head_width, 0.34, look.jersey, 180, 360)
        canvas.ellipse(0.5, 0.05, 0.52 * look.head_width, 0.09, shade(look.jersey, 0.6))
    elif look.hair_style != 2:
        canvas.ellipse(0.5, 0.02, 0.47 * look.head_width, 0.27, look.hair, 180, 360)
