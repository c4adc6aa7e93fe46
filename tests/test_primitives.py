"""Each primitive of the table `opspecs`: shapes and dtypes, values against the truth, gradients against finite
differences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import opspecs
import opspecs_moves  # noqa: F401  (fills the table)
from striate import autodiff
from striate.ir import Builder, Graph, Value, building, verify
from striate.primitives import REGISTRY, aval_of, get, infer_node, run_reference
from striate.primitives.interpret import results_of, run_graph

SPECS = opspecs.SPECS
STEP = 1e-6


def test_every_primitive_is_in_the_table_or_says_why_not() -> None:
    assert set(REGISTRY) - {"host"} == set(SPECS) | set(opspecs.EXEMPT) - {"host"}
    assert not set(SPECS) & set(opspecs.EXEMPT)


@pytest.mark.parametrize("name", sorted(SPECS))
@given(data=st.data())
def test_values(name: str, data: st.DataObject) -> None:
    inputs, params = SPECS[name].sample(data.draw)
    results = results_of(run_reference(get(name), inputs, params))
    wanted = SPECS[name].truth(*inputs, **params)
    for found, true in zip(results, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        np.testing.assert_allclose(
            found, np.asarray(true).astype(found.dtype), rtol=SPECS[name].rtol, atol=SPECS[name].rtol
        )


@pytest.mark.parametrize("name", sorted(SPECS))
@given(data=st.data())
@settings(max_examples=10)
def test_shapes_and_dtypes(name: str, data: st.DataObject) -> None:
    """The rule agrees with the shapes that the reference itself gives, in float64 and in float32; inputs stay as
    they are.
    """
    inputs, params = SPECS[name].sample(data.draw)
    for kind in (np.float64, np.float32):
        cast = [x.astype(kind) if x.dtype == np.float64 else x for x in inputs]
        copies = [x.copy() for x in cast]
        avals, single = get(name).avals(cast, params)
        with np.errstate(all="ignore"):
            raw = get(name).reference(*cast, **params)
        raw = (raw,) if single else raw
        assert [np.shape(r) for r in raw] == [a.shape for a in avals]
        results = results_of(run_reference(get(name), cast, params))
        assert [aval_of(r) for r in results] == list(avals)
        for x, before in zip(cast, copies, strict=True):
            np.testing.assert_array_equal(x, before)


def is_float(value: Any) -> bool:
    return str(value.dtype) == "float64"


def objective(name: str, params: dict[str, Any], inputs: Sequence[Any], weights: Sequence[np.ndarray]) -> list[Value]:
    """The op's float results, multiplied by fixed weights, and summed to one number by finite differences' reader."""
    results = results_of(get(name)(*inputs, **params))
    return [get("mul")(r, w) for r, w in zip([r for r in results if is_float(r)], weights, strict=True)]


def gradient_graph(build: Callable[..., list[Value]], inputs: Sequence[np.ndarray], wrt: Sequence[int]) -> Graph:
    """The graph inputs -> gradients of the sum of all that `build` gives."""
    builder = Builder()
    values = [builder.input(x.shape, str(x.dtype)) for x in inputs]
    with building(builder):
        outputs = build(*values)
        ones = [np.ones(v.shape, v.dtype) for v in outputs]
        grads = autodiff.gradients(outputs, ones, [values[i] for i in wrt])
        grads = [g if isinstance(g, Value) else builder.constant(g) for g in grads]
    return verify(builder.graph(grads), infer_node)


def total(arrays: Sequence[np.ndarray]) -> float:
    return float(sum(np.sum(a) for a in arrays))


def check_slope(
    value: Callable[[Sequence[np.ndarray]], float], grads: Sequence[np.ndarray], inputs: Sequence[np.ndarray],
    wrt: Sequence[int], generator: np.random.Generator, tolerance: float = 2e-6,
) -> None:  # fmt: skip
    """`grads` against central differences of `value` along random directions."""
    for _ in range(2):
        directions = {i: generator.normal(size=inputs[i].shape) for i in wrt}
        found = sum(float(np.sum(g * directions[i])) for i, g in zip(wrt, grads, strict=True))
        shifted = [
            value([x + sign * STEP * directions[i] if i in directions else x for i, x in enumerate(inputs)])
            for sign in (1, -1)
        ]
        slope = (shifted[0] - shifted[1]) / (2 * STEP)
        scale = 1 + abs(slope) + sum(float(np.sum(np.abs(g))) for g in grads)
        assert abs(found - slope) <= tolerance * scale, (found, slope)


DIFFERENTIABLE = sorted(n for n, s in SPECS.items() if s.grad)
TWICE = sorted(n for n, s in SPECS.items() if s.second)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
@settings(max_examples=15)
def test_gradient(name: str, data: st.DataObject) -> None:
    inputs, params = SPECS[name].sample(data.draw)
    generator = opspecs.rng(data.draw)
    wrt = [i for i, x in enumerate(inputs) if is_float(x) and not (name == "max_pool_grad" and i == 0)
           and not (name == "max_pool_gather" and i == 0)]  # fmt: skip
    results = [r for r in results_of(run_reference(get(name), inputs, params)) if is_float(r)]
    assume(all(np.isfinite(r).all() for r in results))  # the maximum of padding alone is minus infinity
    weights = [generator.normal(size=r.shape) for r in results]
    graph = gradient_graph(lambda *xs: objective(name, params, xs, weights), inputs, wrt)
    grads = run_graph(graph, inputs)
    assert [g.shape for g in grads] == [inputs[i].shape for i in wrt]

    def value(xs: Sequence[np.ndarray]) -> float:
        ys = [r for r in results_of(run_reference(get(name), xs, params)) if is_float(r)]
        return total([y * w for y, w in zip(ys, weights, strict=True)])

    check_slope(value, grads, inputs, wrt, generator)


@pytest.mark.parametrize("name", TWICE)
@given(data=st.data())
@settings(max_examples=8)
def test_second_gradient(name: str, data: st.DataObject) -> None:
    inputs, params = SPECS[name].sample(data.draw)
    generator = opspecs.rng(data.draw)
    wrt = [i for i, x in enumerate(inputs) if is_float(x)]
    results = [r for r in results_of(run_reference(get(name), inputs, params)) if is_float(r)]
    assume(all(np.isfinite(r).all() for r in results))  # the maximum of padding alone is minus infinity
    weights = [generator.normal(size=r.shape) for r in results]
    probes = [generator.normal(size=inputs[i].shape) for i in wrt]

    def slopes(*xs: Value) -> list[Value]:
        # the op's square, so that linear ops have a second derivative, too
        outputs = [get("square")(y) for y in objective(name, params, xs, weights)]
        grads = autodiff.gradients(outputs, [np.ones(v.shape) for v in outputs], [xs[i] for i in wrt])
        return [p for g, v in zip(grads, probes, strict=True) if isinstance(p := get("mul")(g, v), Value)]

    first = Builder()
    values = [first.input(x.shape, str(x.dtype)) for x in inputs]
    with building(first):
        outputs = slopes(*values)
    if not outputs:
        return
    once = first.graph(outputs)
    second = run_graph(gradient_graph(slopes, inputs, wrt), inputs)
    check_slope(lambda xs: total(run_graph(once, xs)), second, inputs, wrt, generator, 2e-5)


KINKS = {
    "relu": "relu", "relu6": "relu6", "leaky_relu": "leaky_relu", "elu": "elu", "selu": "selu", "celu": "celu",
    "hard_sigmoid": "hard_sigmoid", "hard_silu": "hard_silu", "hard_tanh": "hard_tanh", "hard_shrink": "hard_shrink",
    "soft_shrink": "soft_shrink", "sparse_plus": "sparse_plus", "softsign": "softsign", "sigmoid": "sigmoid",
    "silu": "silu", "softplus": "softplus", "log_sigmoid": "log_sigmoid", "mish": "mish", "gelu": "gelu",
    "tanh": "tanh",
    "tanh_shrink": "tanh_shrink", "squareplus": "squareplus", "sparse_sigmoid": "sparse_sigmoid",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(KINKS))
def test_activations_and_their_gradients_at_kinks_and_far_out_are_those_of_keras(name: str, real_keras: Any) -> None:
    import jax

    theirs = getattr(real_keras.activations, KINKS[name])
    x = np.array([-100, -20, -6, -3, -1, -0.5, 0, 0.5, 1, 3, 6, 20, 100], np.float32)
    y, pull = jax.vjp(theirs, x)
    params = {"approximate": False} if name == "gelu" else {}
    np.testing.assert_allclose(run_reference(get(name), [x], params), y, rtol=2e-5, atol=2e-7)
    graph = gradient_graph(lambda v: [get(name)(v, **params)], [x], [0])
    np.testing.assert_allclose(run_graph(graph, [x])[0], pull(np.ones_like(x))[0], rtol=2e-5, atol=1e-6)


def test_activations_stay_finite_and_precise_far_out() -> None:
    x = np.array([-800.0, -40.0, 40.0, 800.0])
    np.testing.assert_allclose(run_reference(get("softplus"), [x], {}), [0, 4.248354255291589e-18, 40, 800], rtol=1e-12)
    np.testing.assert_allclose(
        run_reference(get("log_sigmoid"), [x], {}), [-800, -40, -4.248354255291589e-18, 0], rtol=1e-12
    )
    np.testing.assert_allclose(run_reference(get("sigmoid"), [x], {}), [0, 4.248354255291589e-18, 1, 1], rtol=1e-12)


def test_max_pool_takes_a_nan_as_the_maximum_and_the_first_of_equals() -> None:
    x = np.array([1.0, 5.0, 5.0, np.nan, 2.0, np.nan]).reshape(1, 6, 1)
    params = {"window": (3,), "strides": (3,), "padding": ((0, 0),), "dilation": (1,)}
    np.testing.assert_array_equal(run_reference(get("max_pool"), [x], params).ravel(), [5, np.nan])
    grad = run_reference(get("max_pool_grad"), [x, np.array([7.0, 9.0]).reshape(1, 2, 1)], params)
    np.testing.assert_array_equal(grad.ravel(), [0, 7, 0, 9, 0, 0])


def test_max_pool_grad_of_minus_infinity_stays_inside_the_input() -> None:
    x, g = np.full((1, 2, 1), -np.inf), np.array([3.0, 4.0]).reshape(1, 2, 1)
    params = {"window": (2,), "strides": (2,), "padding": ((1, 1),), "dilation": (1,)}
    np.testing.assert_array_equal(run_reference(get("max_pool_grad"), [x, g], params).ravel(), [3, 4])


def test_equal_extrema_share_the_gradient() -> None:
    x = np.array([[2.0, 5.0, 5.0], [1.0, 1.0, 1.0]])
    graph = gradient_graph(lambda v: [get("reduce_max")(v, axes=(1,), keepdims=False)], [x], [0])
    np.testing.assert_allclose(run_graph(graph, [x])[0], [[0, 0.5, 0.5], [1 / 3] * 3])


@pytest.mark.parametrize("size", [(4, 3), (3, 4), (2, 5, 5), (0, 2, 1)])
def test_qr(size: tuple[int, ...]) -> None:
    x = np.random.default_rng(3).normal(size=size)
    q, r = run_reference(get("qr"), [x], {})
    np.testing.assert_allclose(q @ r, x, atol=1e-12)
    square = (*size[:-2], q.shape[-1], q.shape[-1])
    np.testing.assert_allclose(np.swapaxes(q, -1, -2) @ q, np.broadcast_to(np.eye(square[-1]), square), atol=1e-12)
    np.testing.assert_array_equal(r, np.triu(r))


def test_logsumexp_of_infinities() -> None:
    x = np.array([[-np.inf, -np.inf], [1000.0, 1000.0], [np.inf, 0.0]])
    found = run_reference(get("logsumexp"), [x], {"axes": (1,), "keepdims": False})
    np.testing.assert_allclose(found, [-np.inf, 1000 + np.log(2), np.inf])


WRONG: list[tuple[str, list[tuple[int, ...]], dict[str, Any], type[Exception], str]] = [
    ("add", [(2, 3), (4,)], {}, ValueError, r"\(2, 3\) and \(4,\)"),
    ("matmul", [(2, 3), (4, 5)], {}, ValueError, "must be the last"),
    ("matmul", [(2,), (2, 2)], {}, ValueError, "2 axes or more"),
    ("reshape", [(2, 3)], {"shape": (5,)}, ValueError, "number of elements"),
    ("transpose", [(2, 3)], {"axes": (0, 0)}, ValueError, "order of the 2 axes"),
    ("broadcast_to", [(2, 3)], {"shape": (3, 2)}, ValueError, "can't be broadcast"),
    ("reduce_sum", [(2,)], {"axes": (1,), "keepdims": False}, ValueError, "distinct axes"),
    ("reduce_max", [(2, 0)], {"axes": (1,), "keepdims": False}, ValueError, "size 0"),
    ("concatenate", [(2, 3), (2, 4)], {"axis": 0}, ValueError, "must agree"),
    ("softmax", [(2,)], {"axis": 1}, ValueError, "axis 1"),
    ("pad", [(2,)], {"widths": ((-1, 0),), "mode": "constant", "value": 0}, ValueError, ">= 0"),
    ("pad", [(0,)], {"widths": ((1, 0),), "mode": "edge", "value": 0}, ValueError, "nothing to continue"),
    ("pad", [(2,)], {"widths": ((1, 0),), "mode": "mirror", "value": 0}, ValueError, "unknown mode"),
    ("top_k", [(3,)], {"k": 4}, ValueError, "k=4"),
    ("resize", [(3, 3)], {"shape": (3, 4), "method": "area", "antialias": False}, ValueError, "unknown method"),
    ("dynamic_slice", [(3,), (1,)], {"sizes": (4,)}, ValueError, "does not fit"),
    ("qr", [(3,)], {}, ValueError, "2 axes"),
    ("take", [(3,), (1,)], {"axis": 0}, TypeError, "must be integers"),
    ("random_bits", [(2,)], {"shape": (3,)}, ValueError, "uint32"),
]


@pytest.mark.parametrize(("name", "shapes", "params", "error", "text"), WRONG)
def test_wrong_use(
    name: str, shapes: list[tuple[int, ...]], params: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        get(name)(*(np.zeros(s) for s in shapes), **params)


def test_mixed_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match="one dtype"):
        get("add")(np.zeros(2, np.float32), np.zeros(2, np.float64))


@pytest.mark.parametrize("index", [3, -4])
def test_an_index_out_of_range_raises(index: int) -> None:
    with pytest.raises(IndexError, match=f"index {index} is out of range for an axis of size 3"):
        get("take")(np.zeros(3), np.array([0, index]), axis=0)
