"""Branches, loops and functions with gradients of their own: values, gradients, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from striate import autodiff
from striate.ir import Aval, Builder, Graph, Value, building, verify
from striate.passes.precision import in_float64
from striate.primitives import get, infer_node
from striate.primitives.control import cond, custom_vjp, while_loop
from striate.primitives.elementwise import add, exp, greater, less, mul, sin, square, sub
from striate.primitives.interpret import run_graph

FLOAT, FLAG, COUNT = Aval((3,), "float64"), Aval((), "bool"), Aval((), "int32")


def graph_of(fn: Callable[..., Sequence[Any]], avals: Sequence[Aval]) -> Graph:
    builder = Builder()
    values = [builder.input(a.shape, a.dtype) for a in avals]
    with building(builder):
        outputs = [r if isinstance(r, Value) else builder.constant(r) for r in fn(*values)]
    return verify(builder.graph(outputs), infer_node)


def slopes(fn: Callable[..., Any], avals: Sequence[Aval], wrt: Sequence[int]) -> Graph:
    """The gradient of the sum of `fn`'s first result."""

    def build(*xs: Value) -> list[Any]:
        y = fn(*xs)[0]
        return autodiff.gradients([y], [np.ones(y.shape)], [xs[i] for i in wrt])

    return graph_of(build, avals)


def finite(fn: Callable[..., Any], avals: Sequence[Aval], inputs: list[np.ndarray], at: int) -> np.ndarray:
    graph = graph_of(lambda *xs: [fn(*xs)[0]], avals)
    out = np.zeros_like(inputs[at])
    for i in np.ndindex(out.shape):
        ends = []
        for sign in (1, -1):
            moved = [x.copy() for x in inputs]
            moved[at][i] += sign * 1e-6
            ends.append(run_graph(graph, moved)[0].sum())
        out[i] = (ends[0] - ends[1]) / 2e-6
    return out


def branching(pred: Any, x: Any, y: Any) -> Any:
    yes = graph_of(lambda a, b: [mul(sin(a), b)], [FLOAT, FLOAT])
    no = graph_of(lambda a, b: [square(a)], [FLOAT, FLOAT])
    return cond(pred, x, y, true_graph=yes, false_graph=no)


X, Y = np.array([0.5, -1.0, 2.0]), np.array([1.5, 0.3, -0.7])


@pytest.mark.parametrize("pred", [True, False])
def test_cond(pred: bool) -> None:
    inputs = [np.array(pred), X, Y]
    avals = [FLAG, FLOAT, FLOAT]
    np.testing.assert_allclose(branching(*inputs)[0], np.sin(X) * Y if pred else X**2)
    found = run_graph(slopes(branching, avals, [1, 2]), inputs)
    np.testing.assert_allclose(found[0], np.cos(X) * Y if pred else 2 * X)
    np.testing.assert_allclose(found[1], np.sin(X) if pred else 0 * X)


@pytest.mark.parametrize("pred", [True, False])
def test_cond_has_second_derivatives(pred: bool) -> None:
    def first(p: Value, x: Value, y: Value) -> Any:
        out = branching(p, x, y)[0]
        return autodiff.gradients([out], [np.ones(3)], [x])

    found = run_graph(slopes(first, [FLAG, FLOAT, FLOAT], [1]), [np.array(pred), X, Y])
    np.testing.assert_allclose(found[0], -np.sin(X) * Y if pred else np.full(3, 2.0))


def looping(count: Any, state: Any, scale: Any, limit: int | None = None) -> Any:
    """count times: state = sin(state) * scale + state; with the number of the step as a loop variable."""
    avals = [COUNT, FLOAT, COUNT, FLOAT]
    test = graph_of(lambda i, s, n, w: [less(i, n)], avals)
    body = graph_of(lambda i, s, n, w: [add(i, 1), add(mul(sin(s), w), s)], avals)
    zero = np.zeros((), np.int32)
    results = while_loop(
        zero, state, count, scale, cond_graph=test, body_graph=body, n_state=2, maximum_iterations=limit
    )
    return results[::-1]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_while_loop_runs_any_number_of_times(count: int) -> None:
    expected = X
    for _ in range(count):
        expected = np.sin(expected) * Y + expected
    inputs = [np.array(count, np.int32), X, Y]
    state, steps = looping(*inputs)
    np.testing.assert_allclose(state, expected)
    assert steps == count
    avals = [COUNT, FLOAT, FLOAT]
    found = run_graph(slopes(looping, avals, [1, 2]), inputs)
    for at in (1, 2):
        np.testing.assert_allclose(found[at - 1], finite(looping, avals, inputs, at), rtol=1e-6, atol=1e-8)


def test_while_loop_stops_after_its_maximum() -> None:
    state, steps = looping(np.array(9, np.int32), X, Y, 2)
    assert steps == 2
    np.testing.assert_allclose(state, looping(np.array(2, np.int32), X, Y)[0])


def test_while_loop_differentiates_once_only() -> None:
    def first(n: Value, x: Value, w: Value) -> Any:
        return autodiff.gradients([looping(n, x, w)[0]], [np.ones(3)], [x])

    with pytest.raises(ValueError, match="once only"):
        slopes(first, [COUNT, FLOAT, FLOAT], [1])


def custom(x: Any, y: Any) -> Any:
    """exp(x) * y, with a gradient that is wrong on purpose, so that it can be told apart."""
    graph = graph_of(lambda a, b: [mul(exp(a), b)], [FLOAT, FLOAT])
    rule = graph_of(lambda a, b, g: [mul(g, mul(square(a), 100))], [FLOAT, FLOAT, FLOAT])
    return custom_vjp(x, y, graph=graph, vjp_graph=rule)


def test_custom_gradient_is_used_in_the_place_of_the_real_one() -> None:
    np.testing.assert_allclose(custom(X, Y)[0], np.exp(X) * Y)
    found = run_graph(slopes(custom, [FLOAT, FLOAT], [0, 1]), [X, Y])
    np.testing.assert_allclose(found[0], 100 * X**2)
    np.testing.assert_array_equal(found[1], np.zeros(3))


def test_custom_gradient_can_be_differentiated() -> None:
    def first(x: Value, y: Value) -> Any:
        return autodiff.gradients([custom(x, y)[0]], [np.ones(3)], [x])

    np.testing.assert_allclose(run_graph(slopes(first, [FLOAT, FLOAT], [0]), [X, Y])[0], 200 * X)


def test_subgraphs_are_computed_in_float64_too() -> None:
    single = Aval((3,), "float32")
    yes = graph_of(lambda a: [exp(a)], [single])
    graph = graph_of(lambda p, a: cond(p, a, true_graph=yes, false_graph=yes), [FLAG, single])
    result = run_graph(in_float64(graph), [np.array(True), X])[0]
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, np.exp(X), rtol=1e-15)


def test_branches_must_agree() -> None:
    yes, no = graph_of(lambda a: [a], [FLOAT]), graph_of(lambda a: [greater(a, 0)], [FLOAT])
    with pytest.raises(ValueError, match="same shapes and dtypes"):
        cond(np.array(True), X, true_graph=yes, false_graph=no)
    with pytest.raises(TypeError, match="one bool"):
        cond(np.array(1.0), X, true_graph=yes, false_graph=yes)


def test_a_body_must_keep_its_loop_variables() -> None:
    test, body = (
        graph_of(lambda s: [greater(get("reduce_sum")(s, axes=(0,), keepdims=False), 0)], [FLOAT]),
        graph_of(lambda s: [sub(s, 1), s], [FLOAT]),
    )
    with pytest.raises(ValueError, match="loop variables"):
        while_loop(X, cond_graph=test, body_graph=body, n_state=1, maximum_iterations=None)
