"""Parts of every engine: batches of one shape, the check of a network's outputs, and its first batch."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from classifier.card import EMOTIONS_OUTPUT, ModelCard
from crowdmood.core.errors import ModelError
from crowdmood.domain.messages import CROP_SIZE


def padded(faces: npt.NDArray[np.uint8], batch_size: int) -> Iterator[tuple[slice, npt.NDArray[np.uint8]]]:
    """Split faces into batches of one shape.

    A fixed shape is compiled once, and the values of a face do not depend on the faces in its batch.

    Args:
        faces: uint8 (N, 48, 48); N may be 0.
        batch_size: Faces in a batch.

    Yields:
        The rows of `faces` in a batch, and the batch, uint8 (batch_size, 48, 48, 1), padded with black faces.

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


def check_outputs(card: ModelCard, file: Path, widths: Mapping[str, int | None]) -> None:
    """Check the outputs of a network against its card.

    Args:
        card: The network's card.
        file: The network's file, for the error.
        widths: Columns of each output, by name; None for an output that is not (N, columns).

    Raises:
        ModelError: `emotions` has another number of columns than the card has labels, or the output that is served as
            `readable` is missing or has more than one column.
    """
    expected = {EMOTIONS_OUTPUT: len(card.labels)}
    if card.readable_output:
        expected[card.readable_output] = 1
    for name, width in expected.items():
        if widths.get(name) != width:
            given = f"(N, {widths[name]})" if widths.get(name) else "none of two dimensions"
            raise ModelError(
                f"{file}: the card lists an output {name} (N, {width}), the network has {given}; export the model again"
            )


def warm_up(
    predict: Callable[[npt.NDArray[np.uint8]], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]], file: Path
) -> None:
    """Run a network on black, white, half black and noisy faces, so that it is compiled before it is used.

    Args:
        predict: See `classifier.engines.Engine.predict`.
        file: The network's file, for the error.

    Raises:
        ModelError: The network returned NaN or infinite values.
    """
    faces = np.zeros((4, CROP_SIZE, CROP_SIZE), np.uint8)
    faces[1] = 255
    faces[2, :, ::2] = 255
    faces[3] = np.random.default_rng(0).integers(0, 256, faces[3].shape)
    if not all(np.isfinite(values).all() for values in predict(faces)):
        raise ModelError(
            f"{file}: returns NaN or infinite values; train the model again, or set "
            "CROWDMOOD_CLASSIFIER__PRECISION=f32 if values are only too large"
        )
