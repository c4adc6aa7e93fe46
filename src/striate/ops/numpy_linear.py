"""Products and sums of products of `keras.ops.numpy`, and padding, differences and counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.ops.base import as_float, axes_of, cast_to, convert, dtype_name, host, op, tensors
from striate.ops.numpy_create import diagonal
from striate.ops.numpy_reduce import mean
from striate.ops.numpy_reduce import sum as total
from striate.ops.numpy_shape import moveaxis, ravel, reshape, transpose
from striate.primitives import elementwise, structural
from striate.primitives import matmul as products
from striate.primitives import pad as padding


def product(a: Any, b: Any) -> Any:
    """The matrix product of two tensors of one dtype, in which vectors count as NumPy's `matmul` takes them."""
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(
            f"matmul: inputs must have at least one axis, got shapes {tuple(a.shape)} and {tuple(b.shape)}. Use "
            "multiply."
        )
    left = reshape(a, (1, a.shape[0])) if a.ndim == 1 else a
    right = reshape(b, (b.shape[0], 1)) if b.ndim == 1 else b
    made = products.matmul(left, right)
    if b.ndim == 1:
        made = structural.reshape(made, shape=tuple(made.shape[:-1]))
    if a.ndim == 1:
        gone = made.ndim - 1 if b.ndim == 1 else made.ndim - 2
        made = structural.reshape(made, shape=(*made.shape[:gone], *made.shape[gone + 1 :]))
    return made


@op("numpy")
def matmul(x1: Any, x2: Any) -> Any:
    """The matrix product over the last two axes; axes in front broadcast. ValueError where sizes don't fit."""
    a, b = tensors(x1, x2)
    if dtype_name(a) == "bool":
        return cast_to(product(cast_to(a, "int32"), cast_to(b, "int32")), "bool")
    return product(a, b)


@op("numpy")
def dot(x1: Any, x2: Any) -> Any:
    """The sum of products over the last axis of `x1` and the last but one (a vector's only) of `x2`."""
    a, b = tensors(x1, x2)
    if a.ndim == 0 or b.ndim == 0:
        return elementwise.mul(a, b)
    return _tensordot(a, b, [a.ndim - 1], [max(b.ndim - 2, 0)])


def _tensordot(a: Any, b: Any, of_a: list[int], of_b: list[int]) -> Any:
    """Sums over pairs of axes as one matrix product."""
    rest_a = [i for i in range(a.ndim) if i not in of_a]
    rest_b = [i for i in range(b.ndim) if i not in of_b]
    if [a.shape[i] for i in of_a] != [b.shape[i] for i in of_b]:
        raise ValueError(
            f"tensordot: axes {of_a} of shape {tuple(a.shape)} and axes {of_b} of shape {tuple(b.shape)} have "
            "different sizes."
        )
    shape_a, shape_b = [a.shape[i] for i in rest_a], [b.shape[i] for i in rest_b]
    inner = math.prod(a.shape[i] for i in of_a)
    left = structural.reshape(transpose(a, (*rest_a, *of_a)), shape=(math.prod(shape_a), inner))
    right = structural.reshape(transpose(b, (*of_b, *rest_b)), shape=(inner, math.prod(shape_b)))
    return structural.reshape(products.matmul(left, right), shape=(*shape_a, *shape_b))


@op("numpy")
def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """The sum of products over axes of both: the last `axes` of `x1` with the first of `x2`, or two lists of axes."""
    a, b = tensors(x1, x2)
    if isinstance(axes, int):
        of_a, of_b = list(range(a.ndim - axes, a.ndim)), list(range(axes))
    else:
        of_a, of_b = (list(axes_of(v, n, "axes")) for v, n in zip(axes, (a.ndim, b.ndim), strict=True))
    if len(of_a) != len(of_b) or min([*of_a, 0]) < 0 or max([*of_b, -1]) >= b.ndim:
        raise ValueError(f"tensordot: axes={axes} do not fit shapes {tuple(a.shape)} and {tuple(b.shape)}.")
    return _tensordot(a, b, of_a, of_b)


@op("numpy")
def inner(x1: Any, x2: Any) -> Any:
    """The sum of products over the last axes."""
    a, b = tensors(x1, x2)
    return elementwise.mul(a, b) if a.ndim == 0 or b.ndim == 0 else _tensordot(a, b, [a.ndim - 1], [b.ndim - 1])


@op("numpy")
def vdot(x1: Any, x2: Any) -> Any:
    """The sum of products of all elements."""
    a, b = tensors(x1, x2)
    return total(elementwise.mul(ravel(a), ravel(b)))


@op("numpy")
def outer(x1: Any, x2: Any) -> Any:
    """Each element of `x1` times each element of `x2`, both flat."""
    a, b = tensors(x1, x2)
    return elementwise.mul(reshape(ravel(a), (math.prod(a.shape), 1)), reshape(ravel(b), (1, math.prod(b.shape))))


@op("numpy")
def kron(x1: Any, x2: Any) -> Any:
    """Kronecker's product: `x2` scaled by each element of `x1`, laid out in its place."""
    a, b = tensors(x1, x2)
    rank = max(a.ndim, b.ndim)
    shape_a = (1,) * (rank - a.ndim) + tuple(a.shape)
    shape_b = (1,) * (rank - b.ndim) + tuple(b.shape)
    wide_a = structural.reshape(a, shape=tuple(v for n in shape_a for v in (n, 1)))
    wide_b = structural.reshape(b, shape=tuple(v for n in shape_b for v in (1, n)))
    shape = tuple(m * n for m, n in zip(shape_a, shape_b, strict=True))
    return structural.reshape(elementwise.mul(wide_a, wide_b), shape=shape)


@op("numpy")
def cross(x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The cross product of vectors of 3 (or 2) elements along `axis`; of two vectors of 2 only the third element."""
    a, b = tensors(x1, x2)
    axisa, axisb, axisc = (axis, axis, axis) if axis is not None else (axisa, axisb, axisc)
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ValueError(f"cross: vectors must have 2 or 3 elements, got shapes {tuple(a.shape)} and {tuple(b.shape)}.")
    u, v = _components(a), _components(b)
    third = elementwise.sub(elementwise.mul(u[0], v[1]), elementwise.mul(u[1], v[0]))
    if a.shape[-1] == b.shape[-1] == 2:
        return structural.reshape(third, shape=tuple(third.shape[:-1]))
    first = elementwise.sub(elementwise.mul(u[1], v[2]), elementwise.mul(u[2], v[1]))
    second = elementwise.sub(elementwise.mul(u[2], v[0]), elementwise.mul(u[0], v[2]))
    return moveaxis(structural.concatenate(first, second, third, axis=first.ndim - 1), -1, axisc)


def _components(x: Any) -> list[Any]:
    last = x.ndim - 1
    parts = [structural.slice_axis(x, last, i, i + 1) for i in range(x.shape[-1])]
    return parts if len(parts) == 3 else [*parts, elementwise.sub(parts[0], parts[0])]


@op("numpy")
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal of the planes of two axes; bools and small integers as int32."""
    return total(diagonal(x, offset, axis1, axis2), axis=-1)


@op("numpy")
def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Any:
    """Sums of products in Einstein's notation, such as "bij,bjk->bik", with "..." for axes that are not named.

    Raises:
        ValueError: a notation that does not fit the operands.
    """
    values = tensors(*operands)
    terms, result = _notation(subscripts, [v.ndim for v in values])
    made, letters = values[0], terms[0]
    made, letters = _single(made, letters)
    for index, (other, names) in enumerate(zip(values[1:], terms[1:], strict=True), start=1):
        other, names = _single(other, names)
        later = set(result).union(*terms[index + 1 :])
        made, letters = _pair(made, letters, other, names, later)
    gone = tuple(i for i, c in enumerate(letters) if c not in result)
    made = structural.reduce_sum(made, axes=gone, keepdims=False) if gone else made
    letters = "".join(c for c in letters if c in result)
    return structural.transpose(made, axes=tuple(letters.index(c) for c in result))


def _notation(subscripts: str, ranks: list[int]) -> tuple[list[str], str]:
    """Letters for each operand and for the result; "..." becomes capital letters of its own, counted from the end."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"einsum: '{subscripts}' has {len(terms)} operands, but {len(ranks)} were given.")
    free = [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if c not in text]
    widths = [r - len(t.replace("...", "")) for t, r in zip(terms, ranks, strict=True)]
    if any(w < 0 or (w and "..." not in t) for t, w in zip(terms, widths, strict=True)):
        raise ValueError(f"einsum: '{subscripts}' does not fit operands with {ranks} axes.")
    dots = "".join(reversed(free[: max(widths)]))
    full = [t.replace("...", dots[len(dots) - w :]) for t, w in zip(terms, widths, strict=True)]
    if arrow:
        result = right.replace("...", dots)
    else:
        everything = "".join(full)
        result = dots + "".join(sorted(c for c in set(everything) - set(dots) if everything.count(c) == 1))
    if len(set(result)) != len(result) or not set(result) <= set("".join(full)):
        raise ValueError(f"einsum: the result of '{subscripts}' must name axes of the operands, each once.")
    return full, result


def _single(x: Any, letters: str) -> tuple[Any, str]:
    """`x` with each letter once: a repeated one takes the diagonal."""
    for c in letters:
        if letters.count(c) > 1:
            first, second = (i for i, d in enumerate(letters) if d == c)
            x = diagonal(x, 0, first, second)
            letters = letters[:first] + letters[first + 1 : second] + letters[second + 1 :] + c
            return _single(x, letters)
    return x, letters


def _pair(a: Any, la: str, b: Any, lb: str, later: set[str]) -> tuple[Any, str]:
    """The product of two operands, summed over the letters that nothing needs later: one matrix product."""
    a, la = _summed(a, la, set(lb) | later)
    b, lb = _summed(b, lb, set(la) | later)
    shared = [c for c in la if c in lb]
    batch, summed = [c for c in shared if c in later], [c for c in shared if c not in later]
    only_a, only_b = [c for c in la if c not in lb], [c for c in lb if c not in la]
    size = {c: a.shape[la.index(c)] for c in la}
    for c in lb:
        n = b.shape[lb.index(c)]
        if c in size and 1 not in (n, size[c]) and n != size[c]:
            raise ValueError(f"einsum: axis '{c}' has sizes {size[c]} and {n}.")
        size[c] = max(n, size.get(c, 1)) if n and size.get(c, 1) else 0
    a = _laid_out(a, la, [batch, only_a, summed], size)
    b = _laid_out(b, lb, [batch, summed, only_b], size)
    made = products.matmul(a, b)
    letters = [*batch, *only_a, *only_b]
    return structural.reshape(made, shape=tuple(size[c] for c in letters)), "".join(letters)


def _summed(x: Any, letters: str, needed: set[str]) -> tuple[Any, str]:
    gone = tuple(i for i, c in enumerate(letters) if c not in needed)
    if not gone:
        return x, letters
    return structural.reduce_sum(x, axes=gone, keepdims=False), "".join(c for c in letters if c in needed)


def _laid_out(x: Any, letters: str, groups: list[list[str]], size: dict[str, int]) -> Any:
    """`x` with its axes in three groups, each as one axis."""
    order = [c for group in groups for c in group]
    x = structural.transpose(x, axes=tuple(letters.index(c) for c in order))
    wide = tuple(size[c] for c in order)
    x = x if tuple(x.shape) == wide else structural.broadcast_to(x, shape=wide)
    return structural.reshape(x, shape=tuple(math.prod(size[c] for c in group) for group in groups))


# Padding, differences, counts
# ---------------------------------------------------------------------------------------------


@op("numpy")
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """`x` with something around it.

    Args:
        pad_width: an int, a pair (before, after), or a pair for each axis.
        mode: "constant" (default), "reflect", "symmetric", "edge" or "wrap".
        constant_values: for "constant"; 0 by default.

    Raises:
        ValueError: negative widths, another mode, or `constant_values` with a mode that has none.
    """
    x = convert(x)
    if mode not in padding.MODES:
        raise ValueError(f"pad: unknown mode {mode!r}. Use one of {', '.join(padding.MODES)}.")
    if mode != "constant" and constant_values is not None:
        raise ValueError(
            f"Argument `constant_values` can only be provided when `mode == 'constant'`. Received: mode={mode}"
        )
    widths = _widths(pad_width, x.ndim)
    if any(n < 0 for pair in widths for n in pair):
        raise ValueError(
            f"pad: widths must not be negative. Received: pad_width={pad_width}. Take rows away by slicing."
        )
    if constant_values is None or isinstance(constant_values, int | float):
        return padding.pad(x, widths=widths, mode=mode, value=constant_values or 0)
    return _padded_with(x, widths, cast_to(constant_values, dtype_name(x)))


def _widths(pad_width: Any, ndim: int) -> tuple[tuple[int, int], ...]:
    if hasattr(pad_width, "__index__") and not getattr(pad_width, "ndim", 0):
        return ((int(pad_width), int(pad_width)),) * ndim
    listed = [tuple(p) if hasattr(p, "__len__") else p for p in pad_width]
    if listed and all(not isinstance(p, tuple) for p in listed):
        listed = [tuple(listed)] if len(listed) == 2 else [(p, p) for p in listed]
    pairs = [(int(p[0]), int(p[-1])) for p in listed]
    pairs = pairs * ndim if len(pairs) == 1 else pairs
    if len(pairs) != ndim:
        raise ValueError(
            f"pad: `pad_width` must have a pair for each of the {ndim} axes. Received: pad_width={pad_width}"
        )
    return tuple(pairs)


def _padded_with(x: Any, widths: Any, value: Any) -> Any:
    """Padding with a scalar that is a tensor."""
    inside = np.pad(np.ones(x.shape, bool), widths)
    return elementwise.where(inside, padding.pad(x, widths=widths), value)


@op("numpy")
def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """The differences of neighbours along `axis`, `n` times over; of bools whether they differ."""
    x = convert(a)
    (place,) = axes_of(axis, x.ndim)
    for _ in range(n):
        size = x.shape[place]
        later = structural.slice_axis(x, place, min(1, size), size)
        earlier = structural.slice_axis(x, place, 0, max(size - 1, 0))
        x = elementwise.not_equal(later, earlier) if dtype_name(x) == "bool" else elementwise.sub(later, earlier)
    return x


@op("numpy")
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of `y` along `axis` by trapezoids, over points `x`, or points `dx` apart."""
    y = as_float(y)
    (place,) = axes_of(axis, y.ndim)
    size = y.shape[place]
    both = elementwise.add(structural.slice_axis(y, place, 1, size), structural.slice_axis(y, place, 0, size - 1))
    if x is None:
        steps = cast_to(dx, dtype_name(y))
    else:
        steps = diff(cast_to(x, dtype_name(y)), axis=0 if convert(x).ndim == 1 else place)
        steps = reshape(steps, [-1 if i == place else 1 for i in range(y.ndim)]) if steps.ndim == 1 else steps
    return elementwise.mul(total(elementwise.mul(both, steps), axis=place), 0.5)


@op("numpy")
def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """How often each integer from 0 on occurs (or the sum of its weights), along the last axis.

    The result has max(x) + 1 places, at least `minlength`; while tracing, where values are not known, exactly
    `minlength`.
    """
    x = convert(x)
    concrete = isinstance(x, np.ndarray)
    length = max(int(x.max()) + 1 if concrete and x.size else 0, int(minlength))
    hits = elementwise.equal(structural.reshape(x, shape=(*x.shape, 1)), np.arange(length, dtype=dtype_name(x)))
    name = "int32" if weights is None else dtype_name(convert(weights))
    counted = structural.cast(hits, dtype=name)
    if weights is not None:
        counted = elementwise.mul(counted, structural.reshape(convert(weights), shape=(*x.shape, 1)))
    return structural.reduce_sum(counted, axes=(x.ndim - 1,), keepdims=False)


@op("numpy")
def histogram(x: Any, bins: int = 10, range: Any = None) -> Any:
    """How many elements fall into each of `bins` equal bins, and the bins' edges.

    Args:
        range: the lowest and the highest edge, by default the extremes of `x`.

    Raises:
        ValueError: no whole number of bins above 0, or a falling range.
    """
    if not isinstance(bins, int) or isinstance(bins, bool) or bins <= 0:
        raise ValueError(f"Argument `bins` should be a non-negative integer. Received: bins={bins}")
    if range is not None and (len(range) != 2 or range[1] < range[0]):
        raise ValueError(f"Argument `range` should be a pair (lowest, highest). Received: range={range}")

    def run(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts, edges = np.histogram(a, bins, range)
        return counts.astype(a.dtype), edges.astype(a.dtype)

    return host(run, as_float(x))


@op("numpy")
def corrcoef(x: Any) -> Any:
    """Pearson's correlation of the rows of `x` (variables) over its columns (observations)."""
    x = as_float(x)
    rows = reshape(x, (1, x.shape[0])) if x.ndim == 1 else x
    centred = elementwise.sub(rows, mean(rows, axis=1, keepdims=True))
    covariance = product(centred, transpose(centred))
    spread = elementwise.sqrt(diagonal(covariance))
    made = elementwise.div(covariance, outer(spread, spread))
    made = elementwise.minimum(elementwise.maximum(made, -1), 1)
    return reshape(made, ()) if x.ndim == 1 else made


@op("numpy")
def correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    """The cross-correlation of two vectors; `mode`: "valid" (default), "same" or "full". It has no gradient."""
    if mode not in ("valid", "same", "full"):
        raise ValueError(f"`mode` must be one of 'valid', 'same', 'full'. Received: mode={mode}")
    a, b = tensors(x1, x2)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"correlate: expected two vectors, got shapes {tuple(a.shape)} and {tuple(b.shape)}.")
    a, b = (v if dtypes.is_floating(dtype_name(v)) else as_float(v) for v in (a, b))
    return host(lambda u, v: np.correlate(u, v, mode), a, b)  # type: ignore[call-overload]
