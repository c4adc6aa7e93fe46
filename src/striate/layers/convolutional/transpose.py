"""Transposed convolutions: the input gradient of the convolution with the same arguments, as a layer."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core import window
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.convolutional.base import BaseConv


class BaseConvTranspose(BaseConv):
    """A transposed convolution (Dumoulin & Visin 2016, section 4) over `rank` spatial axes.

    The output has `o' = s (i' - 1) + a + k - p` cells per axis, where `output_padding` gives `a`.

    Args:
        output_padding: an int, or one per spatial axis, below the stride; None lets Keras's rule choose.
        output_shape: in the place of `output_padding`, the spatial sizes of the output.

    The other arguments are those of `BaseConv`; the kernel is `(*kernel_size, filters, channels)`.
    """

    def __init__(
        self, rank: int, filters: int, kernel_size: Any, strides: Any = 1, padding: Any = "valid",
        output_padding: Any = None, data_format: str | None = None, dilation_rate: Any = 1, activation: Any = None,
        use_bias: bool = True, output_shape: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            rank, filters, kernel_size, strides, padding, data_format, dilation_rate, 1, activation, use_bias, **kwargs
        )
        self.output_padding = self._checked_output_padding(output_padding)
        self.target_shape = None if output_shape is None else self._tuple(output_shape, "output_shape")
        if self.target_shape is not None and self.output_padding is not None:
            raise ValueError(message(self._where(), "got both `output_padding` and `output_shape`", "Pass one of them"))

    def _checked_output_padding(self, value: Any) -> tuple[int, ...] | None:
        if value is None:
            return None
        amounts = window.normalize_tuple(value, self.rank, "output_padding", where=self._where(), allow_zero=True)
        if any(a >= s for a, s in zip(amounts, self.strides, strict=True)):
            raise ValueError(
                message(
                    self._where(),
                    f"`output_padding` must be strictly less than `strides`. Received: output_padding={value}, "
                    f"strides={self.strides}",
                )
            )
        return amounts

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        self._kernel = self._add_kernel((*self.kernel_size, self.filters, channels))
        self._add_bias(self.filters)
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        spatial, _ = self._split(inputs.shape)
        outputs = ops.conv_transpose(
            inputs, self.kernel, strides=list(self.strides), padding=self.padding,
            output_padding=self._extra(spatial), data_format=self.data_format, dilation_rate=self.dilation_rate,
        )  # fmt: skip
        return self._finish(outputs)

    def _extra(self, spatial: Any) -> tuple[int, ...] | None:
        """The output padding: as given, or what `output_shape` needs."""
        if self.target_shape is None or None in spatial:
            return self.output_padding
        pads = self._paddings_per_axis()
        axes = zip(self.target_shape, spatial, self.kernel_size, self.strides, pads, self.dilation_rate, strict=True)
        return tuple(window.output_padding_for(o, i, k, s, p, d, where=self._where()) for o, i, k, s, p, d in axes)

    def _paddings_per_axis(self) -> tuple[Any, ...]:
        return (self.padding,) * self.rank if isinstance(self.padding, str) else self.padding

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The output's shape, sizes None where unknown."""
        spatial, _ = self._split(input_shape)
        if self.target_shape is not None and None in spatial:
            return self._join(input_shape[0], self.target_shape, self.filters)
        out = window.transposed_shape(
            spatial, self.kernel_size, self.strides, self.padding, self.dilation_rate, self._extra(spatial),
            where=self._where(),
        )  # fmt: skip
        return self._join(input_shape[0], out, self.filters)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["groups"]
        config["output_padding"] = self.output_padding
        if self.target_shape is not None:
            config["output_shape"] = self.target_shape
        return config


@export("keras.layers.Conv1DTranspose", "keras.layers.Convolution1DTranspose")
class Conv1DTranspose(BaseConvTranspose):
    """`(batch, steps, channels)` to `(batch, new_steps, filters)`. See `BaseConvTranspose`."""

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: Any = "valid",
        output_padding: Any = None, data_format: str | None = None, dilation_rate: Any = 1, activation: Any = None,
        use_bias: bool = True, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            1, filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation, use_bias,
            **kwargs,
        )  # fmt: skip


@export("keras.layers.Conv2DTranspose", "keras.layers.Convolution2DTranspose")
class Conv2DTranspose(BaseConvTranspose):
    """`(batch, height, width, channels)` to `(batch, new_height, new_width, filters)`. See `BaseConvTranspose`."""

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = (1, 1), padding: Any = "valid",
        output_padding: Any = None, data_format: str | None = None, dilation_rate: Any = (1, 1), activation: Any = None,
        use_bias: bool = True, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            2, filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation, use_bias,
            **kwargs,
        )  # fmt: skip


@export("keras.layers.Conv3DTranspose", "keras.layers.Convolution3DTranspose")
class Conv3DTranspose(BaseConvTranspose):
    """`(batch, depth, height, width, channels)` to `(batch, ..., filters)`. See `BaseConvTranspose`."""

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = (1, 1, 1), padding: Any = "valid",
        data_format: str | None = None, output_padding: Any = None, dilation_rate: Any = (1, 1, 1),
        activation: Any = None, use_bias: bool = True, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            3, filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation, use_bias,
            **kwargs,
        )  # fmt: skip
