"""Builds a plan: lowers each node, splits what is computed once from what runs each time, and lays out the memory."""

from __future__ import annotations

from collections.abc import Sequence

from striate.ir import Graph, Node
from striate.plan.draft import Draft, DraftStep, Var
from striate.plan.lowering import takes_unfinished
from striate.plan.memory import Life, assign_offsets
from striate.plan.origin import origin_of
from striate.plan.plan import Buffer, Operand, Place, Plan, Step
from striate.plan.rules import RULES
from striate.plan.schedule import ordered


def build(graph: Graph, stable_inputs: frozenset[int]) -> Plan:
    """The plan of `graph`; inputs at `stable_inputs` are weights."""
    draft = Draft(graph, stable_inputs)
    for node in ordered(graph, stable_inputs):
        draft.origin = origin_of(node)
        inputs = [draft.var(v) for v in node.inputs]
        if not takes_unfinished(node):
            inputs = [draft.solid(v) for v in inputs]
        rule = RULES.get(node.op) if _has_kernel(node) else None
        made = rule(draft, node, inputs) if rule else None
        if made is None:
            made = draft.numpy_step(node, [draft.solid(v) for v in inputs])
        draft.bind(node.outputs, made)
    draft.origin = None
    outputs = _owned(draft, [draft.solid(draft.var(v)) for v in graph.outputs])
    return _Layout(draft, outputs).plan()


# Kernels know arrays of at most this many axes.
_MAX_RANK = 8


def _has_kernel(node: Node) -> bool:
    """Whether kernels can take the node's arrays; a reshape is none, so it may have any number of axes."""
    return node.op == "reshape" or all(len(v.shape) <= _MAX_RANK for v in (*node.inputs, *node.outputs))


def _owned(draft: Draft, outputs: list[Var]) -> list[Var]:
    """Outputs with memory of their own: one that is an input, a weight or already an output is copied."""
    seen: set[int] = set()
    made = []
    for var in outputs:
        if var.root.input is not None or var.root.data is not None or var.root.stable or id(var.root) in seen:
            copy = Var(var.shape, var.dtype, False)
            draft.steps.append(DraftStep((var,), (copy,), primitive="stop_gradient"))
            var = copy
        seen.add(id(var.root))
        made.append(var)
    return made


class _Layout:
    def __init__(self, draft: Draft, outputs: list[Var]) -> None:
        self.outputs = outputs
        self.once = [s for s in draft.steps if s.stable]
        self.steps = [s for s in draft.steps if not s.stable]
        self.slots: dict[int, int] = {}
        self.buffers: list[Buffer] = []

    def plan(self) -> Plan:
        places = {id(v.root): i for i, v in enumerate(self.outputs)}
        offsets, arena = self._arena(places)
        for step in (*self.once, *self.steps):
            for var in (*step.inputs, *step.outputs):
                self._place(var.root, places, offsets)
        for var in self.outputs:
            self._place(var.root, places, offsets)
        return Plan(
            tuple(map(self._step, self.once)), tuple(map(self._step, self.steps)), tuple(self.buffers),
            tuple(map(self._operand, self.outputs)), arena,
        )  # fmt: skip

    def _place(self, root: Var, outputs: dict[int, int], offsets: dict[int, int]) -> None:
        if id(root) in self.slots:
            return
        self.slots[id(root)] = len(self.buffers)
        if root.input is not None:
            buffer = Buffer(root.shape, root.dtype, Place.INPUT, root.input)
        elif root.data is not None:
            buffer = Buffer(root.shape, root.dtype, Place.CONSTANT, data=root.data)
        elif root.stable:
            buffer = Buffer(root.shape, root.dtype, Place.KEPT)
        elif id(root) in outputs:
            buffer = Buffer(root.shape, root.dtype, Place.OUTPUT, outputs[id(root)])
        else:
            buffer = Buffer(root.shape, root.dtype, Place.ARENA, offsets[id(root)])
        self.buffers.append(buffer)

    def _arena(self, outputs: dict[int, int]) -> tuple[dict[int, int], int]:
        spans: dict[int, list[int]] = {}
        sizes: dict[int, int] = {}
        for i, step in enumerate(self.steps):
            for var in (*step.inputs, *step.outputs):
                root = var.root
                if root.input is None and root.data is None and not root.stable and id(root) not in outputs:
                    spans.setdefault(id(root), [i, i])[1] = i
                    sizes[id(root)] = Buffer(root.shape, root.dtype, Place.ARENA).nbytes
        lives = [Life(key, sizes[key], first, last) for key, (first, last) in spans.items()]
        offsets, arena = assign_offsets(lives)
        return dict(offsets), arena

    def _operand(self, var: Var) -> Operand:
        return Operand(self.slots[id(var.root)], var.shape, var.dtype)

    def _step(self, step: DraftStep) -> Step:
        return Step(
            self._operands(step.inputs), self._operands(step.outputs), step.kernel, step.ints, step.floats,
            step.primitive, step.params, step.origin,
        )  # fmt: skip

    def _operands(self, variables: Sequence[Var]) -> tuple[Operand, ...]:
        return tuple(self._operand(v) for v in variables)
