"""Polygons in relative coordinates: the regions of a camera's frame in which faces are searched or not."""

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

Point: TypeAlias = tuple[float, float]
"""x and y as fractions of the frame's width and height, 0 to 1; the origin is the upper left corner."""

_MAX_CORNERS = 500
"""Most corners of a polygon. Every side is compared with every other one, so the check's time grows with the square."""

_MIN_AREA = 1e-4
"""Smallest area of a polygon, as a fraction of the frame; smaller ones are drawn by mistake."""


def check_polygon(corners: Sequence[Point]) -> Sequence[Point]:
    """Return the corners unchanged if they enclose one region.

    Raises:
        ValueError: There are fewer than 3 or more than 500 corners, a corner is outside the frame, sides cross, or the
            area is nearly zero.
    """
    if len(corners) < 3:
        raise ValueError(f"a polygon has at least 3 corners, this one has {len(corners)}")
    if len(corners) > _MAX_CORNERS:
        raise ValueError(f"a polygon has at most {_MAX_CORNERS} corners, this one has {len(corners)}")
    for number, (x, y) in enumerate(corners):
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(
                f"corner {number} is ({x:g}, {y:g}): x and y are fractions of the frame's width and height, from 0 to 1"
            )
    sides = list(zip(corners, [*corners[1:], corners[0]], strict=True))
    for (i, one), (j, other) in combinations(enumerate(sides), 2):
        neighbours = j - i in (1, len(sides) - 1)
        if not neighbours and _cross(*one, *other):
            raise ValueError(f"the sides from corner {i} and from corner {j} cross: list the corners along the border")
    twice_area = sum(a[0] * b[1] - b[0] * a[1] for a, b in sides)
    if abs(twice_area) / 2 < _MIN_AREA:
        raise ValueError("the polygon has nearly no area")
    return corners


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Return whether the segments from a to b and from c to d cross in a point inside both."""
    return _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


Polygon: TypeAlias = Annotated[tuple[Point, ...], AfterValidator(check_polygon)]
