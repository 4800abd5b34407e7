"""The network as it is served: standard layers, float32, probabilities, calibration inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np
from keras import ops

from crowdmood.domain.labels import FER_LABELS
from training.heads import ALL_HEADS, CROWD, FER, READABLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from classifier.card import Calibration

_BATCH = 256
_TINY = 1e-7

FER_OUTPUT: Final = "fer"
"""Output of the FER2013 labels of a network with all heads: for comparisons, never served."""


def serving_network(
    trained: Any, calibration: Calibration | None = None, fer_calibration: Calibration | None = None
) -> Any:
    """Turn a network that ends in a dense layer named `logits` into one that ends in probabilities.

    The calibration becomes part of the network, so no user of it can forget it.

    Args:
        trained: From `(N, 48, 48, 1) uint8` to 7 or `ALL_HEADS` logits, in the portable layout.
        calibration: Of the logits that are served; None leaves them as they are.
        fer_calibration: Of the head `fer` where it is not the one that is served.

    Returns:
        For 7 logits a `keras.Model` to `(N, 7) float32`, rows sum to one; for all heads to a dict of
        `emotions (N, 8)`, `readable (N, 1)`, the probability that an expression can be seen, and `fer (N, 7)`.
    """
    if trained.output.shape[-1] != ALL_HEADS:
        last = trained.get_layer("logits")
        kernel, bias = (np.asarray(ops.convert_to_numpy(weight)) for weight in last.weights)
        scaled = keras.layers.Dense(kernel.shape[1], dtype="float32", name="expression_logits")
        emotions = keras.layers.Softmax(dtype="float32", name="emotions")(scaled(last.input))
        temperature = calibration.temperature if calibration else 1.0
        scaled.set_weights([kernel / temperature, bias / temperature])
        return keras.Model(trained.input, emotions, name=trained.name)
    outputs = {
        "emotions": _probabilities(trained.output[:, CROWD], calibration, "emotions"),
        "readable": keras.layers.Activation("sigmoid", dtype="float32", name="readable")(
            keras.layers.Rescaling(1.0, offset=-_readable_offset(calibration), dtype="float32")(
                trained.output[:, READABLE : READABLE + 1]
            )
        ),
        FER_OUTPUT: _probabilities(trained.output[:, FER], fer_calibration, FER_OUTPUT),
    }
    return keras.Model(trained.input, outputs, name=trained.name)


def _probabilities(logits: Any, calibration: Calibration | None, name: str) -> Any:
    if calibration:
        biases = list(calibration.biases) if calibration.biases else 0.0
        logits = keras.layers.Rescaling(1 / calibration.temperature, offset=biases, dtype="float32")(logits)
    return keras.layers.Softmax(dtype="float32", name=name)(logits)


def _readable_offset(calibration: Calibration | None) -> float:
    return (calibration.readable_offset or 0.0) if calibration else 0.0


def predict(model: Any, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Run a served network, with one forward pass for each face.

    Args:
        model: What `serving_network` returned, or the same loaded from a file.
        images: `(N, 48, 48) uint8`.

    Returns:
        Probabilities `(N, K)`, and the probability that each face is readable `(N,)`, or None where the network has no
        such output. The output `face` of earlier networks is used as `readable`.
    """
    result = model.predict(images[..., None], batch_size=_BATCH, verbose=0)
    if not isinstance(result, dict):
        return np.asarray(result, dtype=np.float32), None
    readable = result.get("readable", result.get("face"))
    return (
        np.asarray(result["emotions"], dtype=np.float32),
        None if readable is None else np.asarray(readable, dtype=np.float32)[:, 0],
    )


def predict_fer(model: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run a served network and return the probabilities of FER2013's labels: those of its head `fer`, if any.

    Of a network of eight labels without that head, cheering is left out.

    Args:
        model: What `serving_network` returned, or the same loaded from a file.
        images: `(N, 48, 48) uint8`.

    Returns:
        `(N, 7) float32`, rows sum to one.
    """
    result = model.predict(images[..., None], batch_size=_BATCH, verbose=0)
    if isinstance(result, dict):
        result = result.get(FER_OUTPUT, result["emotions"])
    probabilities = np.asarray(result, dtype=np.float32)
    if probabilities.shape[1] == len(FER_LABELS):
        return probabilities
    seven = probabilities[:, : len(FER_LABELS)]
    return np.asarray(seven / np.maximum(seven.sum(axis=1, keepdims=True), _TINY), dtype=np.float32)
