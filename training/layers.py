"""The layers the networks are built from, in the layout that is fastest where they run.

A network is described once and built in one of two ways. *Portable*: standard Keras layers, channels last; this is what
is exported and served. *Native* (training on the PyTorch backend): channels first in PyTorch's own channels-last memory
format, and PyTorch's batch normalisation, which on a CPU trains about three times as many images per second as the
portable layers on the same backend. Both have the same weights in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras


@keras.saving.register_keras_serializable("crowdmood")
class NativeBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation over axis 1 through PyTorch's single kernel instead of a dozen small ones."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise `(N, C)` or `(N, C, H, W)`; the moving statistics are updated in place when training."""
        from torch.nn import functional

        return functional.batch_norm(
            inputs,
            self.moving_mean.value.detach(),
            self.moving_variance.value.detach(),
            self.gamma.value,
            self.beta.value,
            training=bool(training) and self.trainable,
            momentum=1 - self.momentum,
            eps=self.epsilon,
        )


@keras.saving.register_keras_serializable("crowdmood")
class ChannelsLastMemory(keras.layers.Layer):
    """Channels-last memory format for `(N, C, H, W)`; PyTorch's convolutions keep it throughout the network."""

    def call(self, inputs: Any) -> Any:
        """Return the same tensor in the other memory format."""
        import torch

        return inputs.to(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Builder of layers for one of the two layouts.

    Attributes:
        native: True for the PyTorch layout described above.
    """

    native: bool = False

    @property
    def data_format(self) -> str:
        """Keras' name of the layout."""
        return "channels_first" if self.native else "channels_last"

    def enter(self, tensor: Any) -> Any:
        """Convert `(N, 48, 48, C)` to the layout."""
        if not self.native:
            return tensor
        return ChannelsLastMemory()(keras.layers.Permute((3, 1, 2))(tensor))

    def leave(self, tensor: Any) -> Any:
        """Convert a tensor back to channels last, so that flattening gives the same order in both layouts."""
        return keras.layers.Permute((2, 3, 1))(tensor) if self.native else tensor

    def conv(self, tensor: Any, filters: int, kernel: int, strides: int = 1, groups: int = 1) -> Any:
        """Convolve without a bias, as batch normalisation follows."""
        return keras.layers.Conv2D(
            filters,
            kernel,
            strides=strides,
            padding="same",
            groups=groups,
            use_bias=False,
            kernel_initializer="he_normal",
            data_format=self.data_format,
        )(tensor)

    def separable(self, tensor: Any, filters: int, kernel: int = 3) -> Any:
        """Convolve each channel alone, then mix the channels, without a bias."""
        return keras.layers.SeparableConv2D(
            filters, kernel, padding="same", use_bias=False, data_format=self.data_format
        )(tensor)

    def norm(self, tensor: Any, gamma: str = "ones") -> Any:
        """Normalise over the batch; `gamma` is the scale's initialiser."""
        options = {"momentum": 0.9, "epsilon": 1e-5, "gamma_initializer": gamma}
        if self.native:
            return NativeBatchNormalization(axis=1, **options)(tensor)
        return keras.layers.BatchNormalization(axis=-1, **options)(tensor)

    def pool(self, tensor: Any, size: int = 2, padding: str = "valid") -> Any:
        """Halve a map: take the maximum of every `size` by `size` pixels; a size of 1 takes every second pixel."""
        return keras.layers.MaxPooling2D(size, 2, padding, data_format=self.data_format)(tensor)

    def average(self, tensor: Any) -> Any:
        """Average over all pixels: `(N, C)`."""
        return keras.layers.GlobalAveragePooling2D(data_format=self.data_format)(tensor)

    def drop_channels(self, tensor: Any, rate: float) -> Any:
        """Drop whole channels: regularises as much as dropping pixels of a small map, at nearly no cost."""
        return keras.layers.SpatialDropout2D(rate, data_format=self.data_format)(tensor) if rate else tensor

    def attend(self, tensor: Any, width: int) -> Any:
        """Weight each of `width` channels by the average of the whole map (squeeze and excitation, Hu et al. 2018)."""
        weight = keras.layers.Dense(max(width // 8, 8), activation="relu")(self.average(tensor))
        weight = keras.layers.Dense(width, activation="sigmoid")(weight)
        shape = (width, 1, 1) if self.native else (1, 1, width)
        return keras.layers.Multiply()([tensor, keras.layers.Reshape(shape)(weight)])

    def channels(self, tensor: Any) -> int:
        """Return the number of channels of a tensor of the layout."""
        return int(tensor.shape[1 if self.native else -1])
