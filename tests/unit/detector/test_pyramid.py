"""Large frames are searched in levels and tiles; a face of any size and position is found once."""

from itertools import pairwise
from math import inf

import numpy as np
import pytest

from detector.boxes import iou
from detector.pyramid import OVERLAP_PX, SWITCH_PX, plan, search, searched_pixels


@pytest.mark.parametrize(
    ("width", "height", "scale", "at_least", "scales", "tiles"),
    [
        (1280, 720, 1.0, 1, [1.0], [1]),
        (1280, 720, 2.0, 2, [2.0, 1.0], [2, 1]),
        (3840, 2160, 1.0, 1, [1.0, 0.5], [4, 1]),
        (3840, 2160, 2.0, 2, [2.0, 1.0, 0.5], [12, 4, 1]),
        (64, 48, 0.2, 2, [0.2, 0.1], [1, 1]),
    ],
)
def test_levels_halve_until_the_frame_fits_one_tile(
    width: int, height: int, scale: float, at_least: int, scales: list[float], tiles: list[int]
) -> None:
    levels = plan(width, height, scale, 2048, at_least)
    assert [level.scale for level in levels] == scales
    assert [len(level.tiles) for level in levels] == tiles
    assert levels[0].min_face == 0
    assert levels[-1].max_face == inf
    for finer, coarser in pairwise(levels):
        assert coarser.min_face < finer.max_face  # no size is between the levels


@pytest.mark.parametrize(("width", "height"), [(3840, 2160), (2049, 333), (5000, 5000), (8191, 97)])
def test_tiles_cover_the_frame_have_one_size_and_overlap_by_more_than_the_largest_face(width: int, height: int) -> None:
    (level, *_) = plan(width, height, 1.0, 1024, 1)
    covered = np.zeros((height, width), np.uint8)
    for tile in level.tiles:
        assert 0 <= tile.left < tile.right <= width
        assert 0 <= tile.top < tile.bottom <= height
        assert max(tile.right - tile.left, tile.bottom - tile.top) <= 1024
        covered[tile.top : tile.bottom, tile.left : tile.right] = 1
    assert covered.all()
    assert len({(tile.right - tile.left, tile.bottom - tile.top) for tile in level.tiles}) == 1
    lefts = sorted({tile.left for tile in level.tiles})
    side = level.tiles[0].right - level.tiles[0].left
    assert all(left + side - following >= OVERLAP_PX - 1 for left, following in pairwise(lefts))
    assert OVERLAP_PX > SWITCH_PX


def test_levels_start_at_the_smallest_face_searched() -> None:
    fine, coarse = plan(3840, 2160, 1.0, 2048, 1, min_face=70)
    assert (fine.scale, fine.min_face, fine.max_face) == (1.0, 70, SWITCH_PX)
    assert (coarse.scale, coarse.min_face) == (0.5, 70)
    assert plan(3840, 2160, 1.0, 2048, 1, min_face=SWITCH_PX)[0].scale == 0.5  # the next level finds those


def white_squares(image: np.ndarray, _min_face: float, _max_face: float) -> tuple[np.ndarray, np.ndarray]:
    """Find bright areas, also those that a tile cuts, with scores that grow with the height."""
    import cv2

    _, _, stats, _ = cv2.connectedComponentsWithStats((image > 128).astype(np.uint8))
    found = stats[1:, :4].astype(np.float32)
    found[:, 2:] += found[:, :2]
    return found, (found[:, 3] - found[:, 1]) / 10_000


def squares(width: int, height: int, places: list[tuple[int, int, int]]) -> np.ndarray:
    image = np.zeros((height, width), np.uint8)
    for left, top, side in places:
        image[top : top + side, left : left + side] = 255
    return image


@pytest.mark.parametrize(("scale", "at_least"), [(1.0, 1), (1.0, 2), (2.0, 2), (0.7, 1)])
def test_finds_every_face_of_a_large_frame_once(scale: float, at_least: int) -> None:
    rng = np.random.default_rng(1)
    taken = np.zeros((40, 60), np.bool_)
    places = []
    for side in [20, 30, 40, 60, 79, 80, 81, 100, 160, 161, 200, 320, 500] * 2:
        cells = -(-(side + 8) // 50)
        for _ in range(200):
            row, column = int(rng.integers(0, 41 - cells)), int(rng.integers(0, 61 - cells))
            if not taken[row : row + cells, column : column + cells].any():
                taken[row : row + cells, column : column + cells] = True
                places.append((column * 50 + 4, row * 50 + 4, side))
                break
    image = squares(3000, 2000, places)
    boxes, _ = search(image, plan(3000, 2000, scale, 700, at_least), 0.3, white_squares)
    truth = np.array([[x, y, x + side, y + side] for x, y, side in places], np.float32)
    matches = iou(truth, boxes) > 0.8
    assert (matches.sum(axis=1) == 1).all()
    assert len(boxes) == len(places)


def test_finds_a_face_on_the_edge_of_a_tile_in_the_next_tile() -> None:
    (level, *_) = plan(2000, 400, 1.0, 1024, 1)
    edge = level.tiles[0].right
    image = squares(2000, 400, [(edge - 30, 100, 60)])
    boxes, _ = search(image, plan(2000, 400, 1.0, 1024, 1), 0.3, white_squares)
    assert np.rint(boxes).tolist() == [[edge - 30, 100, edge + 30, 160]]


def test_counts_the_searched_pixels_of_all_levels() -> None:
    assert searched_pixels(plan(100, 50, 2.0, 2048, 2)) == 200 * 100 + 100 * 50
