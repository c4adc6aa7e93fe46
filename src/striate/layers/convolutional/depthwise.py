"""Depthwise convolutions: each channel is convolved apart, with `depth_multiplier` kernels."""

from __future__ import annotations

from typing import Any

from striate import constraints, initializers, ops, regularizers
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.convolutional.base import BaseConv


class BaseDepthwiseConv(BaseConv):
    """A depthwise convolution over `rank` spatial axes; the output has `channels * depth_multiplier` channels.

    Args:
        depth_multiplier: kernels per input channel.
        depthwise_initializer, depthwise_regularizer, depthwise_constraint: of the kernel `(*kernel_size, channels,
            depth_multiplier)`.

    The other arguments are those of `BaseConv`.
    """

    def __init__(
        self, rank: int, kernel_size: Any, strides: Any = 1, padding: Any = "valid", depth_multiplier: int = 1,
        data_format: str | None = None, dilation_rate: Any = 1, activation: Any = None, use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None, activity_regularizer: Any = None, depthwise_constraint: Any = None,
        bias_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            rank, None, kernel_size, strides, padding, data_format, dilation_rate, 1, activation, use_bias,
            bias_initializer=bias_initializer, bias_regularizer=bias_regularizer, bias_constraint=bias_constraint,
            activity_regularizer=activity_regularizer, **kwargs,
        )  # fmt: skip
        if not isinstance(depth_multiplier, int) or depth_multiplier <= 0:
            raise ValueError(
                message(
                    self._where(),
                    "Invalid value for argument `depth_multiplier`. Expected a strictly positive value. "
                    f"Received depth_multiplier={depth_multiplier!r}",
                )
            )
        self.depth_multiplier = depth_multiplier
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.kernel_initializer = self.depthwise_initializer
        self.kernel_regularizer, self.kernel_constraint = self.depthwise_regularizer, self.depthwise_constraint

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        self._kernel = self._add_kernel((*self.kernel_size, channels, self.depth_multiplier))
        self._add_bias(channels * self.depth_multiplier)
        self.compute_output_shape(input_shape)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        inputs, padding = self._outside(inputs)
        return ops.depthwise_conv(
            inputs, kernel, strides=self.strides, padding=padding, data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )  # fmt: skip

    def _output_channels(self, input_shape: Any) -> Any:
        _, channels = self._split(input_shape)
        return None if channels is None else channels * self.depth_multiplier

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("filters", "groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"):
            del config[name]
        return config | {
            "depth_multiplier": self.depth_multiplier,
            "depthwise_initializer": initializers.serialize(self.depthwise_initializer),
            "depthwise_regularizer": regularizers.serialize(self.depthwise_regularizer),
            "depthwise_constraint": constraints.serialize(self.depthwise_constraint),
        }


@export("keras.layers.DepthwiseConv1D")
class DepthwiseConv1D(BaseDepthwiseConv):
    """`(batch, steps, channels)` to `(batch, new_steps, channels * depth_multiplier)`. See `BaseDepthwiseConv`."""

    _paddings = ("valid", "same", "full", "causal")

    def __init__(
        self, kernel_size: Any, strides: Any = 1, padding: Any = "valid", depth_multiplier: int = 1,
        data_format: str | None = None, dilation_rate: Any = 1, activation: Any = None, use_bias: bool = True,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            1,
            kernel_size,
            strides,
            padding,
            depth_multiplier,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            **kwargs,
        )


@export("keras.layers.DepthwiseConv2D")
class DepthwiseConv2D(BaseDepthwiseConv):
    """`(batch, height, width, channels)` to `(..., channels * depth_multiplier)`. See `BaseDepthwiseConv`."""

    def __init__(
        self, kernel_size: Any, strides: Any = (1, 1), padding: Any = "valid", depth_multiplier: int = 1,
        data_format: str | None = None, dilation_rate: Any = (1, 1), activation: Any = None, use_bias: bool = True,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            2,
            kernel_size,
            strides,
            padding,
            depth_multiplier,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            **kwargs,
        )
