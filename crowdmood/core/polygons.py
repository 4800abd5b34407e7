"""Polygons in relative coordinates: where a camera is looked at, and where not."""

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

Point: TypeAlias = tuple[float, float]
"""x and y as shares of the frame's width and height, 0-1; the origin is the upper left corner."""

_MOST_CORNERS = 500
"""Every side is compared with every other: more than anybody draws, and still looked through at once."""

_MIN_AREA = 1e-4
"""Share of the frame below which a polygon is a slip of the pen."""


def check_polygon(corners: Sequence[Point]) -> Sequence[Point]:
    """Make sure that corners bound one region.

    Raises:
        ValueError: Fewer than three corners or very many, one outside the frame, sides that cross, or next to no area.
    """
    if len(corners) < 3:
        raise ValueError(f"a polygon has at least 3 corners, this one has {len(corners)}")
    if len(corners) > _MOST_CORNERS:
        raise ValueError(f"a polygon has at most {_MOST_CORNERS} corners, this one has {len(corners)}")
    for number, (x, y) in enumerate(corners):
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(
                f"corner {number} is ({x:g}, {y:g}): x and y are shares of the frame's width and height, from 0 to 1"
            )
    sides = list(zip(corners, [*corners[1:], corners[0]], strict=True))
    for (i, one), (j, other) in combinations(enumerate(sides), 2):
        neighbours = j - i in (1, len(sides) - 1)
        if not neighbours and _cross(*one, *other):
            raise ValueError(f"the sides from corner {i} and from corner {j} cross: list the corners along the border")
    twice_area = sum(a[0] * b[1] - b[0] * a[1] for a, b in sides)
    if abs(twice_area) / 2 < _MIN_AREA:
        raise ValueError("the polygon has next to no area")
    return corners


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments from a to b and from c to d share a point that is inside both."""
    return _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


Polygon: TypeAlias = Annotated[tuple[Point, ...], AfterValidator(check_polygon)]
