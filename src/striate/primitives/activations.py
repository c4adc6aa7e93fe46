"""Activation functions: the one table that `striate.activations`, the layers and the fused kernels read.

To add one: a line here (reference and gradient) and a line in the tests' table `tests/opspecs.py`. It works everywhere
at once; only if it should be fast does it need an entry in the native engine's table of elementwise functions.

Formulas and defaults are those of Keras 3; at a kink the gradient is the one that Keras gives on JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striate.primitives.base import Array, Primitive, aval_of
from striate.primitives.elementwise import (
    absolute,
    add,
    binary,
    div,
    equal,
    exp,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    mul,
    neg,
    rsqrt,
    square,
    sub,
    unary,
    where,
)  # fmt: skip
from striate.primitives.special import erf

ACTIVATIONS: dict[str, Primitive] = {}

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_SQRT_HALF, _SQRT_2_OVER_PI, _GELU_CUBIC = 0.7071067811865476, 0.7978845608028654, 0.044715


def activation(name: str, reference: Callable[..., Any], grad: Callable[..., Any]) -> Primitive:
    """Registers an activation; extra keyword parameters go to `reference` and `grad` alike."""
    ACTIVATIONS[name] = unary(name, reference, grad)
    return ACTIVATIONS[name]


def _number(value: float, like: Array) -> np.ndarray:
    return np.asarray(value, dtype=aval_of(like).dtype)


def _pass(condition: Array, g: Array) -> Array:
    """`g` where the condition holds, else zero; a NaN or infinity that is masked out does not spread."""
    return where(condition, g, _number(0, g))


def _half_at(kink: Array, open_: Array, g: Array) -> Array:
    """`g` where `open_` holds, half of it at the kink, else zero."""
    return where(open_, g, where(kink, mul(g, 0.5), _number(0, g)))


def _sloped(condition: Array, g: Array, slope: float) -> Array:
    return where(condition, g, mul(g, slope))


def _between(x: Array, lo: float, hi: float) -> Array:
    return logical_and(greater(x, lo), less(x, hi))


def _clip_grad(g: Array, x: Array, lo: float, hi: float, slope: float) -> Array:
    """The gradient of `slope * clip(x)`: half at both ends, as a minimum of a maximum has it."""
    ends = where(equal(x, lo), np.asarray(True), equal(x, hi))
    return _half_at(ends, _between(x, lo, hi), mul(g, slope) if slope != 1 else g)


def _sigmoid(x: np.ndarray) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _softplus(x: np.ndarray) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


# (y, g) -> g where a rectifier's result y is positive, else zero. So the rectifier's input need not be kept.
relu_grad: Primitive = binary(
    "relu_grad",
    lambda y, g: np.where(y > 0, g, np.zeros((), g.dtype)),
    (None, lambda gg, out, y, g: relu_grad(y, gg)),
)
relu: Primitive = activation("relu", lambda x: np.maximum(x, 0), lambda g, y, x: relu_grad(y, g))
relu6: Primitive = activation("relu6", lambda x: np.clip(x, 0, 6), lambda g, y, x: _pass(_between(y, 0, 6), g))
leaky_relu: Primitive = activation(
    "leaky_relu",
    lambda x, negative_slope=0.2: np.where(x >= 0, x, x * negative_slope),
    lambda g, y, x, negative_slope=0.2: _sloped(greater_equal(x, 0), g, negative_slope),
)


def _relu_general(x: np.ndarray, *, negative_slope: float, max_value: float | None, threshold: float) -> Any:
    y = np.where(x > threshold, x, negative_slope * (x - threshold))
    return y if max_value is None else np.minimum(y, max_value)


def _relu_general_grad(
    g: Array, y: Array, x: Array, *, negative_slope: float, max_value: float | None, threshold: float
) -> Array:
    inner = _sloped(greater(x, threshold), g, negative_slope)
    return inner if max_value is None else _pass(less(y, max_value), inner)


# x above the threshold, slope * (x - threshold) below it, at most max_value (None: no limit).
relu_general: Primitive = activation("relu_general", _relu_general, _relu_general_grad)

sigmoid: Primitive = activation("sigmoid", _sigmoid, lambda g, y, x: mul(g, mul(y, sub(1, y))))
tanh: Primitive = activation("tanh", np.tanh, lambda g, y, x: mul(g, mul(sub(1, y), add(y, 1))))
softplus: Primitive = activation("softplus", _softplus, lambda g, y, x: mul(g, sigmoid(x)))
log_sigmoid: Primitive = activation("log_sigmoid", lambda x: -_softplus(-x), lambda g, y, x: mul(g, sigmoid(neg(x))))
softsign: Primitive = activation(
    "softsign", lambda x: x / (1 + np.abs(x)), lambda g, y, x: div(g, square(add(absolute(x), 1)))
)
silu: Primitive = activation(
    "silu", lambda x: x * _sigmoid(x), lambda g, y, x: mul(g, mul(sigmoid(x), add(mul(x, sigmoid(neg(x))), 1)))
)

elu: Primitive = activation(
    "elu",
    lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    lambda g, y, x, alpha=1.0: where(greater(x, 0), g, mul(g, mul(exp(_below(x)), alpha))),
)
celu: Primitive = activation(
    "celu",
    lambda x, alpha=1.0: np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha),
    lambda g, y, x, alpha=1.0: where(greater(x, 0), g, mul(g, exp(div(_below(x), alpha)))),
)
selu: Primitive = activation(
    "selu",
    lambda x: _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0))),
    lambda g, y, x: mul(mul(g, _SELU_SCALE), where(greater(x, 0), _number(1, x), mul(exp(_below(x)), _SELU_ALPHA))),
)


def _below(x: Array) -> Array:
    """`x` where it is not positive, else 0: keeps the exponential of the branch that is not taken finite."""
    return where(greater(x, 0), _number(0, x), x)


def _gelu(x: np.ndarray, approximate: bool = True) -> Any:
    if approximate:
        return 0.5 * x * (1 + np.tanh(_SQRT_2_OVER_PI * (x + _GELU_CUBIC * x**3)))
    return 0.5 * x * (1 + erf.reference(x * _SQRT_HALF))


def _gelu_grad(g: Array, y: Array, x: Array, approximate: bool = True) -> Array:
    if not approximate:
        density = mul(exp(mul(square(x), -0.5)), 0.5 * _SQRT_2_OVER_PI)
        return mul(g, add(mul(add(erf(mul(x, _SQRT_HALF)), 1), 0.5), mul(x, density)))
    t = tanh(mul(add(x, mul(mul(square(x), x), _GELU_CUBIC)), _SQRT_2_OVER_PI))
    inner = mul(add(mul(square(x), 3 * _GELU_CUBIC), 1), _SQRT_2_OVER_PI)
    slope = mul(mul(x, 0.5), mul(sub(1, square(t)), inner))
    return mul(g, add(mul(add(t, 1), 0.5), slope))


# Hendrycks & Gimpel 2016; `approximate` takes the tanh form.
gelu: Primitive = activation("gelu", _gelu, _gelu_grad)

hard_sigmoid: Primitive = activation(
    "hard_sigmoid", lambda x: np.clip(x / 6 + 0.5, 0, 1), lambda g, y, x: _pass(_between(x, -3, 3), mul(g, 1 / 6))
)
hard_silu: Primitive = activation(
    "hard_silu",
    lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    lambda g, y, x: add(mul(g, hard_sigmoid(x)), mul(x, _pass(_between(x, -3, 3), mul(g, 1 / 6)))),
)
hard_tanh: Primitive = activation(
    "hard_tanh", lambda x: np.clip(x, -1, 1), lambda g, y, x: _pass(less_equal(absolute(x), 1), g)
)


def _mish_grad(g: Array, y: Array, x: Array) -> Array:
    t = tanh(softplus(x))
    return mul(g, add(t, mul(x, mul(sub(1, square(t)), sigmoid(x)))))


mish: Primitive = activation("mish", lambda x: x * np.tanh(_softplus(x)), _mish_grad)
tanh_shrink: Primitive = activation("tanh_shrink", lambda x: x - np.tanh(x), lambda g, y, x: mul(g, square(tanh(x))))
hard_shrink: Primitive = activation(
    "hard_shrink",
    lambda x, threshold=0.5: np.where(np.abs(x) > threshold, x, 0),
    lambda g, y, x, threshold=0.5: _pass(greater(absolute(x), threshold), g),
)
soft_shrink: Primitive = activation(
    "soft_shrink",
    lambda x, threshold=0.5: np.where(np.abs(x) > threshold, x - np.copysign(threshold, x), 0),
    lambda g, y, x, threshold=0.5: _pass(greater(absolute(x), threshold), g),
)
threshold: Primitive = activation(
    "threshold",
    lambda x, threshold, default_value: np.where(x > threshold, x, default_value),
    lambda g, y, x, threshold, default_value: _pass(greater(x, threshold), g),
)
squareplus: Primitive = activation(
    "squareplus",
    lambda x, b=4.0: 0.5 * (x + np.sqrt(x * x + b)),
    lambda g, y, x, b=4.0: mul(mul(g, 0.5), add(mul(x, rsqrt(add(square(x), b))), 1)),
)
sparse_plus: Primitive = activation(
    "sparse_plus",
    lambda x: np.where(x <= -1, 0, np.where(x < 1, 0.25 * (x + 1) ** 2, x)),
    lambda g, y, x: where(less_equal(x, -1), _number(0, x), where(less(x, 1), mul(g, mul(add(x, 1), 0.5)), g)),
)
sparse_sigmoid: Primitive = activation(
    "sparse_sigmoid", lambda x: np.clip(0.5 * (x + 1), 0, 1), lambda g, y, x: _clip_grad(g, x, -1, 1, 0.5)
)
