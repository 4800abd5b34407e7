"""The served network as a graph for OpenVINO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def save_graph(model: Any, file: Path) -> None:
    """Writes `file` (`.xml`) and its weights beside it (`.bin`, rounded to half precision).

    Args:
        model: What `training.serving.serving_network` returned, on Keras' TensorFlow backend.
        file: Where the graph goes; it takes `(N, 48, 48, 1) uint8` and has the outputs `emotions` and perhaps `face`.
    """
    import openvino
    import tensorflow as tf

    image = tf.TensorSpec(model.input_shape, tf.uint8, name="image")
    traced = tf.function(lambda faces: model(faces, training=False), input_signature=[image]).get_concrete_function()
    graph = openvino.convert_model(traced)
    outputs = traced.structured_outputs
    by_name = outputs if isinstance(outputs, dict) else {"emotions": outputs}
    names = {tensor.name: name for name, tensor in by_name.items()} | {name: name for name in by_name}
    for output in graph.outputs:
        known = names.keys() & output.get_names()
        if known:
            output.set_names({names[known.pop()]})
        else:
            graph.remove_result(output.get_node())  # a value on the way that nothing uses
    openvino.save_model(graph, file, compress_to_fp16=True)
