"""`Conv1D`, `Conv2D`, `Conv3D`: names for `BaseConv` with one, two and three spatial axes."""

from __future__ import annotations

from typing import Any

from striate.core.registry import export
from striate.layers.convolutional.base import BaseConv


@export("keras.layers.Conv1D", "keras.layers.Convolution1D")
class Conv1D(BaseConv):
    """A convolution over one axis: `(batch, steps, channels)` to `(batch, new_steps, filters)`. See `BaseConv`.

    `padding="causal"` puts all padding before the input, so that output t sees no input after t.
    """

    _paddings = ("valid", "same", "full", "causal")

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: Any = "valid", data_format: str | None = None,
        dilation_rate: Any = 1, groups: int = 1, activation: Any = None, use_bias: bool = True, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            1,
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            groups,
            activation,
            use_bias,
            **kwargs,
        )


@export("keras.layers.Conv2D", "keras.layers.Convolution2D")
class Conv2D(BaseConv):
    """A convolution over two axes: `(batch, height, width, channels)` to `(batch, new_height, new_width, filters)`.

    See `BaseConv` for the arguments.
    """

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = (1, 1), padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1), groups: int = 1, activation: Any = None, use_bias: bool = True, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            2,
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            groups,
            activation,
            use_bias,
            **kwargs,
        )


@export("keras.layers.Conv3D", "keras.layers.Convolution3D")
class Conv3D(BaseConv):
    """A convolution over three axes: `(batch, depth, height, width, channels)` to `(batch, ..., filters)`. See
    `BaseConv`."""

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = (1, 1, 1), padding: Any = "valid",
        data_format: str | None = None, dilation_rate: Any = (1, 1, 1), groups: int = 1, activation: Any = None,
        use_bias: bool = True, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            3,
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            groups,
            activation,
            use_bias,
            **kwargs,
        )
