"""Pooling, reductions, softmax and resizing."""

from __future__ import annotations

from collections.abc import Sequence

from striate.ir import Node
from striate.kernels import attributes
from striate.plan.draft import Draft, Pooled, Var
from striate.plan.lowering import lowers

_POOLS = ("max_pool", "max_pool_grad", "max_pool_gather", "avg_pool", "avg_pool_grad", "lp_pool")


@lowers(*_POOLS)
def _pool(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    p = node.params
    if node.outputs[0].dtype != "float32" or len(p["window"]) > attributes.MAX_POOL_SPATIAL:
        return None
    extra = {k: p[k] for k in ("count_include_pad", "p") if k in p}
    made = attributes.pool(p["window"], p["strides"], p["padding"], p["dilation"], **extra)
    return [draft.step(node.op, inputs, node.outputs[0].aval, *made)]


@lowers("max_pool_positions")
def _positions(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    p = node.params
    if node.inputs[0].dtype != "float32" or len(p["window"]) > attributes.MAX_POOL_SPATIAL:
        return None
    made = attributes.pool(p["window"], p["strides"], p["padding"], p["dilation"])
    return [draft.step(node.op, inputs, node.outputs[0].aval, *made)]


@lowers("unpool")
def _unpool(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    """Spread out when a step asks for it: convolutions read it as it is."""
    p, out = node.params, node.outputs[0]
    if out.dtype != "float32" or len(p["window"]) > attributes.MAX_POOL_SPATIAL:
        return None
    ints, _ = attributes.pool(p["window"], p["strides"], p["padding"], p["dilation"])
    stable = all(v.root.stable for v in inputs)
    two_by_two = tuple(p["window"]) == (2, 2)
    return [Var(out.shape, out.dtype, stable, pooled=Pooled(inputs[0], inputs[1], tuple(ints), two_by_two))]


_REDUCTIONS = {"reduce_sum": "sum", "reduce_max": "max", "reduce_min": "min", "reduce_prod": "prod"}


@lowers(*_REDUCTIONS)
def _reduce(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    if node.outputs[0].dtype != "float32" or len(node.inputs[0].shape) > 8:
        return None
    made = attributes.reduce(_REDUCTIONS[node.op], node.params["axes"])
    return [draft.step("reduce", inputs, node.outputs[0].aval, *made)]


@lowers("reduce_deviation")
def _deviation(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    """In one pass where the last axes are kept, else with the squares as an array of their own."""
    x, axes = node.inputs[0], node.params["axes"]
    if x.dtype != "float32" or len(x.shape) > 8:
        return None
    program = attributes.elementwise(2, [("sub", [0, 1], ()), ("square", [2], ())])
    if attributes.sums_chains(x.shape, axes):
        return [draft.step("chain_sum", inputs, node.outputs[0].aval, *program)]
    squares = draft.step("elementwise", inputs, x.aval, *program)
    return [draft.step("reduce", [squares], node.outputs[0].aval, *attributes.reduce("sum", axes))]


@lowers("softmax", "log_softmax")
def _softmax(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    if node.outputs[0].dtype != "float32":
        return None
    made = attributes.softmax(node.params["axis"], node.op == "log_softmax")
    return [draft.step("softmax", inputs, node.outputs[0].aval, *made)]


@lowers("resize")
def _resize(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    x, y, p = node.inputs[0], node.outputs[0], node.params
    shrinks = any(m < n for n, m in zip(x.shape, y.shape, strict=True))
    images = len(x.shape) == 4 and (x.shape[0], x.shape[3]) == (y.shape[0], y.shape[3])
    fits = p["method"] in attributes.RESIZE_METHODS and not (p["antialias"] and shrinks)
    if y.dtype != "float32" or not images or not fits:
        return None
    return [draft.step("resize", inputs, y.aval, *attributes.resize(p["method"]))]
