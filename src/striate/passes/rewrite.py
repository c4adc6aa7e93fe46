"""The loop that every pass shares: copy a graph node by node, with a rule that may replace a node by something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from striate.ir import Builder, Graph, Node, Value, at, building

Rule = Callable[[Node, Sequence[Value]], Sequence[Value] | None]


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """A copy of `graph` in which `rule(node, inputs)` decides what becomes of each node.

    `inputs` are the copies of the node's inputs. The rule returns the values that stand for the node's outputs
    (made with primitives, or old ones), or None to keep the node as it is. Nodes that nothing needs are left out.
    """
    builder = Builder()
    table: dict[int, Value] = {id(v): builder.input(v.shape, v.dtype) for v in graph.inputs}
    with building(builder):
        for node in graph.nodes:
            with at(node.where):
                _copy(node, [mapped(table, v) for v in node.inputs], table, rule, builder)
    return builder.graph([mapped(table, v) for v in graph.outputs])


def mapped(table: Mapping[int, Value], value: Value) -> Value:
    """The copy of `value`; constants stand for themselves."""
    return value if value.is_constant else table[id(value)]


def _copy(node: Node, inputs: Sequence[Value], table: dict[int, Value], rule: Rule, builder: Builder) -> None:
    replaced = rule(node, inputs)
    if replaced is None:
        replaced = builder.add(node.op, inputs, node.params, [v.aval for v in node.outputs])
    table.update((id(old), new) for old, new in zip(node.outputs, replaced, strict=True))
