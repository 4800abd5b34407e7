"""The network as it is served: standard layers, float32, probabilities, calibration inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from classifier.card import Calibration

_EXPRESSIONS = 7
_BATCH = 256


def serving_network(trained: Any, calibration: Calibration | None = None) -> Any:
    """Turns a network that ends in a dense layer named `logits` into one that ends in probabilities.

    The calibration goes into the weights of the last layer, so no user of the network can forget it.

    Args:
        trained: From `(N, 48, 48, 1) uint8` to 7 or 8 logits, in the portable layout.
        calibration: Of the expressions' logits; None leaves them as they are.

    Returns:
        For 7 logits a `keras.Model` to `(N, 7) float32`, rows sum to one; for 8 to a dict of `emotions (N, 7)`, the
        same, and `face (N, 1)`, the probability that the crop shows a face.
    """
    last = trained.get_layer("logits")
    kernel, bias = (np.asarray(ops.convert_to_numpy(weight)) for weight in last.weights)
    scaled = keras.layers.Dense(_EXPRESSIONS, dtype="float32", name="expression_logits")
    emotions = keras.layers.Softmax(dtype="float32", name="emotions")(scaled(last.input))
    temperature = calibration.temperature if calibration else 1.0
    scaled.set_weights([kernel[:, :_EXPRESSIONS] / temperature, bias[:_EXPRESSIONS] / temperature])
    if kernel.shape[1] == _EXPRESSIONS:
        return keras.Model(trained.input, emotions, name=trained.name)
    joint = keras.layers.Softmax(dtype="float32")(trained.output)
    face = ops.sum(joint[:, :_EXPRESSIONS], axis=-1, keepdims=True)
    return keras.Model(trained.input, {"emotions": emotions, "face": face}, name=trained.name)


def predict(model: Any, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Runs a served network, one forward pass a face.

    Args:
        model: What `serving_network` returned, or the same loaded from a file.
        images: `(N, 48, 48) uint8`.

    Returns:
        Probabilities `(N, 7)`, and for networks that check it the probability of a face `(N,)`.
    """
    result = model.predict(images[..., None], batch_size=_BATCH, verbose=0)
    if isinstance(result, dict):
        return np.asarray(result["emotions"], dtype=np.float32), np.asarray(result["face"], dtype=np.float32)[:, 0]
    return np.asarray(result, dtype=np.float32), None
