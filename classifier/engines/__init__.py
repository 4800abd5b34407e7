"""Engines run a network: faces in, probabilities out. An engine's framework is imported only when it is used.

Engines do not know the bus and its messages.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from classifier.card import GRAPH_FILE
from crowdmood.core import processors
from crowdmood.core.errors import ModelError, NotInstalledError
from crowdmood.core.settings import ClassifierSettings


class Engine(Protocol):
    """A loaded and warmed network.

    Attributes:
        model_id: The network's name and hash.
        name: The engine and its precision: `openvino-bf16`.
        labels: Names of the K columns of probabilities: `LABELS` or `FER_LABELS`.
        confusions: The network's confusions, encoded by `Confusions.to_bytes`; empty if its card has none.
    """

    model_id: str
    name: str
    labels: tuple[str, ...]
    confusions: bytes

    def predict(self, faces: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Classify faces.

        Args:
            faces: uint8 (N, 48, 48), gray, 0-255; N may be 0.

        Returns:
            Probabilities of the labels, float32 (N, K); and the probability that an expression can be seen, float32
            (N,), 1 if the network has no such output. The values of a face do not depend on the other faces.
        """


def load_engine(model: Path, settings: ClassifierSettings) -> Engine:
    """Load and warm the network of a model folder.

    Args:
        model: The model's folder.
        settings: The engine and its options.

    Raises:
        ModelError: The folder is incomplete, altered, or not made for this pipeline; or the engine cannot run it.
        NotInstalledError: It needs TensorFlow, which is not installed.
    """
    engine = settings.engine
    if engine == "auto":
        preferred = find_spec("openvino") or not find_spec("tensorflow")
        engine = "openvino" if preferred and (model / GRAPH_FILE).is_file() else "tensorflow"
    threads = settings.threads or processors.limited()
    if engine == "openvino":
        from classifier.engines.openvino import OpenVINOEngine

        return OpenVINOEngine(model, settings.max_batch_size, threads, settings.precision)
    if find_spec("tensorflow") is None:
        raise NotInstalledError(f"the network in {model}", "tensorflow", "tensorflow")
    if settings.precision not in ("auto", "f32"):
        raise ModelError("the TensorFlow engine computes in float32 only: leave CROWDMOOD_CLASSIFIER__PRECISION alone")
    from classifier.engines.tensorflow import TensorFlowEngine

    return TensorFlowEngine(model, settings.max_batch_size, threads)
