"""OpenVINO: runs the graph of a model folder, in bfloat16 where the processor can, without TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier.card import GRAPH_FILE, load_card
from classifier.engines.padding import padded
from crowdmood import LABELS
from crowdmood.errors import ModelError
from crowdmood.messages import CROP_SIZE
from crowdmood.settings import Precision


class OpenVINOEngine:
    """Runs a network with OpenVINO, one batch a thread.

    Every batch has the same shape, padded where faces are missing, and is computed by one thread: a face gets the same
    bits whatever it is batched with and however many threads there are.

    Args:
        model: The model's folder.
        max_batch_size: Faces in one call of the network.
        threads: Batches computed at once, each by one thread; 0 for one a core.
        precision: `f32` or `bf16`; `auto` takes bfloat16 where the processor has instructions for it.

    Raises:
        ModelError: The folder does not match its card, holds no graph, or the network does not give seven
            probabilities.
    """

    def __init__(self, model: Path, max_batch_size: int, threads: int, precision: Precision) -> None:
        import openvino

        card = load_card(model)
        if GRAPH_FILE not in {entry.name for entry in card.files}:
            raise ModelError(
                f"{model}: holds no {GRAPH_FILE}; export the model anew, or set CROWDMOOD_CLASSIFIER__ENGINE=tensorflow"
            )
        self.model_id = card.model_id
        self._batch_size = max_batch_size
        core = openvino.Core()
        if precision == "auto":
            precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
        self.name = f"openvino-{precision}"
        try:
            graph = core.read_model(model / GRAPH_FILE)
        except RuntimeError as error:
            raise ModelError(f"{model / GRAPH_FILE}: OpenVINO cannot read it; export the model anew") from error
        self._outputs = [output.get_any_name() for output in graph.outputs]
        widths = {name: output.partial_shape[1] for name, output in zip(self._outputs, graph.outputs, strict=True)}
        if widths.get("emotions") != len(LABELS):
            raise ModelError(
                f"{model / GRAPH_FILE}: does not give {len(LABELS)} probabilities a face; export the model anew"
            )
        graph.reshape([max_batch_size, CROP_SIZE, CROP_SIZE, 1])
        options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
        if threads:
            options |= {"NUM_STREAMS": str(threads), "INFERENCE_NUM_THREADS": str(threads)}
        compiled = core.compile_model(graph, "CPU", options)
        self._queue = openvino.AsyncInferQueue(compiled)
        self.predict(np.zeros((1, CROP_SIZE, CROP_SIZE), np.uint8))

    def predict(self, faces: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Judge faces; see `Engine.predict`."""
        probabilities = np.empty((len(faces), len(LABELS)), np.float32)
        is_face = np.ones(len(faces), np.float32)

        def keep(request: Any, rows: slice) -> None:
            count = rows.stop - rows.start
            probabilities[rows] = request.get_tensor("emotions").data[:count]
            if "face" in self._outputs:
                is_face[rows] = request.get_tensor("face").data[:count, 0]

        self._queue.set_callback(keep)
        for rows, batch in padded(faces, self._batch_size):
            self._queue.start_async({0: batch}, rows)
        self._queue.wait_all()
        return probabilities, is_face
