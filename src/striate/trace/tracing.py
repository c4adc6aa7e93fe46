"""Tracing: running a Python function once on symbolic values of known sizes to get its graph.

Reading a Variable while tracing makes it an input of the graph; `assign` makes its new value an output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from striate.core import tree
from striate.ir import Aval, Builder, Graph, Value, building, current
from striate.trace.operators import TensorOperators


class NoValueError(TypeError):
    """Python code asked a symbolic tensor for its value, for a branch or for NumPy."""


class TracedTensor(TensorOperators, Value):
    """What a traced function sees in the place of an array: shape and dtype are known, the values are not."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise NoValueError(_NO_VALUE.format(what="used as a condition", fix="Use `ops.where` or `ops.cond`"))

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise NoValueError(
            _NO_VALUE.format(what="converted to a NumPy array", fix="Use `striate.ops` instead of `numpy`")
        )

    def __float__(self) -> float:
        raise NoValueError(_NO_VALUE.format(what="converted to a number", fix="Keep it a tensor"))

    __int__ = __index__ = __float__

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<TracedTensor shape={self.shape}, dtype={self.dtype}>"

    def __format__(self, spec: str) -> str:
        return repr(self)


_NO_VALUE = (
    "a symbolic tensor, which has no value while a function is traced, was {what}. {fix}, or run eagerly "
    "(call the model on arrays instead of `predict` or `fit`)."
)


class Tracer(Builder):
    """A builder that also knows which variables were read and assigned."""

    def __init__(self, parent: Builder | None = None) -> None:
        super().__init__(TracedTensor, parent)
        self.reads: dict[int, tuple[Any, Value]] = {}
        self.assigned: dict[int, tuple[Any, Value]] = {}

    @property
    def root(self) -> Tracer:
        """The outermost tracer: variables are inputs and outputs of that one."""
        return self.parent.root if isinstance(self.parent, Tracer) else self

    def read(self, variable: Any) -> Value:
        """The current value of `variable` in the traced function."""
        root = self.root
        if id(variable) in root.assigned:
            return root.assigned[id(variable)][1]
        if id(variable) not in root.reads:
            root.reads[id(variable)] = (variable, root.value(Aval(tuple(variable.shape), variable.dtype)))
        return root.reads[id(variable)][1]

    def assign(self, variable: Any, value: Value) -> None:
        """`variable` has `value` from here on; it is stored after the whole graph has run."""
        if self.root is not self:
            raise RuntimeError(
                f"variable '{variable.path}' was assigned inside a branch of `cond` or the body of a loop. Return "
                "the new "
                "value from the branch and assign it outside."
            )
        self.assigned[id(variable)] = (variable, value)


def current_tracer() -> Tracer | None:
    """The tracer of this thread, or None when arrays are computed at once."""
    builder = current()
    return builder if isinstance(builder, Tracer) else None


@dataclass(frozen=True)
class Traced:
    """A traced function: inputs are the arguments, then the variables read; outputs the results, then what is
    assigned."""

    graph: Graph
    reads: tuple[Any, ...]
    assigns: tuple[Any, ...]
    structure: Any  # the results' nesting, with their numbers in the place of leaves
    n_results: int


def trace(fn: Callable[..., Any], avals: Sequence[Aval]) -> Traced:
    """Runs `fn(*symbols)` once, on symbols with `avals`, and returns its graph.

    Leaves of the result that are not symbolic become constants of the graph; None stays None.
    """
    tracer = Tracer()
    with building(tracer):
        results = fn(*(tracer.input(a.shape, a.dtype) for a in avals))
        leaves = tree.flatten(results)
        values = [as_value(tracer, leaf) for leaf in leaves if leaf is not None]
    structure = tree.pack(results, _numbered(leaves))
    assigned = [(var, tracer.own(v)) for var, v in tracer.assigned.values()]
    extra = [v for _, v in tracer.reads.values()]
    graph = tracer.graph([*values, *(v for _, v in assigned)], extra)
    reads = tuple(var for var, _ in tracer.reads.values())
    return Traced(graph, reads, tuple(var for var, _ in assigned), structure, len(values))


def as_value(tracer: Builder, leaf: Any) -> Value:
    """A leaf of a traced function's result as a value of `tracer`."""
    if isinstance(leaf, Value):
        return leaf
    array = OPS_CONVERT.convert(leaf)
    return array if isinstance(array, Value) else tracer.constant(array)


class _Convert:
    """The hook that turns Python values and variables into tensors; filled by `trace.variable`."""

    convert: Callable[[Any], Any] = staticmethod(lambda x: x)


OPS_CONVERT = _Convert()


def _numbered(leaves: Sequence[Any]) -> list[Any]:
    numbers = iter(range(len(leaves)))
    return [None if leaf is None else next(numbers) for leaf in leaves]
