"""The seats: rows that are smaller with distance, and some empty seats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdmood.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

MARGIN: Final = 0.08
"""Size of the stand outside the view at rest on each side, as a share of the view."""
_FRONT_ROW: Final = 0.112
"""Largest side of a face in the front row, as a share of the view's height."""
_SMALLEST_PX: Final = 24.0
_BACK_ROW: Final = 0.72
"""Size of people in the back row relative to the front row."""
_OCCUPANCY: Final = 0.9
_SHRINK: Final = 0.97
_SEAT_WIDTH: Final = 1.72
_ROW_HEIGHT: Final = 1.15
_HEADROOM: Final = 0.45
_LEGROOM: Final = 1.15
_LEAN: Final = 0.2
_TALLER: Final = 0.2


@dataclass(frozen=True, slots=True)
class Seat:
    """A seat, in pixels of the view at rest.

    Attributes:
        x: Left edge of the face square of the person who sits there.
        y: Top edge of the face square.
        face_px: Side of the face square.
        row: Number of the row; 0 is the farthest.
    """

    x: float
    y: float
    face_px: float
    row: int


def lay_out(width: int, height: int, people: int) -> tuple[Seat, ...]:
    """Return seats that fill the view of a camera, as large as `people` allow, from the farthest row to the nearest.

    Args:
        width: Width of the view in pixels.
        height: Height of the view in pixels.
        people: Number of people; about a tenth of the seats stays empty if there is room.

    Raises:
        SettingsError: There are more people than seats, even with faces of 24 px.
    """
    front_px = _FRONT_ROW * height
    while front_px > _SMALLEST_PX:
        seats = tuple(_rows(width, height, front_px))
        if len(seats) * _OCCUPANCY >= people:
            return seats
        front_px *= _SHRINK
    seats = tuple(_rows(width, height, _SMALLEST_PX))
    if len(seats) < people:
        raise SettingsError(
            f"{people} people before one camera are more than the {len(seats)} seats that a {width}x{height} frame "
            "can show; raise --cameras or --size, or lower --people"
        )
    return seats


def _rows(width: int, height: int, front_px: float) -> Iterator[Seat]:
    # Computed from the nearest row upwards; yielded from the farthest, which is drawn first.
    rows: list[tuple[float, float]] = []
    y = height - _LEGROOM * front_px
    face_px = front_px
    while y > _HEADROOM * face_px:
        rows.append((y, face_px))
        depth = 1 - y / height
        face_px = front_px * (1 - (1 - _BACK_ROW) * depth)
        y -= _ROW_HEIGHT * face_px
    for row, (top, side) in enumerate(reversed(rows)):
        pitch = _SEAT_WIDTH * side
        count = int((width - 0.8 * side) // pitch)
        left = (width - count * pitch) / 2 + (pitch - side) / 2
        shift = (0.2 if row % 2 else -0.2) * side
        for number in range(count):
            yield Seat(left + number * pitch + shift, top, side, row)


def occupy(seats: tuple[Seat, ...], people: int, rng: np.random.Generator) -> tuple[Seat, ...]:
    """Return random seats for the people, farthest first.

    Each seat is shifted and scaled at random, because people differ in size and lean: heads hide parts of the faces
    behind them.
    """
    chosen = sorted(rng.permutation(len(seats))[:people].tolist())
    taken = []
    for seat in (seats[number] for number in chosen):
        dx, dy = rng.uniform(-_LEAN, _LEAN) * seat.face_px, rng.uniform(-_TALLER, _TALLER) * seat.face_px
        taken.append(Seat(seat.x + dx, seat.y + dy, seat.face_px * rng.uniform(0.94, 1.06), seat.row))
    return tuple(taken)
