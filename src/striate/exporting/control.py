"""Branches and loops in ONNX: inner graphs that read the names of the outer one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from striate.exporting.family import Family, Step
from striate.exporting.patterns import merge_patterns
from striate.exporting.rules import rule, write_steps
from striate.exporting.writer import Made, Writer


class Inner:
    """A graph inside a node.

    Args:
        nodes: its nodes.
        inputs: names, dtypes of what it takes besides what the outer graph has.
        outputs: names and dtypes of its results.
    """

    def __init__(
        self, nodes: list[Made], inputs: Sequence[tuple[str, str, int]], outputs: Sequence[tuple[str, str, int]]
    ) -> None:
        self.nodes, self.inputs, self.outputs = nodes, inputs, outputs


def rename(nodes: Sequence[Made], names: Mapping[str, str]) -> None:
    """Gives values other names, inside inner graphs as well."""
    for node in nodes:
        node.inputs = [names.get(n, n) for n in node.inputs]
        node.outputs = [names.get(n, n) for n in node.outputs]
        for value in node.attributes.values():
            if isinstance(value, Inner):
                rename(value.nodes, names)


def _inner(w: Writer, family: Family, names: Sequence[str], taken: Sequence[tuple[str, str, int]] = ()) -> Inner:
    """`family` with `names` as its inputs; each result has a node of its own, as ONNX wants it."""
    writer = Writer(w.weights)
    for value, name in zip(family.inputs, names, strict=True):
        writer.put(value, name)
    write_steps(writer, merge_patterns(family))
    results = [(writer.op("Identity", writer.plain(v)), v.dtype, v.rank) for v in family.outputs]
    return Inner(writer.nodes, taken, results)


@rule("cond")
def _cond(w: Writer, s: Step) -> None:
    pred, *operands = s.inputs
    names = [w.plain(v) for v in operands]
    branches = {f"{k}_branch": _inner(w, s.params[f"{p}_graph"], names) for k, p in
                {"then": "true", "else": "false"}.items()}  # fmt: skip
    flag = w.op("Reshape", w.plain(pred), w.ints([1]))
    results = w.op("If", flag, count=len(s.outputs), **branches)
    for value, name in zip(s.outputs, [results] if len(s.outputs) == 1 else results, strict=True):
        w.put(value, name)


@rule("while_loop")
def _while_loop(w: Writer, s: Step) -> None:
    """ONNX's loop takes the first condition from outside and the next one from its body."""
    count, most = s.params["n_state"], s.params["maximum_iterations"]
    names = [w.plain(v) for v in s.inputs]
    first = _condition(w, s, names)
    taken = [(w.weights.fresh(f"{s.where}/state"), v.dtype, v.rank) for v in s.inputs[:count]]
    turn = (w.weights.fresh("turn"), "int64", 0), (w.weights.fresh("go_on"), "bool", 0)
    body = _inner(w, s.params["body_graph"], [*(n for n, _, _ in taken), *names[count:]], [*turn, *taken])
    inside = Writer(w.weights)
    inside.nodes = body.nodes
    again = _condition(inside, s, [*(n for n, _, _ in body.outputs), *names[count:]])
    body.outputs = [(again, "bool", 0), *body.outputs]
    results = w.op("Loop", "" if most is None else w.number(most, "int64"), first, *names[:count], count=count,
                   body=body)  # fmt: skip
    for value, name in zip(s.outputs, [results] if count == 1 else results, strict=True):
        w.put(value, name)


def _condition(w: Writer, s: Step, names: Sequence[str]) -> str:
    family: Family = s.params["cond_graph"]
    inner = Writer(w.weights)
    inner.nodes = w.nodes
    for value, name in zip(family.inputs, names, strict=True):
        inner.put(value, name)
    write_steps(inner, family)
    flag = inner.plain(family.outputs[0])
    return w.op("Squeeze", flag) if family.outputs[0].rank else w.op("Identity", flag)
