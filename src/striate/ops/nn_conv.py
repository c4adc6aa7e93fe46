"""`keras.ops.nn`: convolutions. Inputs `(batch, *spatial, channels)`, or with the channels second."""

from __future__ import annotations

from typing import Any

from striate.core import window
from striate.core.errors import message
from striate.ops.base import op, tensors
from striate.ops.numpy_shape import flip
from striate.ops.windows import Window, in_channels_last, spatial_rank
from striate.primitives import conv as prim
from striate.primitives import structural


def _operands(name: str, inputs: Any, kernel: Any) -> tuple[Any, Any, int]:
    """Inputs and kernel in one float dtype, and the number of spatial axes."""
    x, w = tensors(inputs, kernel, floating=True)
    rank = spatial_rank(name, x)
    if w.ndim != x.ndim:
        raise ValueError(
            message(
                name,
                "expected a kernel with as many axes as the inputs, (*kernel size, channels in, channels out), "
                "got inputs of "
                f"shape {tuple(x.shape)} and a kernel of shape {tuple(w.shape)}",
            )
        )
    return x, w, rank


def _convolved(name: str, x: Any, w: Any, strides: Any, padding: Any, dilation: Any, groups: int | None = None) -> Any:
    """The convolution of channels-last `x`; groups as the shapes imply."""
    win = Window(name, w.shape[:-2], strides, padding, dilation, x.ndim - 2, "kernel_size")
    channels, taken = x.shape[-1], w.shape[-2]
    if taken < 1 or channels % taken or w.shape[-1] % (groups or max(channels // taken, 1)):
        raise ValueError(
            message(
                name,
                "The number of input channels must be evenly divisible by the kernel's, and the filters by the "
                "quotient (the "
                f"groups). Received inputs of shape {tuple(x.shape)} with {channels} channels (channels last), "
                "and a kernel "
                f"{tuple(w.shape)} for {taken}",
                f"Give the kernel {channels} input channels, or set data_format if the channels stand on another axis",
            )
        )
    return prim.conv(
        x,
        w,
        strides=win.strides,
        padding=win.pads(x.shape[1:-1]),
        dilation=win.dilation,
        groups=groups or channels // taken,
    )


@op("nn")
def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Cross-correlation over 1 to 3 spatial axes, what deep learning calls convolution:

        y[n, o, f] = sum over t, c of x[n, o s + t d - lo, c] w[t, c, f]        (the chapter's equation (1),
        kernel not flipped)

    Args:
        inputs: `(batch, *spatial, channels)`, with "channels_first" `(batch, channels, *spatial)`.
        kernel: `(*kernel size, channels / groups, filters)`; groups follow from the shapes.
        strides, dilation_rate: an int, or one per axis. Default to 1.
        padding: "valid", "same" or "full" in any case, an int, or an int or pair per axis. Defaults to "valid".
        data_format: by default `image_data_format()`.

    Returns:
        `(batch, *out, filters)` with out = floor((i + p - k) / s) + 1.

    Raises:
        ValueError: ranks or channels that don't fit, a kernel larger than the padded input, unknown padding.
    """
    x, w, _ = _operands("conv", inputs, kernel)
    return in_channels_last(lambda v: _convolved("conv", v, w, strides, padding, dilation_rate), x, data_format)


@op("nn")
def true_conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Convolution as mathematics has it: `conv` with the kernel flipped along its spatial axes (not in Keras).

    Arguments, result and errors as `conv`.
    """
    x, w, rank = _operands("true_conv", inputs, kernel)
    flipped = flip(w, axis=tuple(range(rank)))
    return in_channels_last(
        lambda v: _convolved("true_conv", v, flipped, strides, padding, dilation_rate), x, data_format
    )


@op("nn")
def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Each channel convolved with kernels of its own.

    Args:
        kernel: `(*kernel size, channels, multiplier)`; the others as in `conv`.

    Returns:
        `(batch, *out, channels * multiplier)`, the results of one channel side by side.
    """
    x, w, _ = _operands("depthwise_conv", inputs, kernel)
    return in_channels_last(
        lambda v: _depthwise("depthwise_conv", v, w, strides, padding, dilation_rate), x, data_format
    )


def _depthwise(name: str, x: Any, w: Any, strides: Any, padding: Any, dilation: Any) -> Any:
    channels, multiplier = w.shape[-2:]
    if channels != x.shape[-1]:
        raise ValueError(
            message(
                name,
                f"a depthwise kernel of shape {tuple(w.shape)} is for {channels} channels, the inputs have "
                f"{x.shape[-1]}",
            )
        )
    grouped = structural.reshape(w, shape=(*w.shape[:-2], 1, channels * multiplier))
    return _convolved(name, x, grouped, strides, padding, dilation, channels)


@op("nn")
def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """A depthwise convolution, then a pointwise one (kernel size 1) that mixes the channels.

    Args:
        depthwise_kernel: `(*kernel size, channels, multiplier)`.
        pointwise_kernel: `(1, ..., channels * multiplier, filters)`; the others as in `conv`.
    """
    name = "separable_conv"
    x, w, _ = _operands(name, inputs, depthwise_kernel)
    x, point, _ = _operands(name, x, pointwise_kernel)

    def both(v: Any) -> Any:
        return _convolved(name, _depthwise(name, v, w, strides, padding, dilation_rate), point, 1, "valid", 1)

    return in_channels_last(both, x, data_format)


@op("nn")
def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """The transposed convolution: the gradient of a convolution with respect to its input.

    Args:
        kernel: `(*kernel size, filters, channels)`.
        output_padding: an int, or one per axis: what is added at the end of each spatial axis of the result. None:
            chosen by the padding's rule, see `striate.core.window.transposed_size`. The others as in `conv`.

    Returns:
        `(batch, *out, filters)` with out = s (i' - 1) + a + k - p (Dumoulin & Visin 2016, relationship 14).
    """
    name = "conv_transpose"
    x, w, rank = _operands(name, inputs, kernel)
    win = Window(name, w.shape[:-2], strides, padding, dilation_rate, rank, "kernel_size")
    extra = None
    if output_padding is not None:
        extra = window.normalize_tuple(output_padding, rank, "output_padding", where=name, allow_zero=True)
    return in_channels_last(lambda v: _transposed(v, w, win, extra), x, data_format)


def _transposed(x: Any, w: Any, win: Window, extra: tuple[int, ...] | None) -> Any:
    if w.shape[-1] != x.shape[-1]:
        raise ValueError(
            message(
                win.name,
                f"a kernel of shape {tuple(w.shape)} (*kernel size, filters, channels) is for {w.shape[-1]} "
                "channels, the inputs "
                f"have {x.shape[-1]}",
            )
        )
    settings = (x.shape[1:-1], win.size, win.strides, win.padding, win.dilation, extra)
    out = window.transposed_shape(*settings, where=win.name)
    return prim.conv_input_grad(
        x,
        w,
        input_shape=(x.shape[0], *out, w.shape[-2]),
        strides=win.strides,
        padding=window.resolve_transposed_pads(*settings),
        dilation=win.dilation,
        groups=1,
    )
