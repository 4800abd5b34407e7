"""OpenVINO: runs the graph of a model folder without TensorFlow, in half precision where that is faster."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier.card import EMOTIONS_OUTPUT, GRAPH_FILE, load_card
from classifier.engines.shared import check_outputs, padded, warm_up
from crowdmood.core.errors import ModelError
from crowdmood.core.settings import NetworkPrecision
from crowdmood.domain.messages import CROP_SIZE

log = logging.getLogger("crowdmood.classifier")


class OpenVINOEngine:
    """Runs a network with OpenVINO, each batch on one thread.

    Batches are padded to one shape, and one thread computes a batch. So a face has the same bits in every batch, with
    any number of threads.

    Args:
        model: The model's folder.
        max_batch_size: Faces in one call of the network.
        threads: Batches computed at once, each by one thread; 0 for the number of CPU cores.
        precision: `f32`, `bf16` or `f16`. `auto` uses the first of `f16` and `bf16` for which the processor has matrix
            units (AMX), else `f32`: without them, half precision is slower.

    Raises:
        ModelError: The folder does not match its card or holds no graph, the processor cannot run the network, or the
            network lacks an output that the card lists, or returns NaN or infinite values.
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
        # Pinned threads of two workers would share a core.
        options: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT", "ENABLE_CPU_PINNING": False}
        if threads:
            options |= {"NUM_STREAMS": str(threads), "INFERENCE_NUM_THREADS": str(threads)}
        refused: list[str] = []
        for chosen in precisions(core) if precision == "auto" else [precision]:
            try:
                compiled = core.compile_model(graph, "CPU", options | {"INFERENCE_PRECISION_HINT": chosen})
            except RuntimeError as error:
                reason = " ".join(str(error).split())
                if chosen in (precision, "f32"):
                    raise ModelError(
                        f"{file}: this processor cannot run it in {chosen}; set another "
                        f"CROWDMOOD_CLASSIFIER__PRECISION, or CROWDMOOD_CLASSIFIER__ENGINE=tensorflow ({reason})"
                    ) from None
                refused.append(chosen)
                continue
            if chosen in (precision, "f32") or _multiplies_matrices(compiled):
                break
        self.name = f"openvino-{chosen}"
        if refused:
            log.warning("this processor lists %s and cannot run the network so: %s is used", ", ".join(refused), chosen)
        # Twice as many requests as threads: a thread that finishes a batch starts the next one without waiting.
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
    """Return the number of columns of an output (N, columns), or None for another shape."""
    return shape[1].get_length() if len(shape) == 2 and shape[1].is_static else None


def precisions(core: Any) -> list[str]:
    """Return the precisions of this processor: the more exact half precision first, float32 last."""
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [name for name, capability in (("f16", "FP16"), ("bf16", "BF16")) if capability in capabilities] + ["f32"]


def _multiplies_matrices(compiled: Any) -> bool:
    """Return whether convolutions run on matrix units (AMX), which not every system lists among its capabilities."""
    runtime = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kernels = [info["primitiveType"].astype(str) for info in runtime if info["layerType"].astype(str) == "Convolution"]
    return any("amx" in kernel for kernel in kernels)
