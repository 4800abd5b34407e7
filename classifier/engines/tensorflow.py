"""TensorFlow: runs the Keras file of a model folder in one traced function of a fixed shape."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier.card import EMOTIONS_OUTPUT, NETWORK_FILE, load_card
from classifier.engines.shared import check_outputs, padded, warm_up
from crowdmood.core.errors import ModelError
from crowdmood.domain.messages import CROP_SIZE


class TensorFlowEngine:
    """Runs a network with TensorFlow.

    Batches are padded to one shape. So the function is traced once, the same kernels compute every row, and a face has
    the same bits in every batch.

    Args:
        model: The model's folder.
        max_batch_size: Faces in one call of the network.
        threads: Number of threads; 0 for TensorFlow's default.

    Raises:
        ModelError: The folder does not match its card, or the network lacks an output that the card lists, or returns
            NaN or infinite values.
    """

    def __init__(self, model: Path, max_batch_size: int, threads: int) -> None:
        card = load_card(model)
        self.model_id = card.model_id
        self.labels = card.labels
        self.confusions = card.confusions()
        self.name = "tensorflow-f32"
        self._readable = card.readable_output
        self._batch_size = max_batch_size
        # The frameworks read both when they are first imported.
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with _stderr_discarded():
            import keras
            import tensorflow as tf

        if threads:
            with contextlib.suppress(RuntimeError):  # a process has one thread pool, and its first engine sets the size
                tf.config.threading.set_intra_op_parallelism_threads(threads)
        try:
            network = keras.saving.load_model(model / NETWORK_FILE, compile=False)
        except (ValueError, TypeError, OSError) as error:
            raise ModelError(
                f"{model / NETWORK_FILE}: Keras cannot load it ({error}); export the model again"
            ) from error
        shape = (max_batch_size, CROP_SIZE, CROP_SIZE, 1)
        self._traced: Any = tf.function(
            lambda faces: network(faces, training=False), input_signature=[tf.TensorSpec(shape, tf.uint8)]
        )
        first = self._run(np.zeros(shape, np.uint8))
        widths = {name: values.shape[1] if values.ndim == 2 else None for name, values in first.items()}
        check_outputs(card, model / NETWORK_FILE, widths)
        warm_up(self.predict, model / NETWORK_FILE)

    def predict(self, faces: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Classify faces; see `Engine.predict`."""
        probabilities = np.empty((len(faces), len(self.labels)), np.float32)
        readable = np.ones(len(faces), np.float32)
        for rows, batch in padded(faces, self._batch_size):
            outputs, count = self._run(batch), rows.stop - rows.start
            probabilities[rows] = outputs[EMOTIONS_OUTPUT][:count]
            if self._readable:
                readable[rows] = outputs[self._readable][:count, 0]
        return probabilities, readable

    def _run(self, batch: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        """Return the network's outputs by name; the single output of a network without names is `emotions`."""
        outputs = self._traced(batch)
        named = outputs if isinstance(outputs, dict) else {EMOTIONS_OUTPUT: outputs}
        return {name: np.asarray(values, np.float32) for name, values in named.items()}


@contextlib.contextmanager
def _stderr_discarded() -> Iterator[None]:
    """Discard standard error: TensorFlow prints there while it loads, in spite of its log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
