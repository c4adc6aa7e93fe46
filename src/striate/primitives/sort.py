"""Sorting, searching and running sums and products along one axis: NumPy steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.ir import Aval
from striate.primitives.base import Array, Primitive, aval_of, register
from striate.primitives.elementwise import mul, where
from striate.primitives.gather import scatter_along_axis
from striate.primitives.structural import broadcast_to, reduce_sum, reshape, slice_axis


def _check_axis(name: str, x: Aval, axis: int) -> None:
    if not 0 <= axis < len(x.shape):
        raise ValueError(f"{name}: axis {axis} is not one of the {len(x.shape)} axes of shape {x.shape}.")


def _infer_same(name: str, dtype: str | None = None) -> Any:
    def infer(x: Aval, *, axis: int, reverse: bool = False) -> Aval:
        _check_axis(name, x, axis)
        return Aval(x.shape, dtype or x.dtype)

    return infer


def _sort_vjp(g: Array, y: Array, x: Array, *, axis: int) -> tuple[Array]:
    return (scatter_along_axis(g, argsort(x, axis=axis), axis=axis, size=aval_of(x).shape[axis]),)


# Ascending and stable; NaN last.
argsort: Primitive = register(
    Primitive("argsort", _infer_same("argsort", "int32"), lambda x, axis: np.argsort(x, axis=axis, kind="stable"))
)
sort: Primitive = register(
    Primitive("sort", _infer_same("sort"), lambda x, axis: np.sort(x, axis=axis, kind="stable"), _sort_vjp)
)


def _infer_top_k(x: Aval, *, k: int) -> tuple[Aval, Aval]:
    if not x.shape or not 0 <= k <= x.shape[-1]:
        raise ValueError(f"top_k: k={k} must lie between 0 and the size of the last axis of shape {x.shape}.")
    return Aval((*x.shape[:-1], k), x.dtype), Aval((*x.shape[:-1], k), "int32")


def _top_k(x: np.ndarray, *, k: int) -> tuple[Any, Any]:
    """The order is stable: of equal elements the first one comes first; a NaN counts as the largest."""
    n = x.shape[-1]
    index = (n - 1 - np.argsort(x[..., ::-1], axis=-1, kind="stable"))[..., ::-1][..., :k]
    return np.take_along_axis(x, index, axis=-1), index


def _top_k_vjp(g: Any, y: Any, x: Array, *, k: int) -> tuple[Array]:
    axis = len(aval_of(x).shape) - 1
    return (scatter_along_axis(g[0], y[1], axis=axis, size=aval_of(x).shape[-1]),)


# The k largest along the last axis, falling, and their positions (int32).
top_k: Primitive = register(Primitive("top_k", _infer_top_k, _top_k, _top_k_vjp))


def _infer_searchsorted(ordered: Aval, values: Aval, *, side: str) -> Aval:
    if len(ordered.shape) != 1 or side not in ("left", "right"):
        raise ValueError(
            f"searchsorted: expected a sorted vector and side 'left' or 'right', got shape {ordered.shape} and "
            f"{side!r}."
        )
    return Aval(values.shape, "int32")


searchsorted: Primitive = register(
    Primitive("searchsorted", _infer_searchsorted, lambda ordered, values, side: np.searchsorted(ordered, values, side))
)


def _running(fn: Any) -> Any:
    def reference(x: np.ndarray, *, axis: int, reverse: bool = False) -> Any:
        turned = np.flip(x, axis) if reverse else x
        y = fn(turned, axis=axis, dtype=x.dtype)
        return np.flip(y, axis) if reverse else y

    return reference


# `reverse` runs from the end to the front.
cumsum: Primitive = register(
    Primitive(
        "cumsum",
        _infer_same("cumsum"),
        _running(np.cumsum),
        lambda g, y, x, axis, reverse=False: (cumsum(g, axis=axis, reverse=not reverse),),
    )
)


def _flip(x: Array, axis: int) -> Array:
    return slice_axis(x, axis, aval_of(x).shape[axis] - 1, -1, -1)


def _cumprod_vjp(g: Array, y: Array, x: Array, *, axis: int, reverse: bool = False) -> tuple[Array | None]:
    if 0 in aval_of(x).shape:
        return (None,)
    if reverse:
        return (_flip(_cumprod_grad(_flip(g, axis), _flip(x, axis), axis), axis),)
    return (_cumprod_grad(g, x, axis),)


def _cumprod_grad(g: Array, x: Array, axis: int) -> Array:
    """dx_j = sum over i >= j of g_i times the product of x_k with k <= i, k != j.

    The products come from one table, n x n, in which row j is x with a 1 in the place of x_j: no division, so zeros are
    right, and everything can be differentiated again.
    """
    shape = tuple(aval_of(x).shape)
    n = shape[axis]
    wide = (*shape[:axis], n, *shape[axis:])
    square = (*(1 for _ in shape[:axis]), n, n, *(1 for _ in shape[axis + 1 :]))
    dtype = aval_of(x).dtype
    eye = np.eye(n, dtype=dtype).reshape(square)
    rows = broadcast_to(reshape(x, shape=(*shape[:axis], 1, *shape[axis:])), shape=wide)
    table = cumprod(where(eye == 1, np.ones((), dtype), rows), axis=axis + 1)
    weight = np.triu(np.ones((n, n), dtype)).reshape(square)
    weighted = mul(mul(table, weight), reshape(g, shape=(*shape[:axis], 1, *shape[axis:])))
    return reduce_sum(weighted, axes=(axis + 1,), keepdims=False)


cumprod: Primitive = register(Primitive("cumprod", _infer_same("cumprod"), _running(np.cumprod), _cumprod_vjp))
