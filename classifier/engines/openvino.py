"""OpenVINO: runs the graph of a model folder, in half precision where the processor can, without TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier.card import EMOTIONS_OUTPUT, GRAPH_FILE, load_card
from classifier.engines.outputs import check_outputs
from classifier.engines.padding import padded
from classifier.engines.warming import warm_up
from crowdmood.core.errors import ModelError
from crowdmood.core.settings import NetworkPrecision
from crowdmood.domain.messages import CROP_SIZE


class OpenVINOEngine:
    """Runs a network with OpenVINO, one batch a thread.

    Every batch has the same shape, padded where faces are missing, and is computed by one thread: a face gets the same
    bits whatever it is batched with and however many threads there are.

    Args:
        model: The model's folder.
        max_batch_size: Faces in one call of the network.
        threads: Batches computed at once, each by one thread; 0 for one a core.
        precision: `f32`, `bf16` or `f16`; `auto` takes the first of `f16` and `bf16` in which the processor multiplies
            matrices (AMX), else `f32`: everywhere else half precision is slower.

    Raises:
        ModelError: The folder does not match its card, holds no graph, or the network does not give the outputs that
            the card lists, or values that are no numbers.
    """

    def __init__(self, model: Path, max_batch_size: int, threads: int, precision: NetworkPrecision) -> None:
        import openvino

        card = load_card(model)
        file = model / GRAPH_FILE
        if GRAPH_FILE not in {entry.name for entry in card.files}:
            raise ModelError(
                f"{model}: holds no {GRAPH_FILE}; export the model again or set CROWDMOOD_CLASSIFIER__ENGINE=tensorflow"
            )
        self.model_id = card.model_id
        self.labels = card.labels
        self.confusions = card.confusions()
        self._readable = card.readable_output
        self._batch_size = max_batch_size
        core = openvino.Core()
        try:
            graph = core.read_model(file)
        except RuntimeError as error:
            raise ModelError(f"{file}: OpenVINO cannot read it; export the model again") from error
        check_outputs(card, file, {output.get_any_name(): _width(output.partial_shape) for output in graph.outputs})
        graph.reshape([max_batch_size, CROP_SIZE, CROP_SIZE, 1])
        # Pinned threads of two workers would sit on the same core.
        options: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT", "ENABLE_CPU_PINNING": False}
        if threads:
            options |= {"NUM_STREAMS": str(threads), "INFERENCE_NUM_THREADS": str(threads)}
        for chosen in precisions(core) if precision == "auto" else [precision]:
            compiled = core.compile_model(graph, "CPU", options | {"INFERENCE_PRECISION_HINT": chosen})
            if chosen in (precision, "f32") or _multiplies_matrices(compiled):
                break
        self.name = f"openvino-{chosen}"
        # As many again are ready when a thread has finished its batch: it need not wait for us.
        self._queue = openvino.AsyncInferQueue(compiled, 2 * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        warm_up(self.predict, file)

    def predict(self, faces: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Classify faces; see `Engine.predict`."""
        probabilities = np.empty((len(faces), len(self.labels)), np.float32)
        readable = np.ones(len(faces), np.float32)

        def keep(request: Any, rows: slice) -> None:
            count = rows.stop - rows.start
            probabilities[rows] = request.get_tensor(EMOTIONS_OUTPUT).data[:count]
            if self._readable:
                readable[rows] = request.get_tensor(self._readable).data[:count, 0]

        self._queue.set_callback(keep)
        for rows, batch in padded(faces, self._batch_size):
            self._queue.start_async({0: batch}, rows)
        self._queue.wait_all()
        return probabilities, readable


def _width(shape: Any) -> int | None:
    """Columns of an output (N, columns), or None for another shape."""
    return shape[1].get_length() if len(shape) == 2 and shape[1].is_static else None


def precisions(core: Any) -> list[str]:
    """What this processor can compute in: the more exact half precision first, float32 last."""
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [name for name, capability in (("f16", "FP16"), ("bf16", "BF16")) if capability in capabilities] + ["f32"]


def _multiplies_matrices(compiled: Any) -> bool:
    """Whether convolutions run on the processor's matrix units (AMX); systems do not always tell of them."""
    runtime = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kernels = [info["primitiveType"].astype(str) for info in runtime if info["layerType"].astype(str) == "Convolution"]
    return any("amx" in kernel for kernel in kernels)
