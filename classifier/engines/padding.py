"""Batches of one fixed shape: nothing is compiled again in flight, and a face's bits do not depend on its batch."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from crowdmood.domain.messages import CROP_SIZE


def padded(faces: npt.NDArray[np.uint8], batch_size: int) -> Iterator[tuple[slice, npt.NDArray[np.uint8]]]:
    """Cuts faces into batches that all have the same shape.

    Args:
        faces: uint8 (N, 48, 48); N may be 0.
        batch_size: Faces in a batch.

    Yields:
        Which rows of `faces` a batch holds; and the batch, uint8 (batch_size, 48, 48, 1), black where none is left.

    Raises:
        ValueError: The faces have another shape or dtype.
    """
    if faces.dtype != np.uint8 or faces.ndim != 3 or faces.shape[1:] != (CROP_SIZE, CROP_SIZE):
        raise ValueError(f"faces must be uint8 (N, {CROP_SIZE}, {CROP_SIZE}), not {faces.dtype} {faces.shape}")
    for start in range(0, len(faces), batch_size):
        part = faces[start : start + batch_size, :, :, None]
        missing = batch_size - len(part)
        batch = np.pad(part, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else part
        yield slice(start, start + len(part)), batch
