"""What one forward pass costs."""

from __future__ import annotations

import math
from typing import Any

import keras


def multiply_adds(model: Any) -> int:
    """Counts the multiply-adds of one image's forward pass through convolutions and dense layers.

    Normalisation is not counted: it folds into the convolution before it. Activations and pooling have no products.
    """
    return sum(_layer_cost(layer) for layer in model._flatten_layers(recursive=True, include_self=False))


def _layer_cost(layer: Any) -> int:
    if isinstance(layer, keras.layers.SeparableConv2D):
        pixels = math.prod(_spatial(layer))
        depthwise, pointwise = layer.depthwise_kernel.shape, layer.pointwise_kernel.shape
        return pixels * (math.prod(depthwise) + math.prod(pointwise))
    if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
        return math.prod(_spatial(layer)) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape)
    return 0


def _spatial(layer: Any) -> tuple[int, ...]:
    shape = layer.output.shape[1:]
    return tuple(shape[1:] if layer.data_format == "channels_first" else shape[:-1])
