"""Reductions besides the sum: extrema, products, logical ones, positions of extrema, log of a sum of exponentials."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.ir import Aval
from striate.primitives.base import Array, Primitive, aval_of, register
from striate.primitives.elementwise import div, equal, exp, isfinite, mul, sub, where
from striate.primitives.sort import cumprod
from striate.primitives.structural import (
    Axes,
    broadcast_to,
    cast,
    concatenate,
    infer_reduce,
    kept,
    reduce_sum,
    reshape,
    slice_axis,
    transpose,
)  # fmt: skip


def _spread(g: Array, x: Array, axes: Axes) -> Array:
    """`g`, a result of a reduction of `x`, with the reduced axes back as size 1."""
    return reshape(g, shape=kept(x, axes))


def _extreme_vjp(g: Array, y: Array, x: Array, *, axes: Axes, keepdims: bool) -> tuple[Array]:
    """Equal extrema share the gradient equally, as in JAX."""
    mask = cast(equal(x, _spread(y, x, axes)), dtype=aval_of(x).dtype)
    share = div(mask, reduce_sum(mask, axes=axes, keepdims=True))
    return (mul(share, _spread(g, x, axes)),)


def _infer_extreme(x: Aval, *, axes: Axes, keepdims: bool) -> Aval:
    if any(x.shape[a] == 0 for a in axes if 0 <= a < len(x.shape)):
        raise ValueError(
            f"reduce: an axis of size 0 among {axes} of shape {x.shape} has no largest or smallest element."
        )
    return infer_reduce(x, axes=axes, keepdims=keepdims)


reduce_max: Primitive = register(
    Primitive(
        "reduce_max",
        _infer_extreme,
        lambda x, axes, keepdims: np.max(x, axes, keepdims=keepdims),
        _extreme_vjp,
        "reduce",
    )
)
reduce_min: Primitive = register(
    Primitive(
        "reduce_min",
        _infer_extreme,
        lambda x, axes, keepdims: np.min(x, axes, keepdims=keepdims),
        _extreme_vjp,
        "reduce",
    )
)


def _infer_deviation(x: Aval, mean: Aval, *, axes: Axes, keepdims: bool) -> Aval:
    if tuple(mean.shape) != kept(x, axes) or mean.dtype != x.dtype:
        raise ValueError(f"reduce_deviation: the mean over {axes} of {x} has shape {kept(x, axes)}, received {mean}.")
    return infer_reduce(x, axes=axes, keepdims=keepdims)


def _deviation(x: np.ndarray, mean: np.ndarray, *, axes: Axes, keepdims: bool) -> Any:
    return np.sum(np.square(x - mean), axis=axes, keepdims=keepdims, dtype=x.dtype)


def _deviation_vjp(
    g: Array, y: Array, x: Array, mean: Array, *, axes: Axes, keepdims: bool
) -> tuple[Array, Array | None]:
    """No gradient by way of the mean: there the sum of squares is least."""
    return mul(sub(x, mean), mul(_spread(g, x, axes), np.asarray(2, aval_of(x).dtype))), None


# The sum of squared distances from `mean`, which is the mean of x along `axes` with those axes as size 1.
reduce_deviation: Primitive = register(
    Primitive("reduce_deviation", _infer_deviation, _deviation, _deviation_vjp, "reduce")
)


def _before(x: Array, axis: int) -> Array:
    """The product of all elements in front of each along `axis`; the first has 1."""
    shape = aval_of(x).shape
    one = np.ones((*shape[:axis], 1, *shape[axis + 1 :]), aval_of(x).dtype)
    return cumprod(concatenate(one, slice_axis(x, axis, 0, shape[axis] - 1), axis=axis), axis=axis)


def _flipped(x: Array, axis: int) -> Array:
    return slice_axis(x, axis, aval_of(x).shape[axis] - 1, -1, -1)


def _prod_vjp(g: Array, y: Array, x: Array, *, axes: Axes, keepdims: bool) -> tuple[Array | None]:
    """The product of the others, without a division, so that zeros are right."""
    shape = tuple(aval_of(x).shape)
    order = (*(a for a in range(len(shape)) if a not in axes), *axes)
    moved = tuple(shape[a] for a in order)
    count = int(np.prod([shape[a] for a in axes], dtype=np.int64))
    if 0 in shape:
        return (None,)
    lead = moved[: len(shape) - len(axes)]
    flat = reshape(transpose(x, axes=order), shape=(*lead, count))
    last = len(lead)
    others = mul(_before(flat, last), _flipped(_before(_flipped(flat, last), last), last))
    back = tuple(int(a) for a in np.argsort(order))
    return (mul(transpose(reshape(others, shape=moved), axes=back), _spread(g, x, axes)),)


reduce_prod: Primitive = register(
    Primitive(
        "reduce_prod",
        infer_reduce,
        lambda x, axes, keepdims: np.prod(x, axis=axes, keepdims=keepdims, dtype=x.dtype),
        _prod_vjp,
        "reduce",
    )
)


def _infer_bool(x: Aval, *, axes: Axes, keepdims: bool) -> Aval:
    return Aval(infer_reduce(x, axes=axes, keepdims=keepdims).shape, "bool")


reduce_any: Primitive = register(
    Primitive("reduce_any", _infer_bool, lambda x, axes, keepdims: np.any(x, axes, keepdims=keepdims))
)
reduce_all: Primitive = register(
    Primitive("reduce_all", _infer_bool, lambda x, axes, keepdims: np.all(x, axes, keepdims=keepdims))
)


def _infer_arg(x: Aval, *, axis: int, keepdims: bool) -> Aval:
    return Aval(_infer_extreme(x, axes=(axis,), keepdims=keepdims).shape, "int32")


# The position of the first extremum along `axis`, as int32; a NaN counts as the extremum.
argmax: Primitive = register(
    Primitive("argmax", _infer_arg, lambda x, axis, keepdims: np.argmax(x, axis, keepdims=keepdims))
)
argmin: Primitive = register(
    Primitive("argmin", _infer_arg, lambda x, axis, keepdims: np.argmin(x, axis, keepdims=keepdims))
)


def _logsumexp(x: np.ndarray, *, axes: Axes, keepdims: bool) -> Any:
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    safe = np.where(np.isfinite(top), top, 0)
    total = np.log(np.sum(np.exp(x - safe), axis=axes, keepdims=True)) + safe
    return total if keepdims else np.squeeze(total, axis=axes)


def _logsumexp_vjp(g: Array, y: Array, x: Array, *, axes: Axes, keepdims: bool) -> tuple[Array]:
    total = _spread(y, x, axes)
    safe = where(isfinite(total), total, np.zeros((), aval_of(x).dtype))
    return (mul(exp(sub(x, safe)), broadcast_to(_spread(g, x, axes), shape=tuple(aval_of(x).shape))),)


logsumexp: Primitive = register(Primitive("logsumexp", infer_reduce, _logsumexp, _logsumexp_vjp))
