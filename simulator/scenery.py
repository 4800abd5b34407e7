"""The empty stand with its steps and seats, and the waved flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from simulator.seats import MARGIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.seats import Seat

QUALITY: Final = 1.25
"""Pixels of the scene for each pixel of a camera's view; scaling down smooths the edges."""
_CONCRETE: Final = (88, 92, 96)
_SEAT_COLOURS: Final = ((120, 60, 30), (132, 70, 38), (110, 54, 26))
_FLAG_COLOURS: Final = (((52, 40, 180), (225, 225, 225)), ((40, 34, 140), (60, 190, 220)))
_WAVES: Final = 9


def scene_size(width: int, height: int) -> tuple[int, int]:
    """Return width and height of the scene of a camera with `width` x `height` pixels."""
    return round(width * (1 + 2 * MARGIN) * QUALITY), round(height * (1 + 2 * MARGIN) * QUALITY)


def scene_point(x: float, y: float, width: int, height: int) -> tuple[float, float]:
    """Return the position in the scene of a pixel of the view at rest."""
    return (x + MARGIN * width) * QUALITY, (y + MARGIN * height) * QUALITY


def to_rest(width: int, height: int) -> NDArray[np.float64]:
    """Return the map `(3, 3)` from pixels of the scene to pixels of the view at rest."""
    return np.array([[1 / QUALITY, 0, -MARGIN * width], [0, 1 / QUALITY, -MARGIN * height], [0, 0, 1]])


def empty_stand(width: int, height: int, seats: tuple[Seat, ...], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the stand without people: `(H, W, 3) uint8`, BGR, of `scene_size`."""
    scene_width, scene_height = scene_size(width, height)
    scene = np.full((scene_height, scene_width, 3), _CONCRETE, np.uint8)
    grain = rng.normal(0, 7, (scene_height // 3 + 1, scene_width // 3 + 1, 1)).astype(np.float32)
    coarse = cv2.resize(grain, (scene_width, scene_height), interpolation=cv2.INTER_LINEAR)[:, :, None]
    darkness = np.linspace(0.7, 1.05, scene_height, dtype=np.float32)[:, None, None]
    scene = ((scene + coarse) * darkness).clip(0, 255).astype(np.uint8)
    for seat in seats:
        side = seat.face_px * QUALITY
        x, y = scene_point(seat.x, seat.y, width, height)
        left, right = round(x - 0.22 * side), round(x + 1.22 * side)
        top, bottom = round(y + 0.95 * side), round(y + 2.1 * side)
        cv2.rectangle(scene, (0, bottom), (scene_width, bottom + max(1, round(0.08 * side))), (60, 62, 66), -1)
        colour = _SEAT_COLOURS[int(rng.integers(len(_SEAT_COLOURS)))]
        cv2.rectangle(scene, (left, top), (right, bottom), colour, -1)
        cv2.rectangle(scene, (left, top), (right, bottom), (40, 30, 20), max(1, round(0.03 * side)))
    return np.asarray(scene, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag on a pole, which hides people behind it while it swings.

    Attributes:
        seat: Seat of the person who holds it.
        colours: Colours of its two stripes.
        phase: Phase of its swing, in radians.
        period_s: Length of a swing, in seconds.
    """

    seat: Seat
    colours: tuple[tuple[int, int, int], tuple[int, int, int]]
    phase: float
    period_s: float

    def draw(self, width: int, height: int, at_s: float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the two stripes as polygons `(P, 2) int32` in the scene, each after the two ends of the pole."""
        side = self.seat.face_px * QUALITY
        x, y = scene_point(self.seat.x, self.seat.y, width, height)
        angle = 0.55 * np.sin(2 * np.pi * at_s / self.period_s + self.phase)
        along = np.array([np.sin(angle), -np.cos(angle)])
        foot = np.array([x + 0.95 * side, y + 1.3 * side])
        tip = foot + 3.3 * side * along
        direction = np.array([np.cos(angle * 0.5), 0.25 + 0.3 * abs(np.sin(angle))])
        steps = np.linspace(0, 1, _WAVES)
        ripple = 0.12 * side * np.sin(2 * np.pi * (1.4 * steps - 1.3 * at_s) + self.phase) * steps
        upper = tip + np.outer(steps * 1.9 * side, direction) + np.outer(ripple, along)
        stripe = -0.55 * side * along
        stripes = [np.concatenate([upper + n * stripe, (upper + (n + 1) * stripe)[::-1]]) for n in range(2)]
        pole = np.stack([foot, tip])
        first, second = (np.concatenate([pole, polygon]).round().astype(np.int32) for polygon in stripes)
        return first, second


def random_flags(taken: tuple[Seat, ...], rng: np.random.Generator) -> tuple[Flag, ...]:
    """Return a flag for about one of 35 people."""
    bearers = rng.permutation(len(taken))[: round(len(taken) / 35)]
    return tuple(
        Flag(
            seat=taken[bearer],
            colours=_FLAG_COLOURS[int(rng.integers(len(_FLAG_COLOURS)))],
            phase=float(rng.uniform(0, 2 * np.pi)),
            period_s=float(rng.uniform(2.5, 5)),
        )
        for bearer in sorted(bearers.tolist())
    )
