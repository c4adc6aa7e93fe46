"""`Function`: a piece of the layer graph as something that can be called."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core import tree
from striate.core.registry import export
from striate.models.graph import map_graph
from striate.trace import Cache, KerasTensor, Operation, any_symbolic, convert, current_tracer


@export("keras.Function", "keras.models.Function")
class Function(Operation):
    """A function from symbolic `inputs` to symbolic `outputs`, each a tensor or a nest of tensors.

    Called on arrays it runs as one compiled plan; on symbolic tensors it becomes part of a larger graph.

    Raises:
        ValueError: the outputs are not computed from the inputs.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        self._set_graph(inputs, outputs)

    def _set_graph(self, inputs: Any, outputs: Any) -> None:
        self._nested_inputs, self._nested_outputs = inputs, outputs
        self.inputs, self.outputs = _tensors(inputs, "inputs"), _tensors(outputs, "outputs")
        graph = map_graph(self.inputs, self.outputs)
        self._nodes, self._operations = graph.nodes, graph.operations
        self._depths = graph.depths
        self._cache = Cache()

    @property
    def operations(self) -> list[Operation]:
        """The operations of the graph, from the inputs on."""
        return list(self._operations)

    def run_graph(self, values: list[Any], call: Any = None) -> Any:
        """Computes the outputs' nest for `values`, one per input, operation by operation.

        `call(operation, args, kwargs)` computes one operation; by default the operation is called.
        """
        known: dict[int, Any] = {id(t): v for t, v in zip(self.inputs, values, strict=True)}
        for node in self._nodes:
            if node.is_input or all(id(t) in known for t in node.output_tensors):
                continue
            args, kwargs = node.fill(known)
            result = call(node.operation, args, kwargs) if call else node.operation(*args, **kwargs)
            known.update(zip((id(t) for t in node.output_tensors), _not_none(result), strict=True))
        return tree.map_structure(lambda t: None if t is None else known[id(t)], self._nested_outputs)

    def call(self, inputs: Any) -> Any:
        """Runs the graph on a nest of arrays (as one plan) or, while tracing, on traced tensors."""
        values = self.match_inputs(inputs)
        if current_tracer() is not None or any_symbolic(*values):
            return self.run_graph(values)
        return self.run_compiled((), lambda *xs: self.run_graph(list(xs)), values)

    def run_compiled(self, key: Any, fn: Any, values: list[Any]) -> Any:
        """Runs `fn(*values)` as one plan, compiled once per shapes, dtypes and `key`."""
        arrays = [np.asarray(convert(v)) for v in values]
        return self._cache.get(key, fn, arrays)(arrays)

    def match_inputs(self, inputs: Any) -> list[Any]:
        """The leaves of `inputs` in the order of `self.inputs`; ValueError if their number differs."""
        if isinstance(inputs, dict) and not isinstance(self._nested_inputs, dict):
            names = [t._keras_history.operation.name for t in self.inputs]
            if all(n in inputs for n in names):
                return [inputs[n] for n in names]
        if isinstance(inputs, dict) and isinstance(self._nested_inputs, dict):
            missing = [k for k in self._nested_inputs if k not in inputs]
            if missing:
                raise ValueError(f"Function '{self.name}' needs the inputs {missing}, got {sorted(inputs)}.")
            inputs = {k: inputs[k] for k in self._nested_inputs}
        values = tree.flatten(inputs)
        if len(values) != len(self.inputs):
            raise ValueError(
                f"Layer '{self.name}' expected {len(self.inputs)} input(s), received {len(values)}. Pass one array per "
                f"input: {[t.shape for t in self.inputs]}."
            )
        return values

    def compute_output_spec(self, inputs: Any) -> Any:
        values = self.match_inputs(inputs)
        same = all(tuple(v.shape) == t.shape for v, t in zip(values, self.inputs, strict=True))
        if same:
            return tree.map_structure(lambda t: KerasTensor(t.shape, t.dtype), self._nested_outputs)
        return self.run_graph(values, call=lambda op, args, kwargs: op.compute_output_spec(*args, **kwargs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The nest of output shapes for a nest of input shapes."""
        leaves = [input_shape] if _is_shape(input_shape) else _shape_leaves(input_shape)
        symbols = [KerasTensor(s, t.dtype) for s, t in zip(leaves, self.inputs, strict=True)]
        outputs = self.compute_output_spec(tree.pack(self._nested_inputs, symbols))
        return tree.map_structure(lambda t: t.shape, outputs)


def _not_none(result: Any) -> list[Any]:
    return [x for x in tree.flatten(result) if x is not None]


def _is_shape(x: Any) -> bool:
    return isinstance(x, list | tuple) and all(n is None or isinstance(n, int) for n in x)


def _shape_leaves(nest: Any) -> list[Any]:
    if _is_shape(nest):
        return [nest]
    children = [nest[k] for k in sorted(nest)] if isinstance(nest, dict) else nest
    return [leaf for child in children for leaf in _shape_leaves(child)]


def _tensors(nest: Any, what: str) -> list[KerasTensor]:
    leaves = [x for x in tree.flatten(nest) if x is not None]
    for x in leaves:
        if not isinstance(x, KerasTensor):
            raise ValueError(
                f"All `{what}` values must be KerasTensors, as `keras.Input` and layers called on it return them. "
                f"Received: {what}={nest!r} including invalid value {x!r} of type {type(x)}"
            )
    if not leaves:
        raise ValueError(f"`{what}` argument cannot be empty. Received: {what}={nest!r}")
    return leaves
