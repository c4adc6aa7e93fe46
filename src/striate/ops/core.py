"""`keras.ops` beyond NumPy: conversion, dtypes, slices and gradients' controls."""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.core.registry import export
from striate.ir import current
from striate.ops.base import Value, Variable, convert, dtype_name, op
from striate.primitives import elementwise, gather, structural
from striate.trace import KerasTensor


@op("core")
def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """`x` as a tensor: an array stays as it is, Python floats become `floatx()`, Python ints int32.

    Args:
        dtype: the dtype of the result, by default that of `x`.
        sparse, ragged: accepted for Keras's sake; tensors are dense here.

    Raises:
        ValueError: for what holds no numbers.
    """
    return convert(x, dtype)


@op("numpy")
def array(x: Any, dtype: Any = None) -> Any:
    """A tensor with the values of `x`, never `x` itself."""
    made = convert(x, dtype)
    return np.array(made) if isinstance(made, np.ndarray) else made


@export("keras.ops.convert_to_numpy", "keras.ops.core.convert_to_numpy")
def convert_to_numpy(x: Any) -> np.ndarray:
    """`x` as a NumPy array, which may be written to; ValueError for a symbolic tensor."""
    if isinstance(x, KerasTensor):
        raise ValueError("A symbolic KerasTensor has no values, so it cannot be converted to a NumPy array.")
    return np.array(x.value if isinstance(x, Variable) else x if hasattr(x, "__array__") else convert(x))


@export("keras.ops.is_tensor", "keras.ops.core.is_tensor")
def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor: an array, or a symbol for one while tracing."""
    return isinstance(x, np.ndarray | Value)


@export("keras.ops.shape", "keras.ops.core.shape")
def shape(x: Any) -> tuple[int | None, ...]:
    """The sizes of `x`; those that are not known are None."""
    return tuple(x.shape) if hasattr(x, "shape") else tuple(convert(x).shape)


@export("keras.ops.dtype", "keras.ops.core.dtype")
def dtype(x: Any) -> str:
    """The name of the dtype of `x`."""
    return dtypes.standardize(x.dtype) if hasattr(x, "dtype") else dtype_name(convert(x))


@op("core")
def cast(x: Any, dtype: Any) -> Any:
    """`x` in another dtype. Floats lose their fraction on the way to integers."""
    wanted = dtypes.standardize(dtype)
    if isinstance(x, float) and dtypes.is_floating(wanted):
        return convert(x, wanted)  # at once: by way of `floatx()` it would lose digits
    x = convert(x)
    return x if dtype_name(x) == wanted else structural.cast(x, dtype=wanted)


@op("core")
def saturate_cast(x: Any, dtype: Any) -> Any:
    """`x` in another dtype, values outside its range moved to its ends first."""
    x, wanted = convert(x), dtypes.standardize(dtype)
    own = dtype_name(x)
    if wanted == "bool" or own == wanted:
        return cast(x, wanted)
    low, high = _shared_range(own, wanted)
    x = cast(x, "uint8") if own == "bool" else x
    return cast(elementwise.minimum(elementwise.maximum(x, low), high), wanted)


def _shared_range(source: str, target: str) -> tuple[Any, Any]:
    """The smallest and the largest number that both dtypes hold, as scalars of `source`."""
    kind = np.dtype("uint8" if source == "bool" else source).type
    if dtypes.is_floating(target):
        if not dtypes.is_floating(source):
            return _limits(source)
        return kind(max(_limits(source)[0], _limits(target)[0])), kind(min(_limits(source)[1], _limits(target)[1]))
    low, high = _limits(target)
    if dtypes.is_floating(source):
        # the nearest float may lie above the integer's range: the one below does not
        top = kind(high) if int(kind(high)) <= high else np.nextafter(kind(high), kind(0))
        return kind(low), top
    own_low, own_high = _limits(source)
    return kind(builtins.max(low, own_low)), kind(builtins.min(high, own_high))


def _limits(name: str) -> tuple[Any, Any]:
    if name == "bool":
        return 0, 1
    info: Any = np.finfo(name) if dtypes.is_floating(name) else np.iinfo(name)
    return (float(info.min), float(info.max)) if dtypes.is_floating(name) else (int(info.min), int(info.max))


@op("core")
def stop_gradient(variable: Any) -> Any:
    """The value itself, through which no gradient flows."""
    x = convert(variable)
    return elementwise.stop_gradient(x) if isinstance(x, Value) else x


def _starts(start_indices: Any, sizes: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """Where a window of `sizes` starts, moved so that it lies inside `shape` (as in Keras on JAX)."""
    raw = start_indices if isinstance(start_indices, list | tuple) else np.asarray(start_indices).ravel()
    return tuple(
        builtins.min(builtins.max(operator.index(s), 0), n - k) for s, k, n in zip(raw, sizes, shape, strict=True)
    )


@op("core")
def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """The window of `shape` that starts at `start_indices` (moved so that it lies inside).

    Args:
        start_indices: one int per axis.
        shape: one int per axis.

    Raises:
        ValueError: a window larger than the tensor, or another number of axes.
    """
    x, window = convert(inputs), tuple(int(n) for n in shape)
    if len(window) != x.ndim or any(k > n for k, n in zip(window, x.shape, strict=True)):
        raise ValueError(f"slice: a window of shape {window} does not fit a tensor of shape {tuple(x.shape)}.")
    starts = _starts(start_indices, window, x.shape)
    stops = tuple(s + k for s, k in zip(starts, window, strict=True))
    return structural.slice_(x, starts=starts, stops=stops, steps=(1,) * x.ndim)


@op("core")
def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """`inputs` with `updates` written over the window that starts at `start_indices` (moved so that it lies inside)."""
    x = convert(inputs)
    new = convert(updates, dtype_name(x))
    if new.ndim != x.ndim or any(k > n for k, n in zip(new.shape, x.shape, strict=True)):
        raise ValueError(
            f"slice_update: updates of shape {tuple(new.shape)} do not fit a tensor of shape {tuple(x.shape)}."
        )
    starts = _starts(start_indices, new.shape, x.shape)
    stops = tuple(s + k for s, k in zip(starts, new.shape, strict=True))
    place: dict[str, Any] = {"shape": tuple(x.shape), "starts": starts, "stops": stops, "steps": (1,) * x.ndim}
    mask = np.zeros(x.shape, bool)
    mask[tuple(builtins.slice(a, b) for a, b in zip(starts, stops, strict=True))] = True
    return elementwise.where(mask, structural.unslice(new, **place), x)


@op("core")
def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Any]:
    """The slices of `x` along `axis`, without that axis; `num`, if given, must be their number (else ValueError)."""
    x = convert(x)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"`axis` must be in the range [-{x.ndim}, {x.ndim}). Received: axis={axis}")
    place = axis % x.ndim
    if num is not None and num != x.shape[place]:
        raise ValueError(f"unstack: axis {axis} has size {x.shape[place]}, but num={num}.")
    rest = (*x.shape[:place], *x.shape[place + 1 :])
    return [structural.reshape(structural.slice_axis(x, place, i, i + 1), shape=rest) for i in range(x.shape[place])]


@op("numpy")
def get_item(x: Any, key: Any) -> Any:
    """`x[key]`: integers, slices, None, Ellipsis, integer tensors; a mask of bools on arrays only.

    Raises:
        IndexError: too many indices, or one out of range.
    """
    x = convert(x)
    if isinstance(x, np.ndarray) and current() is None:
        return np.asarray(x[_plain(key)])
    return _get_item(x, key if isinstance(key, tuple) else (key,))


def _plain(key: Any) -> Any:
    """`key` with variables and lists as arrays."""
    if isinstance(key, tuple):
        return tuple(_plain(k) for k in key)
    return np.asarray(key) if isinstance(key, Variable | list) else key


def _get_item(x: Any, key: tuple[Any, ...]) -> Any:
    entries = _expanded(key, x.ndim)
    # beside an integer tensor, plain integers are integer tensors, too: it decides where the new axes stand
    together = any(_is_table(e) for e in entries)
    starts, stops, steps, shape = [], [], [], []
    tables: list[tuple[Any, int]] = []  # integer tensors, and the axes that they index
    sizes = iter(x.shape)
    for entry in entries:
        if entry is None:
            shape.append(1)
            continue
        n = next(sizes)
        if isinstance(entry, builtins.slice):
            start, stop, step = entry.indices(n)
            count = len(range(start, stop, step))
            shape.append(count)
        elif _is_int(entry) and not together:
            start, count, step = _checked(operator.index(entry), n), 1, 1
        else:
            start, count, step = 0, n, 1
            tables.append((_checked(entry, n) if _is_int(entry) else entry, len(shape)))
            shape.append(n)
        starts.append(start if count else 0)
        stops.append(start + (count - 1) * step + (1 if step > 0 else -1) if count else 0)
        steps.append(step if count else 1)
    x = structural.slice_(x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))
    x = structural.reshape(x, shape=tuple(shape))
    return _gathered(x, tables)


def _is_int(entry: Any) -> bool:
    return isinstance(entry, int | np.integer) and not isinstance(entry, bool)


def _is_table(entry: Any) -> bool:
    return entry is not None and not isinstance(entry, builtins.slice) and not _is_int(entry)


def _checked(index: int, size: int) -> int:
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for an axis of size {size}.")
    return index % size


def _expanded(key: tuple[Any, ...], ndim: int) -> list[Any]:
    """`key` with an entry for each axis: Ellipsis, or the end, stands for the axes that are not named."""
    named = builtins.sum(k is not None and k is not Ellipsis for k in key)
    if named > ndim:
        raise IndexError(f"too many indices: the tensor has {ndim} axes, but {named} were indexed.")
    whole = [builtins.slice(None)] * (ndim - named)
    at = next((i for i, k in enumerate(key) if k is Ellipsis), None)
    return [*key, *whole] if at is None else [*key[:at], *whole, *key[at + 1 :]]


def _gathered(x: Any, tables: list[tuple[Any, int]]) -> Any:
    """Applies integer tensors as indices: together they broadcast, as in NumPy."""
    if not tables:
        return x
    indices = [convert(entry) for entry, _ in tables]
    if any(dtype_name(i) == "bool" for i in indices):
        raise ValueError(
            "a mask of bools as index gives a result whose size is not known while tracing. Use `ops.where(mask, "
            "x, 0)`, "
            "or index an array outside the traced function."
        )
    axes = [axis for _, axis in tables]
    lead = axes[0] if axes == list(range(axes[0], axes[0] + len(axes))) else 0
    rest = [a for a in range(x.ndim) if a not in axes]
    x = structural.transpose(x, axes=(*axes, *rest))
    sizes = [x.shape[i] for i in range(len(axes))]
    flat = _flat_index(indices, sizes)
    picked = gather.take(structural.reshape(x, shape=(math.prod(sizes), *x.shape[len(axes) :])), flat, axis=0)
    order = [*range(flat.ndim, flat.ndim + lead), *range(flat.ndim), *range(flat.ndim + lead, picked.ndim)]
    return structural.transpose(picked, axes=tuple(order))


def _flat_index(indices: list[Any], sizes: list[int]) -> Any:
    """One index into the flat product of `sizes`; negative ones count from the end."""
    total: Any = None
    for index, n in zip(indices, sizes, strict=True):
        index = cast(index, "int32")
        index = elementwise.where(elementwise.less(index, 0), elementwise.add(index, n), index)
        total = index if total is None else elementwise.add(elementwise.mul(total, n), index)
    return total
