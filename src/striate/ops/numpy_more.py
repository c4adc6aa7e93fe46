"""Functions of `keras.ops.numpy` whose results depend on values, and functions of functions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from striate.core.registry import export
from striate.ops.base import Value, convert, op
from striate.ops.control import vectorized_map
from striate.ops.numpy_shape import broadcast_to, reshape, transpose


@op("numpy")
def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The distinct elements of an array in rising order (or its distinct slices along `axis`), of arrays only.

    Args:
        sorted: accepted for Keras's sake; the result is in order.
        return_index, return_inverse, return_counts: first places, places in the result, and counts, too (int32).
        size: that many results: cut off, or filled up with `fill_value` (by default the smallest).

    Raises:
        ValueError: while tracing, as the size of the result depends on values.
    """
    x = convert(x)
    if isinstance(x, Value):
        raise ValueError(
            "unique: the size of the result depends on values, which are not known while tracing. Call it on arrays."
        )
    made, *rest = np.unique(x, True, True, True, axis)
    wanted = [
        np.asarray(r, np.int32) for r, on in zip(rest, (return_index, return_inverse, return_counts), strict=True) if on
    ]
    if size is not None:
        made = _sized(made, size, fill_value, axis or 0)
    return (made, *wanted) if wanted else made


def _sized(values: np.ndarray, size: int, fill: Any, axis: int) -> np.ndarray:
    values = np.take(values, range(min(size, values.shape[axis])), axis)
    missing = size - values.shape[axis]
    if missing <= 0:
        return values
    shape = [missing if i == axis % values.ndim else n for i, n in enumerate(values.shape)]
    filler = np.full(shape, values.min() if fill is None else fill, values.dtype)
    return np.concatenate([values, filler], axis)


@export("keras.ops.vectorize", "keras.ops.numpy.vectorize")
def vectorize(pyfunc: Callable[..., Any], *, excluded: Any = None, signature: str | None = None) -> Callable[..., Any]:
    """`pyfunc`, a function of scalars, as a function of tensors that broadcast; it is called for each element.

    Args:
        excluded: numbers of arguments that are passed as they are.
        signature: not supported (ValueError): use `vectorized_map`.
    """
    if signature is not None:
        raise ValueError("vectorize: `signature` is not supported. Use `keras.ops.vectorized_map`.")
    kept = set(excluded or ())

    def wrapper(*args: Any) -> Any:
        spread = [n for n in range(len(args)) if n not in kept]
        values = [convert(args[n]) for n in spread]
        shape = np.broadcast_shapes(*(tuple(v.shape) for v in values))
        flat = [reshape(broadcast_to(v, shape), (-1,)) for v in values]

        def one(slices: list[Any]) -> Any:
            supply = iter(slices)
            return pyfunc(*(a if n in kept else next(supply) for n, a in enumerate(args)))

        return reshape(vectorized_map(one, flat), shape)

    return wrapper


@op("einops")
def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Any:
    """Axes split, merged and put in another order by a pattern such as "b (h s) w c -> b h (s c) w".

    Args:
        axes_lengths: the sizes of axes that a group on the left leaves open.

    Raises:
        ValueError: a pattern that does not fit the tensor.
    """
    x = convert(tensor)
    left, arrow, right = pattern.partition("->")
    groups, target = _groups(left, x.ndim), _groups(right, None)
    if "..." in left and "..." in right:
        dots = [g for g in groups if g[0].startswith("...")]
        target = [d for g in target for d in (dots if g == ["..."] else [g])]
    names, wanted = ([n for g in side for n in g] for side in (groups, target))

    if (
        not arrow
        or len(groups) != x.ndim
        or {*names} - {"1"} != {*wanted} - {"1"}
        or len(set(names) - {"1"}) != len(names) - names.count("1")
    ):
        raise ValueError(f"rearrange: the pattern '{pattern}' does not fit a tensor of shape {tuple(x.shape)}.")
    size: dict[str, int] = dict(axes_lengths)
    for group, n in zip(groups, x.shape, strict=True):
        _solve(group, int(n), size, pattern)
    x = reshape(x, [size[n] for n in names if n != "1"])
    order = [n for n in names if n != "1"]
    x = transpose(x, [order.index(n) for n in wanted if n != "1"])
    return reshape(x, [int(np.prod([size.get(n, 1) for n in g], dtype=np.int64)) for g in target])


def _groups(side: str, ndim: int | None) -> list[list[str]]:
    """Each axis of one side as a list of names."""
    found = [[m] if m[0] != "(" else m[1:-1].split() for m in re.findall(r"\([^)]*\)|[^\s()]+", side)]
    if ndim is None or ["..."] not in found:
        return found
    at = found.index(["..."])
    return [*found[:at], *([f"...{i}"] for i in range(ndim - len(found) + 1)), *found[at + 1 :]]


def _solve(group: list[str], n: int, size: dict[str, int], pattern: str) -> None:
    """Finds the one size that a group leaves open."""
    open_ = [name for name in group if name not in size and name != "1"]
    known = int(np.prod([size.get(name, 1) for name in group if name not in open_], dtype=np.int64))
    if len(open_) > 1 or (open_ and n % max(known, 1)) or (not open_ and known != n):
        raise ValueError(
            f"rearrange: the axes {group} of '{pattern}' do not fit a size of {n}. Pass their sizes by name."
        )
    if open_:
        size[open_[0]] = n // max(known, 1)
