"""Functions of `keras.ops.numpy` that move elements: shapes, axes, joining, splitting, padding, indexing."""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.ops.base import axes_of, cast_to, common_dtype, convert, op, sizes
from striate.primitives import structural as prim
from striate.trace import KerasTensor


def _reshaped(x: Any, newshape: Any) -> KerasTensor | None:
    """The symbolic result where a size is unknown: the new shape, None in the place of -1."""
    if not isinstance(x, KerasTensor) or None not in x.shape:
        return None
    return KerasTensor(tuple(None if n == -1 else n for n in sizes(newshape, "newshape")), x.dtype)


@op("numpy", spec=_reshaped)
def reshape(x: Any, newshape: Any) -> Any:
    """`x` with the same elements in the same order and another shape.

    Args:
        newshape: an int or several; one of them may be -1: what remains.

    Raises:
        ValueError: when the number of elements does not fit.
    """
    x = convert(x)
    return prim.reshape(x, shape=_filled(tuple(x.shape), sizes(newshape, "newshape")))


def _filled(old: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
    """`new` with its -1 replaced by the size that remains."""
    total, known = math.prod(old), math.prod(n for n in new if n != -1)
    fits = total == known if -1 not in new else new.count(-1) == 1 and known > 0 and total % known == 0
    if not fits or any(n < -1 for n in new):
        raise ValueError(
            f"reshape: an array of shape {old} ({total} elements) cannot take the shape {new}. The number of "
            "elements must "
            "stay the same; one size may be -1."
        )
    return tuple(total // known if n == -1 else n for n in new)


@op("numpy")
def ravel(x: Any) -> Any:
    """`x` with one axis."""
    return reshape(x, -1) if 0 not in convert(x).shape else reshape(x, (0,))


@op("numpy")
def transpose(x: Any, axes: Any = None) -> Any:
    """`x` with its axes in the order `axes`, by default reversed; ValueError unless `axes` names each once."""
    x = convert(x)
    if axes is None:
        return prim.transpose(x, axes=tuple(reversed(range(x.ndim))))
    order = axes_of(tuple(axes), x.ndim, "axes")
    if len(order) != x.ndim:
        raise ValueError(f"axes={axes} must name each of the {x.ndim} axes of a tensor of shape {tuple(x.shape)} once.")
    return prim.transpose(x, axes=order)


@op("numpy")
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """`x` with two of its axes exchanged."""
    x = convert(x)
    order = list(range(x.ndim))
    (a,), (b,) = axes_of(axis1, x.ndim, "axis1"), axes_of(axis2, x.ndim, "axis2")
    order[a], order[b] = b, a
    return prim.transpose(x, axes=tuple(order))


@op("numpy")
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """`x` with the axes `source` at the places `destination`; the others keep their order."""
    x = convert(x)
    origins, places = axes_of(source, x.ndim, "source"), axes_of(destination, x.ndim, "destination")
    if len(origins) != len(places):
        raise ValueError(f"`source` and `destination` must have one length. Received: {source} and {destination}.")
    order = [a for a in range(x.ndim) if a not in origins]
    for place, origin in sorted(zip(places, origins, strict=True)):
        order.insert(place, origin)
    return prim.transpose(x, axes=tuple(order))


@op("numpy")
def expand_dims(x: Any, axis: Any) -> Any:
    """`x` with new axes of size 1 at the places `axis` of the result."""
    x = convert(x)
    count = len(axis) if isinstance(axis, list | tuple) else 1
    places = axes_of(axis, x.ndim + count)
    old = iter(x.shape)
    return prim.reshape(x, shape=tuple(1 if i in places else next(old) for i in range(x.ndim + count)))


@op("numpy")
def squeeze(x: Any, axis: Any = None) -> Any:
    """`x` without axes of size 1: all of them, or those named; ValueError if one of these has another size."""
    x = convert(x)
    gone = tuple(i for i, n in enumerate(x.shape) if n == 1) if axis is None else axes_of(axis, x.ndim)
    if any(x.shape[a] != 1 for a in gone):
        raise ValueError(f"Cannot squeeze axis={axis}, because the dimension is not 1: the shape is {tuple(x.shape)}.")
    return prim.reshape(x, shape=tuple(n for i, n in enumerate(x.shape) if i not in gone))


@op("numpy")
def broadcast_to(x: Any, shape: Any) -> Any:
    """`x` repeated along axes of size 1, and along new leading axes, to `shape`; ValueError where that can't be."""
    return prim.broadcast_to(convert(x), shape=sizes(shape))


@op("numpy")
def concatenate(xs: Any, axis: int | None = 0) -> Any:
    """`xs` one behind the other along an axis that they have; None: all of them flat.

    Raises:
        ValueError: other sizes differ, or no tensors.
    """
    xs = _joined("concatenate", xs)
    if axis is None:
        xs, axis = [ravel(x) for x in xs], 0
    (place,) = axes_of(axis, xs[0].ndim)
    return xs[0] if len(xs) == 1 else prim.concatenate(*xs, axis=place)


def _joined(name: str, xs: Any) -> list[Any]:
    """`xs` as tensors of one dtype."""
    listed = list(xs)
    if not listed:
        raise ValueError(f"{name}: expected at least one tensor, got none.")
    wanted = common_dtype(*listed)
    return [cast_to(x, wanted) for x in listed]


@op("numpy")
def stack(x: Any, axis: int = 0) -> Any:
    """Tensors of one shape side by side along a new axis; ValueError if the shapes differ."""
    xs = _joined("stack", x)
    if len({tuple(v.shape) for v in xs}) > 1:
        raise ValueError(f"stack: all tensors must have one shape, got {[tuple(v.shape) for v in xs]}.")
    (place,) = axes_of(axis, xs[0].ndim + 1)
    return concatenate([expand_dims(v, place) for v in xs], axis=place)


@op("numpy")
def append(x1: Any, x2: Any, axis: int | None = None) -> Any:
    """`x2` behind `x1` along `axis`; None: both flat."""
    return concatenate([x1, x2], axis=axis)


def _at_least(x: Any, rank: int) -> Any:
    """`x` with axes added as NumPy's `atleast_2d` (in front) and `atleast_3d` (behind, too) add them."""
    x = convert(x)
    while x.ndim < min(rank, 2):
        x = expand_dims(x, 0)
    return expand_dims(x, -1) if rank == 3 and x.ndim == 2 else x


@op("numpy")
def vstack(xs: Any) -> Any:
    """`xs` on top of each other: along the first axis, vectors as rows."""
    return concatenate([_at_least(x, 2) for x in xs], axis=0)


@op("numpy")
def hstack(xs: Any) -> Any:
    """`xs` side by side: along the second axis, vectors along their only one."""
    made = [_at_least(x, 1) if convert(x).ndim else expand_dims(x, 0) for x in xs]
    return concatenate(made, axis=0 if made[0].ndim == 1 else 1)


@op("numpy")
def dstack(xs: Any) -> Any:
    """`xs` one behind the other along the third axis."""
    return concatenate([_at_least(x, 3) for x in xs], axis=2)


@op("numpy")
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """`x` in parts along `axis`: that many equal ones, or cut at the given places.

    Raises:
        ValueError: when a number of parts does not divide the size.
    """
    x = convert(x)
    (place,) = axes_of(axis, x.ndim)
    size = x.shape[place]
    if _is_int(indices_or_sections) and (indices_or_sections < 1 or size % indices_or_sections):
        raise ValueError(f"split: {indices_or_sections} parts do not divide the size {size} of axis {axis}.")
    return _cut(x, place, _bounds(size, indices_or_sections))


def _is_int(value: Any) -> bool:
    return hasattr(value, "__index__") and not getattr(value, "ndim", 0)


def _bounds(size: int, parts: Any) -> list[tuple[int, int]]:
    """Where the parts start and stop: the first `size % parts` of a number of parts are one longer."""
    if _is_int(parts):
        base, extra = divmod(size, operator.index(parts))
        cuts = [i * base + min(i, extra) for i in range(operator.index(parts) + 1)]
        return list(itertools.pairwise(cuts))
    places = [int(p) for p in np.asarray(parts).ravel()]
    starts, stops = [0, *places], [*places, size]
    return [slice(a, b).indices(size)[:2] for a, b in zip(starts, stops, strict=True)]


def _cut(x: Any, axis: int, bounds: list[tuple[int, int]]) -> list[Any]:
    return [prim.slice_axis(x, axis, start, max(stop, start)) for start, stop in bounds]


@op("numpy")
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """As `split`, but a number of parts need not divide the size: the first ones are then one longer."""
    x = convert(x)
    (place,) = axes_of(axis, x.ndim)
    return _cut(x, place, _bounds(x.shape[place], indices_or_sections))


@op("numpy")
def hsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along the second axis (of a vector, its only one)."""
    return split(x, indices_or_sections, axis=0 if convert(x).ndim == 1 else 1)


@op("numpy")
def vsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along the first axis."""
    return split(x, indices_or_sections, axis=0)


@op("numpy")
def dsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along the third axis."""
    return split(x, indices_or_sections, axis=2)


@op("numpy")
def flip(x: Any, axis: Any = None) -> Any:
    """`x` in reverse order along `axis` (an int, several, or None for all)."""
    x = convert(x)
    turned = axes_of(axis, x.ndim)
    return prim.slice_(
        x,
        starts=tuple(n - 1 if i in turned else 0 for i, n in enumerate(x.shape)),
        stops=tuple(-1 if i in turned else n for i, n in enumerate(x.shape)),
        steps=tuple(-1 if i in turned else 1 for i in range(x.ndim)),
    )


@op("numpy")
def fliplr(x: Any) -> Any:
    """`x` in reverse order along its second axis."""
    return flip(x, axis=1)


@op("numpy")
def flipud(x: Any) -> Any:
    """`x` in reverse order along its first axis."""
    return flip(x, axis=0)


@op("numpy")
def rot90(array: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """`array` turned by `k` times 90 degrees in the plane of two axes, from the first towards the second."""
    x = convert(array)
    if x.ndim < 2 or len(axes) != 2:
        raise ValueError(
            f"rot90: expected a tensor with at least 2 axes and two axes, got shape {tuple(x.shape)}, axes={axes}."
        )
    a, b = axes_of(tuple(axes), x.ndim, "axes")
    turns = {0: lambda: x, 1: lambda: swapaxes(flip(x, b), a, b), 2: lambda: flip(x, (a, b)),
             3: lambda: flip(swapaxes(x, a, b), b)}  # fmt: skip
    return turns[k % 4]()


@op("numpy")
def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """`x` moved by `shift` places along `axis`; what leaves at one end comes in at the other. None: as if flat."""
    x = convert(x)
    if axis is None:
        return reshape(roll(ravel(x), shift, axis=0), x.shape)
    axes = axis if isinstance(axis, list | tuple) else (axis,)
    shifts = shift if isinstance(shift, list | tuple) else (shift,) * len(axes)
    for step, one in zip(shifts, axes, strict=True):
        x = _rolled(x, int(step), axes_of(one, x.ndim)[0])
    return x


def _rolled(x: Any, shift: int, axis: int) -> Any:
    size = x.shape[axis]
    cut = -shift % size if size else 0
    if not cut:
        return x
    parts = [prim.slice_axis(x, axis, cut, size), prim.slice_axis(x, axis, 0, cut)]
    return prim.concatenate(*parts, axis=axis)


@op("numpy")
def tile(x: Any, repeats: Any) -> Any:
    """`x` laid out `repeats` times along each axis; the shorter of shape and repeats gets ones in front."""
    x = convert(x)
    times = sizes(repeats, "repeats")
    rank = max(x.ndim, len(times))
    times = (1,) * (rank - len(times)) + times
    shape = (1,) * (rank - x.ndim) + tuple(x.shape)
    spread = tuple(v for n, r in zip(shape, times, strict=True) for v in (r, n))
    split_shape = tuple(v for n in shape for v in (1, n))
    wide = prim.broadcast_to(prim.reshape(x, shape=split_shape), shape=spread)
    return prim.reshape(wide, shape=tuple(n * r for n, r in zip(shape, times, strict=True)))


@op("numpy")
def meshgrid(*x: Any, indexing: str = "xy") -> list[Any]:
    """Coordinate grids of vectors; with "xy" the first two axes are exchanged, with "ij" not."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"Valid values for `indexing` are 'xy' and 'ij', but received {indexing}.")
    flat = [ravel(v) for v in x]
    swap = indexing == "xy" and len(flat) > 1
    places = [1, 0, *range(2, len(flat))] if swap else list(range(len(flat)))
    shape = [0] * len(flat)
    for place, v in zip(places, flat, strict=True):
        shape[place] = v.shape[0]
    return [
        prim.broadcast_to(reshape(v, [-1 if i == place else 1 for i in range(len(flat))]), shape=tuple(shape))
        for place, v in zip(places, flat, strict=True)
    ]


@op("numpy")
def ndim(x: Any) -> int:
    """The number of axes."""
    return len(x.shape) if hasattr(x, "shape") else convert(x).ndim


@op("numpy")
def size(x: Any) -> int:
    """The number of elements."""
    return math.prod(convert(x).shape)


@op("numpy")
def copy(x: Any) -> Any:
    """A new tensor with the values of `x`."""
    x = convert(x)
    return np.array(x) if isinstance(x, np.ndarray) else x


@op("numpy")
def view(x: Any, dtype: Any = None) -> Any:
    """The bytes of `x` read as another dtype; of an array only."""
    x = np.ascontiguousarray(convert(x))
    return x if dtype is None else x.view(dtypes.as_numpy(dtype)).copy()
