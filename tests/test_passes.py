"""Passes keep what a graph computes, and do what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from striate import kernels
from striate.engines.reference import ReferenceExecutable
from striate.ir import Aval, Graph, verify
from striate.passes.constants import fold_constants
from striate.passes.cse import merge_common
from striate.passes.fold_affine import fold_affine
from striate.passes.fuse import fuse
from striate.passes.pipeline import optimize
from striate.passes.precision import in_float64
from striate.passes.simplify import simplify
from striate.passes.stable import stable_values
from striate.primitives import infer_node
from striate.primitives.activations import relu
from striate.primitives.conv import conv, conv_input_grad
from striate.primitives.elementwise import add, mul, sub
from striate.primitives.structural import broadcast_to, cast, reduce_sum, reshape, transpose
from striate.trace import trace

WINDOW = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
ACTIVATIONS = frozenset(kernels.activation_ids())


def graph_of(fn, *shapes: tuple[int, ...]) -> Graph:
    return trace(fn, [Aval(s, "float32") for s in shapes]).graph


def arrays_for(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=v.shape).astype(v.dtype) for v in graph.inputs]


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


def assert_same(before: Graph, after: Graph) -> None:
    verify(after, infer_node)
    inputs = arrays_for(before)
    wanted = ReferenceExecutable(in_float64(before))([a.astype("float64") for a in inputs])
    found = ReferenceExecutable(in_float64(after))([a.astype("float64") for a in inputs])
    for w, f in zip(wanted, found, strict=True):
        np.testing.assert_allclose(f, w, rtol=1e-10, atol=1e-10)


def test_constants_are_computed_while_compiling():
    two = np.full((3,), 2, "float32")
    graph = graph_of(lambda x: add(x, mul(reshape(x, shape=(3,)), cast(two, dtype="float32"))), (3,))
    # `cast` of an array runs at once; a constant inside the graph comes from folding.
    folded = fold_constants(graph)
    assert_same(graph, folded)
    assert "cast" not in ops(folded)


def test_equal_nodes_become_one():
    graph = graph_of(lambda x: add(mul(x, x), mul(x, x)), (4,))
    merged = merge_common(graph)
    assert ops(graph).count("mul") == 2
    assert ops(merged).count("mul") == 1
    assert_same(graph, merged)


def test_nodes_with_other_parameters_stay_apart():
    graph = graph_of(lambda x: add(transpose(x, axes=(1, 0)), transpose(x, axes=(0, 1))), (3, 3))
    assert ops(merge_common(graph)).count("transpose") == 2


@pytest.mark.parametrize(
    ("fn", "left"),
    [
        (lambda x: transpose(transpose(x, axes=(2, 0, 1)), axes=(1, 2, 0)), []),
        (lambda x: reshape(reshape(x, shape=(24,)), shape=(2, 3, 4)), []),
        (lambda x: reshape(reshape(x, shape=(24,)), shape=(6, 4)), ["reshape"]),
        (lambda x: add(x, np.float32(0)), []),
        (lambda x: mul(np.float32(1), x), []),
        (lambda x: sub(np.float32(0), x), ["sub"]),
        (lambda x: cast(x, dtype="float32"), []),
    ],
)
def test_what_does_nothing_goes(fn, left):
    graph = graph_of(fn, (2, 3, 4))
    simple = simplify(graph)
    assert ops(simple) == left
    assert_same(graph, simple)


def test_adding_a_zero_that_broadcasts_stays():
    graph = graph_of(lambda x: add(x, np.zeros((2, 1), "float32")), (3,))
    assert simplify(graph).outputs[0].shape == (2, 3)


def test_a_scale_and_shift_fold_into_the_convolution():
    def block(x, w, b, s, t):
        return add(mul(add(conv(x, w, **WINDOW), b), s), t)

    graph = graph_of(block, (2, 5, 5, 3), (3, 3, 3, 4), (4,), (4,), (4,))
    stable = frozenset({1, 2, 3, 4})
    folded = fold_affine(graph, stable)
    assert_same(graph, folded)
    kept = stable_values(folded, stable)
    running = [n.op for n in folded.nodes if id(n.outputs[0]) not in kept]
    assert running == ["conv", "add"]


def test_a_scale_folds_into_the_transposed_convolution():
    params = WINDOW | {"input_shape": (1, 5, 5, 3)}
    graph = graph_of(lambda y, w, s: mul(conv_input_grad(y, w, **params), s), (1, 5, 5, 4), (3, 3, 3, 4), (3,))
    folded = fold_affine(graph, frozenset({1, 2}))
    assert_same(graph, folded)
    assert folded.outputs[0].node.op == "conv_input_grad"


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, w, s: add(mul(conv(x, w, **WINDOW), mul(s, s)), conv(x, w, **WINDOW)),  # a second user of one value
        lambda x, w, s: mul(conv(x, mul(w, w), **WINDOW), s),
        lambda x, w, s: mul(s, conv(x, w, **WINDOW)),
    ],
)
def test_folding_never_changes_the_result(fn):
    graph = graph_of(fn, (2, 5, 5, 3), (3, 3, 3, 4), (4,))
    assert_same(graph, fold_affine(merge_common(graph), frozenset({1, 2})))


def test_a_factor_that_changes_with_the_input_is_not_folded():
    graph = graph_of(lambda x, w, s: mul(conv(x, w, **WINDOW), s), (2, 5, 5, 3), (3, 3, 3, 4), (4,))
    assert ops(fold_affine(graph, frozenset({1}))) == ["conv", "mul"]


def test_a_convolution_takes_bias_residual_and_activation_along():
    def block(x, w, b, r):
        return relu(add(add(conv(x, w, **WINDOW), b), r))

    graph = graph_of(block, (2, 5, 5, 3), (3, 3, 3, 4), (4,), (2, 5, 5, 4))
    fused = fuse(graph, frozenset({1, 2}), ACTIVATIONS)
    assert_same(graph, fused)
    (node,) = fused.nodes
    assert node.params["kind"] == "linear"
    assert (node.params["bias"], node.params["residual"], node.params["activation"]) == (True, True, "relu")


def test_what_is_needed_elsewhere_is_not_fused_away():
    def block(x, w, b):
        y = add(conv(x, w, **WINDOW), b)
        return y, relu(y)

    graph = graph_of(block, (1, 4, 4, 3), (3, 3, 3, 4), (4,))
    fused = fuse(graph, frozenset({1, 2}), ACTIVATIONS)
    assert_same(graph, fused)
    assert ops(fused) == ["fused", "relu"]


def test_an_elementwise_chain_is_one_loop():
    graph = graph_of(lambda x, y: relu(add(mul(x, y), x)), (8,), (8,))
    fused = fuse(graph, frozenset(), ACTIVATIONS)
    assert_same(graph, fused)
    assert [n.params["kind"] for n in fused.nodes] == ["elementwise"]


def test_a_result_on_the_way_is_made_by_the_same_loop():
    def update(w, m, g):
        moved = sub(mul(m, np.float32(0.9)), g)
        return add(w, moved), moved, relu(g)

    graph = graph_of(update, (4, 3), (4, 3), (4, 3))
    fused = fuse(graph, frozenset(), ACTIVATIONS)
    assert_same(graph, fused)
    assert ops(fused) == ["fused", "relu"] and len(fused.nodes[0].outputs) == 2


def test_a_sum_takes_the_chain_before_it_along():
    def both(x, y, w):
        return reduce_sum(mul(add(x, w), y), axes=(1, 0), keepdims=True), reduce_sum(relu(x), axes=(1,), keepdims=False)

    graph = graph_of(both, (5, 4, 16), (5, 4, 16), (16,))
    fused = fuse(graph, frozenset({2}), ACTIVATIONS)
    assert_same(graph, fused)
    assert ops(fused) == ["fused", "relu", "reduce_sum"]  # of several axes that are kept the first ones stay apart
    assert fused.nodes[0].params["kind"] == "sum"


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, w: (add(x, w), reduce_sum(add(x, w), axes=(0,), keepdims=False)),  # needed elsewhere
        lambda x, w: reduce_sum(x, axes=(0,), keepdims=False),
        lambda x, w: reduce_sum(mul(reshape(w, shape=(16, 1)), w), axes=(0,), keepdims=False),  # nothing as large
        lambda x, w: reduce_sum(mul(reshape(x, shape=(16, 6)), np.float32(2)), axes=(0,), keepdims=False),  # 6 columns
    ],
)
def test_sums_that_stay(fn):
    graph = merge_common(graph_of(fn, (6, 16), (16,)))
    fused = fuse(graph, frozenset(), ACTIVATIONS)
    assert_same(graph, fused)
    assert "reduce_sum" in ops(fused)


def test_chains_of_weights_stay_apart_from_chains_of_inputs():
    graph = graph_of(lambda x, w: add(x, mul(w, add(w, w))), (8,), (8,))
    stable = frozenset({1})
    fused = fuse(graph, stable, ACTIVATIONS)
    assert_same(graph, fused)
    kept = stable_values(fused, stable)
    assert any(id(n.outputs[0]) in kept for n in fused.nodes)
    assert any(id(n.outputs[0]) not in kept for n in fused.nodes)


def test_the_whole_pipeline_keeps_results(monkeypatch):
    monkeypatch.setenv("STRIATE_VERIFY", "1")

    def net(x, w, b, s):
        y = relu(add(mul(add(conv(x, w, **WINDOW), b), s), b))
        z = transpose(transpose(y, axes=(0, 3, 1, 2)), axes=(0, 2, 3, 1))
        return add(mul(z, z), y), reshape(z, shape=(2, 100))

    graph = graph_of(net, (2, 5, 5, 3), (3, 3, 3, 4), (4,), (4,))
    assert_same(graph, optimize(graph, frozenset({1, 2, 3})))


def test_elementwise_ops_repeat_their_inputs_by_themselves():
    def gradient_of_a_mean(x, s):
        wide = broadcast_to(s, shape=(2, 3, 4))
        return mul(x, wide), relu(wide), add(broadcast_to(s, shape=(3, 4)), np.float32(1))

    graph = graph_of(gradient_of_a_mean, (2, 3, 4), (3, 1))
    narrow = simplify(graph)
    assert_same(graph, narrow)
    product = next(n for n in narrow.nodes if n.op == "mul")
    assert [v.shape for v in product.inputs] == [(2, 3, 4), (3, 1)]
    assert all(n.outputs[0].shape == (3, 1) for n in narrow.nodes if n.op in ("relu", "add"))
