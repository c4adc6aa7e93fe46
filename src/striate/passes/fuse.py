"""Fusion: convolution or product + bias + residual + activation as one step, elementwise chains as one loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from striate.ir import Builder, Graph, Node, Value, at, building
from striate.kernels import attributes
from striate.passes.stable import is_stable, stable_values
from striate.primitives import get
from striate.primitives.activations import ACTIVATIONS
from striate.primitives.fused import fused

_LINEAR = ("conv", "conv_input_grad", "matmul")
_MAX_OPERANDS = 8
_MAX_CHAIN = 24


class Region:
    """Nodes that become one: of their outputs only the last one's (of maxima, and that of the positions) is needed, and
    of a chain its `exits`, which are results of the graph."""

    def __init__(self, kind: str, nodes: list[Node], params: dict[str, Any] | None = None) -> None:
        self.kind, self.nodes, self.params = kind, nodes, params or {}
        self.operands: list[Value] = []
        self.exits: list[Value] = []

    @property
    def output(self) -> Value:
        return self.outputs[0] if self.params else self.nodes[-1].outputs[0]

    @property
    def outputs(self) -> list[Value]:
        n = 2 if self.params.get("positions") else 1
        return [*self.exits, *(node.outputs[0] for node in self.nodes[-n:])]

    def place(self, order: Mapping[int, int]) -> int:
        """The node that it stands for in the order of the program."""
        last = self.nodes[-1] if self.exits else min((v.node for v in self.outputs), key=lambda n: order[id(n)])
        return id(last)


class Uses:
    """How often each value of a graph is used, and by whom."""

    def __init__(self, graph: Graph) -> None:
        self.users: dict[int, list[Node]] = {}
        for node in graph.nodes:
            for value in node.inputs:
                self.users.setdefault(id(value), []).append(node)
        self.outputs = {id(v) for v in graph.outputs}

    def only_user(self, value: Value) -> Node | None:
        """The single node that uses `value`, if nothing else does."""
        users = self.users.get(id(value), [])
        return users[0] if len(users) == 1 and id(value) not in self.outputs else None


def fuse(graph: Graph, stable_inputs: frozenset[int], activations: frozenset[str]) -> Graph:
    """Fuses what compiled kernels do at once; `activations` are those that the kernels' epilogues know."""
    uses, stable = Uses(graph), stable_values(graph, stable_inputs)
    regions = _linear_regions(graph, uses, activations)
    taken = {id(n) for r in regions for n in r.nodes}
    regions += _with_sums(graph, uses, _elementwise_regions(graph, uses, stable, taken))
    return replace(graph, [r for r in regions if len(r.nodes) > 1])


def _linear_regions(graph: Graph, uses: Uses, activations: frozenset[str]) -> list[Region]:
    regions: list[Region] = []
    taken: set[int] = set()  # of two convolutions that are added, one takes the sum
    for node in graph.nodes:
        if node.op in _LINEAR and node.outputs[0].dtype == "float32":
            region = _grow(node, uses, activations, taken)
            if len(region.nodes) > 1:
                regions.append(region)
                taken |= {id(n) for n in region.nodes}
    return regions


def _grow(node: Node, uses: Uses, activations: frozenset[str], taken: set[int]) -> Region:
    """Follows the output of a linear node through a bias, a residual and an activation, as far as each is there."""
    flags = dict.fromkeys(("bias", "residual", "mask", "pool", "positions"), False)
    region = Region("linear", [node], {"activation": None, "activation_params": (), **flags})
    region.operands = list(node.inputs)
    while (user := uses.only_user(region.output)) is not None:
        if id(user) in taken or not _absorb(region, user, activations):
            break
        region.nodes.append(user)
        if region.params["activation"] or region.params["mask"]:
            break
    _absorb_pooling(region, uses)
    return region


def _absorb_pooling(region: Region, uses: Uses) -> None:
    """2x2 maxima of a planar convolution, and their positions, if nothing else needs what is pooled."""
    users = uses.users.get(id(region.output), [])
    pools = [n for n in users if n.op == "max_pool" and _is_two_by_two(n)]
    places = [n for n in users if n.op == "max_pool_positions" and _is_two_by_two(n)]
    activation, op = region.params["activation"], region.nodes[0].op
    fits = op == "conv" and activation in (None, "relu") and not region.params["mask"]
    if not fits or len(pools) != 1 or len(places) > 1 or len(users) != len(pools) + len(places):
        return
    if id(region.output) not in uses.outputs:
        region.nodes += pools + places
        region.params |= {"pool": True, "positions": bool(places)}


def _is_two_by_two(node: Node) -> bool:
    p = node.params
    plain = [p["window"], p["strides"], p["dilation"], p["padding"]]
    return [tuple(map(_plain, v)) for v in plain] == [(2, 2), (2, 2), (1, 1), ((0, 0), (0, 0))]


def _plain(value: Any) -> Any:
    return value if isinstance(value, int) else tuple(value)


def _absorb(region: Region, user: Node, activations: frozenset[str]) -> bool:
    out = region.output
    convolves = region.nodes[0].op in ("conv", "conv_input_grad")
    if user.op == "relu_grad" and convolves and user.inputs[1] is out and user.inputs[0].shape == out.shape:
        region.params["mask"] = True
        region.operands.append(user.inputs[0])
        return True
    if user.op in activations and user.op in ACTIVATIONS:
        region.params |= {"activation": user.op, "activation_params": tuple(sorted(user.params.items()))}
        return True
    if user.op != "add" or user.outputs[0].shape != out.shape:
        return False
    other = user.inputs[1] if user.inputs[0] is out else user.inputs[0]
    is_vector = other.size == out.shape[-1] and other.shape[-1:] == out.shape[-1:]
    if is_vector and not region.params["bias"] and not region.params["residual"]:
        region.params["bias"] = True
    elif other.shape == out.shape and convolves and not region.params["residual"]:
        region.params["residual"] = True
    else:
        return False
    region.operands.append(other)
    return True


def _elementwise_regions(graph: Graph, uses: Uses, stable: set[int], taken: set[int]) -> list[Region]:
    regions: dict[int, Region] = {}
    order: list[Region] = []
    for node in graph.nodes:
        if id(node) in taken or not _chains(node):
            continue
        region = Region("elementwise", [node])
        for value in dict.fromkeys(node.inputs):
            joined = regions.get(id(value.node))
            if joined and _joins(joined, region, value, node, uses, stable):
                region.nodes = joined.nodes + region.nodes
                region.exits += [*joined.exits, *([value] if id(value) in uses.outputs else [])]
                order.remove(joined)
        region.operands = _operands(region.nodes)
        regions[id(node)] = region
        order.append(region)
    return order


def _with_sums(graph: Graph, uses: Uses, chains: Sequence[Region]) -> list[Region]:
    """Chains that only a sum over all but the last axes reads end with it, so that their result is never stored."""
    ends = {id(r.output): r for r in chains}
    for node in graph.nodes:
        chain = ends.get(id(node.inputs[0])) if node.op == "reduce_sum" else None
        if chain is not None and not chain.exits and uses.only_user(chain.output) is node and _sums(chain, node):
            chain.kind, chain.nodes = "sum", [*chain.nodes, node]
    return list(chains)


def _sums(chain: Region, node: Node) -> bool:
    x = chain.output
    whole = any(v.shape == x.shape for v in chain.operands)
    known = all(n.op in attributes.ELEMENTWISE_OPS for n in chain.nodes)
    return x.dtype == "float32" and whole and known and attributes.sums_chains(x.shape, node.params["axes"])


def _chains(node: Node) -> bool:
    floats = all(v.dtype in ("float32", "bool") for v in (*node.inputs, *node.outputs))
    primitive = get(node.op)
    return primitive.elementwise and primitive.kernel == "elementwise" and floats and len(node.outputs) == 1


def _joins(joined: Region, region: Region, value: Value, node: Node, uses: Uses, stable: set[int]) -> bool:
    inner = uses.users.get(id(value), [])
    same = value.shape == node.outputs[0].shape and all(u is node for u in inner)
    if id(value) in uses.outputs:  # another result of the same loop
        same = same and value.dtype == node.outputs[0].dtype == "float32"
    level = is_stable(value, stable) == is_stable(node.outputs[0], stable)
    nodes = joined.nodes + region.nodes
    return same and level and len(nodes) <= _MAX_CHAIN and len(_operands(nodes)) <= _MAX_OPERANDS


def _operands(nodes: Sequence[Node]) -> list[Value]:
    made = {id(v) for n in nodes for v in n.outputs}
    found: dict[int, Value] = {}
    for node in nodes:
        for value in node.inputs:
            if id(value) not in made and not (value.is_constant and value.size == 1):
                found.setdefault(id(value), value)
    return list(found.values())


def replace(graph: Graph, regions: Sequence[Region]) -> Graph:
    """A copy of `graph` with each region as one `fused` node, where its first result was made."""
    order = {id(node): i for i, node in enumerate(graph.nodes)}
    place = {r.place(order): r for r in regions}
    inner = {id(n) for r in regions for n in r.nodes} - set(place)
    builder = Builder()
    table: dict[int, Value] = {id(v): builder.input(v.shape, v.dtype) for v in graph.inputs}

    def new(value: Value) -> Value:
        return value if value.is_constant else table[id(value)]

    with building(builder):
        for node in graph.nodes:
            if id(node) in inner:
                continue
            region = place.get(id(node))
            with at(node.where if region is None else region.nodes[0].where):
                if region is None:
                    avals = [v.aval for v in node.outputs]
                    made = builder.add(node.op, [new(v) for v in node.inputs], node.params, avals)
                else:
                    made = _fused(region, [new(v) for v in region.operands])
            outputs = node.outputs if region is None else region.outputs
            table.update((id(old), value) for old, value in zip(outputs, made, strict=True))
    return builder.graph([new(v) for v in graph.outputs])


def _fused(region: Region, operands: Sequence[Value]) -> tuple[Value, ...]:
    made = fused(*operands, graph=_subgraph(region), kind=region.kind, **region.params)
    return made if isinstance(made, tuple) else (made,)


def _subgraph(region: Region) -> Graph:
    """The region's nodes as a graph of their own."""
    builder = Builder()
    table = {id(v): builder.input(v.shape, v.dtype) for v in region.operands}
    for node in region.nodes:
        inputs = [table.get(id(v), v) for v in node.inputs]
        with at(node.where):
            made = builder.add(node.op, inputs, node.params, [v.aval for v in node.outputs])
        table.update((id(old), value) for old, value in zip(node.outputs, made, strict=True))
    return Graph(builder.inputs, builder.nodes, [table[id(v)] for v in region.outputs])
