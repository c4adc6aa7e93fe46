"""Functions that read and write by index: take, gather, one-hot, scatter, sort, search."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core import dtypes
from striate.ops.base import Value, axes_of, cast_to, convert, dtype_name, host, op, sizes, tensors
from striate.ops.numpy_shape import ravel
from striate.primitives import elementwise, gather, structural
from striate.primitives import sort as sorting


def _indices(x: Any) -> Any:
    """Integer indices; other dtypes are cast to int32."""
    x = convert(x)
    return x if dtypes.is_integer(dtype_name(x)) else cast_to(x, "int32")


def _inside(indices: Any, size: int) -> Any:
    """Negative indices counted from the end; what is out of range moves to the nearest end, as in Keras on JAX."""
    if isinstance(indices, Value):
        return elementwise.minimum(elementwise.maximum(indices, -size), max(size - 1, 0))
    return np.clip(indices, -size, max(size - 1, 0))


@op("numpy")
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The slices of `x` at `indices` along `axis`; None: of the flat `x`. Negative indices count from the end.

    Raises:
        IndexError: an index out of range.
    """
    x = convert(x)
    x = ravel(x) if axis is None else x
    return gather.take(x, _indices(indices), axis=axes_of(0 if axis is None else axis, x.ndim)[0])


@op("numpy")
def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Elements of `x` at places along `axis` that `indices`, of as many axes, names; None: both flat.

    Raises:
        IndexError: an index out of range.
        ValueError: another number of axes.
    """
    x, indices = convert(x), _indices(indices)
    if axis is None:
        x, indices, axis = ravel(x), ravel(indices), 0
    if x.ndim != indices.ndim:
        raise ValueError(
            f"take_along_axis: `indices` must have as many axes as `x`, got shapes {tuple(indices.shape)} and "
            f"{tuple(x.shape)}."
        )
    (place,) = axes_of(axis, x.ndim)
    # all sizes but that of the axis broadcast
    rest = np.broadcast_shapes(*(tuple(1 if i == place else n for i, n in enumerate(v.shape)) for v in (x, indices)))
    of_x, of_indices = (tuple(v.shape[i] if i == place else n for i, n in enumerate(rest)) for v in (x, indices))
    x = x if tuple(x.shape) == of_x else structural.broadcast_to(x, shape=of_x)
    indices = indices if tuple(indices.shape) == of_indices else structural.broadcast_to(indices, shape=of_indices)
    return gather.take_along_axis(x, indices, axis=place)


@op("nn")
def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    """1 at the place of each integer along a new axis, 0 elsewhere; an integer out of range gives zeros.

    Args:
        num_classes: the size of the new axis.
        axis: where it stands in the result. Defaults to the end.
        dtype: by default `floatx()`.
        sparse: accepted for Keras's sake; the result is dense.
    """
    x = _indices(x)
    made = gather.one_hot(x, depth=int(num_classes), dtype=dtypes.standardize(dtype))
    (place,) = axes_of(axis, x.ndim + 1)
    order = [*range(place), x.ndim, *range(place, x.ndim)]
    return made if place == x.ndim else structural.transpose(made, axes=tuple(order))


@op("nn")
def multi_hot(
    inputs: Any, num_classes: int | None = None, axis: int = -1, dtype: Any = None, sparse: bool = False, **kwargs: Any
) -> Any:
    """1 for each class that occurs in a row of integers, 0 for the others.

    Args:
        num_classes: how many classes there are (also as `num_tokens`); needed, else ValueError.
        axis: where the classes stand. Defaults to the end.
        dtype: by default `floatx()`.
    """
    num_classes = kwargs.pop("num_tokens", num_classes)
    if num_classes is None or kwargs:
        raise ValueError(f"Argument `num_classes` must be specified. Received: num_classes={num_classes}, {kwargs}")
    x = convert(inputs)
    reduction = 1 if x.ndim > 1 else 0
    hot = one_hot(x, num_classes, axis=axis, dtype=dtypes.standardize(dtype))
    from_max = tuple(axes_of(reduction, hot.ndim))
    return _largest(hot, from_max)


def _largest(x: Any, axes: tuple[int, ...]) -> Any:
    name = dtype_name(x)
    total = structural.reduce_sum(x, axes=axes, keepdims=False)
    return cast_to(elementwise.greater(total, 0), name)


@op("core")
def scatter(indices: Any, values: Any, shape: Any) -> Any:
    """Zeros of `shape` to which `values` are added at the places of `indices`, whose last axis names them."""
    values = convert(values)
    zero = np.zeros(sizes(shape), dtypes.as_numpy(dtype_name(values)))
    return gather.scatter_update(zero, _indices(indices), values, reduction="add")


@op("core")
def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Any:
    """A copy of `inputs` with `updates` written at the places of `indices`.

    Args:
        indices: its last axis names places along the first axes of `inputs`.
        reduction: None (default) to write, or "add", "max", "min", "mul" to combine with what is there.

    Raises:
        ValueError: shapes that don't fit, another reduction.
    """
    x, places = convert(inputs), _indices(indices)
    depth = places.shape[-1]
    wanted = (*places.shape[:-1], *x.shape[depth:])
    new = cast_to(updates, dtype_name(x))
    new = new if tuple(new.shape) == wanted else structural.broadcast_to(new, shape=wanted)
    return gather.scatter_update(x, places, new, reduction=reduction)


@op("numpy")
def sort(x: Any, axis: int | None = -1) -> Any:
    """`x` in rising order along `axis`; None: all elements flat. NaN comes last."""
    x = convert(x)
    x = ravel(x) if axis is None else x
    return sorting.sort(x, axis=axes_of(-1 if axis is None else axis, x.ndim)[0])


@op("numpy")
def argsort(x: Any, axis: int | None = -1) -> Any:
    """The places, int32, that bring `x` into rising order along `axis`; equal elements keep their order."""
    x = convert(x)
    x = ravel(x) if axis is None else x
    return sorting.argsort(x, axis=axes_of(-1 if axis is None else axis, x.ndim)[0])


@op("numpy")
def argpartition(x: Any, kth: int, axis: int = -1) -> Any:
    """Places, int32, that put the element number `kth` in order at its place, smaller ones before, larger ones
    behind it.
    """
    return argsort(x, axis)


@op("math")
def top_k(x: Any, k: int, sorted: bool = True) -> Any:
    """The `k` largest elements along the last axis, falling, and their places (int32)."""
    values, places = sorting.top_k(convert(x), k=int(k))
    return values, places


@op("math")
def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """Whether the class of each row is among its `k` largest predictions; False for classes out of range and NaN."""
    labels, scores = _indices(targets), convert(predictions)
    n = scores.shape[-1]
    known = elementwise.logical_and(elementwise.greater_equal(labels, 0), elementwise.less(labels, n))
    place = structural.reshape(_inside(labels, n), shape=(*labels.shape, 1))
    own = gather.take_along_axis(scores, place, axis=scores.ndim - 1)
    above = cast_to(elementwise.greater(scores, own), "int32")
    better = structural.reduce_sum(above, axes=(scores.ndim - 1,), keepdims=False)
    finite = structural.reshape(elementwise.isfinite(own), shape=tuple(labels.shape))
    return elementwise.logical_and(elementwise.logical_and(known, finite), elementwise.less(better, int(k)))


@op("numpy")
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    """Where each value would stand in a rising vector: before equal ones with "left", behind them with "right"; int32.

    Raises:
        ValueError: a sequence that is no vector, another side.
    """
    ordered = convert(sorted_sequence)
    if ordered.ndim != 1:
        raise ValueError(
            "`searchsorted` only supports 1-D sorted sequences. You can use `keras.ops.vectorized_map` to extend "
            "it to N-D "
            f"sequences. Received: sorted_sequence.shape={tuple(ordered.shape)}"
        )
    if side not in ("left", "right"):
        raise ValueError(f"`side` must be one of 'left', 'right'. Received: side={side}")
    return sorting.searchsorted(ordered, convert(values), side=side)


@op("numpy")
def digitize(x: Any, bins: Any) -> Any:
    """The number of the bin, int32, that each element falls into; `bins` are the rising edges."""
    return searchsorted(convert(bins), convert(x), side="right")


@op("numpy")
def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether each element of `x1` is among those of `x2` (with `invert`: is not)."""
    return host(lambda a, b: np.isin(a, b, invert=invert), convert(x1), convert(x2))


@op("numpy")
def nonzero(x: Any) -> Any:
    """The places, int32, of the elements that are not zero, one vector per axis; of arrays only."""
    return tuple(np.asarray(a, np.int32) for a in np.nonzero(_concrete("nonzero", x)))


def _concrete(name: str, x: Any) -> np.ndarray:
    x = convert(x)
    if isinstance(x, Value):
        raise ValueError(
            f"{name}: the size of the result depends on values, which are not known while tracing. Call it on arrays."
        )
    return x


@op("numpy")
def unravel_index(indices: Any, shape: Any) -> Any:
    """The places along each axis of `shape` of indices into the flat order."""
    places, found = _indices(indices), []
    for n in reversed(sizes(shape)):
        found.append(elementwise.mod(places, n))
        places = elementwise.floor_div(places, n)
    return tuple(reversed(found))


@op("numpy")
def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """`x1` where the condition holds (is not zero), `x2` elsewhere; with the condition alone, as `nonzero`.

    Raises:
        ValueError: only one of `x1` and `x2` given.
    """
    if (x1 is None) != (x2 is None):
        raise ValueError("`x1` and `x2` either both should be `None` or both should have non-None value.")
    if x1 is None:
        return nonzero(condition)
    a, b = tensors(x1, x2)
    return elementwise.where(cast_to(condition, "bool"), a, b)


@op("numpy")
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """For each place the choice of the first condition that holds there, `default` where none does.

    Raises:
        ValueError: lists of different lengths, or empty ones.
    """
    if not len(condlist) or len(condlist) != len(choicelist):
        raise ValueError(
            "condlist and choicelist must be non-empty lists of one length. Received: "
            f"len(condlist)={len(condlist)}, len(choicelist)={len(choicelist)}"
        )
    *choices, made = tensors(*choicelist, default)
    for condition, choice in reversed(list(zip(condlist, choices, strict=True))):
        made = elementwise.where(cast_to(condition, "bool"), choice, made)
    return made


@op("numpy")
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each slice of `x` along `axis` (None: each element, flat) `repeats` times: an int, or one per slice."""
    x = convert(x)
    x = ravel(x) if axis is None else x
    (place,) = axes_of(0 if axis is None else axis, x.ndim)
    order = np.repeat(np.arange(x.shape[place], dtype=np.int32), _concrete("repeat", repeats))
    return gather.take(x, order, axis=place)
