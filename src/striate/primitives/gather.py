"""Reading and writing by index: take, take along an axis, one-hot, scatter, dynamic slices. NumPy steps.

Indices are integers; negative ones count from the end. One that is out of range raises IndexError, as in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striate.ir import Aval
from striate.primitives.base import Array, Primitive, aval_of, register
from striate.primitives.elementwise import zeros_like
from striate.primitives.structural import Axes


def _check(name: str, x: Aval, indices: Aval, axis: int) -> None:
    if np.dtype(indices.dtype).kind not in "iu":
        raise TypeError(f"{name}: indices must be integers, got {indices.dtype}.")
    if not 0 <= axis < len(x.shape):
        raise ValueError(f"{name}: axis {axis} is not one of the {len(x.shape)} axes of shape {x.shape}.")


def _in_range(name: str, indices: np.ndarray, size: int) -> np.ndarray:
    """`indices` from 0 on; IndexError for one outside [-size, size)."""
    indices = np.asarray(indices, np.int64 if indices.dtype == np.uint64 else None)  # NumPy takes no uint64
    if not indices.size:
        return indices
    low, high = int(indices.min()), int(indices.max())
    if low < -size or high >= size:
        wide = np.asarray(indices, np.int64)
        bad = wide[(wide < -size) | (wide >= size)].flat[0]
        raise IndexError(f"{name}: index {bad} is out of range for an axis of size {size}.")
    return indices if low >= 0 else np.where(indices < 0, np.asarray(indices, np.int64) + size, indices)


def _infer_take(x: Aval, indices: Aval, *, axis: int) -> Aval:
    _check("take", x, indices, axis)
    return Aval((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)


def _take(x: np.ndarray, indices: np.ndarray, *, axis: int) -> np.ndarray:
    return np.take(x, _in_range("take", indices, x.shape[axis]), axis=axis)


def _infer_take_grad(g: Aval, indices: Aval, *, axis: int, size: int) -> Aval:
    rank = len(indices.shape)
    if tuple(g.shape[axis : axis + rank]) != tuple(indices.shape):
        raise ValueError(
            f"scatter_add: values of shape {g.shape} do not fit indices of shape {indices.shape} at axis {axis}."
        )
    return Aval((*g.shape[:axis], size, *g.shape[axis + rank :]), g.dtype)


def _scatter_add(g: np.ndarray, indices: np.ndarray, *, axis: int, size: int) -> np.ndarray:
    rank = indices.ndim
    out = np.zeros((size, *g.shape[:axis], *g.shape[axis + rank :]), g.dtype)
    order = (*range(axis, axis + rank), *range(axis), *range(axis + rank, g.ndim))
    np.add.at(out, _in_range("scatter_add", indices, size), np.transpose(g, order))
    return np.moveaxis(out, 0, axis)


# (x, indices) -> x[..., indices, ...]: the axes of `indices` stand in the place of `axis`.
take: Primitive = register(
    Primitive(
        "take",
        _infer_take,
        _take,
        lambda g, y, x, indices, axis: (scatter_add(g, indices, axis=axis, size=aval_of(x).shape[axis]), None),
    )
)
# The transpose of `take`: zeros of size `size` along `axis`, to which g is added at the indices.
scatter_add: Primitive = register(
    Primitive(
        "scatter_add",
        _infer_take_grad,
        _scatter_add,
        lambda gg, y, g, indices, axis, size: (take(gg, indices, axis=axis), None),
    )
)


def _infer_along(name: str) -> Callable[..., Aval]:
    def infer(x: Aval, indices: Aval, *, axis: int, size: int | None = None) -> Aval:
        _check(name, x, indices, axis)
        same = len(x.shape) == len(indices.shape) and all(
            a == b for i, (a, b) in enumerate(zip(x.shape, indices.shape, strict=True)) if i != axis
        )
        if not same or (size is not None and x.shape != indices.shape):
            raise ValueError(f"{name}: indices {indices.shape} do not fit values {x.shape} along axis {axis}.")
        count = indices.shape[axis] if size is None else size
        return Aval((*x.shape[:axis], count, *x.shape[axis + 1 :]), x.dtype)

    return infer


def _along(indices: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    grid: list[Any] = list(np.indices(indices.shape, sparse=True))
    grid[axis] = indices
    return tuple(grid)


def _take_along_axis(x: np.ndarray, indices: np.ndarray, *, axis: int) -> np.ndarray:
    return x[_along(_in_range("take_along_axis", indices, x.shape[axis]), axis)]


def _scatter_along_axis(g: np.ndarray, indices: np.ndarray, *, axis: int, size: int) -> np.ndarray:
    out = np.zeros((*g.shape[:axis], size, *g.shape[axis + 1 :]), g.dtype)
    np.add.at(out, _along(_in_range("scatter_along_axis", indices, size), axis), g)
    return out


# As numpy.take_along_axis; shapes agree but along `axis` (ops broadcasts first).
take_along_axis: Primitive = register(
    Primitive(
        "take_along_axis",
        _infer_along("take_along_axis"),
        _take_along_axis,
        lambda g, y, x, indices, axis: (scatter_along_axis(g, indices, axis=axis, size=aval_of(x).shape[axis]), None),
    )
)
# The transpose of `take_along_axis`.
scatter_along_axis: Primitive = register(
    Primitive(
        "scatter_along_axis",
        _infer_along("scatter_along_axis"),
        _scatter_along_axis,
        lambda gg, y, g, indices, axis, size: (take_along_axis(gg, indices, axis=axis), None),
    )
)


def _one_hot(indices: np.ndarray, *, depth: int, dtype: str) -> np.ndarray:
    return (indices[..., None] == np.arange(depth)).astype(dtype)


# Integers -> ones at their places along a new last axis of size `depth`; an index out of range gives zeros.
one_hot: Primitive = register(Primitive("one_hot", lambda x, depth, dtype: Aval((*x.shape, depth), dtype), _one_hot))


def _infer_gather_nd(x: Aval, indices: Aval) -> Aval:
    _check("gather_nd", x, indices, 0)
    depth = indices.shape[-1]
    if depth > len(x.shape):
        raise ValueError(
            f"gather_nd: indices of shape {indices.shape} name {depth} axes of an array of shape {x.shape}."
        )
    return Aval((*indices.shape[:-1], *x.shape[depth:]), x.dtype)


def _place(name: str, indices: np.ndarray, shape: Axes) -> tuple[np.ndarray, ...]:
    return tuple(_in_range(name, indices[..., i], shape[i]) for i in range(indices.shape[-1]))


def _gather_nd_vjp(g: Array, y: Array, x: Array, indices: Array) -> tuple[Array, None]:
    return scatter_update(zeros_like(x), indices, g, reduction="add"), None


# The last axis of `indices` names places in the first axes of x.
gather_nd: Primitive = register(
    Primitive(
        "gather_nd", _infer_gather_nd, lambda x, indices: x[_place("gather_nd", indices, x.shape)], _gather_nd_vjp
    )
)

_REDUCTIONS: dict[str | None, Any] = {"add": np.add, "max": np.maximum, "min": np.minimum, "mul": np.multiply}


def _infer_scatter_update(x: Aval, indices: Aval, updates: Aval, *, reduction: str | None) -> Aval:
    if reduction is not None and reduction not in _REDUCTIONS:
        raise ValueError(f"scatter_update: reduction must be None, 'add', 'max', 'min' or 'mul', got {reduction!r}.")
    expected = _infer_gather_nd(x, indices)
    if updates.shape != expected.shape or updates.dtype != x.dtype:
        raise ValueError(
            f"scatter_update: expected updates of shape {expected.shape} and {x.dtype}, got {updates.shape} of "
            f"{updates.dtype}."
        )
    return x


def _scatter_update(x: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, reduction: str | None) -> np.ndarray:
    out, place = np.array(x), _place("scatter_update", indices, x.shape)
    if reduction is None:
        out[place] = updates
    else:
        _REDUCTIONS[reduction].at(out, place, updates)
    return out


def _scatter_update_vjp(g: Array, y: Array, x: Array, indices: Array, updates: Array, *, reduction: str | None) -> Any:
    """Of a place that is written several times (reduction None) each writer gets the gradient."""
    if reduction == "add":
        return g, None, gather_nd(g, indices)
    if reduction is None:
        return scatter_update(g, indices, zeros_like(updates), reduction=None), None, gather_nd(g, indices)
    raise ValueError(f"scatter_update: no gradient with reduction={reduction!r}. Use reduction='add' or None.")


# A copy of x with `updates` written at the places of `indices` (see gather_nd), or combined with what is there.
scatter_update: Primitive = register(
    Primitive("scatter_update", _infer_scatter_update, _scatter_update, _scatter_update_vjp)
)


def _window(starts: np.ndarray, shape: Axes, sizes: Axes) -> tuple[slice, ...]:
    """The slices of a window that is moved inside `shape` where it stands out."""
    first = np.clip(starts, 0, np.subtract(shape, sizes))
    return tuple(slice(int(a), int(a) + n) for a, n in zip(first, sizes, strict=True))


def _check_window(name: str, x: Aval, sizes: Axes, starts: Aval) -> None:
    if len(sizes) != len(x.shape) or any(n > m for n, m in zip(sizes, x.shape, strict=True)):
        raise ValueError(f"{name}: a window of {tuple(sizes)} does not fit an array of shape {x.shape}.")
    if starts.shape != (len(x.shape),):
        raise ValueError(f"{name}: expected one start for each of the {len(x.shape)} axes, got shape {starts.shape}.")


def _infer_dynamic_slice(x: Aval, starts: Aval, *, sizes: Axes) -> Aval:
    _check_window("dynamic_slice", x, sizes, starts)
    return Aval(tuple(sizes), x.dtype)


def _infer_dynamic_update(x: Aval, update: Aval, starts: Aval) -> Aval:
    _check_window("dynamic_update_slice", x, update.shape, starts)
    if update.dtype != x.dtype:
        raise TypeError(
            f"dynamic_update_slice: inputs must have one dtype, got {x.dtype} and {update.dtype}. Cast one."
        )
    return x


def _dynamic_update(x: np.ndarray, update: np.ndarray, starts: np.ndarray) -> np.ndarray:
    out = np.array(x)
    out[_window(starts, x.shape, update.shape)] = update
    return out


def _dynamic_update_vjp(g: Array, y: Array, x: Array, update: Array, starts: Array) -> tuple[Array, Array, None]:
    return (
        dynamic_update_slice(g, zeros_like(update), starts),
        dynamic_slice(g, starts, sizes=tuple(aval_of(update).shape)),
        None,
    )


# The window of `sizes` at `starts` (one integer per axis, known only when it runs; moved inside where it stands out).
dynamic_slice: Primitive = register(
    Primitive(
        "dynamic_slice",
        _infer_dynamic_slice,
        lambda x, starts, sizes: x[_window(starts, x.shape, sizes)],
        lambda g, y, x, starts, sizes: (dynamic_update_slice(zeros_like(x), g, starts), None),
    )
)
# (x, update, starts) -> x with `update` written at `starts`.
dynamic_update_slice: Primitive = register(
    Primitive("dynamic_update_slice", _infer_dynamic_update, _dynamic_update, _dynamic_update_vjp)
)
