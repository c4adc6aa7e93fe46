"""Reductions, casts and the ops that only move data: reshape, transpose, broadcast, concatenate, slice."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from striate.core.dtypes import as_numpy
from striate.ir import Aval
from striate.primitives.base import Array, Primitive, aval_of, register

Axes = tuple[int, ...]

# Float dtypes have gradients; a cast from or to anything else cuts the gradient.
_FLOATS = frozenset({"float16", "float32", "float64", "bfloat16"})


def _cast_vjp(g: Array, y: Array, x: Array, *, dtype: str) -> tuple[Array | None]:
    source = aval_of(x).dtype
    return (cast(g, dtype=source) if source in _FLOATS and dtype in _FLOATS else None,)


cast: Primitive = register(
    Primitive(
        "cast",
        lambda x, dtype: Aval(x.shape, dtype),
        lambda x, dtype: x.astype(as_numpy(dtype)),
        _cast_vjp,
        "cast",
        elementwise=True,
    )
)


def _infer_reshape(x: Aval, *, shape: tuple[int, ...]) -> Aval:
    if prod(x.shape) != prod(shape):
        raise ValueError(f"reshape: an array of shape {x.shape} has another number of elements than shape {shape}.")
    return Aval(tuple(shape), x.dtype)


reshape: Primitive = register(
    Primitive(
        "reshape",
        _infer_reshape,
        lambda x, shape: np.reshape(x, shape),
        lambda g, y, x, shape: (reshape(g, shape=tuple(aval_of(x).shape)),),
        "view",
    )
)


# The value itself, which no pass takes for what it was computed from: what is computed from it is computed again.
# `number` keeps barriers apart.
barrier: Primitive = register(
    Primitive("barrier", lambda x, number: x, lambda x, number: x, lambda g, y, x, number: (g,), "view")
)


def _infer_transpose(x: Aval, *, axes: Axes) -> Aval:
    if sorted(axes) != list(range(len(x.shape))):
        raise ValueError(f"transpose: axes {axes} must be an order of the {len(x.shape)} axes of shape {x.shape}.")
    return Aval(tuple(x.shape[a] for a in axes), x.dtype)


transpose: Primitive = register(
    Primitive(
        "transpose",
        _infer_transpose,
        lambda x, axes: np.transpose(x, axes),
        lambda g, y, x, axes: (transpose(g, axes=tuple(int(a) for a in np.argsort(axes))),),
        "transpose",
    )
)


def _infer_broadcast(x: Aval, *, shape: tuple[int, ...]) -> Aval:
    try:
        fits = np.broadcast_shapes(x.shape, shape) == tuple(shape)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"broadcast_to: an array of shape {x.shape} can't be broadcast to shape {shape}.")
    return Aval(tuple(shape), x.dtype)


def _broadcast_vjp(g: Array, y: Array, x: Array, *, shape: tuple[int, ...]) -> tuple[Array]:
    source = aval_of(x).shape
    lead = len(shape) - len(source)
    axes = (*range(lead), *(i + lead for i, n in enumerate(source) if n == 1 and shape[i + lead] != 1))
    return (reshape(reduce_sum(g, axes=axes, keepdims=False), shape=tuple(source)),)


broadcast_to: Primitive = register(
    Primitive(
        "broadcast_to", _infer_broadcast, lambda x, shape: np.broadcast_to(x, shape), _broadcast_vjp, "elementwise"
    )
)


def infer_reduce(x: Aval, *, axes: Axes, keepdims: bool) -> Aval:
    """The shape rule of a reduction over `axes`, which are distinct and not negative."""
    if any(not 0 <= a < len(x.shape) for a in axes) or len(set(axes)) != len(axes):
        raise ValueError(f"axes {axes} do not name distinct axes of shape {x.shape}")
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes)
    return Aval(shape, x.dtype)


def kept(x: Array, axes: Axes) -> tuple[int, ...]:
    """The shape of `x` with size 1 along `axes`."""
    return tuple(1 if i in axes else n for i, n in enumerate(aval_of(x).shape))


def _sum_vjp(g: Array, y: Array, x: Array, *, axes: Axes, keepdims: bool) -> tuple[Array]:
    return (broadcast_to(reshape(g, shape=kept(x, axes)), shape=tuple(aval_of(x).shape)),)


def _sum(x: np.ndarray, *, axes: Axes, keepdims: bool) -> Any:
    return np.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype)


reduce_sum: Primitive = register(Primitive("reduce_sum", infer_reduce, _sum, _sum_vjp, "reduce"))


def _infer_concatenate(*xs: Aval, axis: int) -> Aval:
    first = xs[0]
    for x in xs[1:]:
        same = len(x.shape) == len(first.shape) and all(
            a == b for i, (a, b) in enumerate(zip(x.shape, first.shape, strict=True)) if i != axis
        )
        if not same or x.dtype != first.dtype:
            raise ValueError(
                f"concatenate: inputs must agree in dtype and in all sizes but axis {axis}, got "
                f"{[v.shape for v in xs]} of {sorted({v.dtype for v in xs})}."
            )
    total = sum(x.shape[axis] for x in xs)
    return Aval((*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype)


def _concatenate_vjp(g: Array, y: Array, *xs: Array, axis: int) -> list[Array]:
    parts, start = [], 0
    for x in xs:
        stop = start + aval_of(x).shape[axis]
        parts.append(slice_axis(g, axis, start, stop))
        start = stop
    return parts


concatenate: Primitive = register(
    Primitive(
        "concatenate", _infer_concatenate, lambda *xs, axis: np.concatenate(xs, axis=axis), _concatenate_vjp, "concat"
    )
)


def _infer_slice(x: Aval, *, starts: Axes, stops: Axes, steps: Axes) -> Aval:
    return Aval(tuple(len(range(*s)) for s in zip(starts, stops, steps, strict=True)), x.dtype)


def slices(starts: Axes, stops: Axes, steps: Axes) -> tuple[slice, ...]:
    """What `slice` reads and `unslice` writes, as NumPy says it."""
    return tuple(
        slice(a, None if b < 0 else b, s) if len(range(a, b, s)) else slice(0, 0)
        for a, b, s in zip(starts, stops, steps, strict=True)
    )


def _slice_vjp(g: Array, y: Array, x: Array, *, starts: Axes, stops: Axes, steps: Axes) -> tuple[Array]:
    return (unslice(g, shape=tuple(aval_of(x).shape), starts=starts, stops=stops, steps=steps),)


# Sizes along each axis: those of range(start, stop, step); a stop of -1 with a negative step means past the first
# element.
slice_: Primitive = register(
    Primitive(
        "slice", _infer_slice, lambda x, starts, stops, steps: x[slices(starts, stops, steps)], _slice_vjp, "slice"
    )
)


def _unslice(g: np.ndarray, *, shape: Axes, starts: Axes, stops: Axes, steps: Axes) -> np.ndarray:
    out = np.zeros(shape, g.dtype)
    out[slices(starts, stops, steps)] = g
    return out


# The gradient of `slice`: zeros of `shape` with the input written to the slice.
unslice: Primitive = register(
    Primitive(
        "unslice",
        lambda g, shape, starts, stops, steps: Aval(tuple(shape), g.dtype),
        _unslice,
        lambda gg, y, g, shape, starts, stops, steps: (slice_(gg, starts=starts, stops=stops, steps=steps),),
    )
)


def slice_axis(x: Array, axis: int, start: int, stop: int, step: int = 1) -> Array:
    """`x` from `start` to `stop` along one axis."""
    shape: Sequence[int] = aval_of(x).shape
    starts = tuple(start if i == axis else 0 for i in range(len(shape)))
    stops = tuple(stop if i == axis else n for i, n in enumerate(shape))
    steps = tuple(step if i == axis else 1 for i in range(len(shape)))
    return slice_(x, starts=starts, stops=stops, steps=steps)
