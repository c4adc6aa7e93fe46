"""Inverted residual blocks become one node: a 1x1 convolution that expands, a depthwise one, a 1x1 one that projects.

It comes after the fusion of each convolution with its bias, residual and activation. The tensors between the three are
the largest of such networks and are needed nowhere else.
"""

from __future__ import annotations

from striate.ir import Graph, Node
from striate.kernels import blocks
from striate.kernels.conv import ConvSpec
from striate.passes.fuse import Region, Uses, replace

BLOCK = "block"


def fuse_blocks(graph: Graph) -> Graph:
    """Fuses what the kernel of blocks does at once."""
    uses = Uses(graph)
    regions = [r for node in graph.nodes if (r := _block(node, uses)) is not None]
    return replace(graph, _apart(regions)) if regions else graph


def _apart(regions: list[Region]) -> list[Region]:
    """Without those that share a node with one before: a convolution may project one block and expand the next."""
    taken: set[int] = set()
    kept = []
    for region in regions:
        mine = {id(n) for n in region.nodes}
        if not mine & taken:
            kept.append(region)
            taken |= mine
    return kept


def convolution(node: Node) -> Node | None:
    """The convolution of a node that is one, by itself or with what is fused behind it."""
    if node.op == "fused" and node.params["kind"] == "linear":
        node = node.params["graph"].nodes[0]
    return node if node.op == "conv" and node.outputs[0].dtype == "float32" and node.outputs[0].ndim == 4 else None


def spec_of(node: Node) -> ConvSpec | None:
    """The shapes of a node's planar convolution, None where there is none or more is fused than the kernel knows."""
    conv = convolution(node)
    if conv is None or any(node.params.get(flag) for flag in ("mask", "pool")):
        return None
    p, pads = conv.params, tuple(tuple(pair) for pair in conv.params["padding"])
    x, w, out = (v.shape for v in (*conv.inputs[:2], conv.outputs[0]))
    return ConvSpec(x, w, tuple(p["strides"]), pads, tuple(p["dilation"]), p["groups"], out)


def _block(node: Node, uses: Uses) -> Region | None:
    spec = spec_of(node)
    if spec is None or not blocks.is_depthwise(spec) or node.params.get("residual"):
        return None
    expand = node.inputs[0].node
    if expand is None or uses.only_user(node.inputs[0]) is not node or not _expands(expand):
        expand = None
    project = uses.only_user(node.outputs[0])
    if project is None or not _projects(project, node) or not blocks.projects_at_once(spec):
        project = None
    nodes = [n for n in (expand, node, project) if n is not None]
    if len(nodes) == 1:
        return None
    region = Region(BLOCK, nodes, {"expands": expand is not None, "projects": project is not None})
    region.operands = [nodes[0].inputs[0], *(v for n in nodes for v in n.inputs[1:])]
    return region


def _expands(node: Node) -> bool:
    spec = spec_of(node)
    fits = spec is not None and (blocks.is_pointwise(spec) or blocks.is_first(spec))
    return fits and not node.params.get("residual")


def _projects(node: Node, depthwise: Node) -> bool:
    spec = spec_of(node)
    return spec is not None and blocks.is_pointwise(spec) and node.inputs[0] is depthwise.outputs[0]
