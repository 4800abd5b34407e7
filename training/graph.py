"""The served network as a graph for OpenVINO."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def save_graph(model: Any, file: Path) -> None:
    """Writes `file` (`.xml`) and its weights beside it (`.bin`, rounded to half precision: no label changes by it).

    Args:
        model: What `training.serving.serving_network` returned, on Keras' TensorFlow backend.
        file: Where the graph goes; it takes `(N, 48, 48, 1) uint8` and has the outputs `emotions` and perhaps `face`.
    """
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        graph = openvino.convert_model(folder)
    # Where the file lay meanwhile is nobody's business.
    graph.set_rt_info("saved model", ["conversion_parameters", "input_model"])
    names = sorted(model.output) if isinstance(model.output, dict) else ["emotions"]
    for output, name in zip(graph.outputs, names, strict=True):
        output.set_names({name})
    openvino.save_model(graph, file, compress_to_fp16=True)
