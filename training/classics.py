"""The architectures of the baseline, from `(N, 48, 48, 1) uint8` to class logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.layers import Blocks


def conv4(
    image: Any,
    blocks: Blocks,
    outputs: int,
    filters: Sequence[int] = (64, 128, 512, 512),
    dense: Sequence[int] = (256, 512),
) -> Any:
    """Build the baseline's network: four convolutions (3, 5, 3, 3 pixels wide) with pooling, then dense layers.

    Args:
        image: `(N, 48, 48, 1) uint8`.
        blocks: The layout.
        outputs: Number of logits.
        filters: Channels of the convolutions.
        dense: Widths of the hidden dense layers.
    """
    tensor = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    tensor = blocks.enter(tensor)
    for width, kernel in zip(filters, (3, 5, 3, 3), strict=True):
        tensor = blocks.norm(blocks.conv(tensor, width, kernel))
        # Pooling before the ReLU gives the same numbers as after it, for a quarter of the work.
        tensor = keras.layers.ReLU()(blocks.pool(tensor))
        tensor = blocks.drop_channels(tensor, 0.05)
    tensor = keras.layers.Flatten()(blocks.leave(tensor))
    for width in dense:
        tensor = keras.layers.Dense(width, use_bias=False, kernel_initializer="he_normal")(tensor)
        tensor = keras.layers.ReLU()(blocks.norm(tensor))
        tensor = keras.layers.Dropout(0.2)(tensor)
    return keras.layers.Dense(outputs, dtype="float32", name="logits")(tensor)


def mini_xception(image: Any, blocks: Blocks, outputs: int, widths: Sequence[int] = (16, 32, 64, 128)) -> Any:
    """Build Mini-XCEPTION (Arriaga et al. 2017): four residual blocks of separable convolutions, 60,000 weights.

    Args:
        image: `(N, 48, 48, 1) uint8`.
        blocks: The layout.
        outputs: Number of logits.
        widths: Channels of the blocks.
    """
    tensor = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    tensor = blocks.enter(tensor)
    for _ in range(2):
        tensor = keras.layers.ReLU()(blocks.norm(blocks.conv(tensor, 8, 3)))
    for width in widths:
        # A 1x1 convolution with strides does the same, but TensorFlow's oneDNN kernel for its gradient corrupts memory.
        past = blocks.norm(blocks.conv(blocks.pool(tensor, 1, "same"), width, 1))
        inside = keras.layers.ReLU()(blocks.norm(blocks.separable(tensor, width)))
        inside = blocks.norm(blocks.separable(inside, width))
        tensor = keras.layers.Add()([blocks.pool(inside, padding="same"), past])
    tensor = keras.layers.Conv2D(outputs, 3, padding="same", data_format=blocks.data_format)(tensor)
    return keras.layers.Dense(outputs, dtype="float32", name="logits")(blocks.average(tensor))
