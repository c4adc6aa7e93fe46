"""Reverse mode on whole graphs: sums of paths, inputs without influence, cuts, and what has no gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from striate import autodiff
from striate.autodiff import NotDifferentiableError
from striate.ir import Builder, Graph, Value, building, verify
from striate.primitives import get, infer_node
from striate.primitives.interpret import run_graph

X, Y = np.array([0.5, -1.0, 2.0]), np.array([1.5, 0.3, -0.7])


def graph_of(fn: Callable[..., Sequence[Any]], *arrays: np.ndarray) -> Graph:
    builder = Builder()
    values = [builder.input(a.shape, str(a.dtype)) for a in arrays]
    with building(builder):
        outputs = [r if isinstance(r, Value) else builder.constant(r) for r in fn(*values)]
    return verify(builder.graph(outputs), infer_node)


def slopes(fn: Callable[..., Any], *arrays: np.ndarray) -> list[np.ndarray]:
    """Gradients of the sum of fn(*arrays) by all of them."""

    def build(*xs: Value) -> list[Any]:
        y = fn(*xs)
        return autodiff.gradients([y], [np.ones(y.shape, y.dtype)], list(xs))

    return run_graph(graph_of(build, *arrays), arrays)


def test_paths_that_meet_are_added() -> None:
    mul, add, sin = get("mul"), get("add"), get("sin")
    found = slopes(lambda x, y: add(mul(x, sin(x)), mul(x, y)), X, Y)
    np.testing.assert_allclose(found[0], np.sin(X) + X * np.cos(X) + Y)
    np.testing.assert_allclose(found[1], X)


def test_an_input_without_influence_gets_zeros() -> None:
    found = slopes(lambda x, y: get("square")(x), X, Y)
    np.testing.assert_array_equal(found[1], np.zeros(3))


def test_the_gradient_by_a_value_in_the_middle() -> None:
    def build(x: Value) -> list[Any]:
        middle = get("sin")(x)
        return autodiff.gradients([get("square")(middle)], [np.ones(3)], [middle])

    np.testing.assert_allclose(run_graph(graph_of(build, X), [X])[0], 2 * np.sin(X))


def test_stop_gradient_and_integers_cut() -> None:
    mul, cast = get("mul"), get("cast")
    np.testing.assert_array_equal(slopes(lambda x: mul(get("stop_gradient")(x), x), X)[0], X)
    cut = slopes(lambda x: mul(cast(cast(x, dtype="int32"), dtype="float64"), x), X)[0]
    np.testing.assert_array_equal(cut, np.trunc(X))


def test_comparisons_choose_but_carry_nothing() -> None:
    found = slopes(lambda x, y: get("where")(get("greater")(x, y), x, get("square")(y)), X, Y)
    np.testing.assert_allclose(found[0], X > Y)
    np.testing.assert_allclose(found[1], np.where(X > Y, 0, 2 * Y))


def test_a_masked_infinity_does_not_spread() -> None:
    found = slopes(lambda x: get("relu")(get("mul")(x, -1.0)), np.array([np.inf, 1.0, -2.0]))
    np.testing.assert_array_equal(found[0], [0, 0, -1])


def test_an_op_without_a_gradient_says_so() -> None:
    with pytest.raises(NotDifferentiableError, match="'floor_div' has no gradient"):
        slopes(lambda x, y: get("floor_div")(x, y), X, Y)


def test_an_op_without_a_gradient_does_not_matter_off_the_path() -> None:
    def build(x: Value, y: Value) -> list[Any]:
        return autodiff.gradients([_beside(x, y)], [np.ones(3)], [x])

    np.testing.assert_array_equal(run_graph(graph_of(build, X, Y), [X, Y])[0], -np.ones(3))


def _beside(x: Value, y: Value) -> Any:
    return get("sub")(get("floor_div")(y, y), x)


def test_only_one_result_of_several_is_used() -> None:
    def first(x: Value) -> Any:
        return get("square")(get("top_k")(x, k=2)[0])

    np.testing.assert_array_equal(slopes(first, X)[0], [1, 0, 4])


def test_a_small_network_against_jax() -> None:
    """conv, bias, gelu, max pool, product, log softmax: all gradients at once."""
    generator = np.random.default_rng(0)
    x, w = generator.normal(size=(2, 6, 6, 3)), generator.normal(size=(3, 3, 3, 4))
    b, d = generator.normal(size=(4,)), generator.normal(size=(16, 5))

    def ours(x: Any, w: Any, b: Any, d: Any) -> Any:
        y = get("conv")(x, w, strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1)
        y = get("gelu")(get("add")(y, b), approximate=True)
        y = get("max_pool")(y, window=(2, 2), strides=(2, 2), padding=((0, 0), (0, 0)), dilation=(1, 1))
        y = get("log_softmax")(get("matmul")(get("reshape")(y, shape=(2, 16)), d), axis=1)
        return get("slice")(y, starts=(0, 2), stops=(2, 3), steps=(1, 1))

    def theirs(x: Any, w: Any, b: Any, d: Any) -> Any:
        y = jax.lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        y = jax.nn.gelu(y + b)
        y = jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return jax.nn.log_softmax(y.reshape(2, 16) @ d)[:, 2].sum()

    wanted = jax.grad(theirs, argnums=(0, 1, 2, 3))(*(jnp.asarray(a, jnp.float32) for a in (x, w, b, d)))
    for found, true in zip(slopes(ours, x, w, b, d), wanted, strict=True):
        np.testing.assert_allclose(found, true, rtol=2e-3, atol=2e-5)


def test_vjp_of_a_graph_leaves_the_graph_alone() -> None:
    graph = graph_of(lambda x, y: [get("mul")(x, get("sin")(y)), get("square")(x)], X, Y)
    before = str(graph)
    pulled = verify(autodiff.vjp(graph, [1, 0]), infer_node)
    assert str(graph) == before
    found = run_graph(pulled, [X, Y, np.ones(3), np.full(3, 10.0)])
    np.testing.assert_allclose(found[0], X * np.cos(Y))
    np.testing.assert_allclose(found[1], np.sin(Y) + 20 * X)


def test_vjp_of_vjp() -> None:
    graph = graph_of(lambda x: [get("sin")(x)], X)
    twice = autodiff.vjp(autodiff.vjp(graph, [0]), [0])
    np.testing.assert_allclose(run_graph(twice, [X, np.ones(3), np.ones(3)])[0], -np.sin(X))
