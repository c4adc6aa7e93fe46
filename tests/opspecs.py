"""One table of ops: how to draw inputs and parameters, and the truth, written another way than the op itself.

To add an op, add a line. `test_primitives.py` checks each entry: shapes, dtypes, values against `truth`, gradients
against finite differences; and that no registered primitive is missing here without a reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import windowtruth as wt

Inputs = Sequence[np.ndarray]
Sample = Callable[[Any], tuple[Inputs, dict[str, Any]]]

# What is tested elsewhere, or has no values of its own to test.
EXEMPT = {
    "random_bits": "known-answer vectors in test_random.py",
    "random_uniform": "the same numbers as from random_bits, in test_random.py",
    "cond": "subgraphs: test_control.py",
    "while_loop": "subgraphs: test_control.py",
    "while_loop_grad": "subgraphs: test_control.py",
    "custom_vjp": "subgraphs: test_control.py",
    "fused": "made by passes from other primitives; compared with them in the tests of the passes",
    "qr": "not unique: test_primitives.py checks its properties",
    "host": "any NumPy function as a step; tested with the ops that use it",
}


@dataclass(frozen=True)
class Spec:
    """One op: `sample(draw)` gives inputs (floats in float64) and parameters; `truth` the expected results.

    `grad`: the gradient is checked; `second`: so is the gradient's gradient. `rtol` is for a truth in float32.
    """

    sample: Sample
    truth: Callable[..., Any]
    grad: bool = True
    second: bool = False
    rtol: float = 1e-11


SPECS: dict[str, Spec] = {}


def rng(draw: Any) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def shape(draw: Any, lo: int = 0, hi: int = 4, least: int = 0) -> tuple[int, ...]:
    return tuple(draw(st.lists(st.integers(least, 4), min_size=lo, max_size=hi)))


def floats(draw: Any, size: Sequence[int], lo: float = -3.0, hi: float = 3.0) -> np.ndarray:
    return rng(draw).uniform(lo, hi, tuple(size))


def distinct(draw: Any, size: Sequence[int]) -> np.ndarray:
    """Numbers that stand at least 0.1 apart, so that a small step changes no order."""
    return rng(draw).permutation(math.prod(size)).reshape(tuple(size)) * 0.1 - 1.03


def axes(draw: Any, rank: int) -> tuple[int, ...]:
    return tuple(a for a in range(rank) if draw(st.booleans()))


# --- elementwise, one input: domain, truth on one number, whether it is smooth
# -------------------------------------------


def one(lo: float, hi: float) -> Sample:
    return lambda draw: ([floats(draw, shape(draw), lo, hi)], {})


def each(fn: Callable[[float], Any]) -> Callable[..., Any]:
    """A function of one number applied to each element."""
    return lambda x, **params: np.array([fn(v, **params) for v in x.ravel().tolist()], dtype=object).reshape(x.shape)


UNARY: dict[str, tuple[float, float, Callable[[float], float], bool]] = {
    "neg": (-3, 3, lambda v: -v, True),
    "abs": (-3, 3, lambda v: v if v > 0 else -v, False),
    "sign": (-3, 3, lambda v: math.copysign(1.0, v), False),
    "sqrt": (0.1, 4, lambda v: v**0.5, True),
    "rsqrt": (0.1, 4, lambda v: v**-0.5, True),
    "square": (-3, 3, lambda v: v * v, True),
    "reciprocal": (0.2, 4, lambda v: 1 / v, True),
    "exp": (-3, 3, math.exp, True),
    "expm1": (-3, 3, math.expm1, True),
    "log": (0.1, 4, math.log, True),
    "log1p": (-0.8, 4, math.log1p, True),
    "log2": (0.1, 4, math.log2, True),
    "log10": (0.1, 4, math.log10, True),
    "sin": (-3, 3, math.sin, True),
    "cos": (-3, 3, math.cos, True),
    "tan": (-1.2, 1.2, math.tan, True),
    "arcsin": (-0.9, 0.9, math.asin, True),
    "arccos": (-0.9, 0.9, math.acos, True),
    "arctan": (-3, 3, math.atan, True),
    "sinh": (-3, 3, math.sinh, True),
    "cosh": (-3, 3, math.cosh, True),
    "tanh": (-3, 3, math.tanh, True),
    "arcsinh": (-3, 3, math.asinh, True),
    "arccosh": (1.2, 4, math.acosh, True),
    "arctanh": (-0.9, 0.9, math.atanh, True),
    "floor": (-3, 3, math.floor, False),
    "ceil": (-3, 3, math.ceil, False),
    "round": (-3, 3, round, False),
    "erf": (-3, 3, math.erf, True),
    "erfc": (-3, 3, math.erfc, True),
    "erfinv": (-0.9, 0.9, lambda v: _bisect(math.erf, v, -4, 4), True),
}


def _bisect(fn: Callable[[float], float], target: float, lo: float, hi: float) -> float:
    for _ in range(100):
        middle = (lo + hi) / 2
        lo, hi = (middle, hi) if fn(middle) < target else (lo, middle)
    return (lo + hi) / 2


for _name, (_lo, _hi, _fn, _smooth) in UNARY.items():
    SPECS[_name] = Spec(one(_lo, _hi), each(_fn), second=_smooth, rtol=1e-9 if _name == "erfinv" else 1e-11)
SPECS["stop_gradient"] = Spec(one(-3, 3), lambda x: x, grad=False)


def special(draw: Any) -> tuple[Inputs, dict[str, Any]]:
    values = [0.0, 1.5, -2.0, math.nan, math.inf, -math.inf]
    size = shape(draw)
    return [rng(draw).choice(values, size)], {}


for _name, _fn in {"isnan": math.isnan, "isinf": math.isinf, "isfinite": math.isfinite}.items():
    SPECS[_name] = Spec(special, each(_fn), grad=False)


# --- activations: Keras's formulas, one number at a time
# ----------------------------------------------------------------


def _expit(v: float) -> float:
    return 1 / (1 + math.exp(-v))


def _selu(v: float) -> float:
    return 1.0507009873554805 * (v if v > 0 else 1.6732632423543772 * (math.exp(v) - 1))


def _gelu(v: float, approximate: bool) -> float:
    if approximate:
        return 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))
    return 0.5 * v * (1 + math.erf(v / math.sqrt(2)))


def _relu_general(v: float, negative_slope: float, max_value: float | None, threshold: float) -> float:
    y = v if v > threshold else negative_slope * (v - threshold)
    return y if max_value is None else min(y, max_value)


def _clip(v: float, lo: float, hi: float) -> float:
    return min(max(v, lo), hi)


def _sparse_plus(v: float) -> float:
    return 0.0 if v <= -1 else 0.25 * (v + 1) ** 2 if v < 1 else v


ACTIVATIONS: dict[str, tuple[Callable[..., float], list[dict[str, Any]], bool]] = {
    "relu": (lambda v: max(v, 0.0), [{}], False),
    "relu6": (lambda v: _clip(v, 0, 6), [{}], False),
    "leaky_relu": (
        lambda v, negative_slope=0.2: v if v > 0 else negative_slope * v,
        [{}, {"negative_slope": 0.01}],
        False,
    ),
    "relu_general": (
        _relu_general,
        [
            {"negative_slope": 0.0, "max_value": 6.0, "threshold": 0.0},
            {"negative_slope": 0.3, "max_value": None, "threshold": 1.0},
            {"negative_slope": 0.1, "max_value": 4.0, "threshold": -1.0},
        ],
        False,
    ),
    "sigmoid": (_expit, [{}], True),
    "softplus": (lambda v: math.log(1 + math.exp(v)), [{}], True),
    "log_sigmoid": (lambda v: math.log(_expit(v)), [{}], True),
    "softsign": (lambda v: v / (1 + abs(v)), [{}], False),
    "silu": (lambda v: v * _expit(v), [{}], True),
    "elu": (lambda v, alpha=1.0: v if v > 0 else alpha * (math.exp(v) - 1), [{}, {"alpha": 0.4}], False),
    "celu": (lambda v, alpha=1.0: max(v, 0) + min(0, alpha * (math.exp(v / alpha) - 1)), [{}, {"alpha": 2.0}], False),
    "selu": (_selu, [{}], False),
    "gelu": (_gelu, [{"approximate": True}, {"approximate": False}], True),
    "hard_sigmoid": (lambda v: _clip(v / 6 + 0.5, 0, 1), [{}], False),
    "hard_silu": (lambda v: v * _clip(v / 6 + 0.5, 0, 1), [{}], False),
    "hard_tanh": (lambda v: _clip(v, -1, 1), [{}], False),
    "mish": (lambda v: v * math.tanh(math.log(1 + math.exp(v))), [{}], True),
    "tanh_shrink": (lambda v: v - math.tanh(v), [{}], True),
    "hard_shrink": (lambda v, threshold=0.5: v if abs(v) > threshold else 0.0, [{}, {"threshold": 1.0}], False),
    "soft_shrink": (
        lambda v, threshold=0.5: math.copysign(max(abs(v) - threshold, 0), v),
        [{}, {"threshold": 1.0}],
        False,
    ),
    "threshold": (
        lambda v, threshold, default_value: v if v > threshold else default_value,
        [{"threshold": 0.5, "default_value": -7.0}],
        False,
    ),
    "squareplus": (lambda v, b=4.0: (v + math.sqrt(v * v + b)) / 2, [{}, {"b": 1.0}], True),
    "sparse_plus": (_sparse_plus, [{}], False),
    "sparse_sigmoid": (lambda v: _clip(0.5 * (v + 1), 0, 1), [{}], False),
}


def with_params(choices: list[dict[str, Any]], lo: float = -8, hi: float = 8) -> Sample:
    return lambda draw: ([floats(draw, shape(draw), lo, hi)], draw(st.sampled_from(choices)))


for _name, (_fn, _choices, _smooth) in ACTIVATIONS.items():
    SPECS[_name] = Spec(with_params(_choices), each(_fn), second=_smooth, rtol=1e-9)


# --- elementwise, two inputs
# ----------------------------------------------------------------------------------------------


def broadcastable(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    full = shape(draw)

    def part() -> tuple[int, ...]:
        cut = tuple(1 if draw(st.booleans()) else n for n in full)
        return cut[draw(st.integers(0, len(cut))) :]

    return full, part()


def two(lo: float = -3, hi: float = 3, kind: type = float) -> Sample:
    def sample(draw: Any) -> tuple[Inputs, dict[str, Any]]:
        a, b = broadcastable(draw)
        shift = 0.0217 if kind is float else 0  # the same draw twice gives no equal numbers
        pair = [floats(draw, a, lo, hi), floats(draw, b, lo + shift, hi + shift)]
        return (pair if draw(st.booleans()) else pair[::-1]) if kind is float else [
            np.floor(v).astype(kind) for v in pair
        ], {}

    return sample


def pairs(fn: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def truth(a: np.ndarray, b: np.ndarray) -> Any:
        size = np.broadcast_shapes(a.shape, b.shape)
        flat = zip(np.broadcast_to(a, size).ravel().tolist(), np.broadcast_to(b, size).ravel().tolist(), strict=True)
        return np.array([fn(x, y) for x, y in flat], dtype=object).reshape(size)

    return truth


for _name, _pair, _sample, _smooth in [
    ("add", lambda a, b: a + b, two(), True),
    ("sub", lambda a, b: a - b, two(), True),
    ("mul", lambda a, b: a * b, two(), True),
    ("div", lambda a, b: a / b, two(0.5, 3), True),
    ("mod", lambda a, b: a % b, two(0.5, 3), False),
    ("power", lambda a, b: a**b, two(0.5, 3), True),
    ("maximum", max, two(), False),
    ("minimum", min, two(), False),
    ("arctan2", math.atan2, two(0.5, 3), True),
    ("relu_grad", lambda y, g: g if y > 0 else 0.0, two(), False),
]:
    SPECS[_name] = Spec(_sample, pairs(_pair), second=_smooth)

for _name, _pair, _sample in [
    ("floor_div", lambda a, b: a // b, two(0.5, 3)),
    ("equal", lambda a, b: a == b, two(0, 3, int)),
    ("not_equal", lambda a, b: a != b, two(0, 3, int)),
    ("greater", lambda a, b: a > b, two(0, 3, int)),
    ("greater_equal", lambda a, b: a >= b, two(0, 3, int)),
    ("less", lambda a, b: a < b, two(0, 3, int)),
    ("less_equal", lambda a, b: a <= b, two(0, 3, int)),
    ("logical_and", lambda a, b: a and b, two(0, 2, bool)),
    ("logical_or", lambda a, b: a or b, two(0, 2, bool)),
    ("logical_xor", lambda a, b: a != b, two(0, 2, bool)),
    ("bitwise_and", lambda a, b: a & b, two(0, 255, np.uint8)),
    ("bitwise_or", lambda a, b: a | b, two(0, 255, np.uint8)),
    ("bitwise_xor", lambda a, b: a ^ b, two(0, 255, np.uint8)),
    ("left_shift", lambda a, b: a << b, two(0, 9, np.int32)),
    ("right_shift", lambda a, b: a >> b, two(0, 9, np.int32)),
]:
    SPECS[_name] = Spec(_sample, pairs(_pair), grad=False)
SPECS["logical_not"] = Spec(lambda draw: ([floats(draw, shape(draw)) > 0], {}), each(lambda v: not v), grad=False)
SPECS["bitwise_not"] = Spec(
    lambda draw: ([floats(draw, shape(draw), 0, 99).astype(np.int32)], {}), each(lambda v: -v - 1), grad=False
)


def _sample_where(draw: Any) -> tuple[Inputs, dict[str, Any]]:
    a, b = broadcastable(draw)
    return [floats(draw, a) > 0, floats(draw, b), floats(draw, a)], {}


def _truth_where(condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> Any:
    out = np.array(np.broadcast_to(b, np.broadcast_shapes(condition.shape, a.shape, b.shape)))
    out[condition] = np.broadcast_to(a, out.shape)[condition]
    return out


SPECS["where"] = Spec(_sample_where, _truth_where, second=True)


# --- convolution, pooling, products: loops over all cells
# ------------------------------------------------------------------


def windows(draw: Any, rank: int | None = None) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Spatial sizes, and window, strides, padding, dilation that fit them."""
    rank = rank or draw(st.integers(1, 3))
    dims = [
        (
            draw(st.integers(1, 3)),
            draw(st.integers(1, 3)),
            draw(st.integers(1, 2)),
            draw(st.integers(0, 2)),
            draw(st.integers(0, 2)),
        )
        for _ in range(rank)
    ]
    sizes = tuple(max(1, (k - 1) * d + 1 - lo - hi) + draw(st.integers(0, 3)) for k, _, d, lo, hi in dims)
    names = ("window", "strides", "dilation")
    params: dict[str, Any] = {name: tuple(v[i] for v in dims) for i, name in enumerate(names)}
    return sizes, params | {"padding": tuple((lo, hi) for *_, lo, hi in dims)}


def _conv_setting(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    spatial, params = windows(draw)
    kernel, groups = params.pop("window"), draw(st.integers(1, 2))
    channels, filters = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    x = (draw(st.integers(0, 2)), *spatial, channels * groups)
    return x, (*kernel, channels, filters * groups), params | {"groups": groups}


def _sample_conv(draw: Any) -> tuple[Inputs, dict[str, Any]]:
    x, w, params = _conv_setting(draw)
    return [floats(draw, x), floats(draw, w)], params


def _sample_input_grad(draw: Any) -> tuple[Inputs, dict[str, Any]]:
    x, w, params = _conv_setting(draw)
    return [floats(draw, wt.conv_shape(x, w, params)), floats(draw, w)], params | {"input_shape": x}


def _sample_kernel_grad(draw: Any) -> tuple[Inputs, dict[str, Any]]:
    x, w, params = _conv_setting(draw)
    return [floats(draw, x), floats(draw, wt.conv_shape(x, w, params))], params | {"kernel_shape": w}


SPECS["conv"] = Spec(_sample_conv, wt.conv, second=True)
SPECS["conv_input_grad"] = Spec(_sample_input_grad, wt.conv_input_grad, second=True)
SPECS["conv_kernel_grad"] = Spec(_sample_kernel_grad, wt.conv_kernel_grad, second=True)


def _pooled(draw: Any, params: dict[str, Any], spatial: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    batch, channels = draw(st.integers(0, 2)), draw(st.integers(1, 2))
    return (batch, *spatial, channels), (batch, *wt.out_shape(spatial, **params), channels)


def pooling(kind: str, values: Callable[..., np.ndarray] = floats) -> Sample:
    def sample(draw: Any) -> tuple[Inputs, dict[str, Any]]:
        spatial, params = windows(draw)
        x, y = _pooled(draw, params, spatial)
        if kind == "lp":
            params["p"] = draw(st.sampled_from([1.0, 2.0, 3.5]))
        if kind.startswith("avg"):
            params["count_include_pad"] = draw(st.booleans())
        if kind == "avg_grad":
            return [floats(draw, y)], params | {"input_shape": x}
        other = {"max_grad": y, "max_gather": x}.get(kind)
        return [values(draw, x), *([floats(draw, other)] if other else [])], params

    return sample


SPECS["max_pool"] = Spec(pooling("max", distinct), wt.max_pool, second=True)
SPECS["max_pool_grad"] = Spec(pooling("max_grad", distinct), wt.max_pool_grad, second=True)
SPECS["max_pool_gather"] = Spec(pooling("max_gather", distinct), wt.max_pool_gather, second=True)
SPECS["max_pool_positions"] = Spec(pooling("max", distinct), wt.max_pool_positions, grad=False)


def _sample_unpool(draw: Any) -> tuple[Inputs, dict[str, Any]]:
    spatial, params = windows(draw)
    x, y = _pooled(draw, params, spatial)
    positions = rng(draw).integers(0, math.prod(params["window"]), y).astype(np.uint8)
    return [positions, floats(draw, y)], params | {"input_shape": x}


SPECS["unpool"] = Spec(_sample_unpool, wt.unpool, grad=False)
SPECS["avg_pool"] = Spec(pooling("avg"), wt.avg_pool, second=True)
SPECS["avg_pool_grad"] = Spec(pooling("avg_grad"), wt.avg_pool_grad, second=True)
SPECS["lp_pool"] = Spec(pooling("lp"), wt.lp_pool)


def _sample_matmul(draw: Any) -> tuple[Inputs, dict[str, Any]]:
    full = shape(draw, 0, 2)
    a, b = ((tuple(1 if draw(st.booleans()) else n for n in full))[draw(st.integers(0, len(full))) :] for _ in range(2))
    m, k, n = (draw(st.integers(0, 3)) for _ in range(3))
    return [floats(draw, (*a, m, k)), floats(draw, (*b, k, n))], {}


SPECS["matmul"] = Spec(_sample_matmul, lambda a, b: np.einsum("...ij,...jk->...ik", a, b), second=True)
