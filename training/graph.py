"""The served network as a graph for OpenVINO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from training.serving import FER_OUTPUT

if TYPE_CHECKING:
    from pathlib import Path


def save_graph(model: Any, file: Path) -> None:
    """Write `file` (`.xml`) and its weights beside it (`.bin`, rounded to half precision).

    Args:
        model: What `training.serving.serving_network` returned, on Keras' TensorFlow backend.
        file: The graph to write: from `(N, 48, 48, 1) uint8` to `emotions`, and `readable` where the network has it.
    """
    import openvino
    import tensorflow as tf

    network = _normalized_from_whole_numbers(model)
    image = tf.TensorSpec(network.input_shape, tf.uint8, name="image")
    traced = tf.function(lambda faces: network(faces, training=False), input_signature=[image]).get_concrete_function()
    graph = openvino.convert_model(traced)
    outputs = traced.structured_outputs
    by_name = dict(outputs) if isinstance(outputs, dict) else {"emotions": outputs}
    by_name.pop(FER_OUTPUT, None)
    names = {tensor.name: name for name, tensor in by_name.items()} | {name: name for name in by_name}
    for output in graph.outputs:
        known = names.keys() & output.get_names()
        if known:
            output.set_names({names[known.pop()]})
        else:
            graph.remove_result(output.get_node())  # an intermediate value that nothing uses
    openvino.save_model(graph, file, compress_to_fp16=True)


def _normalized_from_whole_numbers(model: Any) -> Any:
    """Return the same network with no rounding before a face has zero mean and unit variance.

    Rescaled pixels have no exact value in bfloat16, and their rounded mean shifts a whole face; whole numbers up to 255
    are exact there, and OpenVINO normalises them in one step. On PublicTest this halves the number of faces whose
    likeliest label differs from float32's. A network that begins with other layers is returned unchanged.
    """
    first = model.layers[1:3]
    if [type(layer) for layer in first] != [keras.layers.Rescaling, keras.layers.LayerNormalization]:
        return model
    rescaling, normalization = first
    if normalization.weights or list(normalization.axis) != [1, 2, 3]:
        return model
    # Normalisation cancels any offset and, except for its epsilon, any scale.
    exact = {
        rescaling.name: keras.layers.Identity(dtype="uint8", name=rescaling.name),
        normalization.name: _Normalization(
            normalization.epsilon / rescaling.scale**2, dtype="float32", name=normalization.name
        ),
    }

    def clone(layer: Any) -> Any:
        return exact.get(layer.name) or layer.__class__.from_config(layer.get_config())

    network = keras.models.clone_model(model, clone_function=clone)
    network.set_weights(model.get_weights())
    return network


class _Normalization(keras.layers.Layer):
    """Normalisation to zero mean and unit variance, in the form that OpenVINO recognises.

    Input shape: `(N, height, width, channels) uint8`.
    Output shape: the same, float32.

    Args:
        epsilon: Added to the variance.
        **options: Options of every layer.
    """

    def __init__(self, epsilon: float, **options: Any) -> None:
        super().__init__(**options)
        self._epsilon = epsilon

    def call(self, faces: Any) -> Any:
        faces = ops.cast(faces, "float32")
        centred = faces - ops.mean(faces, axis=(1, 2, 3), keepdims=True)
        variance = ops.mean(centred * centred, axis=(1, 2, 3), keepdims=True)
        return centred / ops.sqrt(variance + self._epsilon)
