"""What runs a network: from faces to probabilities, whatever the framework, which is imported only when it is used.

Engines answer for numbers alone; they must not know where faces come from, nor what becomes of the answer.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from classifier.card import GRAPH_FILE
from crowdmood.errors import ModelError
from crowdmood.settings import ClassifierSettings


class Engine(Protocol):
    """A loaded and warmed network.

    Attributes:
        model_id: Which network this is.
        name: What runs it and what it computes in, as `openvino-bf16`.
        confusions: What its card says of held-out faces, as it travels; empty when it does not.
    """

    model_id: str
    name: str
    confusions: bytes

    def predict(self, faces: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Judge faces.

        Args:
            faces: uint8 (N, 48, 48), gray, 0-255; N may be 0.

        Returns:
            Probabilities, float32 (N, 7), in the order of `crowdmood.LABELS`; and how sure the network is that each
            crop shows a face at all, float32 (N,), 1 where a network does not tell. A face's row does not depend on
            the faces beside it.
        """


def load_engine(model: Path, settings: ClassifierSettings) -> Engine:
    """Load and warm the network of a model folder.

    Args:
        model: The model's folder.
        settings: Which engine runs it, and how.

    Raises:
        ModelError: The folder is incomplete, altered, or not made for this pipeline; or the engine cannot run it.
    """
    engine = settings.engine
    if engine == "auto":
        engine = "openvino" if find_spec("openvino") and (model / GRAPH_FILE).is_file() else "tensorflow"
    if engine == "openvino":
        from classifier.engines.openvino import OpenVINOEngine

        return OpenVINOEngine(model, settings.max_batch_size, settings.threads, settings.precision)
    if settings.precision not in ("auto", "f32"):
        raise ModelError("the TensorFlow engine computes in float32 only: leave CROWDMOOD_CLASSIFIER__PRECISION alone")
    from classifier.engines.tensorflow import TensorFlowEngine

    return TensorFlowEngine(model, settings.max_batch_size, settings.threads)
