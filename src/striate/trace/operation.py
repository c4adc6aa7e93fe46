"""The layer graph: operations, the nodes that record their calls, and shapes of results with unknown sizes."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from striate.core import tree
from striate.core.registry import export
from striate.ir import Aval, inside
from striate.trace import remat
from striate.trace.keras_tensor import KerasTensor, any_symbolic
from striate.trace.naming import auto_name, to_snake_case
from striate.trace.tracing import TracedTensor, trace

# An unknown size is traced twice, with these two in its place: a result's size that differs is unknown, too. They lie
# far apart so that strides up to a few hundred still tell them apart, and are prime so that hardly anything divides
# them.
_FILLS = (521, 1051)


_STATE = threading.local()


def current_fill() -> int | None:
    """While shapes are inferred, the number in the place of unknown sizes; else None."""
    return getattr(_STATE, "fill", None)


@contextmanager
def _filling(fill: int) -> Iterator[None]:
    before = current_fill()
    _STATE.fill = fill
    try:
        yield
    finally:
        _STATE.fill = before


class KerasHistory(NamedTuple):
    """Where a symbolic tensor comes from."""

    operation: Operation
    node_index: int
    tensor_index: int


class Node:
    """One call of an operation in the layer graph.

    Args:
        operation: what was called.
        call_args, call_kwargs: the arguments, symbolic tensors among them.
        outputs: what came out.
    """

    def __init__(
        self, operation: Operation, call_args: Any = None, call_kwargs: Any = None, outputs: Any = None
    ) -> None:
        self.operation = operation
        self.args, self.kwargs = tuple(call_args or ()), dict(call_kwargs or {})
        self.input_tensors = [x for x in tree.flatten([self.args, self.kwargs]) if isinstance(x, KerasTensor)]
        self.output_tensors = [x for x in tree.flatten(outputs) if x is not None]
        self.outputs = outputs
        node_index = len(operation._inbound_nodes)
        operation._inbound_nodes.append(self)
        for index, tensor in enumerate(self.output_tensors):
            if tensor.record_history:
                tensor._keras_history = KerasHistory(operation, node_index, index)
        for tensor in self.input_tensors:
            if tensor._keras_history is not None:
                tensor._keras_history.operation._outbound_nodes.append(self)

    @property
    def parent_nodes(self) -> list[Node]:
        """The nodes that made this one's inputs."""
        histories = [t._keras_history for t in self.input_tensors if t._keras_history is not None]
        return [h.operation._inbound_nodes[h.node_index] for h in histories]

    @property
    def is_input(self) -> bool:
        """Whether this node is the start of a graph."""
        return not self.input_tensors

    def fill(self, values: dict[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call's arguments with each symbolic tensor replaced by `values[id(tensor)]`."""

        def put(x: Any) -> Any:
            return values[id(x)] if isinstance(x, KerasTensor) else x

        return tree.map_structure(put, self.args), tree.map_structure(put, self.kwargs)

    def __repr__(self) -> str:
        return f"<Node operation={self.operation.name}, id={id(self)}>"


@export("keras.Operation")
class Operation:
    """Something that maps tensors to tensors and can stand in the layer graph."""

    _remat_mode: remat.RematMode | None = None
    _has_parts = False  # whether rematerialisation is a matter of the operations inside

    def __new__(cls, *args: Any, **kwargs: Any) -> Operation:
        instance = super().__new__(cls)
        instance.__dict__["_auto_config_args"] = (args, kwargs)
        return instance

    def __init__(self, name: str | None = None) -> None:
        name = name if name is not None else auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError(
                f"Argument `name` must be a string and cannot contain character `/`. Received: name={name!r}"
            )
        self.name = name
        self._inbound_nodes: list[Node] = []
        self._outbound_nodes: list[Node] = []
        if (mode := remat.current_mode()) is not None:
            self.__dict__["_remat_mode"] = mode

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if any_symbolic(args, kwargs):
            return self.symbolic_call(*args, **kwargs)
        with inside(self.name):
            if self._remat_mode is not None:
                return remat.call(self, self._remat_mode, args, kwargs)
            return self.call(*args, **kwargs)

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Records a call on symbolic tensors and returns the symbolic results."""
        outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the results; subclasses override it."""
        raise NotImplementedError(f"{type(self).__name__} '{self.name}' has no `call` method. Write one.")

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """The symbolic results for symbolic arguments, found by tracing `call`."""
        return infer_spec(self.call, *args, **kwargs)

    @property
    def input(self) -> Any:
        """The symbolic input of the first call."""
        tensors = self._first_node("input").input_tensors
        return tensors[0] if len(tensors) == 1 else tensors

    @property
    def output(self) -> Any:
        """The symbolic output of the first call."""
        tensors = self._first_node("output").output_tensors
        return tensors[0] if len(tensors) == 1 else tensors

    def _first_node(self, what: str) -> Any:
        if not self._inbound_nodes:
            raise AttributeError(
                f"The layer {self.name} has never been called and thus has no defined {what}. Call it first."
            )
        return self._inbound_nodes[0]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same operation again."""
        signature = inspect.signature(type(self).__init__)
        args, kwargs = self.__dict__["_auto_config_args"]
        bound = signature.bind(self, *args, **kwargs).arguments
        config = {k: v for k, v in bound.items() if k not in ("self", "kwargs")} | bound.get("kwargs", {})
        return {"name": self.name, **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """An operation made from what `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<Operation name={self.name}>"


class FunctionOperation(Operation):
    """A call of a function of `striate.ops` in the layer graph."""

    def __init__(self, fn: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(name or auto_name(to_snake_case(fn.__name__)))
        self.fn = fn

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    def again(self) -> FunctionOperation:
        """The same function as another operation, under the same name."""
        return FunctionOperation(self.fn, name=self.name)


def infer_spec(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The symbolic results of `fn` on symbolic arguments: traced with two fillings for the unknown sizes."""
    first, second = (_traced_avals(fn, fill, args, kwargs) for fill in _FILLS)
    return tree.map_structure(_merge, first, second)


def _merge(a: Any, b: Any) -> Any:
    if not isinstance(a, _Spec):
        return a
    shape = tuple(m if m == n else None for m, n in zip(a.aval.shape, b.aval.shape, strict=True))
    return KerasTensor(shape, a.aval.dtype)


@dataclass(frozen=True)
class _Spec:
    """A leaf: an Aval alone would count as a nested tuple."""

    aval: Aval


def _traced_avals(fn: Callable[..., Any], fill: int, args: Any, kwargs: Any) -> Any:
    flat = tree.flatten([args, kwargs])
    symbols = [x for x in flat if isinstance(x, KerasTensor)]
    avals = [Aval(tuple(fill if n is None else n for n in x.shape), x.dtype) for x in symbols]

    def run(*values: TracedTensor) -> Any:
        supply = iter(values)
        full = [next(supply) if isinstance(x, KerasTensor) else x for x in flat]
        new_args, new_kwargs = tree.pack([args, kwargs], full)
        return fn(*new_args, **new_kwargs)

    with _filling(fill):
        traced = trace(run, avals)
    outputs = traced.graph.outputs
    return tree.map_structure(lambda i: None if i is None else _Spec(outputs[i].aval), traced.structure)
