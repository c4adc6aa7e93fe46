"""Elementwise chains against NumPy and the references in float64, over drawn shapes, at every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from kernel_runner import each_level, run, same_bits
from striate.kernels.attributes import ACTIVATION_IDS, ELEMENTWISE_OPS, activation_floats, elementwise
from striate.primitives import get

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, np.inf, -np.inf, np.nan], np.float32)
UNARY = {
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "sqrt": np.sqrt, "square": np.square, "expm1": np.expm1,
    "rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": lambda x: 1 / x, "log": np.log, "log1p": np.log1p, "sin": np.sin,
    "cos": np.cos, "tan": np.tan, "floor": np.floor, "ceil": np.ceil, "round": np.rint, "logical_not": np.logical_not,
    "stop_gradient": lambda x: x, "erf": get("erf").reference, "exp": np.exp,
}  # fmt: skip
BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "mod": np.mod, "power": np.power,
    "floor_div": np.floor_divide, "maximum": np.maximum, "minimum": np.minimum, "equal": np.equal,
    "not_equal": np.not_equal,
    "greater": np.greater, "greater_equal": np.greater_equal, "less": np.less, "less_equal": np.less_equal,
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor,
}  # fmt: skip


def chain(inputs, instructions, dtype=np.float32) -> np.ndarray:
    out = np.full(np.broadcast_shapes(*(x.shape for x in inputs)), 3, dtype)
    run("elementwise", inputs, [out], *elementwise(len(inputs), instructions))
    return out


def one(name: str, *inputs, dtype=np.float32, params=()) -> np.ndarray:
    return chain(inputs, [(name, tuple(range(len(inputs))), params)], dtype)


def values(low: float, high: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    small = rng.standard_normal(400) * 10.0 ** rng.uniform(-6, 0, 400)
    both = np.concatenate([rng.uniform(low, high, 3001), np.clip(small, low, high)])
    return both.astype(np.float32)


def within(got, expected, ulps: float, floor: float = 1e-37) -> None:
    """Fails unless every value is within so many units in the last place of float32; NaN and infinities must agree."""
    with np.errstate(all="ignore"):
        expected = np.asarray(expected, np.float64)
        rounded = expected.astype(np.float32)
        finite = np.isfinite(rounded)
        np.testing.assert_array_equal(got[~finite], rounded[~finite])
        unit = np.maximum(np.spacing(np.abs(rounded[finite])).astype(np.float64), floor)
        error = np.abs(got[finite] - expected[finite]) / unit
    assert error.size == 0 or error.max() <= ulps, f"{error.max():.1f} units in the last place"


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    low = 1e-6 if name in ("log", "sqrt", "rsqrt") else -0.999 if name == "log1p" else -80
    x = np.concatenate([values(low, 80), SPECIAL])
    with np.errstate(all="ignore"):
        expected = UNARY[name](x.astype(np.float64))
    for _ in each_level():
        within(one(name, x), expected, 8 if name == "erf" else 3)


@pytest.mark.parametrize("name", BINARY)
def test_binary(name):
    rng = np.random.default_rng(1)
    a = rng.uniform(-8, 8, 4000).astype(np.float32)
    b = rng.uniform(-8, 8, 4000).astype(np.float32)
    a[:500], b[:500] = np.round(a[:500]), np.round(b[:500])
    special = np.stack(np.meshgrid(SPECIAL, SPECIAL), 0).reshape(2, -1)
    a, b = np.concatenate([a, special[0]]), np.concatenate([b, special[1]])
    with np.errstate(all="ignore"):
        # Both of these round inside: float32's own steps are the truth for them.
        exact = name in ("floor_div", "mod")
        expected = BINARY[name](a, b) if exact else BINARY[name](a.astype(np.float64), b.astype(np.float64))
    for _ in each_level():
        within(one(name, a, b), expected, 1)


@pytest.mark.parametrize("name", [n for n in ACTIVATION_IDS if n != "linear"])
def test_activations(name):
    x = np.concatenate([values(-30, 30), values(-1, 1), SPECIAL])
    params = {"threshold": {"default_value": 0.25, "threshold": 0.5}}.get(name, {})
    if name == "relu_general":
        params = {"max_value": 4.0, "negative_slope": 0.1, "threshold": 0.5}
    with np.errstate(all="ignore"):
        expected = get(name).reference(x.astype(np.float64), **params)
    if name == "squareplus":
        expected[x == -np.inf] = 0  # the limit; the formula as it stands subtracts infinities
    for _ in each_level():
        got = one(name, x, params=activation_floats(name, params))
        # Sums that cancel (GELU's tail, x - tanh(x)) are held to the size of what is added.
        np.testing.assert_allclose(got, expected, rtol=4e-6, atol=6e-7)


def test_activation_defaults_are_those_of_the_reference():
    x = values(-5, 5)
    for name in ("leaky_relu", "elu", "celu", "gelu", "hard_shrink", "soft_shrink", "squareplus"):
        expected = get(name).reference(x.astype(np.float64))
        np.testing.assert_allclose(one(name, x, params=activation_floats(name, {})), expected, rtol=4e-6, atol=6e-7)


def test_every_operation_is_a_primitive():
    for name in ELEMENTWISE_OPS:
        if name not in ("constant", "linear"):
            assert get(name).elementwise


@given(mutually_broadcastable_shapes(num_shapes=3, max_dims=5, min_side=0, max_side=7), st.integers(0, 99))
def test_broadcasting(shapes, seed):
    rng = np.random.default_rng(seed)
    a, b, c = (np.asarray(rng.standard_normal(s), np.float32) for s in shapes.input_shapes)
    condition = np.asarray(a > 0)
    for _ in each_level():
        got = chain([a, b, c], [("mul", (0, 1), ()), ("add", (3, 2), ())])
        np.testing.assert_allclose(got, a * b + c, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(one("where", condition, b, c), np.where(condition, b, c))
        np.testing.assert_array_equal(one("less", b, c, dtype=bool), b < c)


@pytest.mark.parametrize("shape", [(5000,), (3, 700, 33), (2, 31, 31, 257), (1, 9001), (100000, 1)])
@pytest.mark.parametrize("row", [True, False])
def test_large_operands(shape, row):
    rng = np.random.default_rng(2)
    x = rng.standard_normal(shape).astype(np.float32)
    b = rng.standard_normal(shape[-1:] if row else (*shape[:-1], 1)).astype(np.float32)
    expected = np.maximum(x * np.float32(1.5) + b, 0)
    code = [("constant", (), (1.5,)), ("mul", (0, 2), ()), ("add", (3, 1), ()), ("relu", (4,), ())]
    for _ in each_level():
        np.testing.assert_allclose(chain([x, b], code), expected, rtol=1e-5, atol=1e-6)
        same_bits(lambda: chain([x, b], code))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=3), st.integers(0, 99))
@example([5, 700, 33], 0)
@example([40, 1024], 0)
def test_results_on_the_way(shape, seed):
    rng = np.random.default_rng(seed)
    w, m, g = (rng.standard_normal(shape).astype(np.float32) for _ in range(3))
    rate = np.float32([0.5])
    code = [("mul", (1, 3), ()), ("add", (4, 2), ()), ("square", (5,), ()), ("sub", (0, 6), ())]
    for _ in each_level():
        outs = [np.full(shape, np.nan, np.float32) for _ in range(3)]
        run("elementwise", [w, m, g, rate], outs, *elementwise(4, code, (1, 2)))
        step = m * rate + g
        for got, wanted in zip(outs, (step, step * step, w - step * step), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("exits", [(-1,), (1,), (2,), (9,)])
def test_wrong_exits(exits):
    outs = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    code = [("neg", (0,), ()), ("square", (1,), ())]
    with pytest.raises(ValueError, match="an exit must be"):
        run("elementwise", [np.zeros(3, np.float32)], outs, *elementwise(1, code, exits))


# --- sums of chains


def chain_sum(inputs, instructions, shape) -> np.ndarray:
    out = np.full(shape, np.nan, np.float32)
    run("chain_sum", inputs, [out], *elementwise(len(inputs), instructions))
    return out


SQUARES = [("sub", (0, 1), ()), ("square", (2,), ())]
PRODUCTS = [("mul", (0, 1), ())]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(0, 3), st.integers(1, 300), st.integers(0, 99))
def test_sums_of_chains(lead, kept, columns, seed):
    rng = np.random.default_rng(seed)
    shape = (*lead, columns)
    axes, last = tuple(range(max(len(shape) - 1 - kept, 0))), shape[max(len(shape) - 1 - kept, 0) :]
    x, y = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    row = rng.standard_normal(last).astype(np.float32)
    for _ in each_level():
        wanted = np.square(x.astype(float) - row).sum(axes)
        np.testing.assert_allclose(chain_sum([x, row], SQUARES, last), wanted, rtol=1e-5)
        wanted, scale = (x.astype(float) * y).sum(axes), np.abs(x * y).sum(axes, dtype=float)
        np.testing.assert_array_less(np.abs(chain_sum([y, x], PRODUCTS, last) - wanted), 2e-6 * scale + 1e-30)


@pytest.mark.parametrize("shape", [(5000, 16), (7, 33, 33, 64), (3, 7000), (40001, 17), (600, 900)])
def test_large_sums_of_chains(shape):
    rng = np.random.default_rng(1)
    x, row = rng.standard_normal(shape).astype(np.float32) + 3, rng.standard_normal(shape[-1:]).astype(np.float32)
    wanted = np.square(x.astype(float) - row).sum(tuple(range(len(shape) - 1)))
    for _ in each_level():
        np.testing.assert_allclose(chain_sum([x, row], SQUARES, shape[-1:]), wanted, rtol=1e-6)
        same_bits(lambda: chain_sum([x, row], SQUARES, shape[-1:]))


@pytest.mark.parametrize(
    ("shapes", "out", "problem"),
    [
        ([(3, 4), (4,)], (3,), "as many elements as the last axes"),
        ([(3, 4), (4,)], (2,), "as many elements as the last axes"),
        ([(3, 4), (3,)], (4,), "broadcast"),
        ([(3, 1), (1, 4)], (4,), "last axes|broadcast"),
    ],
)
def test_sums_of_chains_that_do_not_fit(shapes, out, problem):
    with pytest.raises(ValueError, match=problem):
        chain_sum([np.zeros(s, np.float32) for s in shapes], PRODUCTS, out)


def test_bool_inputs_and_outputs():
    rng = np.random.default_rng(3)
    a, b = rng.random((4, 333)) < 0.5, rng.random((333,)) < 0.5
    for _ in each_level():
        for name in ("logical_and", "logical_or", "logical_xor", "equal"):
            np.testing.assert_array_equal(one(name, a, b, dtype=bool), BINARY[name](a, np.broadcast_to(b, a.shape)))


def test_result_may_take_the_place_of_an_operand():
    for _ in each_level():
        x = np.arange(1000, dtype=np.float32)
        run("elementwise", [x, np.float32([3])], [x], *elementwise(2, [("add", (0, 1), ()), ("square", (2,), ())]))
        np.testing.assert_array_equal(x, (np.arange(1000) + 3.0) ** 2)


@pytest.mark.parametrize(
    ("ints", "floats"),
    [((), ()), ((999, 0, 0, 0), (0, 0, 0)), ((3, 5, 0, 0), (0, 0, 0)), ((3, 0, 0), (0, 0, 0)), ((3, 0, 0, 0), ())],
)
def test_wrong_attributes(ints, floats):
    x = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="elementwise"):
        run("elementwise", [x], [np.zeros(3, np.float32)], ints, floats)


def test_shapes_that_do_not_broadcast():
    with pytest.raises(ValueError, match="broadcast"):
        run("elementwise", [np.zeros(4, np.float32)], [np.zeros(3, np.float32)], *elementwise(1, [("neg", (0,), ())]))
