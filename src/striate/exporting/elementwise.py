"""Elementwise steps in ONNX: in the order of axes that their inputs have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from striate.exporting.family import Step, Val
from striate.exporting.rules import RULES, rule
from striate.exporting.writer import Writer

Formula = Callable[..., str]


def write(writer: Writer, step: Step, formula: Formula) -> None:
    """Writes `formula(writer, step, *names)`, in the order of axes that needs no transposition."""
    (out,) = step.outputs
    moved = out.rank > 2 and any(v.rank == out.rank and writer.only_first(v) for v in step.inputs)
    if not any(v.shape == out.shape and not v.variants for v in step.inputs):  # a constant gives the shape
        writer.put(out, formula(writer, step, *(writer.plain(v) for v in step.inputs)))
    elif moved:
        writer.put_first(out, formula(writer, step, *(writer.aligned_first(v, out.rank) for v in step.inputs)))
    else:
        writer.put(out, formula(writer, step, *(writer.operand(v) for v in step.inputs)))


def formula(*names: str) -> Callable[[Formula], Formula]:
    """Registers a formula for elementwise primitives."""

    def add(fn: Formula) -> Formula:
        RULES.update(dict.fromkeys(names, lambda writer, step: write(writer, step, fn)))
        return fn

    return add


def _is_float(value: Val) -> bool:
    return value.dtype in ("float16", "bfloat16", "float32", "float64")


def _number(writer: Writer, step: Step, value: float) -> str:
    return writer.number(value, step.inputs[-1].dtype)


def _plain(kind: str, **attributes: Any) -> Formula:
    return lambda w, s, *names: w.op(kind, *names, **attributes)


PLAIN = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "maximum": "Max", "minimum": "Min", "equal": "Equal",
    "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less", "less_equal": "LessOrEqual",
    "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not", "bitwise_and": "BitwiseAnd",
    "bitwise_or": "BitwiseOr", "bitwise_xor": "BitwiseXor", "bitwise_not": "BitwiseNot", "neg": "Neg", "abs": "Abs",
    "sign": "Sign", "sqrt": "Sqrt", "reciprocal": "Reciprocal", "exp": "Exp", "log": "Log", "sin": "Sin", "cos": "Cos",
    "tan": "Tan", "arcsin": "Asin", "arccos": "Acos", "arctan": "Atan", "sinh": "Sinh", "cosh": "Cosh",
    "arcsinh": "Asinh", "arccosh": "Acosh", "arctanh": "Atanh", "isnan": "IsNaN", "isinf": "IsInf", "erf": "Erf",
    "where": "Where", "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus",
    "softsign": "Softsign", "hard_silu": "HardSwish", "mish": "Mish",
}  # fmt: skip
for _name, _kind in PLAIN.items():
    formula(_name)(_plain(_kind))
for _name, _kind in {"floor": "Floor", "ceil": "Ceil", "round": "Round"}.items():  # of integers: themselves
    formula(_name)(lambda w, s, x, kind=_kind: w.op(kind if _is_float(s.inputs[0]) else "Identity", x))
for _name, _attributes in {
    "selu": {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805},
    "hard_sigmoid": {"alpha": 1 / 6, "beta": 0.5},
}.items():
    formula(_name)(_plain({"selu": "Selu", "hard_sigmoid": "HardSigmoid"}[_name], **_attributes))


@formula("not_equal")
def _not_equal(w: Writer, s: Step, a: str, b: str) -> str:
    return w.op("Not", w.op("Equal", a, b))


@rule("cast")
def _cast(w: Writer, s: Step) -> None:
    write(w, s, lambda w, s, x: w.op("Cast", x, to=s.params["dtype"]))


@formula("div")
def _div(w: Writer, s: Step, a: str, b: str) -> str:
    if _is_float(s.inputs[0]):
        return w.op("Div", a, b)
    wide = [w.op("Cast", x, to="float64") for x in (a, b)]
    return w.op("Cast", w.op("Div", *wide), to=s.outputs[0].dtype)


@formula("floor_div")
def _floor_div(w: Writer, s: Step, a: str, b: str) -> str:
    if _is_float(s.inputs[0]):
        return w.op("Floor", w.op("Div", a, b))
    return w.op("Div", w.op("Sub", a, w.op("Mod", a, b)), b)  # ONNX's integer division truncates


@formula("mod")
def _mod(w: Writer, s: Step, a: str, b: str) -> str:
    if not _is_float(s.inputs[0]):
        return w.op("Mod", a, b)
    rest = w.op("Mod", a, b, fmod=1)  # has the sign of a; NumPy's has that of b
    zero = _number(w, s, 0)
    other = w.op("Xor", w.op("Less", rest, zero), w.op("Less", b, zero))
    wrong = w.op("And", w.op("Not", w.op("Equal", rest, zero)), other)
    return w.op("Where", wrong, w.op("Add", rest, b), rest)


@formula("power")
def _power(w: Writer, s: Step, a: str, b: str) -> str:
    return w.op("Pow", a, b)


@formula("left_shift", "right_shift")
def _shift(w: Writer, s: Step, a: str, b: str) -> str:
    """Times or by powers of two: ONNX's own shifts are for numbers without a sign."""
    dtype = s.inputs[0].dtype
    if dtype.startswith("u"):
        return w.op("BitShift", a, b, direction="LEFT" if s.op == "left_shift" else "RIGHT")
    factor = w.op("Cast", w.op("Pow", w.number(2, "float64"), w.op("Cast", b, to="float64")), to=dtype)
    return w.op("Mul", a, factor) if s.op == "left_shift" else _floor_div(w, s, a, factor)


@formula("relu_grad")
def _relu_grad(w: Writer, s: Step, y: str, g: str) -> str:
    return w.op("Where", w.op("Greater", y, _number(w, s, 0)), g, _number(w, s, 0))


@formula("arctan2")
def _arctan2(w: Writer, s: Step, y: str, x: str) -> str:
    zero, pi = _number(w, s, 0), _number(w, s, math.pi)
    angle = w.op("Atan", w.op("Div", y, x))
    below = w.op("Less", y, zero)
    turned = w.op("Where", below, w.op("Sub", angle, pi), w.op("Add", angle, pi))
    angle = w.op("Where", w.op("Less", x, zero), turned, angle)
    upright = w.op("Mul", w.op("Sign", y), _number(w, s, math.pi / 2))
    return w.op("Where", w.op("Equal", x, zero), upright, angle)


@formula("rsqrt")
def _rsqrt(w: Writer, s: Step, x: str) -> str:
    return w.op("Reciprocal", w.op("Sqrt", x))


@formula("square")
def _square(w: Writer, s: Step, x: str) -> str:
    return w.op("Mul", x, x)


@formula("expm1")
def _expm1(w: Writer, s: Step, x: str) -> str:
    """2 tanh(x/2) / (1 - tanh(x/2)), which loses no digits near 0; beyond 1 the plain form."""
    half = w.op("Tanh", w.op("Mul", x, _number(w, s, 0.5)))
    near = w.op("Div", w.op("Add", half, half), w.op("Sub", _number(w, s, 1), half))
    far = w.op("Sub", w.op("Exp", x), _number(w, s, 1))
    return w.op("Where", w.op("Less", w.op("Abs", x), _number(w, s, 1)), near, far)


@formula("log1p")
def _log1p(w: Writer, s: Step, x: str) -> str:
    """2 atanh(x / (2 + x)), which loses no digits near 0; away from it the plain form."""
    one, two = _number(w, s, 1), _number(w, s, 2)
    near = w.op("Mul", two, w.op("Atanh", w.op("Div", x, w.op("Add", two, x))))
    far = w.op("Log", w.op("Add", one, x))
    return w.op("Where", w.op("Less", w.op("Abs", x), _number(w, s, 0.5)), near, far)


@formula("log2", "log10")
def _log_of(w: Writer, s: Step, x: str) -> str:
    base = 2.0 if s.op == "log2" else 10.0
    return w.op("Mul", w.op("Log", x), _number(w, s, 1 / math.log(base)))


@formula("isfinite")
def _isfinite(w: Writer, s: Step, x: str) -> str:
    return w.op("Not", w.op("Or", w.op("IsNaN", x), w.op("IsInf", x)))


@formula("erfc")
def _erfc(w: Writer, s: Step, x: str) -> str:
    return w.op("Sub", _number(w, s, 1), w.op("Erf", x))


# --- activations ------------------------------------------------------------------------------------------------------


def _clip(w: Writer, s: Step, x: str, low: float, high: float) -> str:
    return w.op("Clip", x, _number(w, s, low), _number(w, s, high))


@formula("relu6")
def _relu6(w: Writer, s: Step, x: str) -> str:
    return _clip(w, s, x, 0, 6)


@formula("hard_tanh")
def _hard_tanh(w: Writer, s: Step, x: str) -> str:
    return _clip(w, s, x, -1, 1)


@formula("leaky_relu")
def _leaky_relu(w: Writer, s: Step, x: str) -> str:
    return w.op("LeakyRelu", x, alpha=float(s.params.get("negative_slope", 0.2)))


@formula("relu_general")
def _relu_general(w: Writer, s: Step, x: str) -> str:
    if s.params["threshold"] == 0 and s.params["negative_slope"] == 0 and s.params["max_value"] is not None:
        return _clip(w, s, x, 0, s.params["max_value"])
    threshold = _number(w, s, s.params["threshold"])
    below = w.op("Mul", w.op("Sub", x, threshold), _number(w, s, s.params["negative_slope"]))
    y = w.op("Where", w.op("Greater", x, threshold), x, below)
    top = s.params["max_value"]
    return y if top is None else w.op("Min", y, _number(w, s, top))


@formula("elu", "celu")
def _elu(w: Writer, s: Step, x: str) -> str:
    return w.op({"elu": "Elu", "celu": "Celu"}[s.op], x, alpha=float(s.params.get("alpha", 1.0)))


@formula("log_sigmoid")
def _log_sigmoid(w: Writer, s: Step, x: str) -> str:
    return w.op("Neg", w.op("Softplus", w.op("Neg", x)))


@formula("silu")
def _silu(w: Writer, s: Step, x: str) -> str:
    return w.op("Mul", x, w.op("Sigmoid", x))


@formula("gelu")
def _gelu(w: Writer, s: Step, x: str) -> str:
    half, one = _number(w, s, 0.5), _number(w, s, 1)
    if s.params.get("approximate", True):
        cubic = w.op("Mul", w.op("Mul", w.op("Mul", x, x), x), _number(w, s, 0.044715))
        inner = w.op("Tanh", w.op("Mul", w.op("Add", x, cubic), _number(w, s, math.sqrt(2 / math.pi))))
    else:
        inner = w.op("Erf", w.op("Mul", x, _number(w, s, math.sqrt(0.5))))
    return w.op("Mul", w.op("Mul", x, half), w.op("Add", inner, one))


@formula("tanh_shrink")
def _tanh_shrink(w: Writer, s: Step, x: str) -> str:
    return w.op("Sub", x, w.op("Tanh", x))


@formula("hard_shrink", "soft_shrink")
def _shrink(w: Writer, s: Step, x: str) -> str:
    limit = float(s.params.get("threshold", 0.5))
    return w.op("Shrink", x, lambd=limit, bias=limit if s.op == "soft_shrink" else 0.0)


@formula("threshold")
def _threshold(w: Writer, s: Step, x: str) -> str:
    above = w.op("Greater", x, _number(w, s, s.params["threshold"]))
    return w.op("Where", above, x, _number(w, s, s.params["default_value"]))


@formula("squareplus")
def _squareplus(w: Writer, s: Step, x: str) -> str:
    root = w.op("Sqrt", w.op("Add", w.op("Mul", x, x), _number(w, s, s.params.get("b", 4.0))))
    return w.op("Mul", w.op("Add", x, root), _number(w, s, 0.5))


@formula("sparse_plus")
def _sparse_plus(w: Writer, s: Step, x: str) -> str:
    one = _number(w, s, 1)
    more = w.op("Add", x, one)
    bend = w.op("Mul", w.op("Mul", more, more), _number(w, s, 0.25))
    upper = w.op("Where", w.op("Less", x, one), bend, x)
    return w.op("Where", w.op("LessOrEqual", x, _number(w, s, -1)), _number(w, s, 0), upper)


@formula("sparse_sigmoid")
def _sparse_sigmoid(w: Writer, s: Step, x: str) -> str:
    middle = w.op("Mul", w.op("Add", x, _number(w, s, 1)), _number(w, s, 0.5))
    return _clip(w, s, middle, 0, 1)


@rule("broadcast_to")
def _broadcast_to(w: Writer, s: Step) -> None:
    (x,), (out,) = s.inputs, s.outputs
    before = (1,) * (out.rank - x.rank) + tuple(x.shape)
    sizes = [1 if new == old else new for new, old in zip(out.shape, before, strict=True)]
    w.put(out, w.op("Expand", w.plain(x), w.sizes(sizes)))
