"""From nodes to steps: which kernel computes an op, with which attributes. Without a rule an op is a NumPy step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from striate.ir import Aval, Node
from striate.kernels import attributes
from striate.kernels import conv as conv_kernels
from striate.kernels.conv import ConvSpec, MatmulSpec
from striate.plan import lowering_elementwise as elementwise
from striate.plan.draft import Draft, Var
from striate.primitives import REGISTRY

Rule = Callable[[Draft, Node, Sequence[Var]], Sequence[Var] | None]
RULES: dict[str, Rule] = {}
KINDS: dict[str, Rule] = {}  # of `fused` nodes, beside "linear" and chains


def takes_unfinished(node: Node) -> bool:
    """Whether the node's rule knows gradients that are not spread from their maxima yet, or matrices to be turned."""
    op = node.params["graph"].nodes[0].op if node.op == "fused" and node.params["kind"] == "linear" else node.op
    return op in _GRADIENTS or op == "matmul"


def lowers(*ops: str) -> Callable[[Rule], Rule]:
    """Registers the rule for `ops`; a rule returns None where no kernel fits."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(ops, rule))
        return rule

    return register


def conv_spec(node: Node) -> ConvSpec:
    """The shapes of a convolution or of one of its gradients, as those of the forward convolution."""
    a, b = node.inputs[:2]
    p = node.params
    out = node.outputs[0].shape
    x_shape, w_shape, y_shape = {
        "conv": lambda: (a.shape, b.shape, out),
        "conv_input_grad": lambda: (tuple(p["input_shape"]), b.shape, a.shape),
        "conv_kernel_grad": lambda: (a.shape, tuple(p["kernel_shape"]), b.shape),
    }[node.op]()
    return ConvSpec(x_shape, w_shape, p["strides"], p["padding"], p["dilation"], p["groups"], y_shape)


_CHOOSE = {
    "conv": conv_kernels.choose,
    "conv_input_grad": conv_kernels.choose_input_grad,
    "conv_kernel_grad": conv_kernels.choose_kernel_grad,
}


@dataclass(frozen=True)
class Finish:
    """What is fused behind a convolution or product; operands that `flags` name follow the node's own."""

    activation: int = 0
    floats: tuple[float, ...] = ()
    flags: tuple[str, ...] = ()


def lower_linear(draft: Draft, node: Node, inputs: Sequence[Var], finish: Finish) -> Sequence[Var] | None:
    """A convolution, one of its gradients, or a product, with what is fused behind it."""
    if node.outputs[0].dtype != "float32":
        return None
    if node.op == "matmul":
        return _lower_matmul(draft, node, inputs, finish)
    spec = conv_spec(node)
    if len(spec.strides) > conv_kernels.MAX_SPATIAL:
        return None
    name = _algorithm(node.op, spec, inputs, finish)
    able = tuple(f for f in finish.flags if conv_kernels.takes(name, f))
    mask = inputs[-1] if "mask" in finish.flags and "mask" not in able else None
    operands = [draft.solid(v) for v in (inputs[2:] if mask is None else inputs[2:-1])]
    first, second, positions = _gradient(draft, node.op, name, inputs)
    flags = able if positions is None else (*able, "unpool")
    made = draft.steps_of(
        conv_kernels.ALGORITHMS[name].kernel,
        [first, packed(draft, name, spec, second), *operands, *([] if positions is None else [positions])],
        _results(node.outputs[0].aval, flags),
        conv_kernels.encode(name, spec, finish.activation, flags),
        finish.floats,
    )
    return _beside(draft, made, mask, [f for f in finish.flags if f not in able])


def _algorithm(op: str, spec: ConvSpec, inputs: Sequence[Var], finish: Finish) -> str:
    name = _CHOOSE[op](spec)
    pooled = inputs[_GRADIENTS[op]].pooled if op in _GRADIENTS else None
    if pooled is None or not pooled.two_by_two or finish.activation or set(finish.flags) - {"mask"}:
        return name
    return conv_kernels.choose_maxima(op.removeprefix("conv_"), spec, name)


def _results(aval: Aval, flags: Sequence[str]) -> list[Aval]:
    """What a convolution gives: itself, or its 2x2 maxima, and their positions."""
    if "pool" not in flags:
        return [aval]
    n, height, width, channels = aval.shape
    small = (n, height // 2, width // 2, channels)
    return [Aval(small, aval.dtype), *([Aval(small, "uint8")] if "positions" in flags else [])]


def _beside(draft: Draft, made: list[Var], mask: Var | None, left: Sequence[str]) -> list[Var]:
    """What the chosen kernel could not take over, as steps of their own."""
    if mask is not None:
        ints, floats = attributes.elementwise(2, [("relu_grad", [0, 1], ())])
        made = [draft.step("elementwise", [draft.solid(mask), made[0]], (made[0].shape, "float32"), ints, floats)]
    if "pool" not in left:
        return made
    x, (ints, floats) = made[0], attributes.pool((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    small, _ = _results(Aval(x.shape, x.dtype), ("pool", "positions"))
    if "positions" not in left:
        return [draft.step("max_pool", [x], small, ints, floats)]
    both = draft.steps_of("max_pool_positions", [x], [(small.shape, "uint8"), small], ints, floats)
    return both[::-1]


# Which input of a gradient is the output's gradient.
_GRADIENTS = {"conv_input_grad": 0, "conv_kernel_grad": 1}


def _gradient(draft: Draft, op: str, name: str, inputs: Sequence[Var]) -> tuple[Var, Var, Var | None]:
    """The first two inputs; a gradient that is spread from maxima may stay as it is, with their positions."""
    at = _GRADIENTS.get(op)
    pooled = inputs[at].pooled if at is not None else None
    if at is None or pooled is None or not conv_kernels.takes(name, "unpool") or not pooled.two_by_two:
        return draft.solid(inputs[0]), draft.solid(inputs[1]), None
    pair = [draft.solid(v) for i, v in enumerate(inputs[:2]) if i != at]
    pair.insert(at, pooled.values)
    return pair[0], pair[1], pooled.positions


def packed(draft: Draft, name: str, spec: ConvSpec | MatmulSpec, weights: Var) -> Var:
    """`weights` as the algorithm `name` takes them."""
    shape = conv_kernels.packed_shape(name, spec)
    if shape is None:
        return weights
    pack = conv_kernels.ALGORITHMS[name].pack_kernel
    return draft.step(pack, [weights], (shape, "float32"), conv_kernels.encode_pack(name, spec), ())


def _lower_matmul(draft: Draft, node: Node, inputs: Sequence[Var], finish: Finish) -> Sequence[Var] | None:
    """(.., m, k) @ (k, n) is one product of all rows; (b, m, k) @ (b, k, n) a product per batch entry."""
    a, b = node.inputs[:2]
    turned = inputs[1].turned
    inputs = [draft.solid(v) if i != 1 or turned is None else turned.matrix for i, v in enumerate(inputs)]
    out = node.outputs[0]
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if len(b.shape) == 2:
        rows = a.size // k if k else out.size // n if n else 0
        spec = MatmulSpec(rows, k, n, transpose_b=turned is not None)
        left, right = draft.view(inputs[0], (1, rows, k)), draft.view(inputs[1], (1, k, n) if not turned else (1, n, k))
    elif a.shape[:-2] == b.shape[:-2]:
        batch = 1
        for size in a.shape[:-2]:
            batch *= size
        spec = MatmulSpec(m, k, n, batch)
        left, right = draft.view(inputs[0], (batch, m, k)), draft.view(inputs[1], (batch, k, n))
    else:
        return None
    name = conv_kernels.choose_matmul(spec, constant_b=draft.is_stable(inputs[1]))
    right = packed(draft, name, spec, right)
    ints = conv_kernels.encode(name, spec, finish.activation, finish.flags)
    kernel = conv_kernels.ALGORITHMS[name].kernel
    shape = (spec.batch, spec.m, spec.n)
    made = draft.step(kernel, [left, right, *inputs[2:]], (shape, "float32"), ints, finish.floats)
    return [draft.view(made, out.shape)]


@lowers("conv", "conv_input_grad", "conv_kernel_grad", "matmul")
def _plain_linear(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    return lower_linear(draft, node, inputs, Finish())


@lowers("reshape")
def _reshape(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var]:
    return [draft.view(inputs[0], node.outputs[0].shape)]


_CHAINS = {"elementwise": elementwise.lower_chain, "sum": elementwise.lower_sum}


@lowers("fused")
def _fused(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    p = node.params
    if p["kind"] in KINDS:
        return KINDS[p["kind"]](draft, node, inputs)
    if p["kind"] in _CHAINS:
        return _CHAINS[p["kind"]](draft, p["graph"], inputs)
    name = p["activation"] or "linear"
    floats = attributes.activation_floats(name, dict(p["activation_params"]))
    flags = tuple(f for f in conv_kernels.FLAGS if p.get(f))
    finish = Finish(attributes.ACTIVATION_IDS[name], floats, flags)
    return lower_linear(draft, p["graph"].nodes[0], inputs, finish)


@lowers(*(name for name, primitive in REGISTRY.items() if primitive.elementwise and primitive.kernel == "elementwise"))
def _elementwise(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    if node.op == "stop_gradient":
        return [inputs[0]]
    if node.op == "add" and elementwise.counts(node):
        return [draft.step("add_integers", inputs, node.outputs[0].aval, (), ())]
    return elementwise.lower_single(draft, node, inputs)
