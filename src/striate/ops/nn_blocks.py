"""Blocks of pixels as channels and back, windows as columns and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core import window
from striate.core.config import standardize_data_format
from striate.ops.base import as_float, convert, dtype_name, op
from striate.ops.nn_conv import conv
from striate.primitives import conv as prim
from striate.primitives import structural


def _blocks(name: str, x: Any, block_size: int, data_format: str | None) -> tuple[Any, bool]:
    x = convert(x)
    if x.ndim != 4 or not isinstance(block_size, int) or block_size < 1:
        raise ValueError(
            f"{name}: expected a 4D tensor and a block size of at least 1, got {tuple(x.shape)} and {block_size}."
        )
    return x, standardize_data_format(data_format) == "channels_last"


def _rearranged(x: Any, split: tuple[int, ...], order: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    return structural.reshape(structural.transpose(structural.reshape(x, shape=split), axes=order), shape=shape)


@op("nn")
def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Groups of block_size^2 channels laid out as blocks of pixels (pixel shuffle); ValueError where they don't
    divide.
    """
    x, last = _blocks("depth_to_space", x, block_size, data_format)
    s = block_size
    channels = x.shape[3 if last else 1]
    if channels % s**2:
        raise ValueError(f"depth_to_space: {channels} channels are not divisible by block_size^2 = {s**2}.")
    c = channels // s**2
    if last:
        n, h, w, _ = x.shape
        return _rearranged(x, (n, h, w, s, s, c), (0, 1, 3, 2, 4, 5), (n, h * s, w * s, c))
    n, _, h, w = x.shape
    return _rearranged(x, (n, c, s, s, h, w), (0, 1, 4, 2, 5, 3), (n, c, h * s, w * s))


@op("nn")
def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Blocks of pixels as channels (pixel unshuffle), the inverse of `depth_to_space`; ValueError where they don't
    divide.
    """
    x, last = _blocks("space_to_depth", x, block_size, data_format)
    s = block_size
    n, h, w, c = x.shape if last else (x.shape[0], *x.shape[2:], x.shape[1])
    if h % s or w % s:
        raise ValueError(f"space_to_depth: height {h} and width {w} must be divisible by block_size={s}.")
    if last:
        return _rearranged(x, (n, h // s, s, w // s, s, c), (0, 1, 3, 2, 4, 5), (n, h // s, w // s, c * s**2))
    return _rearranged(x, (n, c, h // s, s, w // s, s), (0, 1, 3, 5, 2, 4), (n, c * s**2, h // s, w // s))


def _pair(value: Any, name: str, where: str, zero: bool = False) -> tuple[int, ...]:
    return window.normalize_tuple(value, 2, name, where=where, allow_zero=zero)


@op("nn")
def unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The windows of images `(batch, channels, height, width)` as columns: `(batch, channels * kernel cells, windows)`.

    Args:
        kernel_size, dilation, padding, stride: an int or a pair.
    """
    x = as_float(x)
    k, p = _pair(kernel_size, "kernel_size", "unfold"), _pair(padding, "padding", "unfold", True)
    kernel = _cells(k, x.shape[1], dtype_name(x))
    made = conv(
        x, kernel, _pair(stride, "stride", "unfold"), p, "channels_first", _pair(dilation, "dilation", "unfold")
    )
    return structural.reshape(made, shape=(made.shape[0], made.shape[1], made.shape[2] * made.shape[3]))


def _cells(k: tuple[int, ...], channels: int, dtype: str) -> np.ndarray:
    """A kernel with an output for each channel and cell, channels first: 1 there and 0 elsewhere."""
    count = channels * k[0] * k[1]
    return np.ascontiguousarray(np.eye(count, dtype=dtype).reshape(channels, *k, count).transpose(1, 2, 0, 3))


@op("nn")
def fold(x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Columns, as `unfold` makes them, added up to images of `output_size`: the transpose of `unfold`.

    Raises:
        ValueError: columns whose number does not fit.
    """
    x = as_float(x)
    k, size = _pair(kernel_size, "kernel_size", "fold"), _pair(output_size, "output_size", "fold")
    d, s = _pair(dilation, "dilation", "fold"), _pair(stride, "stride", "fold")
    pads = tuple((p, p) for p in _pair(padding, "padding", "fold", True))
    out = window.output_shape(size, k, s, pads, d, where="fold")
    batch, cells, columns = x.shape
    if cells % (k[0] * k[1]) or columns != (out[0] or 0) * (out[1] or 0):
        raise ValueError(
            f"fold: columns of shape {tuple(x.shape)} do not fit output_size={output_size} and "
            f"kernel_size={kernel_size}: expected "
            f"{out[0]} * {out[1]} columns of a multiple of {k[0] * k[1]} cells."
        )
    channels = cells // (k[0] * k[1])
    g = structural.transpose(structural.reshape(x, shape=(batch, cells, *out)), axes=(0, 2, 3, 1))
    kernel = _cells(k, channels, dtype_name(x))
    shape = (batch, *size, channels)
    made = prim.conv_input_grad(g, kernel, input_shape=shape, strides=s, padding=pads, dilation=d, groups=1)
    return structural.transpose(made, axes=(0, 3, 1, 2))
