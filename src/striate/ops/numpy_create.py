"""Functions of `keras.ops.numpy` that make tensors: constants, ranges, windows, diagonals, triangles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.ops.base import Value, as_float, axes_of, cast_to, convert, dtype_name, dtype_of, host, op, sizes
from striate.primitives import elementwise, structural


def _made(array: np.ndarray, dtype: Any) -> np.ndarray:
    return np.asarray(array, dtype=dtypes.as_numpy(dtype))


@op("numpy")
def zeros(shape: Any, dtype: Any = None) -> Any:
    """Zeros of a shape; `dtype` defaults to `floatx()`."""
    return np.zeros(sizes(shape), dtypes.as_numpy(dtype))


@op("numpy")
def ones(shape: Any, dtype: Any = None) -> Any:
    """Ones of a shape; `dtype` defaults to `floatx()`."""
    return np.ones(sizes(shape), dtypes.as_numpy(dtype))


@op("numpy")
def empty(shape: Any, dtype: Any = None) -> Any:
    """A tensor of a shape; its values, which don't matter, are zeros. `dtype` defaults to `floatx()`."""
    return np.zeros(sizes(shape), dtypes.as_numpy(dtype))


@op("numpy")
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """A tensor of a shape with `fill_value` in every place; `dtype` defaults to `floatx()`."""
    return structural.broadcast_to(cast_to(fill_value, dtypes.standardize(dtype)), shape=sizes(shape))


def _like(name: str, value: Any, doc: str) -> Any:
    def fn(x: Any, dtype: Any = None) -> Any:
        x = convert(x)
        return np.full(x.shape, value, dtypes.as_numpy(dtype or dtype_name(x)))

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    return op("numpy")(fn)


zeros_like = _like("zeros_like", 0, "Zeros of the shape of `x`; `dtype` defaults to that of `x`.")
ones_like = _like("ones_like", 1, "Ones of the shape of `x`; `dtype` defaults to that of `x`.")
empty_like = _like("empty_like", 0, "A tensor of the shape of `x` whose values don't matter (they are zeros).")


@op("numpy")
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """A tensor of the shape of `x` with `fill_value` in every place; `dtype` defaults to that of `x`."""
    x = convert(x)
    return full(x.shape, fill_value, dtype or dtype_name(x))


@op("numpy")
def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """An N x M matrix (N x N by default) with ones on diagonal `k` and zeros elsewhere."""
    return np.eye(N, M, k, dtype=dtypes.as_numpy(dtype))


@op("numpy")
def identity(n: int, dtype: Any = None) -> Any:
    """The n x n identity matrix."""
    return np.eye(n, dtype=dtypes.as_numpy(dtype))


@op("numpy")
def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """An N x M matrix with ones on and below diagonal `k`, zeros above."""
    return np.tri(N, M, k, dtype=dtypes.as_numpy(dtype))


@op("numpy")
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """Numbers from `start` (0 if only one is given) up to, without, `stop`, `step` apart.

    `dtype` defaults to what the arguments promote to.
    """
    given = [v for v in (start, stop, step) if v is not None]
    wanted = dtype or dtypes.result_type(*(dtype_of(v) for v in given))
    numbers = [np.asarray(v).item() for v in given]
    if stop is None:
        numbers = [0, numbers[0], *numbers[1:]]
    return _made(np.arange(*numbers), wanted)


def _ends(start: Any, stop: Any, dtype: Any) -> tuple[Any, Any, str]:
    """Both ends as floats, and the dtype of the result."""
    wanted = dtypes.standardize(dtype) if dtype else dtypes.result_type(dtype_of(start), dtype_of(stop), float)
    compute = wanted if dtypes.is_floating(wanted) else "float64"
    return cast_to(start, compute), cast_to(stop, compute), wanted


@op("numpy")
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` numbers at equal distances from `start` to `stop`, which may be tensors.

    Args:
        endpoint: whether `stop` is the last of them. Defaults to True.
        retstep: whether the distance is returned, too.
        axis: where the new axis stands. Defaults to 0.
    """
    a, b, wanted = _ends(start, stop, dtype)
    if not isinstance(a, Value) and not isinstance(b, Value):
        made, step = np.linspace(a, b, num, endpoint=endpoint, retstep=True, axis=axis)
        made = _made(made, wanted) if dtypes.is_floating(wanted) else _made(np.floor(made), wanted)
        return (made, _made(step, a.dtype)) if retstep else made
    step = elementwise.div(elementwise.sub(b, a), max(num - 1 if endpoint else num, 1))
    (place,) = axes_of(axis, len(step.shape) + 1)
    shape = [1] * (len(step.shape) + 1)
    shape[place] = num
    counts = np.arange(num, dtype=dtype_name(a)).reshape(shape)
    wide = tuple(1 if i == place else n for i, n in enumerate(_inserted(step.shape, place)))
    scaled = elementwise.mul(structural.reshape(step, shape=wide), counts)
    first = structural.broadcast_to(a, shape=tuple(step.shape))
    made = cast_to(elementwise.add(structural.reshape(first, shape=wide), scaled), wanted)
    return (made, step) if retstep else made


def _inserted(shape: Any, place: int) -> tuple[int, ...]:
    return (*shape[:place], 1, *shape[place:])


@op("numpy")
def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`base` to the power of `linspace(start, stop, num)`."""
    a, b, wanted = _ends(start, stop, dtype)
    exponents = linspace(a, b, num, endpoint, axis=axis)
    return cast_to(elementwise.exp(elementwise.mul(exponents, math.log(base))), wanted)


@op("numpy")
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    """`num` numbers, each the same multiple of the one before, from `start` to `stop`."""
    a, b, wanted = _ends(start, stop, dtype)
    return cast_to(
        host(lambda u, v: np.geomspace(u, v, num, endpoint=endpoint, axis=axis, dtype=u.dtype), a, b), wanted
    )


def _window(name: str, make: Callable[[int], np.ndarray], doc: str) -> Any:
    def fn(x: Any) -> Any:
        return _made(make(int(x)), None)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc + " of `x` points."
    return op("numpy")(fn)


bartlett = _window("bartlett", np.bartlett, "The Bartlett (triangular) window")
blackman = _window("blackman", np.blackman, "The Blackman window")
hamming = _window("hamming", np.hamming, "The Hamming window")
hanning = _window("hanning", np.hanning, "The Hann window")


@op("numpy")
def kaiser(x: Any, beta: Any) -> Any:
    """The Kaiser window of `x` points with shape parameter `beta`."""
    return _made(np.kaiser(int(x), float(beta)), None)


def _band(x: Any, keep: Callable[[Any, Any], Any]) -> Any:
    """`x` with zeros where `keep(row, column)` does not hold, in its last two axes."""
    x = convert(x)
    if x.ndim < 2:
        x = structural.broadcast_to(x, shape=(x.shape[0], x.shape[0]))
    rows, columns = np.arange(x.shape[-2])[:, None], np.arange(x.shape[-1])[None, :]
    return elementwise.where(keep(rows, columns), x, np.zeros((), dtype_name(x)))


@op("numpy")
def tril(x: Any, k: int = 0) -> Any:
    """`x` with zeros above diagonal `k` of its last two axes."""
    return _band(x, lambda r, c: c <= r + k)


@op("numpy")
def triu(x: Any, k: int = 0) -> Any:
    """`x` with zeros below diagonal `k` of its last two axes."""
    return _band(x, lambda r, c: c >= r + k)


@op("numpy")
def diag(x: Any, k: int = 0) -> Any:
    """A matrix with the vector `x` on diagonal `k`, or diagonal `k` of the matrix `x`; ValueError for other ranks."""
    x = convert(x)
    if x.ndim == 1:
        return diagflat(x, k)
    if x.ndim == 2:
        return diagonal(x, k)
    raise ValueError(f"diag: expected a vector or a matrix, got shape {tuple(x.shape)}.")


@op("numpy")
def diagflat(x: Any, k: int = 0) -> Any:
    """A matrix with the elements of `x` on diagonal `k`."""
    x = convert(x)
    n = math.prod(x.shape) + abs(k)
    row = structural.reshape(x, shape=(1, math.prod(x.shape)))
    lead = max(k, 0)
    wide = structural.unslice(row, shape=(1, n), starts=(0, lead), stops=(1, lead + row.shape[1]), steps=(1, 1))
    spread = structural.broadcast_to(wide, shape=(n, n))
    return elementwise.where(np.eye(n, k=k, dtype=bool), spread, np.zeros((), dtype_name(x)))


@op("numpy")
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal `offset` of the planes of two axes, as a new last axis."""
    x = convert(x)
    if x.ndim < 2:
        raise ValueError(f"diagonal requires an array of at least two dimensions, got shape {tuple(x.shape)}.")
    a, b = axes_of((axis1, axis2), x.ndim)
    rest = tuple(i for i in range(x.ndim) if i not in (a, b))
    x = structural.transpose(x, axes=(*rest, a, b))
    rows, columns = x.shape[-2:]
    first, lead = max(-offset, 0), max(offset, 0)
    count = max(min(rows - first, columns - lead), 0)
    flat = structural.reshape(x, shape=(*x.shape[:-2], rows * columns))
    start, step = first * columns + lead, columns + 1
    inner = (0,) * (flat.ndim - 1)
    stop = start + (count - 1) * step + 1 if count else start
    return structural.slice_(
        flat,
        starts=(*inner, start if count else 0),
        stops=(*flat.shape[:-1], stop if count else 0),
        steps=(*(1 for _ in inner), step),
    )


@op("numpy")
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The Vandermonde matrix: powers of a vector as columns, falling unless `increasing`; N of them, by default
    len(x).
    """
    x = as_float(x) if dtype_name(convert(x)) == "bool" else convert(x)
    if x.ndim != 1:
        raise ValueError(f"Input tensor must have dimension 1. Received: input.shape={tuple(x.shape)}")
    count = x.shape[0] if N is None else N
    return host(lambda a: np.vander(a, count, increasing=increasing).astype(a.dtype), x)
