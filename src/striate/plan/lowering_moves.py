"""Ops that move data, and casts."""

from __future__ import annotations

from collections.abc import Sequence

from striate.ir import Node
from striate.kernels import attributes
from striate.plan.draft import Draft, Turned, Var
from striate.plan.lowering import lowers

# What the moving kernels know; other dtypes are moved by NumPy.
DTYPES = frozenset({"float32", "float64", "int32", "int64", "uint8", "bool"})
_MAX_RANK = 8


def _fits(node: Node) -> bool:
    values = (*node.inputs, *node.outputs)
    return all(v.dtype in DTYPES and len(v.shape) <= _MAX_RANK for v in values)


@lowers("barrier")
def _barrier(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var]:
    return [draft.view(inputs[0], node.outputs[0].shape)]


@lowers("transpose")
def _transpose(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    if not _fits(node):
        return None
    y, made = node.outputs[0], attributes.transpose(node.params["axes"])
    if len(y.shape) == 2 and y.dtype == "float32" and not draft.is_stable(inputs[0]):
        return [Var(y.shape, y.dtype, False, turned=Turned(inputs[0], tuple(made[0])))]  # products read it as it is
    return [draft.step("transpose", inputs, y.aval, *made)]


@lowers("broadcast_to")
def _broadcast(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    return [draft.step("broadcast", inputs, node.outputs[0].aval, (), ())] if _fits(node) else None


@lowers("concatenate")
def _concatenate(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    if not _fits(node) or len(inputs) > 64:
        return None
    return [draft.step("concat", inputs, node.outputs[0].aval, *attributes.concat(node.params["axis"]))]


@lowers("slice", "unslice")
def _slice(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    if not _fits(node):
        return None
    made = attributes.slice_(node.params["starts"], node.params["steps"])
    return [draft.step(node.op, inputs, node.outputs[0].aval, *made)]


@lowers("pad")
def _pad(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    p = node.params
    # NumPy wraps and reflects wider than the input by going round again; the kernel does not.
    narrow = all(max(pair) < n for n, pair in zip(node.inputs[0].shape, p["widths"], strict=True) if any(pair))
    if not node.inputs[0].shape:  # a scalar has no sides
        return [inputs[0]]
    if not _fits(node) or (p.get("mode", "constant") in ("reflect", "symmetric", "wrap") and not narrow):
        return None
    made = attributes.pad(p.get("mode", "constant"), p["widths"], p.get("value", 0.0))
    return [draft.step("pad", inputs, node.outputs[0].aval, *made)]


@lowers("cast")
def _cast(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    x, y = node.inputs[0], node.outputs[0]
    # Where a float does not fit a byte, NumPy decides what becomes of it.
    if not _fits(node) or (x.dtype.startswith("float") and y.dtype == "uint8"):
        return None
    return [draft.step("cast", inputs, y.aval, (), ())]


@lowers("one_hot")
def _one_hot(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    x, y = node.inputs[0], node.outputs[0]
    if not _fits(node) or x.dtype not in ("int32", "int64", "uint8") or y.dtype != "float32":
        return None
    return [draft.step("one_hot", inputs, y.aval, (), ())]
