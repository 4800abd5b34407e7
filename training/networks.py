"""Network architectures by name, all from `(N, 48, 48, 1) uint8` to logits, and what a forward pass costs."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import keras

from crowdmood.core.errors import ModelError
from training.classics import conv4, mini_xception
from training.data import SIDE
from training.layers import Blocks
from training.transfer import PREFIX, build_transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def crowdnet(
    image: Any,
    blocks: Blocks,
    outputs: int,
    stem: tuple[int, int] = (16, 32),
    stages: Sequence[tuple[int, int]] = ((32, 1), (64, 2), (192, 2)),
    dropout: float = 0.25,
) -> Any:
    """Build a small residual network with few, wide maps: CPUs multiply faster than they move memory.

    Every face is normalised to zero mean and unit variance first, so exposure and contrast do not matter.

    Args:
        image: `(N, 48, 48, 1) uint8`.
        blocks: The layout.
        outputs: Number of logits.
        stem: Channels of the first convolution, at every pixel, and of the second, at every second one.
        stages: Channels and residual blocks at 24, 12 and 6 pixels.
        dropout: Rate before the logits.
    """
    tensor = keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32")(image)
    tensor = keras.layers.LayerNormalization(axis=(1, 2, 3), epsilon=1e-3, center=False, scale=False, dtype="float32")(
        tensor
    )
    tensor = blocks.enter(tensor)
    for strides, width in enumerate(stem, start=1):
        tensor = keras.layers.ReLU()(blocks.norm(blocks.conv(tensor, width, 3, strides=strides)))
    for number, (width, repeats) in enumerate(stages):
        if number:
            tensor = blocks.pool(tensor)
        for _ in range(repeats):
            # Attention helps on the last, small maps; on the larger ones it costs a third of the speed.
            tensor = _residual(tensor, blocks, width, attention=number == len(stages) - 1)
    tensor = blocks.average(tensor)
    tensor = keras.layers.Dropout(dropout)(tensor)
    return keras.layers.Dense(outputs, dtype="float32", name="logits")(tensor)


def _residual(tensor: Any, blocks: Blocks, width: int, attention: bool) -> Any:
    """Add two 3x3 convolutions with channel attention (Hu et al. 2018) and a skip connection."""
    inside = keras.layers.ReLU()(blocks.norm(blocks.conv(tensor, width, 3)))
    inside = blocks.norm(blocks.conv(inside, width, 3), gamma="zeros")
    if attention:
        inside = blocks.attend(inside, width)
    if blocks.channels(tensor) != width:
        tensor = blocks.norm(blocks.conv(tensor, width, 1))
    return keras.layers.ReLU()(keras.layers.Add()([tensor, inside]))


ARCHITECTURES: Final[dict[str, Callable[[Any, Blocks, int], Any]]] = {
    "crowdnet": crowdnet,
    "conv4": conv4,
    "conv4-dense3": partial(conv4, dense=(256, 512, 512)),
    "conv4-256": partial(conv4, filters=(64, 128, 256, 512)),
    "conv4-256-dense3": partial(conv4, filters=(64, 128, 256, 512), dense=(256, 512, 512)),
    "mini-xception": mini_xception,
}
"""Builders of the architectures: from the image, the layout's blocks and the number of logits to the logits."""


def build(architecture: str, native: bool = False, outputs: int = 7, any_size: bool = False) -> Any:
    """Build a network that ends in a dense layer named `logits`.

    Args:
        architecture: One of `ARCHITECTURES`, or `keras:` and the name of a backbone of `keras.applications`.
        native: Build in PyTorch's own layout (see `training.layers`); only on the PyTorch backend.
        outputs: Number of logits.
        any_size: Accept faces of any size, for progressive resizing.

    Returns:
        A `keras.Model` from `(N, 48, 48, 1) uint8` to `(N, outputs) float32` logits.

    Raises:
        ModelError: There is no such architecture, or it cannot take faces of any size.
    """
    if architecture.startswith(PREFIX):
        return build_transfer(architecture.removeprefix(PREFIX), outputs)
    if architecture not in ARCHITECTURES:
        raise ModelError(f"architecture {architecture!r} is unknown; choose one of {', '.join(ARCHITECTURES)}")
    if any_size and architecture.startswith("conv4"):
        raise ModelError(f"{architecture} flattens its maps and needs one face size; leave small_until at [0, 0]")
    side = None if any_size else SIDE
    image = keras.layers.Input((side, side, 1), dtype="uint8", name="image")
    return keras.Model(image, ARCHITECTURES[architecture](image, Blocks(native), outputs), name=architecture)


def multiply_adds(model: Any) -> int:
    """Return the multiply-adds of one image's forward pass through convolutions and dense layers.

    Normalisation is not counted: it is folded into the convolution before it. Activations and pooling have no products.
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
