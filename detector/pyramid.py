"""Searches frames of any size in bounded memory: levels of half the scale each, with large levels split into tiles.

A level searches only the sizes that the detector finds best at its scale, and its tiles overlap by more than the
largest of them. So every face is complete in some tile, faces that an inner edge cuts can be ignored, and merging the
rest counts no face twice. The last level fits one tile and searches all larger faces.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product
from math import ceil, inf

import cv2
import numpy as np
import numpy.typing as npt

from detector.base import Image
from detector.boxes import Boxes, Scores, suppress

OVERLAP_PX = 128
"""Overlap of two tiles, in pixels of the level."""

SWITCH_PX = 80
"""Height in pixels of a level from which a face is left to the next level, where it has half the height.

Measured on the crowds: with YuNet at twice and at once the frame's scale, recall at precision 0.9 of faces from 20 px
is 0.859, 0.861 and 0.856 for a switch at 68, 80 and 128 px, and 0.825 and 0.819 with one of the two scales only.
"""

_SHARED = 0.8
"""A level starts at this share of the size at which the level before ends, so that no face is between two levels."""
_EDGE_PX = 2.0
"""Distance from an inner edge of a tile within which the edge may cut a box, in pixels of the level."""

Find = Callable[[Image, float, float], tuple[Boxes, Scores]]
"""Searches a tile. Arguments: its pixels, and the heights of the smallest and largest face in pixels of the tile.

It returns float32 (N, 4 + 2 K), a box, xyxy, and K more points, xy, in pixels of the tile; and scores.
"""


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the frame, as half-open ranges in pixels of the frame."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Level:
    """A pass over the frame at one scale.

    Attributes:
        scale: Pixels of the level for one pixel of the frame.
        tiles: Tiles of one size that cover the frame.
        min_face: Height of the smallest face of this level, in pixels of the frame.
        max_face: Height from which faces are left to the next level; infinite for the last level.
    """

    scale: float
    tiles: tuple[Tile, ...]
    min_face: float
    max_face: float


def plan(
    width: int, height: int, scale: float, tile_px: int, at_least: int, min_face: float = 0.0
) -> tuple[Level, ...]:
    """Return the levels of a frame, finest first, without those that would only find smaller faces than searched.

    Args:
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        scale: Scale of the finest level.
        tile_px: Longest side of a tile, in pixels of the level; more than twice the overlap.
        at_least: Number of levels if the first one fits one tile.
        min_face: Height of the smallest face to search, in pixels of the frame.
    """
    scales = [scale]
    while len(scales) < at_least or max(width, height) * scales[-1] > tile_px:
        scales.append(scales[-1] / 2)
    ends = [0.0, *(SWITCH_PX / s for s in scales[:-1]), inf]
    return tuple(
        Level(s, _tiles(width, height, s, tile_px), max(start * _SHARED, min_face), end)
        for s, (start, end) in zip(scales, pairwise(ends), strict=True)
        if end > min_face
    )


def searched_pixels(levels: tuple[Level, ...]) -> int:
    """Return the number of pixels in all tiles of all levels."""
    return sum(
        round((tile.right - tile.left) * level.scale) * round((tile.bottom - tile.top) * level.scale)
        for level in levels
        for tile in level.tiles
    )


def search(image: Image, levels: tuple[Level, ...], max_iou: float, find: Find) -> tuple[Boxes, Scores]:
    """Search every tile of every level, and merge the faces.

    Args:
        image: uint8 (height, width) or (height, width, 3), 0-255.
        levels: Levels from `plan`.
        max_iou: Overlap above which two boxes are one face, 0-1.
        find: Searches a tile.

    Returns:
        Boxes, float32 (N, 4 + 2 K), xyxy and the points from `find`, in pixels of the frame; and scores, float32 (N,);
        highest score first.
    """
    boxes: list[Boxes] = []
    scores: list[Scores] = []
    for level, tile in ((each, tile) for each in levels for tile in each.tiles):
        pixels = _scaled(image[tile.top : tile.bottom, tile.left : tile.right], level.scale)
        # The exact scales after rounding the size, to convert boxes back.
        x_scale = pixels.shape[1] / (tile.right - tile.left)
        y_scale = pixels.shape[0] / (tile.bottom - tile.top)
        found, confidence = find(pixels, level.min_face * y_scale, level.max_face * y_scale)
        points = found.shape[1] // 2
        found /= np.array([x_scale, y_scale] * points, np.float32)
        found += np.array([tile.left, tile.top] * points, np.float32)
        tall = found[:, 3] - found[:, 1]
        kept = (tall >= level.min_face) & (tall < level.max_face) & _whole(found, tile, level, image.shape)
        boxes.append(found[kept])
        scores.append(confidence[kept])
    merged, confidence = np.concatenate(boxes), np.concatenate(scores)
    kept_rows = suppress(merged[:, :4], confidence, max_iou)
    return merged[kept_rows], confidence[kept_rows]


def _tiles(width: int, height: int, scale: float, tile_px: int) -> tuple[Tile, ...]:
    rows, columns = (_spans(side, scale, tile_px) for side in (height, width))
    return tuple(Tile(left, top, right, bottom) for (top, bottom), (left, right) in product(rows, columns))


def _spans(side: int, scale: float, tile_px: int) -> list[tuple[int, int]]:
    """Return ranges of one length that cover a side evenly, in pixels of the frame."""
    longest, overlap = tile_px / scale, OVERLAP_PX / scale
    if side <= longest:
        return [(0, side)]
    count = ceil((side - overlap) / (longest - overlap))
    length = min(side, ceil((side + (count - 1) * overlap) / count))
    starts = [round(i * (side - length) / (count - 1)) for i in range(count)]
    return [(start, start + length) for start in starts]


def _scaled(pixels: Image, scale: float) -> Image:
    if scale == 1:
        return pixels
    height, width = pixels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=method), np.uint8)


def _whole(boxes: Boxes, tile: Tile, level: Level, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return which boxes are not cut by an inner edge of the tile: bool (N,). Edges of the frame do not count."""
    edge = _EDGE_PX / level.scale
    height, width = shape[:2]
    whole: npt.NDArray[np.bool_] = np.ones(len(boxes), np.bool_)
    if tile.left > 0:
        whole &= boxes[:, 0] > tile.left + edge
    if tile.top > 0:
        whole &= boxes[:, 1] > tile.top + edge
    if tile.right < width:
        whole &= boxes[:, 2] < tile.right - edge
    if tile.bottom < height:
        whole &= boxes[:, 3] < tile.bottom - edge
    return whole
