"""N-D pooling, channels last, with gradients that differentiate again.

`x (batch, *spatial, channels)` -> `(batch, *out, channels)`. Cells of the padding take no part: they are minus infinity
for the maximum and, unless `count_include_pad`, not counted by the average. Parameters of all: window, strides,
dilation (one int per spatial axis) and padding (a (lo, hi) pair per spatial axis).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from striate.core import window as windows
from striate.ir import Aval
from striate.primitives.base import Array, Primitive, aval_of, register
from striate.primitives.elementwise import absolute, div, greater, mul, power, sign, where

Pads = tuple[tuple[int, int], ...]
Ints = tuple[int, ...]


def _out(name: str, spatial: Ints, window: Ints, strides: Ints, padding: Pads, dilation: Ints) -> tuple[int, ...]:
    if not len(spatial) == len(window) == len(strides) == len(padding) == len(dilation):
        raise ValueError(
            f"{name}: window {window}, strides {strides}, padding {padding} and dilation {dilation} must have one "
            f"entry for "
            f"each of the spatial axes {spatial}."
        )
    if any(lo < 0 or hi < 0 for lo, hi in padding):
        raise ValueError(f"{name}: padding {padding} must not be negative. Slice the input instead.")
    return tuple(windows.output_shape(spatial, window, strides, padding, dilation, where=name))  # type: ignore[arg-type]


def _infer(name: str) -> Any:
    def infer(x: Aval, *, window: Ints, strides: Ints, padding: Pads, dilation: Ints, **_: Any) -> Aval:
        return Aval((x.shape[0], *_out(name, x.shape[1:-1], window, strides, padding, dilation), x.shape[-1]), x.dtype)

    return infer


def _cells(out: Ints, window: Ints, strides: Ints, dilation: Ints) -> Iterator[tuple[slice, ...]]:
    """For each cell of the window, in row-major order, the padded input's cells that it meets, one per output."""
    for tap in product(*(range(k) for k in window)):
        yield (
            slice(None),
            *(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in zip(tap, dilation, out, strides, strict=True)),
        )


def _around(x: np.ndarray, padding: Pads, value: Any) -> np.ndarray:
    return np.pad(x, [(0, 0), *padding, (0, 0)], constant_values=value)


def _inside(x: np.ndarray, padding: Pads) -> np.ndarray:
    """`x` without its padding."""
    return x[(slice(None), *(slice(lo, n - hi) for (lo, hi), n in zip(padding, x.shape[1:-1], strict=True)))]


def _lowest(dtype: np.dtype[Any]) -> Any:
    if dtype == np.bool_:
        return False
    return np.iinfo(dtype).min if np.issubdtype(dtype, np.integer) else -np.inf


def _max_pool(x: np.ndarray, *, window: Ints, strides: Ints, padding: Pads, dilation: Ints) -> np.ndarray:
    out = _out("max_pool", x.shape[1:-1], window, strides, padding, dilation)
    padded = _around(x, padding, _lowest(x.dtype))
    y = np.full((x.shape[0], *out, x.shape[-1]), _lowest(x.dtype), x.dtype)
    for cells in _cells(out, window, strides, dilation):
        y = np.maximum(y, padded[cells])
    return y


def _winners(x: np.ndarray, *, window: Ints, strides: Ints, padding: Pads, dilation: Ints) -> np.ndarray:
    """Which cell of its window each maximum is: the first one; a NaN counts as the maximum; -1 if all are padding."""
    out = _out("max_pool_grad", x.shape[1:-1], window, strides, padding, dilation)
    padded, real = _around(x, padding, _lowest(x.dtype)), _around(np.ones_like(x, bool), padding, False)
    best = np.full((x.shape[0], *out, x.shape[-1]), _lowest(x.dtype), x.dtype)
    index = np.full(best.shape, -1)
    for number, cells in enumerate(_cells(out, window, strides, dilation)):
        value = padded[cells]
        better = real[cells] & ((index < 0) | (value > best) | (np.isnan(value) & ~np.isnan(best)))
        best, index = np.where(better, value, best), np.where(better, number, index)
    return index


def _max_pool_grad(x: np.ndarray, g: np.ndarray, *, window: Ints, strides: Ints, padding: Pads, dilation: Ints) -> Any:
    index = _winners(x, window=window, strides=strides, padding=padding, dilation=dilation)
    padded = _around(np.zeros(x.shape, g.dtype), padding, 0)
    for number, cells in enumerate(_cells(g.shape[1:-1], window, strides, dilation)):
        padded[cells] += np.where(index == number, g, 0)
    return _inside(padded, padding)


def _max_pool_gather(
    x: np.ndarray, v: np.ndarray, *, window: Ints, strides: Ints, padding: Pads, dilation: Ints
) -> Any:
    index = _winners(x, window=window, strides=strides, padding=padding, dilation=dilation)
    padded, y = _around(v, padding, 0), np.zeros(index.shape, v.dtype)
    for number, cells in enumerate(_cells(index.shape[1:-1], window, strides, dilation)):
        y = np.where(index == number, padded[cells], y)
    return y


def _infer_grad(x: Aval, g: Aval, **params: Any) -> Aval:
    expected = _infer("max_pool_grad")(x, **params).shape
    if tuple(g.shape) != expected:
        raise ValueError(f"max_pool_grad: the pooling of {x.shape} gives {expected}, but got {g.shape}.")
    return Aval(x.shape, g.dtype)


def _infer_gather(x: Aval, v: Aval, **params: Any) -> Aval:
    if x.shape != v.shape:
        raise ValueError(f"max_pool_gather: expected two inputs of one shape, got {x.shape} and {v.shape}.")
    return Aval(_infer("max_pool_gather")(x, **params).shape, v.dtype)


max_pool: Primitive = register(
    Primitive("max_pool", _infer("max_pool"), _max_pool, lambda g, y, x, **p: (max_pool_grad(x, g, **p),), "pool")
)
# (x, g) -> the gradient by x: each g goes to the first maximum of its window in x.
max_pool_grad: Primitive = register(
    Primitive(
        "max_pool_grad",
        _infer_grad,
        _max_pool_grad,
        lambda gg, y, x, g, **p: (None, max_pool_gather(x, gg, **p)),
        "pool",
    )
)
# (x, v) -> for each window the value of v where x has its first maximum: the transpose of max_pool_grad.
max_pool_gather: Primitive = register(
    Primitive(
        "max_pool_gather", _infer_gather, _max_pool_gather, lambda g, y, x, v, **p: (None, max_pool_grad(x, g, **p))
    )
)


def _positions(x: np.ndarray, **params: Any) -> np.ndarray:
    return _winners(x, **params).astype(np.uint8)


def _infer_positions(x: Aval, *, window: Ints, **params: Any) -> Aval:
    if np.prod(window) > 255:
        raise ValueError(f"max_pool_positions: a byte cannot number the cells of a window {window}.")
    return Aval(_infer("max_pool_positions")(x, window=window, **params).shape, "uint8")


def _unpool(
    positions: np.ndarray, g: np.ndarray, *, input_shape: Ints, window: Ints, strides: Ints, padding: Pads,
    dilation: Ints,
) -> Any:  # fmt: skip
    padded = _around(np.zeros(input_shape, g.dtype), padding, 0)
    for number, cells in enumerate(_cells(g.shape[1:-1], window, strides, dilation)):
        padded[cells] += np.where(positions == number, g, 0)
    return _inside(padded, padding)


# x -> which cell of its window each maximum is (row-major), as bytes.
max_pool_positions: Primitive = register(Primitive("max_pool_positions", _infer_positions, _positions, None, "pool"))
# (positions, g) -> the gradient of the pooled tensor: max_pool_grad without the tensor itself.
unpool: Primitive = register(
    Primitive("unpool", lambda at, g, *, input_shape, **_: Aval(tuple(input_shape), g.dtype), _unpool, None, "pool")
)


def _counts(
    spatial: Ints, window: Ints, strides: Ints, padding: Pads, dilation: Ints, include: bool, dtype: Any
) -> np.ndarray:
    """How many cells each window averages over, (1, *out, 1)."""
    out = _out("avg_pool", spatial, window, strides, padding, dilation)
    if include:
        return np.full((1, *(1 for _ in out), 1), np.prod(window), dtype)
    padded = _around(np.ones((1, *spatial, 1), dtype), padding, 0)
    return np.maximum(sum(padded[cells] for cells in _cells(out, window, strides, dilation)), 1)


def _avg_pool(
    x: np.ndarray, *, window: Ints, strides: Ints, padding: Pads, dilation: Ints, count_include_pad: bool
) -> np.ndarray:
    spatial = x.shape[1:-1]
    out = _out("avg_pool", spatial, window, strides, padding, dilation)
    padded = _around(x, padding, 0)
    y = np.zeros((x.shape[0], *out, x.shape[-1]), x.dtype)
    for cells in _cells(out, window, strides, dilation):
        y += padded[cells]
    return y / _counts(spatial, window, strides, padding, dilation, count_include_pad, x.dtype)


def _avg_pool_grad(
    g: np.ndarray,
    *,
    input_shape: Ints,
    window: Ints,
    strides: Ints,
    padding: Pads,
    dilation: Ints,
    count_include_pad: bool,
) -> np.ndarray:
    share = g / _counts(input_shape[1:-1], window, strides, padding, dilation, count_include_pad, g.dtype)
    padded = _around(np.zeros(input_shape, g.dtype), padding, 0)
    for cells in _cells(g.shape[1:-1], window, strides, dilation):
        padded[cells] += share
    return _inside(padded, padding)


def _infer_avg_grad(g: Aval, *, input_shape: Ints, **params: Any) -> Aval:
    expected = _infer("avg_pool_grad")(Aval(tuple(input_shape), g.dtype), **params).shape
    if tuple(g.shape) != expected:
        raise ValueError(f"avg_pool_grad: the pooling of {input_shape} gives {expected}, but got {g.shape}.")
    return Aval(tuple(input_shape), g.dtype)


avg_pool: Primitive = register(
    Primitive(
        "avg_pool",
        _infer("avg_pool"),
        _avg_pool,
        lambda g, y, x, **p: (avg_pool_grad(g, input_shape=tuple(aval_of(x).shape), **p),),
        "pool",
    )
)
avg_pool_grad: Primitive = register(
    Primitive(
        "avg_pool_grad",
        _infer_avg_grad,
        _avg_pool_grad,
        lambda gg, y, g, input_shape, **p: (avg_pool(gg, **p),),
        "pool",
    )
)


def _lp_pool(x: np.ndarray, *, p: float, window: Ints, strides: Ints, padding: Pads, dilation: Ints) -> Any:
    out = _out("lp_pool", x.shape[1:-1], window, strides, padding, dilation)
    padded = _around(np.abs(x) ** p, padding, 0)
    total = np.zeros((x.shape[0], *out, x.shape[-1]), x.dtype)
    for cells in _cells(out, window, strides, dilation):
        total += padded[cells]
    return total ** (1 / p)


def _lp_pool_vjp(g: Array, y: Array, x: Array, *, p: float, window: Ints, **params: Any) -> tuple[Array]:
    """dy/dx = sign(x) |x|^(p-1) y^(1-p), and 0 where y is 0."""
    zero, one = np.zeros((), aval_of(g).dtype), np.ones((), aval_of(g).dtype)
    positive = greater(y, 0)
    scaled = where(positive, div(g, power(where(positive, y, one), p - 1)), zero)
    shape = tuple(aval_of(x).shape)
    spread = avg_pool_grad(scaled, input_shape=shape, window=window, count_include_pad=True, **params)
    return (mul(mul(spread, float(np.prod(window))), mul(sign(x), power(absolute(x), p - 1))),)


# (sum over the window of |x|^p)^(1/p), for p >= 1.
lp_pool: Primitive = register(Primitive("lp_pool", _infer("lp_pool"), _lp_pool, _lp_pool_vjp, "pool"))
