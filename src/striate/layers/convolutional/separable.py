"""Separable convolutions: a depthwise one, then a pointwise (1x1) one."""

from __future__ import annotations

from typing import Any

from striate import constraints, initializers, ops, regularizers
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.convolutional.base import BaseConv

_PARTS = ("depthwise", "pointwise")


class BaseSeparableConv(BaseConv):
    """A depthwise convolution followed by a 1x1 convolution that mixes the channels.

    Args:
        depth_multiplier: depthwise kernels per input channel.
        depthwise_*, pointwise_*: initializer, regularizer and constraint of the two kernels, of shapes
            `(*kernel_size, channels, depth_multiplier)` and `(1, ..., channels * depth_multiplier, filters)`.

    The other arguments are those of `BaseConv`.
    """

    def __init__(
        self, rank: int, filters: int, kernel_size: Any, strides: Any = 1, padding: Any = "valid",
        data_format: str | None = None, dilation_rate: Any = 1, depth_multiplier: int = 1, activation: Any = None,
        use_bias: bool = True, depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        depthwise_constraint: Any = None, pointwise_constraint: Any = None, bias_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            rank, filters, kernel_size, strides, padding, data_format, dilation_rate, 1, activation, use_bias,
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
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        self.depthwise_kernel = self._part("depthwise", (*self.kernel_size, channels, self.depth_multiplier))
        mixed = channels * self.depth_multiplier
        self.pointwise_kernel = self._part("pointwise", (*(1,) * self.rank, mixed, self.filters))
        self._add_bias(self.filters)
        self.compute_output_shape(input_shape)

    def _part(self, part: str, shape: tuple[Any, ...]) -> Any:
        return self.add_weight(
            name=f"{part}_kernel",
            shape=shape,
            initializer=getattr(self, f"{part}_initializer"),
            regularizer=getattr(self, f"{part}_regularizer"),
            constraint=getattr(self, f"{part}_constraint"),
        )

    def call(self, inputs: Any) -> Any:
        inputs, padding = self._outside(inputs)
        return self._finish(
            ops.separable_conv(
                inputs,
                self.depthwise_kernel,
                self.pointwise_kernel,
                strides=self.strides,
                padding=padding,
                data_format=self.data_format,
                dilation_rate=self.dilation_rate,
            )
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"):
            del config[name]
        config["depth_multiplier"] = self.depth_multiplier
        for part in _PARTS:
            config[f"{part}_initializer"] = initializers.serialize(getattr(self, f"{part}_initializer"))
            config[f"{part}_regularizer"] = regularizers.serialize(getattr(self, f"{part}_regularizer"))
            config[f"{part}_constraint"] = constraints.serialize(getattr(self, f"{part}_constraint"))
        return config


@export("keras.layers.SeparableConv1D", "keras.layers.SeparableConvolution1D")
class SeparableConv1D(BaseSeparableConv):
    """`(batch, steps, channels)` to `(batch, new_steps, filters)`. See `BaseSeparableConv`."""

    _paddings = ("valid", "same", "full", "causal")

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: Any = "valid",
        data_format: str | None = None, dilation_rate: Any = 1, depth_multiplier: int = 1, activation: Any = None,
        use_bias: bool = True, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            1, filters, kernel_size, strides, padding, data_format, dilation_rate, depth_multiplier, activation,
            use_bias, **kwargs,
        )  # fmt: skip


@export("keras.layers.SeparableConv2D", "keras.layers.SeparableConvolution2D")
class SeparableConv2D(BaseSeparableConv):
    """`(batch, height, width, channels)` to `(batch, new_height, new_width, filters)`. See `BaseSeparableConv`."""

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = (1, 1), padding: Any = "valid",
        data_format: str | None = None, dilation_rate: Any = (1, 1), depth_multiplier: int = 1, activation: Any = None,
        use_bias: bool = True, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            2, filters, kernel_size, strides, padding, data_format, dilation_rate, depth_multiplier, activation,
            use_bias, **kwargs,
        )  # fmt: skip
