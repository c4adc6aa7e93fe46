"""Inverted residual blocks as steps of their kernel."""

from __future__ import annotations

from collections.abc import Sequence

from striate.ir import Node
from striate.kernels import attributes, blocks
from striate.passes.fuse_blocks import BLOCK, convolution
from striate.plan.draft import Draft, Var
from striate.plan.lowering import KINDS, conv_spec, packed


def lower_block(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var]:
    """A node of kind "block": of its two or three convolutions the depthwise one is always there."""
    expands, nodes = node.params["expands"], node.params["graph"].nodes
    names = ["expand", "depth", "project"] if expands else ["depth", "project"]
    stages = {"expand": blocks.Stage(), "depth": blocks.Stage(), "project": blocks.Stage()}
    operands, rest, flags = [inputs[0]], list(inputs[1:]), []
    for name, part in zip(names, nodes, strict=False):
        algorithm = "depthwise" if name == "depth" else "direct"
        operands.append(packed(draft, algorithm, conv_spec(_conv(part)), rest.pop(0)))
        flags += [] if name == "depth" else [name]
        for what in ("bias", "residual"):
            if part.params.get(what):
                operands.append(rest.pop(0))
                flags.append(what if what == "residual" else f"{name}_bias")
        stages[name] = _stage(part)
    depthwise = conv_spec(_conv(nodes[int(expands)]))
    expansion = conv_spec(_conv(nodes[0])) if expands else None
    ints, floats = blocks.encode(depthwise, flags, list(stages.values()), expansion)
    return [draft.step(blocks.KERNEL, operands, node.outputs[0].aval, ints, floats)]


def _conv(part: Node) -> Node:
    conv = convolution(part)
    if conv is None:
        raise ValueError(f"a block of convolutions holds {part.op}")
    return conv


def _stage(part: Node) -> blocks.Stage:
    name = part.params.get("activation") or "linear"
    floats = attributes.activation_floats(name, dict(part.params.get("activation_params", ())))
    return blocks.Stage(attributes.ACTIVATION_IDS[name], tuple(floats))


KINDS[BLOCK] = lower_block
