"""From nodes to steps: which kernel computes an op, with which attributes. Without a rule an op is a NumPy step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from striate.ir import Node
from striate.kernels import attributes
from striate.kernels import conv as conv_kernels
from striate.kernels.conv import ConvSpec, MatmulSpec
from striate.plan import lowering_elementwise as elementwise
from striate.plan.draft import Draft, Var
from striate.primitives import REGISTRY

Rule = Callable[[Draft, Node, Sequence[Var]], Sequence[Var] | None]
RULES: dict[str, Rule] = {}


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


def lower_linear(
    draft: Draft, node: Node, inputs: Sequence[Var], activation: int = 0, floats: tuple[float, ...] = (),
    bias: bool = False, residual: bool = False,
) -> Sequence[Var] | None:  # fmt: skip
    """A convolution, one of its gradients, or a product, with what is fused behind it."""
    if node.outputs[0].dtype != "float32":
        return None
    if node.op == "matmul":
        return _lower_matmul(draft, node, inputs, activation, floats, bias)
    spec = conv_spec(node)
    if len(spec.strides) > conv_kernels.MAX_SPATIAL:
        return None
    name = _CHOOSE[node.op](spec)
    second = _packed(draft, name, spec, inputs[1])
    ints = conv_kernels.encode(name, spec, activation, bias, residual)
    kernel = conv_kernels.ALGORITHMS[name].kernel
    return [draft.step(kernel, [inputs[0], second, *inputs[2:]], node.outputs[0].aval, ints, floats)]


def _packed(draft: Draft, name: str, spec: ConvSpec | MatmulSpec, weights: Var) -> Var:
    shape = conv_kernels.packed_shape(name, spec)
    if shape is None:
        return weights
    pack = conv_kernels.ALGORITHMS[name].pack_kernel
    return draft.step(pack, [weights], (shape, "float32"), conv_kernels.encode_pack(name, spec), ())


def _lower_matmul(
    draft: Draft, node: Node, inputs: Sequence[Var], activation: int, floats: tuple[float, ...], bias: bool
) -> Sequence[Var] | None:
    """(.., m, k) @ (k, n) is one product of all rows; (b, m, k) @ (b, k, n) a product per batch entry."""
    a, b = node.inputs[:2]
    out = node.outputs[0]
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if len(b.shape) == 2:
        rows = a.size // k if k else out.size // n if n else 0
        spec = MatmulSpec(rows, k, n)
        left, right = draft.view(inputs[0], (1, rows, k)), draft.view(inputs[1], (1, k, n))
    elif a.shape[:-2] == b.shape[:-2]:
        batch = 1
        for size in a.shape[:-2]:
            batch *= size
        spec = MatmulSpec(m, k, n, batch)
        left, right = draft.view(inputs[0], (batch, m, k)), draft.view(inputs[1], (batch, k, n))
    else:
        return None
    name = conv_kernels.choose_matmul(spec, constant_b=draft.is_stable(inputs[1]))
    right = _packed(draft, name, spec, right)
    ints = conv_kernels.encode(name, spec, activation, bias)
    kernel = conv_kernels.ALGORITHMS[name].kernel
    shape = (spec.batch, spec.m, spec.n)
    made = draft.step(kernel, [left, right, *inputs[2:]], (shape, "float32"), ints, floats)
    return [draft.view(made, out.shape)]


@lowers("conv", "conv_input_grad", "conv_kernel_grad", "matmul")
def _plain_linear(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    return lower_linear(draft, node, inputs)


@lowers("reshape")
def _reshape(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var]:
    return [draft.view(inputs[0], node.outputs[0].shape)]


@lowers("fused")
def _fused(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    p = node.params
    if p["kind"] != "linear":
        return elementwise.lower_chain(draft, p["graph"], inputs)
    name = p["activation"] or "linear"
    floats = attributes.activation_floats(name, dict(p["activation_params"]))
    activation = attributes.ACTIVATION_IDS[name]
    return lower_linear(draft, p["graph"].nodes[0], inputs, activation, floats, p["bias"], p["residual"])


@lowers(*(name for name, primitive in REGISTRY.items() if primitive.elementwise and primitive.kernel == "elementwise"))
def _elementwise(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    if node.op == "stop_gradient":
        return [inputs[0]]
    return elementwise.lower_single(draft, node, inputs)
