"""What runs a network. Each engine imports its framework only when it is made."""

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Engine(Protocol):
    """A loaded and warmed network.

    Attributes:
        model_id: Which network this is.
    """

    model_id: str

    def predict(self, faces: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Judge faces.

        Args:
            faces: uint8 (N, 48, 48), gray, 0-255; N may be 0.

        Returns:
            Probabilities, float32 (N, 7), in the order of `crowdmood.LABELS`; and how sure the network is that each
            crop shows a face at all, float32 (N,), 1 where a network does not tell. A face's row does not depend on
            the faces beside it.
        """


def load_engine(model: Path, max_batch_size: int, threads: int) -> Engine:
    """Load and warm the network of a model folder.

    Args:
        model: The model's folder.
        max_batch_size: Faces in one call of the network.
        threads: Threads it may use; 0 leaves that to the framework.

    Raises:
        ModelError: The folder is incomplete, altered, or not made for this pipeline.
    """
    from classifier.engines.tensorflow import TensorFlowEngine

    return TensorFlowEngine(model, max_batch_size, threads)
