"""What is read with strides is computed with strides; results stay."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import striate as keras
from striate import engines, layers
from striate.ir import Graph
from striate.passes.pipeline import optimize
from striate.passes.strides import thin
from striate.primitives.activations import relu
from striate.primitives.conv import conv
from striate.primitives.elementwise import add, mul
from striate.primitives.pool import max_pool
from striate.primitives.structural import slice_, transpose
from test_passes import assert_same, graph_of, ops

X = (2, 9, 8, 3)
POINT, SQUARE = (1, 1, 3, 3), (3, 3, 3, 3)


def point(x: Any, w: Any, strides: tuple[int, ...] = (1, 1)) -> Any:
    return conv(x, w, strides=strides, padding=((0, 0),) * len(strides), dilation=(1,) * len(strides), groups=1)


def square(x: Any, w: Any, strides: tuple[int, int] = (1, 1)) -> Any:
    return conv(x, w, strides=strides, padding=((1, 1), (2, 0)), dilation=(1, 1), groups=1)


def thinned(fn: Any, *shapes: tuple[int, ...]) -> Graph:
    """The graph after the pass, which computes the same."""
    graph = graph_of(fn, *shapes)
    found = thin(graph)
    assert_same(graph, found)
    return found


def products(graph: Graph) -> int:
    """Multiplications of the convolutions."""
    convs = [n for n in graph.nodes if n.op == "conv"]
    return sum(math.prod(n.outputs[0].shape) * math.prod(n.inputs[1].shape[:-1]) for n in convs)


def test_a_chain_of_convolutions_takes_the_stride() -> None:
    graph = thinned(lambda x, a, b: point(relu(square(x, a)), b, (2, 3)), X, SQUARE, POINT)
    assert [n.params["strides"] for n in graph.nodes if n.op == "conv"] == [(2, 3), (1, 1)]
    assert [n.outputs[0].shape[1:3] for n in graph.nodes] == [(5, 3)] * 3


def test_the_other_side_of_a_sum_is_copied_where_others_need_it_whole() -> None:
    def block(x: Any, a: Any, b: Any, c: Any) -> Any:
        y = relu(add(point(square(relu(x), a), b), relu(x)))
        return add(point(y, c, (2, 2)), point(y, a_point(c), (2, 2)))

    def a_point(c: Any) -> Any:
        return mul(c, 2.0)

    graph = thinned(block, X, SQUARE, POINT, POINT)
    before = graph_of(block, X, SQUARE, POINT, POINT)
    assert products(graph) < 0.4 * products(before)
    assert ops(graph).count("slice") == 1


def test_several_readers_get_what_all_of_them_need() -> None:
    graph = thinned(
        lambda x, a, b: add(point(square(x, a), b, (4, 2)), slice_(point(square(x, a), b, (2, 2)), **every((2, 1)))),
        X, SQUARE, POINT,
    )  # fmt: skip
    assert all(n.params["strides"] in ((4, 2), (2, 2), (1, 1)) for n in graph.nodes if n.op == "conv")

    def both(x: Any, a: Any, b: Any) -> Any:
        y = square(x, a)
        return transpose(point(y, b, (4, 2)), axes=(3, 1, 2, 0)), point(y, b, (6, 4))

    graph = thinned(both, (1, 13, 9, 3), SQUARE, POINT)
    assert [n.params["strides"] for n in graph.nodes if n.op == "conv"] == [(2, 2), (2, 1), (3, 2)]


def every(steps: tuple[int, int]) -> dict[str, Any]:
    shape = (2, 5, 4, 3)
    return {"starts": (0,) * 4, "stops": shape, "steps": (1, *steps, 1)}


def test_slices_and_pooling_of_single_pixels_read_with_strides_too() -> None:
    graph = thinned(lambda x, a: max_pool(square(x, a), **single((2, 2))), X, SQUARE)
    assert products(graph) == 2 * 5 * 4 * 3 * 27
    whole = {"starts": (0,) * 4, "stops": X, "steps": (1, 2, 2, 1)}
    graph = thinned(lambda x, a: slice_(square(x, a), **whole), X, SQUARE)
    assert ops(graph) == ["conv"] and graph.nodes[0].params["strides"] == (2, 2)


def test_strides_after_each_other() -> None:
    def chain(x: Any, a: Any, b: Any) -> Any:
        y = max_pool(square(x, a), **single((2, 1)))
        return point(slice_(y, starts=(0,) * 4, stops=y.shape, steps=(1, 1, 2, 1)), b, (2, 1))

    graph = thinned(chain, X, SQUARE, POINT)
    assert [n.outputs[0].shape[1:3] for n in graph.nodes if n.op == "conv"] == [(3, 4), (3, 4)]
    assert "slice" not in ops(graph)


@pytest.mark.parametrize(
    ("second", "fn"),
    [
        (POINT, lambda x, a, b: (y := square(x, a), point(y, b, (2, 2)))),  # a result of the graph
        (SQUARE, lambda x, a, b: square(relu(square(x, a)), b, (2, 2))),  # windows of several pixels
        (POINT, lambda x, a, b: point(relu(x), b, (2, 2))),  # nothing gets smaller but a rectifier
        (POINT, lambda x, a, b: point(transpose(square(x, a), axes=(0, 2, 1, 3)), b, (2, 2))),
        (POINT, lambda x, a, b: slice_(square(x, a), starts=(0, 1, 0, 0), stops=X, steps=(1, 2, 2, 1))),
        (POINT, lambda x, a, b: slice_(square(x, a), starts=(0,) * 4, stops=X, steps=(1, 1, 1, 2))),
    ],
)
def test_left_alone(second: tuple[int, ...], fn: Any) -> None:
    assert products(thinned(fn, X, SQUARE, second)) == products(graph_of(fn, X, SQUARE, second))


def test_values_that_are_repeated_along_pixels() -> None:
    """A sum with one value per channel or per image goes on; with one per line it does not."""
    for shape, shrinks in (((3,), True), ((1, 1, 1, 3), True), ((2, 1, 1, 1), True), ((1, 9, 1, 3), False)):
        made = thinned(lambda x, a, b, v: point(add(square(x, a), v), b, (2, 2)), X, SQUARE, POINT, shape)
        first = next(n for n in made.nodes if n.op == "conv")
        assert (first.params["strides"] == (2, 2)) == shrinks, shape


def single(strides: tuple[int, ...]) -> dict[str, Any]:
    """Pooling of single pixels."""
    rank = len(strides)
    return {"window": (1,) * rank, "strides": strides, "padding": ((0, 0),) * rank, "dilation": (1,) * rank}


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_drawn_networks(data: Any) -> None:
    """Any graph of convolutions, sums and rectifiers computes the same with no more products."""
    rank = data.draw(st.integers(1, 3))
    size = data.draw(st.lists(st.integers(1, 9), min_size=rank, max_size=rank).map(tuple))
    numbers = st.lists(st.integers(1, 3), min_size=rank, max_size=rank).map(tuple)
    plan = data.draw(
        st.lists(
            st.tuples(st.sampled_from("cprsml"), st.sampled_from((0, 0, 0, 1, 2)), st.integers(0, 3), numbers),
            min_size=1,
            max_size=8,
        )
    )

    def network(x: Any, w: Any, v: Any) -> Any:
        values = [x]
        for kind, i, j, strides in plan:
            a, b = values[-1 - i % len(values)], values[-1 - j % len(values)]
            if kind == "r" or (kind == "s" and a.shape != b.shape):
                values.append(relu(a))
            elif kind == "s":
                values.append(add(a, b))
            elif kind == "p":
                values.append(point(a, w, strides))
            elif kind == "m":
                values.append(max_pool(a, **single(strides)))
            elif kind == "l":
                whole = {"starts": (0,) * len(a.shape), "stops": a.shape}
                values.append(slice_(a, **whole, steps=(1, *strides, 1)))
            else:
                ones = (1,) * rank
                values.append(conv(a, v, strides=ones, padding=((1, 1),) * rank, dilation=ones, groups=1))
        return values[-1]

    shapes = ((1, *size, 2), (1,) * rank + (2, 2), (3,) * rank + (2, 2))
    assert products(thinned(network, *shapes)) <= products(graph_of(network, *shapes))


def test_residual_networks_compute_a_quarter_of_what_they_halve() -> None:
    """As ResNet-50 does at the end of each stage; the same in numbers."""
    image = x = keras.Input((16, 16, 32))
    y = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    y = layers.BatchNormalization()(layers.Conv2D(32, 1)(y))
    y = layers.ReLU()(layers.Add()([x, y]))
    outputs = layers.Add()([layers.Conv2D(8, 1, strides=2)(y), layers.Conv2D(8, 1, strides=2)(y)])
    model = keras.Model(image, outputs)
    values = np.random.default_rng(0).normal(size=(2, 16, 16, 32)).astype("float32")
    with engines.use("float64"):
        wanted = np.array(model(values))
    np.testing.assert_allclose(model(values), wanted, rtol=1e-4, atol=1e-5)
    graph = graph_of(lambda v: model(v), values.shape)
    assert 3 * products_of_fused(optimize(graph, frozenset())) < products(graph)


def products_of_fused(graph: Graph) -> int:
    inner = [n.params["graph"] for n in graph.nodes if n.op == "fused"]
    return products(graph) + sum(products(g) for g in inner)
