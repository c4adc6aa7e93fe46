"""Activation functions of `keras.ops.nn`: every entry of the primitives' table, and what has parameters of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striate.core.dtypes import is_integer
from striate.ops.base import OPS, as_float, axes_of, convert, dtype_name, op
from striate.ops.numpy_shape import split
from striate.primitives import activations as prim
from striate.primitives import elementwise, reduce, structural
from striate.primitives import softmax as softmaxes
from striate.primitives import sort as sorting
from striate.primitives.activations import ACTIVATIONS


@op("nn")
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x where x >= 0, `negative_slope` * x elsewhere."""
    return prim.leaky_relu(as_float(x), negative_slope=float(negative_slope))


@op("nn")
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, `alpha` (e^x - 1) elsewhere (Clevert et al. 2016, arXiv:1511.07289)."""
    return prim.elu(as_float(x), alpha=float(alpha))


@op("nn")
def celu(x: Any, alpha: float = 1.0) -> Any:
    """max(x, 0) + min(0, `alpha` (e^(x / alpha) - 1)) (Barron 2017, arXiv:1704.07483)."""
    return prim.celu(as_float(x), alpha=float(alpha))


@op("nn")
def gelu(x: Any, approximate: bool = True) -> Any:
    """x times the normal distribution function of x; `approximate` takes the tanh form (arXiv:1606.08415)."""
    return prim.gelu(as_float(x), approximate=bool(approximate))


@op("nn")
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x where |x| > `threshold`, 0 elsewhere."""
    return prim.hard_shrink(as_float(x), threshold=float(threshold))


@op("nn")
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x moved towards 0 by `threshold`, and 0 within it."""
    return prim.soft_shrink(as_float(x), threshold=float(threshold))


@op("nn")
def squareplus(x: Any, b: float = 4) -> Any:
    """(x + sqrt(x^2 + `b`)) / 2 (Barron 2021, arXiv:2112.11687)."""
    return prim.squareplus(as_float(x), b=float(b))


@op("nn")
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """x where x > `threshold`, `default_value` elsewhere."""
    return prim.threshold(as_float(x), threshold=float(threshold), default_value=float(default_value))


def relu_general(x: Any, negative_slope: float, max_value: float | None, threshold: float) -> Any:
    """x above the threshold, slope * (x - threshold) below it, at most `max_value`: the relu with all that Keras's
    has.
    """
    limit = None if max_value is None else float(max_value)
    return prim.relu_general(
        as_float(x), negative_slope=float(negative_slope), max_value=limit, threshold=float(threshold)
    )


_DOCS = {
    "relu6": "min(max(x, 0), 6).",
    "sigmoid": "1 / (1 + e^-x).",
    "softplus": "log(1 + e^x).",
    "silu": "x * sigmoid(x), also called swish (arXiv:1710.05941).",
    "log_sigmoid": "log(sigmoid(x)), safe for large negative x.",
    "softsign": "x / (1 + |x|).",
    "selu": "The scaled elu of self-normalizing networks (arXiv:1706.02515).",
    "hard_sigmoid": "x / 6 + 1 / 2, cut off at 0 and 1.",
    "hard_silu": "x * hard_sigmoid(x).",
    "hard_tanh": "x, cut off at -1 and 1.",
    "tanh": "The hyperbolic tangent.",
    "tanh_shrink": "x - tanh(x).",
    "mish": "x * tanh(softplus(x)) (arXiv:1908.08681).",
    "sparse_plus": "0 up to -1, (x + 1)^2 / 4 up to 1, x from there on.",
    "sparse_sigmoid": "(x + 1) / 2, cut off at 0 and 1.",
}
_ALIASES = {"silu": ("swish",), "hard_silu": ("hard_swish",)}


def _published(name: str) -> Callable[..., Any]:
    primitive = ACTIVATIONS[name]

    def fn(x: Any) -> Any:
        return primitive(as_float(x))

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = _DOCS.get(name, f"The activation function {name}.")
    families = ("numpy",) if name == "tanh" else ("nn",)
    return op(*families, names=_ALIASES.get(name, ()))(fn)


@op("nn")
def relu(x: Any) -> Any:
    """The larger one of x and 0; integers stay integers."""
    x = convert(x)
    return OPS["maximum"](x, 0) if is_integer(dtype_name(x)) else ACTIVATIONS["relu"](as_float(x))


# Entries of the table that nothing above publishes with parameters of its own: a new activation appears here by itself.
SIMPLE = {name: _published(name) for name in ACTIVATIONS if name not in OPS and name != "relu_general"}


@op("nn")
def softmax(x: Any, axis: Any = -1) -> Any:
    """e^x / sum(e^x) along `axis`: an int, several, or None for all."""
    return _along(softmaxes.softmax, x, axis)


@op("nn")
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """log(softmax(x)), safe for large x."""
    return _along(softmaxes.log_softmax, x, axis)


def _along(primitive: Any, x: Any, axis: Any) -> Any:
    """Applies a primitive of one axis to several axes taken together."""
    x = as_float(x)
    axes = axes_of(axis, x.ndim)
    if len(axes) == 1:
        return primitive(x, axis=axes[0])
    order = (*(i for i in range(x.ndim) if i not in axes), *axes)
    moved = structural.transpose(x, axes=order)
    lead = moved.shape[: x.ndim - len(axes)]
    count = 1
    for n in moved.shape[len(lead) :]:
        count *= n
    made = primitive(structural.reshape(moved, shape=(*lead, count)), axis=len(lead))
    back = tuple(order.index(i) for i in range(x.ndim))
    return structural.transpose(structural.reshape(made, shape=tuple(moved.shape)), axes=back)


@op("nn")
def sparsemax(x: Any, axis: int = -1) -> Any:
    """The nearest point of the probability simplex along `axis`: sparse where softmax is not (arXiv:1602.02068)."""
    x = as_float(x)
    (place,) = axes_of(axis, x.ndim)
    n = x.shape[place]
    falling = elementwise.neg(sorting.sort(elementwise.neg(x), axis=place))
    shape = [1] * x.ndim
    shape[place] = n
    counts = _counting(n, x).reshape(shape)
    sums = sorting.cumsum(falling, axis=place)
    inside = elementwise.greater(elementwise.add(elementwise.mul(falling, counts), 1), sums)
    support = structural.cast(inside, dtype=str(x.dtype))
    k = structural.reduce_sum(support, axes=(place,), keepdims=True)
    total = structural.reduce_sum(elementwise.mul(support, falling), axes=(place,), keepdims=True)
    tau = elementwise.div(elementwise.sub(total, 1), k)
    return prim.relu(elementwise.sub(x, tau))


def _counting(n: int, like: Any) -> Any:
    return np.arange(1, n + 1, dtype=str(like.dtype))


@op("nn")
def glu(x: Any, axis: int = -1) -> Any:
    """The first half of `x` along `axis` times the sigmoid of the second (arXiv:1612.08083); ValueError for an odd
    size.
    """
    x = as_float(x)
    if x.shape[axes_of(axis, x.ndim)[0]] % 2:
        raise ValueError(f"axis size must be divisible by 2. Received: x.shape={tuple(x.shape)} with axis={axis}")
    values, gate = split(x, 2, axis=axis)
    return elementwise.mul(values, prim.sigmoid(gate))


@op("math")
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(e^x)) over `axis` (None for all), safe for large x."""
    x = as_float(x)
    return reduce.logsumexp(x, axes=axes_of(axis, x.ndim), keepdims=bool(keepdims))


relu6, sigmoid, softplus = (SIMPLE[name] for name in ("relu6", "sigmoid", "softplus"))
silu, log_sigmoid, softsign, selu = (SIMPLE[name] for name in ("silu", "log_sigmoid", "softsign", "selu"))
hard_sigmoid, hard_silu, hard_tanh = (SIMPLE[name] for name in ("hard_sigmoid", "hard_silu", "hard_tanh"))
tanh, tanh_shrink, mish = (SIMPLE[name] for name in ("tanh", "tanh_shrink", "mish"))
sparse_plus, sparse_sigmoid = (SIMPLE[name] for name in ("sparse_plus", "sparse_sigmoid"))
swish, hard_swish = silu, hard_silu
