"""The first batch of every network: nothing is compiled in flight, and one that gives no numbers is never used."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crowdmood.core.errors import ModelError
from crowdmood.domain.messages import CROP_SIZE


def warm_up(
    predict: Callable[[npt.NDArray[np.uint8]], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]], file: Path
) -> None:
    """Ask a network for black, white, half black and grainy faces.

    Args:
        predict: See `classifier.engines.Engine.predict`.
        file: The network's file, to be named in an error.

    Raises:
        ModelError: An answer holds values that are no numbers.
    """
    faces = np.zeros((4, CROP_SIZE, CROP_SIZE), np.uint8)
    faces[1] = 255
    faces[2, :, ::2] = 255
    faces[3] = np.random.default_rng(0).integers(0, 256, faces[3].shape)
    if not all(np.isfinite(values).all() for values in predict(faces)):
        raise ModelError(
            f"{file}: gives values that are no numbers; train the model again, or set "
            "CROWDMOOD_CLASSIFIER__PRECISION=f32 when they are only too large"
        )
