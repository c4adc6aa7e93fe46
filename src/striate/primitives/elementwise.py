"""Elementwise arithmetic, comparisons and selection. Inputs of one dtype, broadcast as NumPy does.

A gradient of a unary op is `grad(g, y, x)`; of a binary op a pair of such rules, each still in the broadcast shape:
`unbroadcast` sums it back to the shape of its operand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striate.ir import Aval
from striate.primitives.base import Array, Primitive, aval_of, broadcast_shapes, register
from striate.primitives.structural import reduce_sum, reshape

UnaryGrad = Callable[..., Array | None]
BinaryGrad = Callable[[Array, Array, Array, Array], Array]


def unary(
    name: str, reference: Callable[..., Any], grad: UnaryGrad | None, *, to: str | None = None, kernel: bool = True
) -> Primitive:
    """Registers an elementwise op of one input; `to` fixes the dtype of the result, `grad=None`: no gradient.

    Extra keyword parameters of the op are passed to `reference` and, if it takes them, to `grad`.
    """

    def infer(x: Aval, **_: Any) -> Aval:
        return Aval(x.shape, to or x.dtype)

    def vjp(g: Array, y: Array, x: Array, **params: Any) -> tuple[Array]:
        return (grad(g, y, x, **params),)  # type: ignore[misc]

    return register(
        Primitive(name, infer, reference, vjp if grad else None, "elementwise" if kernel else None, elementwise=True)
    )


def binary(
    name: str, reference: Callable[..., Any], grads: tuple[BinaryGrad | None, BinaryGrad | None] | None,
    *, to: str | None = None, kernel: bool = True,
) -> Primitive:  # fmt: skip
    """Registers an elementwise op of two inputs of one dtype that broadcast together."""

    def infer(a: Aval, b: Aval) -> Aval:
        if a.dtype != b.dtype:
            raise TypeError(f"{name}: inputs must have one dtype, got {a.dtype} and {b.dtype}. Cast one of them.")
        return Aval(broadcast_shapes(name, a.shape, b.shape), to or a.dtype)

    def vjp(g: Array, y: Array, a: Array, b: Array) -> tuple[Array | None, ...]:
        rules = grads or (None, None)
        return tuple(unbroadcast(r(g, y, a, b), v) if r else None for r, v in zip(rules, (a, b), strict=True))

    return register(
        Primitive(name, infer, reference, vjp if grads else None, "elementwise" if kernel else None, elementwise=True)
    )


def unbroadcast(g: Array, like: Array) -> Array:
    """Sums `g` over the axes along which `like` was repeated by broadcasting."""
    shape = aval_of(like).shape
    if tuple(g.shape) == tuple(shape):
        return g
    lead = len(g.shape) - len(shape)
    axes = (*range(lead), *(i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1))
    return reshape(reduce_sum(g, axes=axes, keepdims=False), shape=tuple(shape))


def _mask(condition: Array, g: Array) -> Array:
    return where(condition, g, np.zeros((), aval_of(g).dtype))


add: Primitive = binary("add", np.add, (lambda g, y, a, b: g, lambda g, y, a, b: g))
sub: Primitive = binary("sub", np.subtract, (lambda g, y, a, b: g, lambda g, y, a, b: neg(g)))
mul: Primitive = binary("mul", np.multiply, (lambda g, y, a, b: mul(g, b), lambda g, y, a, b: mul(g, a)))
div: Primitive = binary(
    "div", np.true_divide, (lambda g, y, a, b: div(g, b), lambda g, y, a, b: neg(div(mul(g, y), b)))
)
floor_div: Primitive = binary("floor_div", np.floor_divide, None)
mod: Primitive = binary("mod", np.mod, (lambda g, y, a, b: g, lambda g, y, a, b: neg(mul(g, floor(div(a, b))))))
power: Primitive = binary(
    "power", np.power,
    # at b = 0 the slope is 0, also where a is 0
    (lambda g, y, a, b: mul(g, mul(b, power(a, where(equal(b, 0), ones_like(b), sub(b, 1))))),
     lambda g, y, a, b: mul(g, mul(y, log(where(greater(a, 0), a, ones_like(a)))))),
)  # fmt: skip
# Ties share the gradient equally, as JAX does, so that the rule is symmetric in its inputs.
maximum: Primitive = binary(
    "maximum", np.maximum,
    (lambda g, y, a, b: _tied(g, a, b, greater), lambda g, y, a, b: _tied(g, b, a, greater)),
)  # fmt: skip
minimum: Primitive = binary(
    "minimum", np.minimum,
    (lambda g, y, a, b: _tied(g, a, b, less), lambda g, y, a, b: _tied(g, b, a, less)),
)  # fmt: skip
arctan2: Primitive = binary(
    "arctan2", np.arctan2,
    (lambda g, y, a, b: div(mul(g, b), add(mul(a, a), mul(b, b))),
     lambda g, y, a, b: neg(div(mul(g, a), add(mul(a, a), mul(b, b))))),
    kernel=False,
)  # fmt: skip

equal: Primitive = binary("equal", np.equal, None, to="bool")
not_equal: Primitive = binary("not_equal", np.not_equal, None, to="bool")
greater: Primitive = binary("greater", np.greater, None, to="bool")
greater_equal: Primitive = binary("greater_equal", np.greater_equal, None, to="bool")
less: Primitive = binary("less", np.less, None, to="bool")
less_equal: Primitive = binary("less_equal", np.less_equal, None, to="bool")
logical_and: Primitive = binary("logical_and", np.logical_and, None, to="bool")
logical_or: Primitive = binary("logical_or", np.logical_or, None, to="bool")
logical_xor: Primitive = binary("logical_xor", np.logical_xor, None, to="bool")
logical_not: Primitive = unary("logical_not", np.logical_not, None, to="bool")
bitwise_and: Primitive = binary("bitwise_and", np.bitwise_and, None, kernel=False)
bitwise_or: Primitive = binary("bitwise_or", np.bitwise_or, None, kernel=False)
bitwise_xor: Primitive = binary("bitwise_xor", np.bitwise_xor, None, kernel=False)
left_shift: Primitive = binary("left_shift", np.left_shift, None, kernel=False)
right_shift: Primitive = binary("right_shift", np.right_shift, None, kernel=False)
bitwise_not: Primitive = unary("bitwise_not", np.bitwise_not, None, kernel=False)

neg: Primitive = unary("neg", np.negative, lambda g, y, x: neg(g))
absolute: Primitive = unary("abs", np.abs, lambda g, y, x: mul(g, sign(x)))
sign: Primitive = unary("sign", np.sign, lambda g, y, x: None)
sqrt: Primitive = unary("sqrt", np.sqrt, lambda g, y, x: div(mul(g, 0.5), y))
rsqrt: Primitive = unary("rsqrt", lambda x: 1 / np.sqrt(x), lambda g, y, x: div(mul(mul(g, -0.5), y), x))
square: Primitive = unary("square", np.square, lambda g, y, x: mul(g, mul(x, 2)))
reciprocal: Primitive = unary("reciprocal", lambda x: np.true_divide(1, x), lambda g, y, x: neg(mul(g, mul(y, y))))
exp: Primitive = unary("exp", np.exp, lambda g, y, x: mul(g, y))
expm1: Primitive = unary("expm1", np.expm1, lambda g, y, x: mul(g, add(y, 1)))
log: Primitive = unary("log", np.log, lambda g, y, x: div(g, x))
log1p: Primitive = unary("log1p", np.log1p, lambda g, y, x: div(g, add(x, 1)))
log2: Primitive = unary("log2", np.log2, lambda g, y, x: div(g, mul(x, np.log(2.0))), kernel=False)
log10: Primitive = unary("log10", np.log10, lambda g, y, x: div(g, mul(x, np.log(10.0))), kernel=False)
sin: Primitive = unary("sin", np.sin, lambda g, y, x: mul(g, cos(x)))
cos: Primitive = unary("cos", np.cos, lambda g, y, x: neg(mul(g, sin(x))))
tan: Primitive = unary("tan", np.tan, lambda g, y, x: mul(g, add(mul(y, y), 1)))
arcsin: Primitive = unary("arcsin", np.arcsin, lambda g, y, x: mul(g, rsqrt(sub(1, mul(x, x)))), kernel=False)
arccos: Primitive = unary("arccos", np.arccos, lambda g, y, x: neg(mul(g, rsqrt(sub(1, mul(x, x))))), kernel=False)
arctan: Primitive = unary("arctan", np.arctan, lambda g, y, x: div(g, add(mul(x, x), 1)), kernel=False)
sinh: Primitive = unary("sinh", np.sinh, lambda g, y, x: mul(g, cosh(x)), kernel=False)
cosh: Primitive = unary("cosh", np.cosh, lambda g, y, x: mul(g, sinh(x)), kernel=False)
arcsinh: Primitive = unary("arcsinh", np.arcsinh, lambda g, y, x: mul(g, rsqrt(add(mul(x, x), 1))), kernel=False)
arccosh: Primitive = unary("arccosh", np.arccosh, lambda g, y, x: mul(g, rsqrt(sub(mul(x, x), 1))), kernel=False)
arctanh: Primitive = unary("arctanh", np.arctanh, lambda g, y, x: div(g, sub(1, mul(x, x))), kernel=False)
floor: Primitive = unary("floor", np.floor, lambda g, y, x: None)
ceil: Primitive = unary("ceil", np.ceil, lambda g, y, x: None)
rint: Primitive = unary("round", np.rint, lambda g, y, x: None)
isfinite: Primitive = unary("isfinite", np.isfinite, None, to="bool", kernel=False)
isinf: Primitive = unary("isinf", np.isinf, None, to="bool", kernel=False)
isnan: Primitive = unary("isnan", np.isnan, None, to="bool", kernel=False)
stop_gradient: Primitive = unary("stop_gradient", lambda x: x, lambda g, y, x: None)


def zeros_like(x: Array) -> np.ndarray:
    """Zeros of the shape and dtype of `x`; an array that takes no memory of its own."""
    return np.broadcast_to(np.zeros((), aval_of(x).dtype), aval_of(x).shape)


def ones_like(x: Array) -> np.ndarray:
    """Ones of the shape and dtype of `x`; an array that takes no memory of its own."""
    return np.broadcast_to(np.ones((), aval_of(x).dtype), aval_of(x).shape)


def _tied(g: Array, a: Array, b: Array, better: Primitive) -> Array:
    return add(_mask(better(a, b), g), mul(_mask(equal(a, b), g), 0.5))


def _infer_where(condition: Aval, a: Aval, b: Aval) -> Aval:
    if condition.dtype != "bool" or a.dtype != b.dtype:
        raise TypeError(
            f"where: expected a bool condition and two inputs of one dtype, got {condition.dtype}, {a.dtype} and "
            f"{b.dtype}."
        )
    return Aval(broadcast_shapes("where", condition.shape, a.shape, b.shape), a.dtype)


def _where_vjp(g: Array, y: Array, condition: Array, a: Array, b: Array) -> tuple[Array | None, ...]:
    zero = np.zeros((), aval_of(g).dtype)
    return None, unbroadcast(where(condition, g, zero), a), unbroadcast(where(condition, zero, g), b)


where: Primitive = register(Primitive("where", _infer_where, np.where, _where_vjp, "elementwise", elementwise=True))
