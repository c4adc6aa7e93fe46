"""Functions of `keras.ops.numpy` that take axes away: sums, extremes, means, variances, tests, and running sums."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.ops.base import as_float, axes_of, cast_to, common_dtype, convert, dtype_name, host, op
from striate.ops.numpy_math import isclose
from striate.ops.numpy_shape import ravel, reshape, transpose
from striate.primitives import elementwise, reduce, structural
from striate.primitives import sort as sorting

# Small integers are added up in 32 bits, as Keras does.
_WIDE = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}


def _reduction(name: str, fn: Callable[..., Any], doc: str) -> Any:
    """Publishes a reduction `fn(x, axes, keepdims)` with Keras's arguments."""

    def published(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        x = convert(x)
        return fn(x, axes_of(axis, x.ndim), bool(keepdims))

    published.__name__ = published.__qualname__ = name
    published.__doc__ = (
        doc
        + """

    Args:
        axis: an int, several, or None (default) for all axes.
        keepdims: whether the axes stay, with size 1. Defaults to False.
    """
    )
    return op("numpy")(published)


def _sum(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    name = dtype_name(x)
    return structural.reduce_sum(cast_to(x, _WIDE.get(name, name)), axes=axes, keepdims=keepdims)


def _count(x: Any, axes: tuple[int, ...]) -> int:
    return math.prod(x.shape[a] for a in axes)


def mean_of(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The mean; half precision is added up in float32."""
    x = as_float(x)
    name = dtype_name(x)
    wide = cast_to(x, dtypes.result_type(name, "float32"))
    total = structural.reduce_sum(wide, axes=axes, keepdims=keepdims)
    # an empty axis gives 0 / 0, NaN, as elsewhere
    return cast_to(elementwise.div(total, _count(x, axes)), name)


def _var(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    x = as_float(x)
    name = dtype_name(x)
    wide = cast_to(x, dtypes.result_type(name, "float32"))
    return cast_to(variance_of(wide, mean_of(wide, axes, True), axes, keepdims), name)


def variance_of(x: Any, mean: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The mean of the squared distances from `mean`, the mean of `x` along `axes`, which has these as size 1."""
    return elementwise.div(reduce.reduce_deviation(x, mean, axes=axes, keepdims=keepdims), _count(x, axes))


def _std(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return elementwise.sqrt(_var(x, axes, keepdims))


def _some(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return reduce.reduce_any(cast_to(x, "bool"), axes=axes, keepdims=keepdims)


def _every(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return reduce.reduce_all(cast_to(x, "bool"), axes=axes, keepdims=keepdims)


sum = _reduction("sum", _sum, "The sum. Integers below 32 bits and bools are added up in 32 bits.")
mean = _reduction("mean", mean_of, "The mean, a float.")
var = _reduction("var", _var, "The variance: the mean of the squared distances from the mean (no correction).")
std = _reduction("std", _std, "The standard deviation: the square root of `var`.")
any = _reduction("any", _some, "Whether any element is not zero.")
all = _reduction("all", _every, "Whether all elements are not zero.")


def _extreme(name: str, primitive: Any) -> Callable[..., Any]:
    def fn(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        if _count(x, axes) == 0 and axes:
            raise ValueError(f"zero-size array to reduction operation {name} which has no identity. Pass `initial`.")
        return primitive(x, axes=axes, keepdims=keepdims)

    return fn


max_of, min_of = _extreme("max", reduce.reduce_max), _extreme("min", reduce.reduce_min)
amax = _reduction("amax", max_of, "The largest element.")
amin = _reduction("amin", min_of, "The smallest element.")
ptp = _reduction(
    "ptp",
    lambda x, axes, keep: elementwise.sub(max_of(x, axes, keep), min_of(x, axes, keep)),
    "The largest less the smallest.",
)


@op("numpy")
def max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The largest element; `initial` takes part, if given. ValueError for an empty axis without it."""
    return _with_initial(max_of, elementwise.maximum, x, axis, keepdims, initial)


@op("numpy")
def min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The smallest element; `initial` takes part, if given. ValueError for an empty axis without it."""
    return _with_initial(min_of, elementwise.minimum, x, axis, keepdims, initial)


def _with_initial(fn: Any, better: Any, x: Any, axis: Any, keepdims: bool, initial: Any) -> Any:
    x = convert(x)
    axes = axes_of(axis, x.ndim)
    if initial is None:
        return fn(x, axes, bool(keepdims))
    start = cast_to(initial, dtype_name(x))
    if _count(x, axes) == 0:
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes)
        return structural.broadcast_to(start, shape=shape)
    return better(fn(x, axes, bool(keepdims)), start)


@op("numpy")
def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """The product; small integers are multiplied in 32 bits. `dtype` says in which type, if given."""
    x = convert(x)
    name = dtype_name(x)
    x = cast_to(x, dtypes.standardize(dtype) if dtype else _WIDE.get(name, name))
    return reduce.reduce_prod(x, axes=axes_of(axis, x.ndim), keepdims=bool(keepdims))


def _position(name: str, primitive: Any, doc: str) -> Any:
    def fn(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
        x = convert(x)
        flat = x if axis is not None else ravel(x)
        (place,) = axes_of(0 if axis is None else axis, flat.ndim)
        found = primitive(flat, axis=place, keepdims=False)
        if not keepdims:
            return found
        return reshape(found, (1,) * x.ndim if axis is None else (*x.shape[:place], 1, *x.shape[place + 1 :]))

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc + " The first one, if there are several; as int32. `axis=None`: in the flat order of all elements."
    return op("numpy")(fn)


argmax = _position("argmax", reduce.argmax, "Where the largest element stands along `axis`.")
argmin = _position("argmin", reduce.argmin, "Where the smallest element stands along `axis`.")


@op("numpy")
def count_nonzero(x: Any, axis: Any = None) -> Any:
    """How many elements are not zero, as int32."""
    x = convert(x)
    return structural.reduce_sum(cast_to(cast_to(x, "bool"), "int32"), axes=axes_of(axis, x.ndim), keepdims=False)


@op("numpy")
def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """The mean with weights: sum(x w) / sum(w).

    Args:
        weights: of the shape of `x`, or a vector for one axis. None: all equal.

    Raises:
        ValueError: weights of another shape.
    """
    if weights is None:
        return mean(x, axis)
    wanted = common_dtype(x, weights, floating=True)
    x, w = cast_to(x, wanted), cast_to(weights, wanted)
    axes = axes_of(axis, x.ndim)
    if tuple(w.shape) != tuple(x.shape):
        if axis is None or w.ndim != 1 or len(axes) != 1 or w.shape[0] != x.shape[axes[0]]:
            raise ValueError(
                f"average: weights of shape {tuple(w.shape)} fit neither the tensor's shape {tuple(x.shape)} nor "
                f"axis={axis}."
            )
        w = reshape(w, [-1 if i == axes[0] else 1 for i in range(x.ndim)])
        w = structural.broadcast_to(w, shape=tuple(x.shape))
    return elementwise.div(_sum(elementwise.mul(x, w), axes, False), _sum(w, axes, False))


def _running(name: str, primitive: Any, doc: str) -> Any:
    def fn(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
        x = convert(x)
        x = ravel(x) if axis is None else x
        own = dtype_name(x)
        x = cast_to(x, dtypes.standardize(dtype) if dtype else "int32" if own == "bool" else own)
        return primitive(x, axis=axes_of(0 if axis is None else axis, x.ndim)[0])

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc + " `axis=None`: of all elements in their flat order. `dtype` says in which type, if given."
    return op("numpy")(fn)


cumsum = _running("cumsum", sorting.cumsum, "The running sum along `axis`.")
cumprod = _running("cumprod", sorting.cumprod, "The running product along `axis`.")


# Quantiles
# ---------------------------------------------------------------------------------------------------------------


def _quantile(name: str, function: Callable[..., Any], scale: float, doc: str) -> Any:
    def fn(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
        x = as_float(x)
        axes = axes_of(axis, x.ndim)

        def run(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            shares = np.clip(b / scale, 0, 1)
            return np.asarray(function(a, shares, axis=axes, method=method, keepdims=keepdims), a.dtype)

        return host(run, x, cast_to(q, "float64"))

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc + " `method` is one of NumPy's, 'linear' by default. It has no gradient."
    return op("numpy")(fn)


quantile = _quantile("quantile", np.quantile, 1, "The quantiles `q`, shares from 0 to 1.")
percentile = _quantile("percentile", np.quantile, 100, "The percentiles `q`, shares from 0 to 100.")
nanquantile = _quantile("nanquantile", np.nanquantile, 1, "The quantiles `q`, NaN left out.")
nanpercentile = _quantile("nanpercentile", np.nanquantile, 100, "The percentiles `q`, NaN left out.")


def _middle(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The median by sorting, so that gradients flow; NaN where there is one."""
    x = as_float(x)
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    flat = reshape(transpose(x, (*rest, *axes)), (*(x.shape[i] for i in rest), _count(x, axes)))
    n, last = flat.shape[-1], flat.ndim - 1
    ordered = sorting.sort(flat, axis=last)
    low = structural.slice_axis(ordered, last, (n - 1) // 2, (n - 1) // 2 + 1)
    high = structural.slice_axis(ordered, last, n // 2, n // 2 + 1)
    found = low if n % 2 else elementwise.mul(elementwise.add(low, high), 0.5)
    shape = tuple(1 if i in axes else s for i, s in enumerate(x.shape) if keepdims or i not in axes)
    found = reshape(found, shape)
    broken = _some(elementwise.isnan(x), axes, keepdims)
    return elementwise.where(broken, cast_to(float("nan"), dtype_name(found)), found)


median = _reduction(
    "median", _middle, "The middle element in order; the mean of the two middle ones, if there are two."
)
nanmedian = _reduction(
    "nanmedian",
    lambda x, axes, keep: host(lambda a: np.nanmedian(a, axis=axes, keepdims=keep).astype(a.dtype), as_float(x)),
    "The median of what is not NaN. It has no gradient.",
)


# Reductions that leave NaN out
# -------------------------------------------------------------------------------------------


def _without_nan(x: Any, value: float) -> Any:
    if not dtypes.is_floating(dtype_name(x)):
        return x
    return elementwise.where(elementwise.isnan(x), cast_to(value, dtype_name(x)), x)


def _counted(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """How many elements are not NaN, as a float."""
    x = as_float(x)
    return _sum(cast_to(elementwise.logical_not(elementwise.isnan(x)), dtype_name(x)), axes, keepdims)


def _nan_mean(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    x = as_float(x)
    return elementwise.div(_sum(_without_nan(x, 0.0), axes, keepdims), _counted(x, axes, keepdims))


def _nan_var(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    x = as_float(x)
    # NaN goes before the square, whose gradient would bring it back
    deviation = _without_nan(elementwise.sub(x, _nan_mean(x, axes, True)), 0.0)
    return elementwise.div(_sum(elementwise.square(deviation), axes, keepdims), _counted(x, axes, keepdims))


def _nan_extreme(fn: Any, worst: float) -> Callable[..., Any]:
    def reduced(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        found = fn(_without_nan(x, worst), axes, keepdims)
        if not dtypes.is_floating(dtype_name(x)):
            return found
        return elementwise.where(
            _every(elementwise.isnan(x), axes, keepdims), cast_to(float("nan"), dtype_name(x)), found
        )

    return reduced


nansum = _reduction("nansum", lambda x, a, k: _sum(_without_nan(x, 0.0), a, k), "The sum, NaN left out.")
nanprod = _reduction("nanprod", lambda x, a, k: prod(_without_nan(x, 1.0), a, k), "The product, NaN left out.")
nanmean = _reduction("nanmean", _nan_mean, "The mean, NaN left out.")
nanvar = _reduction("nanvar", _nan_var, "The variance, NaN left out.")
nanstd = _reduction(
    "nanstd", lambda x, a, k: elementwise.sqrt(_nan_var(x, a, k)), "The standard deviation, NaN left out."
)
nanmax = _reduction("nanmax", _nan_extreme(max_of, -np.inf), "The largest element, NaN left out.")
nanmin = _reduction("nanmin", _nan_extreme(min_of, np.inf), "The smallest element, NaN left out.")


def _nan_running(name: str, base: Any, value: float, doc: str) -> Any:
    def fn(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
        return base(_without_nan(convert(x), value), axis, dtype)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    return op("numpy")(fn)


nancumsum = _nan_running("nancumsum", cumsum, 0.0, "The running sum, NaN counting as 0.")
nancumprod = _nan_running("nancumprod", cumprod, 1.0, "The running product, NaN counting as 1.")


def _nan_position(name: str, base: Any, worst: float, doc: str) -> Any:
    def fn(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
        x = convert(x)
        found = base(_without_nan(x, worst), axis, keepdims)
        if not dtypes.is_floating(dtype_name(x)):
            return found
        return elementwise.where(
            _every(elementwise.isnan(x), axes_of(axis, x.ndim), bool(keepdims)), np.asarray(-1, np.int32), found
        )

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc + " NaN is left out; -1 where there is nothing else."
    return op("numpy")(fn)


nanargmax = _nan_position("nanargmax", argmax, -np.inf, "Where the largest element stands.")
nanargmin = _nan_position("nanargmin", argmin, np.inf, "Where the smallest element stands.")


@op("numpy")
def allclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all elements are close, see `isclose`."""
    return all(isclose(x1, x2, rtol, atol, equal_nan))
