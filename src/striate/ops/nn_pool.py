"""Pooling of `keras.ops.nn`: maximum, average, Lp norm, and adaptive. Inputs `(batch, *spatial, channels)`, or
channels second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from striate.core import window
from striate.core.errors import message
from striate.ops.base import as_float, convert, op
from striate.ops.numpy_reduce import max_of, mean_of
from striate.ops.windows import Window, in_channels_last, spatial_rank
from striate.primitives import pool as prim
from striate.primitives import structural


def _pooled(
    name: str, primitive: Any, x: Any, pool_size: Any, strides: Any, padding: Any, data_format: Any, **params: Any
) -> Any:
    rank = spatial_rank(name, x)
    win = Window(name, pool_size, pool_size if strides is None else strides, padding, 1, rank)

    def run(v: Any) -> Any:
        pads = win.pads(v.shape[1:-1], "pooling window")
        return primitive(v, window=win.size, strides=win.strides, padding=pads, dilation=win.dilation, **params)

    return in_channels_last(run, x, data_format)


@op("nn")
def max_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: Any = "valid", data_format: str | None = None
) -> Any:
    """The largest element of each window. Padding takes no part.

    Args:
        inputs: `(batch, *spatial, channels)`, with "channels_first" `(batch, channels, *spatial)`.
        pool_size: an int, or one per spatial axis.
        strides: likewise; None (default) for `pool_size`.
        padding: "valid" (default), "same" or "full" in any case, an int, or an int or pair per axis.
        data_format: by default `image_data_format()`.

    Raises:
        ValueError: a window larger than the padded input, a wrong rank, unknown padding.
    """
    return _pooled("max_pool", prim.max_pool, convert(inputs), pool_size, strides, padding, data_format)


@op("nn")
def average_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: Any = "valid", data_format: str | None = None
) -> Any:
    """The mean of each window; padding is not counted. Arguments and errors as `max_pool`."""
    x = as_float(inputs)
    return _pooled("average_pool", prim.avg_pool, x, pool_size, strides, padding, data_format, count_include_pad=False)


@op("nn")
def lp_pool(
    inputs: Any,
    p: float,
    pool_size: Any,
    strides: Any = None,
    padding: Any = "valid",
    data_format: str | None = None,
) -> Any:
    """The Lp norm of each window, (sum of |x|^p)^(1/p) (not in Keras). The chapter's l2-norm pooling is `p=2`.

    Args:
        p: at least 1, else ValueError; the others as in `max_pool`.
    """
    if isinstance(p, bool) or not isinstance(p, int | float) or not 1 <= p < float("inf"):
        raise ValueError(
            message(
                "lp_pool", f"`p` must be a finite number of at least 1. Received: p={p!r}", "Use max_pool for p = inf"
            )
        )
    return _pooled("lp_pool", prim.lp_pool, as_float(inputs), pool_size, strides, padding, data_format, p=float(p))


def _adaptive(
    name: str,
    reduce: Callable[..., Any],
    primitive: Any,
    inputs: Any,
    output_size: Any,
    data_format: Any,
    **params: Any,
) -> Any:
    x = inputs
    wanted = window.normalize_tuple(output_size, spatial_rank(name, x), "output_size", where=name)

    def run(v: Any) -> Any:
        spatial = v.shape[1:-1]
        if all(n % m == 0 for n, m in zip(spatial, wanted, strict=True)) and 0 not in spatial:
            size = tuple(n // m for n, m in zip(spatial, wanted, strict=True))
            none = tuple((0, 0) for _ in size)
            return primitive(v, window=size, strides=size, padding=none, dilation=(1,) * len(size), **params)
        for axis, m in enumerate(wanted, start=1):
            v = _adapted(v, axis, m, reduce)
        return v

    return in_channels_last(run, x, data_format)


def _adapted(x: Any, axis: int, size: int, reduce: Callable[..., Any]) -> Any:
    """One axis cut into `size` windows, which overlap where `size` does not divide it, each reduced to one cell."""
    parts = window.adaptive_windows(x.shape[axis], size)
    cells = [reduce(structural.slice_axis(x, axis, a, b), (axis,), True) for a, b in parts]
    return structural.concatenate(*cells, axis=axis) if len(cells) > 1 else cells[0]


@op("nn")
def adaptive_average_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Any:
    """The means of windows chosen so that the result has `output_size` (an int, or one per spatial axis).

    Window n of an axis of size i goes from floor(n i / o) up to ceil((n + 1) i / o).
    """
    x = as_float(inputs)
    return _adaptive(
        "adaptive_average_pool", mean_of, prim.avg_pool, x, output_size, data_format, count_include_pad=False
    )


@op("nn")
def adaptive_max_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Any:
    """The largest elements of windows chosen so that the result has `output_size`, see `adaptive_average_pool`."""
    return _adaptive("adaptive_max_pool", max_of, prim.max_pool, convert(inputs), output_size, data_format)
