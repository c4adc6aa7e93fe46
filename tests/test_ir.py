"""The representation: building, capturing, printing, sorting, and what `verify` refuses."""

from __future__ import annotations

import numpy as np
import pytest

from striate.ir import Aval, Builder, Graph, GraphError, Node, Value, building, current, paused, toposort, verify
from striate.primitives import get, infer_node, run_reference
from striate.primitives.interpret import apply_graph, run_graph

add, mul = get("add"), get("mul")
PAIR = Aval((2,), "float32")


def small() -> Graph:
    """x * x + y"""
    builder = Builder()
    x, y = builder.input((2,), "float32"), builder.input((2,), "float32")
    with building(builder):
        return builder.graph([add(mul(x, x), y)])


def test_printing() -> None:
    assert str(small()).splitlines() == [
        "graph(%0: float32[2], %1: float32[2]):",
        "  %2: float32[2] = mul(%0, %0)",
        "  %3: float32[2] = add(%2, %1)",
        "  return %3",
    ]


def test_printing_shows_parameters_constants_and_subgraphs() -> None:
    builder = Builder()
    p, x = builder.input((), "bool"), builder.input((2,), "float32")
    with building(builder):
        inner = Builder()
        a = inner.input((2,), "float32")
        with building(inner):
            branch = inner.graph([mul(a, 3)])
        (y,) = get("cond")(p, x, true_graph=branch, false_graph=branch)
        graph = builder.graph([get("reduce_sum")(y, axes=(0,), keepdims=False)])
    assert "true_graph=graph" in str(graph) and "axes=(0,), keepdims=False" in str(graph)
    assert "mul(%0, 3.0)" in str(branch)


def test_running_and_applying() -> None:
    x, y = np.array([1, 2], np.float32), np.array([5, 7], np.float32)
    np.testing.assert_array_equal(run_graph(small(), [x, y])[0], [6, 11])
    np.testing.assert_array_equal(apply_graph(small(), [x, y])[0], [6, 11])


def test_nodes_that_nothing_needs_are_left_out() -> None:
    builder = Builder()
    x = builder.input((2,), "float32")
    with building(builder):
        mul(x, x)
        graph = builder.graph([add(x, x)])
    assert [n.op for n in graph.nodes] == ["add"]


def test_values_of_an_enclosing_builder_are_captured_as_inputs() -> None:
    outer = Builder()
    x = outer.input((2,), "float32")
    inner = Builder(parent=outer)
    y = inner.input((2,), "float32")
    with building(outer), building(inner):
        graph = inner.graph([add(mul(x, y), x)])
    verify(graph, infer_node)
    assert len(graph.inputs) == 2 and [v for v, _ in inner.captured.values()] == [x]
    found = run_graph(graph, [np.array([2, 3], np.float32), np.array([10, 20], np.float32)])
    np.testing.assert_array_equal(found[0], [30, 80])


def test_a_value_that_escaped_its_function_is_refused() -> None:
    first, second = Builder(), Builder()
    x = first.input((2,), "float32")
    with building(second), pytest.raises(RuntimeError, match="after the function"):
        add(x, x)
    with pytest.raises(RuntimeError, match="outside the function"):
        add(x, x)


def test_paused_computes_at_once() -> None:
    with building(Builder()) as builder:
        assert current() is builder
        with paused():
            assert current() is None
        assert current() is builder
    assert current() is None


def test_toposort_puts_each_node_behind_its_inputs() -> None:
    builder = Builder()
    x = builder.input((2,), "float32")
    with building(builder):
        y = x
        for _ in range(3000):  # deep: no recursion
            y = add(y, x)
    order = toposort([y])
    place = {id(n): i for i, n in enumerate(order)}
    assert len(order) == 3000
    assert all(place[id(v.node)] < place[id(n)] for n in order for v in n.inputs if v.node is not None)


def test_verify_accepts_a_good_graph() -> None:
    graph = small()
    assert verify(graph, infer_node) is graph


def test_verify_refuses_a_value_used_before_it_is_computed() -> None:
    graph = small()
    with pytest.raises(GraphError, match=r"input 0 of 'add'.*before"):
        verify(Graph(graph.inputs, graph.nodes[::-1], graph.outputs))
    with pytest.raises(GraphError, match="an output of the graph"):
        verify(Graph(graph.inputs, graph.nodes[:1], graph.outputs))


def test_verify_refuses_a_value_defined_twice() -> None:
    graph = small()
    with pytest.raises(GraphError, match="defined twice"):
        verify(Graph(graph.inputs, [*graph.nodes, graph.nodes[0]], graph.outputs))
    node = Node("neg", [graph.inputs[0]], {}, [Value(PAIR)])
    with pytest.raises(GraphError, match="does not know its node"):
        verify(Graph(graph.inputs, [node], node.outputs))


def test_verify_refuses_a_shape_that_the_op_does_not_give() -> None:
    x = Value(PAIR)
    node = Node("neg", [x], {})
    node.outputs = (Value(Aval((3,), "float32"), node),)
    graph = Graph([x], [node], node.outputs)
    verify(graph)
    with pytest.raises(GraphError, match="'neg' gives"):
        verify(graph, infer_node)


def test_scalars_adopt_the_dtype_of_the_array() -> None:
    assert mul(np.ones(2, np.float32), 2.5).dtype == np.float32
    assert run_reference(get("add"), [np.ones(2, np.float32), np.ones((), np.float32)], {}).dtype == np.float32


def test_names_of_primitives_are_unique() -> None:
    from striate.primitives.base import register

    with pytest.raises(ValueError, match="registered twice"):
        register(get("add"))
