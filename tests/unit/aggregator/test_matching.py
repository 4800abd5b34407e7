"""Faces are paired with those near them as if each were compared with every other one."""

import numpy as np
import pytest

from aggregator.matching import MAX_RATIO, REACH, Indices, Places, Sides, match, similar


def by_hand(a: Places, a_sides: Sides, b: Places, b_sides: Sides, max_ratio: float) -> set[tuple[int, int]]:
    """The nearest pair of all, then the nearest of those who are left, and so on."""
    apart = np.abs(a[:, None] - b) / ((a_sides[:, None] + b_sides) / 2)
    apart[~similar(a_sides[:, None], b_sides, max_ratio) | (apart > REACH)] = np.inf
    pairs = set()
    while apart.size and np.isfinite(apart.min()):
        i, j = np.unravel_index(np.argmin(apart), apart.shape)
        pairs.add((int(i), int(j)))
        apart[i], apart[:, j] = np.inf, np.inf
    return pairs


@pytest.mark.parametrize("people", [0, 1, 2, 30, 300])
@pytest.mark.parametrize("max_ratio", [MAX_RATIO, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_rows_hide_no_one_who_is_near(people: int, max_ratio: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Some lie outside the picture, as places do that were moved with the camera.
    a = rng.uniform(-100, 500, people) + 1j * rng.uniform(-100, 300, people)
    kept = rng.permutation(people)[: people * 9 // 10]
    b = a[kept] + rng.normal(0, 6, len(kept)) + 1j * rng.normal(0, 6, len(kept))
    a_sides, b_sides = rng.uniform(10, 60, people), rng.uniform(10, 60, len(kept))
    i, j, apart = match(a, a_sides, b, b_sides, max_ratio)
    assert set(zip(i.tolist(), j.tolist(), strict=True)) == by_hand(a, a_sides, b, b_sides, max_ratio)
    assert (apart <= REACH).all()


def test_no_points_have_no_matches() -> None:
    unmatched: Indices = match(np.array([1 + 1j]), np.array([5.0]), np.empty(0, np.complex128), np.empty(0))[0]
    assert not len(unmatched)
