"""`keras.ops.math` and the small part of `keras.ops.linalg` that needs no decompositions of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.ops.base import Value, as_float, axes_of, cast_to, convert, dtype_name, host, op, tensors
from striate.ops.numpy_reduce import max_of, min_of
from striate.ops.numpy_shape import reshape
from striate.primitives import elementwise, gather, special, structural


def _special(name: str, primitive: Any, doc: str) -> Any:
    def fn(x: Any) -> Any:
        return primitive(as_float(x))

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    return op("math")(fn)


erf = _special("erf", special.erf, "The error function.")
erfc = _special("erfc", special.erfc, "The complement of the error function, 1 - erf(x).")
erfinv = _special("erfinv", special.erfinv, "The inverse of the error function.")
rsqrt = _special("rsqrt", elementwise.rsqrt, "1 / sqrt(x).")


def _count(segment_ids: Any, num_segments: int | None) -> int:
    if num_segments is not None:
        return int(num_segments)
    if isinstance(segment_ids, Value):
        raise ValueError("Argument `num_segments` must be set while tracing. Received: num_segments=None")
    return int(segment_ids.max()) + 1 if segment_ids.size else 0


def _segment(name: str, start: Callable[[str], Any], reduction: str, doc: str) -> Any:
    def fn(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
        data, ids = convert(data), cast_to(segment_ids, "int32")
        if ids.ndim != 1 or ids.shape[0] != data.shape[0]:
            raise ValueError(
                f"Argument `segment_ids` should be a vector with one id for each of the {data.shape[0]} rows of "
                "`data`. Received: "
                f"segment_ids.shape={tuple(ids.shape)}"
            )
        n = _count(ids, num_segments)
        first = np.full((n + 1, *data.shape[1:]), start(dtype_name(data)), dtype_name(data))
        # ids out of range are dropped: they go to one segment more, which is cut off
        inside = elementwise.logical_and(elementwise.greater_equal(ids, 0), elementwise.less(ids, n))
        places = structural.reshape(elementwise.where(inside, ids, np.asarray(n, np.int32)), shape=(*ids.shape, 1))
        made = gather.scatter_update(first, places, data, reduction=reduction)
        return structural.slice_axis(made, 0, 0, n)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc + " Rows with one id make a segment; `num_segments` defaults to the largest id + 1."
    return op("math")(fn)


def _lowest(name: str) -> Any:
    return -np.inf if dtypes.is_floating(name) else np.iinfo(name).min


def _highest(name: str) -> Any:
    return np.inf if dtypes.is_floating(name) else np.iinfo(name).max


segment_sum = _segment("segment_sum", lambda name: 0, "add", "The sums of segments.")
segment_prod = _segment("segment_prod", lambda name: 1, "mul", "The products of segments.")
segment_max = _segment("segment_max", _lowest, "max", "The largest elements of segments.")
segment_min = _segment("segment_min", _highest, "min", "The smallest elements of segments.")


@op("math")
def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    """Overlapping windows of the last axis: `(..., count, sequence_length)`, `sequence_stride` apart.

    What is left at the end is dropped.
    """
    x = convert(x)
    count = max(1 + (x.shape[-1] - sequence_length) // sequence_stride, 0)
    places = np.arange(count)[:, None] * sequence_stride + np.arange(sequence_length)[None, :]
    return gather.take(x, places.astype(np.int32), axis=x.ndim - 1)


@op("linalg")
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors (one axis) or matrices (two axes).

    Args:
        ord: None for the 2-norm of all elements taken; of vectors any number, inf, -inf, 0; of matrices "fro", "nuc",
            1, 2, inf and their negatives (2 and "nuc" without a gradient).
        axis: an int, two, or None for all (one or two axes, unless `ord` is None).
    """
    x = as_float(x)
    axes = axes_of(axis, x.ndim)
    if ord is None or (len(axes) == 2 and ord == "fro") or (len(axes) == 1 and ord in (2, "euclidean")):
        return elementwise.sqrt(structural.reduce_sum(elementwise.square(x), axes=axes, keepdims=keepdims))
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) != 2 or (isinstance(ord, str) and ord != "nuc"):
        raise ValueError(
            f"Invalid `ord` argument for the norm along {len(axes)} axes. Received: ord={ord}, axis={axis}"
        )
    return _matrix_norm(x, ord, axes, keepdims)


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise ValueError(f"Invalid `ord` argument for a vector norm. Received: ord={ord}")
    size = elementwise.absolute(x)
    if ord in (np.inf, -np.inf):
        return (max_of if ord > 0 else min_of)(size, axes, keepdims)
    if ord == 0:
        hits = structural.cast(elementwise.not_equal(x, 0), dtype=dtype_name(x))
        return structural.reduce_sum(hits, axes=axes, keepdims=keepdims)
    total = structural.reduce_sum(elementwise.power(size, float(ord)), axes=axes, keepdims=keepdims)
    return elementwise.power(total, 1 / float(ord))


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if ord in (1, -1, np.inf, -np.inf):
        rows, columns = axes
        along, over = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = structural.reduce_sum(elementwise.absolute(x), axes=(along,), keepdims=True)
        found = (max_of if ord > 0 else min_of)(sums, (over,), True)
    elif ord in (2, -2, "nuc"):
        found = host(lambda a: np.linalg.norm(a, ord, axes, keepdims=True).astype(a.dtype), x)
    else:
        raise ValueError(f"Invalid `ord` argument for a matrix norm. Received: ord={ord}")
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes)
    return reshape(found, shape)


def _by_numpy(name: str, fn: Callable[..., Any], doc: str, count: int = 1, family: str = "linalg") -> Any:
    """A function of NumPy's `linalg`, computed in the tensors' dtype and without a gradient."""

    def run(*arrays: np.ndarray) -> Any:
        made = fn(*arrays)
        if isinstance(made, tuple):
            return tuple(np.asarray(m, arrays[0].dtype) for m in made)
        return np.asarray(made, arrays[0].dtype)

    def one(x: Any) -> Any:
        return host(run, as_float(x))

    def two(a: Any, b: Any) -> Any:
        return host(run, *tensors(a, b, floating=True))

    published = one if count == 1 else two
    published.__name__ = published.__qualname__ = name
    published.__doc__ = doc + " It has no gradient."
    return op(family)(published)


det = _by_numpy("det", np.linalg.det, "The determinant of square matrices.")
inv = _by_numpy("inv", np.linalg.inv, "The inverse of square matrices.")
eigh = _by_numpy(
    "eigh", lambda a: tuple(np.linalg.eigh(a)), "Eigenvalues, rising, and eigenvectors of symmetric matrices."
)
slogdet = _by_numpy(
    "slogdet",
    lambda a: tuple(np.linalg.slogdet(a)),
    "The sign and the log of the size of the determinant.",
    family="numpy",
)
logdet = _by_numpy(
    "logdet",
    lambda a: np.linalg.slogdet(a)[1],
    "The log of the determinant of positive definite matrices.",
    family="math",
)


def _solved(a: np.ndarray, b: np.ndarray) -> Any:
    return np.linalg.solve(a, b[..., None])[..., 0] if b.ndim == a.ndim - 1 else np.linalg.solve(a, b)


solve = _by_numpy("solve", _solved, "x in a x = b.", 2)


@op("linalg")
def cholesky(x: Any, upper: bool = False) -> Any:
    """L with L L^T = x, lower triangular (with `upper` its transpose); x must be positive definite."""
    return host(lambda a: np.swapaxes(np.linalg.cholesky(a), -1, -2) if upper else np.linalg.cholesky(a), as_float(x))


@op("linalg")
def qr(x: Any, mode: str = "reduced") -> Any:
    """x = Q R with orthonormal columns of Q and R upper triangular; `mode`: "reduced" (default) or "complete"."""
    if mode not in ("reduced", "complete"):
        raise ValueError(
            f"`mode` argument value not supported. Expected one of {{'reduced', 'complete'}}. Received: mode={mode}"
        )
    return host(lambda a: tuple(np.linalg.qr(a, mode)), as_float(x))  # type: ignore[call-overload]


@op("linalg")
def svd(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """x = U diag(s) V^T: U, s and V^T, or s alone."""

    def run(a: np.ndarray) -> Any:
        made = np.linalg.svd(a, full_matrices, compute_uv)  # type: ignore[call-overload]
        return tuple(made) if compute_uv else made

    return host(run, as_float(x))


@op("linalg")
def pinv(x: Any, rcond: Any = None) -> Any:
    """The Moore-Penrose inverse; singular values below `rcond` times the largest count as 0."""
    settings = {} if rcond is None else {"rcond": rcond}
    return host(lambda a: np.linalg.pinv(a, **settings), as_float(x))


@op("linalg")
def matrix_rank(x: Any, tol: Any = None) -> Any:
    """The rank of matrices: how many singular values lie above `tol`, as int32."""
    return host(lambda a: np.asarray(np.linalg.matrix_rank(a, tol), np.int32), as_float(x))


@op("linalg")
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """x that makes the norm of a x - b smallest."""
    return host(lambda u, v: np.linalg.lstsq(u, v, rcond)[0], *tensors(a, b, floating=True))


@op("linalg")
def solve_triangular(a: Any, b: Any, lower: bool = False) -> Any:
    """x in a x = b for triangular matrices; what stands in the other triangle does not count. It has no gradient."""

    def run(u: np.ndarray, v: np.ndarray) -> Any:
        return np.asarray(_solved(np.tril(u) if lower else np.triu(u), v), u.dtype)

    return host(run, *tensors(a, b, floating=True))
