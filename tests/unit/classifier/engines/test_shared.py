"""Batches of faces have one shape."""

import numpy as np
import pytest

from classifier.engines.shared import padded


@pytest.mark.parametrize(
    ("count", "rows"),
    [
        (0, []),  # no faces
        (1, [(0, 1)]),
        (4, [(0, 4)]),  # exactly full
        (5, [(0, 4), (4, 5)]),
        (11, [(0, 4), (4, 8), (8, 11)]),
    ],
)
def test_splits_faces_into_batches_of_one_shape_and_pads_the_last_with_black(
    count: int, rows: list[tuple[int, int]]
) -> None:
    faces = np.random.default_rng(0).integers(1, 256, (count, 48, 48), np.uint8)
    batches = list(padded(faces, 4))
    assert [(part.start, part.stop) for part, _ in batches] == rows
    for part, batch in batches:
        filled = part.stop - part.start
        assert batch.shape == (4, 48, 48, 1)
        assert np.array_equal(batch[:filled, :, :, 0], faces[part])
        assert not batch[filled:].any()
