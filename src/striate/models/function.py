"""`Function`: a piece of the layer graph as something that can be called."""

from __future__ import annotations

import warnings
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
        self._inputs, self._outputs = symbols(inputs, "inputs"), symbols(outputs, "outputs")
        graph = map_graph(self._inputs, self._outputs)
        self._nodes, self._operations = graph.nodes, graph.operations
        self._node_depths = graph.node_depths
        self._cache = Cache()

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic inputs, in a row."""
        return self._inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic outputs, in a row."""
        return self._outputs

    @property
    def operations(self) -> list[Operation]:
        """The operations of the graph, from the inputs on."""
        return list(self._operations)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes over: all but the compiled plans."""
        return {**self.__dict__, "_quick": {}, "_predictor": None}

    def run_graph(self, values: list[Any], call: Any = None) -> Any:
        """Computes the outputs' nest for `values`, one per input, operation by operation.

        `call(operation, args, kwargs)` computes one operation; by default the operation is called.
        """
        known: dict[int, Any] = {id(t): v for t, v in zip(self._inputs, values, strict=True)}
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
        arrays = [np.asarray(convert(v)) for v in values]
        for array, wanted in zip(arrays, self._inputs, strict=True):
            check_shape(array.shape, wanted, self.name)
        return self._cache.get((), lambda *xs: self.run_graph(list(xs)), arrays)(arrays)

    def match_inputs(self, inputs: Any) -> list[Any]:
        """The leaves of `inputs` in the order of `self.inputs`.

        A dict gives its entries by name; keys that no input has are left out.

        Raises:
            ValueError: an input is missing, or there are too many.
        """
        if isinstance(inputs, dict):
            return self._match_names(inputs)
        values = tree.flatten(inputs)
        if len(values) != len(self._inputs):
            raise ValueError(
                f"Layer '{self.name}' expected {len(self._inputs)} input(s), received {len(values)}. Pass one "
                "array per "
                f"input, of the shapes {[t.shape for t in self._inputs]}."
            )
        return values

    def _match_names(self, inputs: dict[str, Any]) -> list[Any]:
        nest = self._nested_inputs
        wanted = nest if isinstance(nest, dict) else {t.name: t for t in self._inputs}
        missing = [k for k in wanted if k not in inputs]
        if missing:
            raise ValueError(
                f"Layer '{self.name}' got no value for the inputs {missing}. Received the keys {sorted(inputs)}."
            )
        extra = [k for k in inputs if k not in wanted]
        if extra:
            warnings.warn(
                f"The structure of `inputs` doesn't match the expected structure. Layer '{self.name}' has no "
                f"inputs {extra}: "
                "they are left out.",
                stacklevel=4,
            )
        if isinstance(nest, dict):
            return tree.flatten({k: inputs[k] for k in nest})
        return [inputs[t.name] for t in self._inputs]

    def compute_output_spec(self, inputs: Any) -> Any:
        values = self.match_inputs(inputs)
        if all(tuple(v.shape) == t.shape for v, t in zip(values, self._inputs, strict=True)):
            return tree.map_structure(lambda t: KerasTensor(t.shape, t.dtype), self._nested_outputs)
        return self.run_graph(values, call=lambda op, args, kwargs: op.compute_output_spec(*args, **kwargs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The nest of output shapes for a nest of input shapes."""
        leaves = [input_shape] if _is_shape(input_shape) else _shape_leaves(input_shape)
        made = [KerasTensor(s, t.dtype, name=t.name) for s, t in zip(leaves, self._inputs, strict=True)]
        outputs = self.compute_output_spec(tree.pack(self._nested_inputs, made))
        return tree.map_structure(lambda t: t.shape, outputs)


def check_shape(shape: tuple[Any, ...], wanted: KerasTensor, name: str) -> None:
    """ValueError unless an input of `shape` fits the symbolic one."""
    known = zip(shape[1:], wanted.shape[1:], strict=False)  # any number of samples, as Keras has it
    if len(shape) == len(wanted.shape) and all(w is None or n is None or w == n for n, w in known):
        return
    if len(shape) == len(wanted.shape) - 1:
        fix = "A batch axis seems to be missing: use x[None, ...]."
    else:
        fix = "Give it arrays of that shape (None fits any size), or make a model for another `Input` shape."
    raise ValueError(
        f"Invalid input shape for model '{name}', input '{wanted.name}': expected shape {wanted.shape}, but input has "
        f"incompatible shape {tuple(shape)}. {fix}"
    )


def _not_none(result: Any) -> list[Any]:
    return [x for x in tree.flatten(result) if x is not None]


def _is_shape(x: Any) -> bool:
    return isinstance(x, list | tuple) and all(n is None or isinstance(n, int) for n in x)


def _shape_leaves(nest: Any) -> list[Any]:
    if _is_shape(nest):
        return [nest]
    children = [nest[k] for k in sorted(nest)] if isinstance(nest, dict) else nest
    return [leaf for child in children for leaf in _shape_leaves(child)]


def symbols(nest: Any, what: str) -> list[KerasTensor]:
    """The symbolic tensors in `nest`; ValueError for anything else and for none."""
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
