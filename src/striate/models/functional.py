"""Functional models: `Model(inputs, outputs)`."""

from __future__ import annotations

import inspect
import warnings
import weakref
from typing import Any

import numpy as np

from striate import engines
from striate.core import tree
from striate.core.registry import export
from striate.layers.call_spec import ambient_training
from striate.layers.input_layer import InputLayer
from striate.layers.input_spec import InputSpec
from striate.layers.layer import Layer
from striate.layers.tracking import changes
from striate.models import functional_config
from striate.models.cutting import Cut
from striate.models.function import Function, check_shape, symbols
from striate.models.model import Model
from striate.models.subgraph import starting_at
from striate.ops.base import cast_to
from striate.trace import FunctionOperation, KerasTensor, any_symbolic, current_tracer
from striate.trace.compiled import CompiledFunction
from striate.trace.operators import OPS
from striate.trace.remat import may_cut


@export("keras.src.models.functional.Functional", "keras.models.Functional")
class Functional(Function, Model):
    """A model made of the layers between symbolic inputs and outputs.

    A model of striate's own layers runs as one compiled plan per input signature; with layers of the user's own among
    them, each layer runs as Python, so that prints and branches do what they say.

    Args:
        inputs, outputs: symbolic tensors or nests of them; inputs may be results of layers, too.
        name: by default numbered automatically.
    """

    _UNTRACKED = Model._UNTRACKED | {
        "_operations",
        "_nodes",
        "_node_depths",
        "_inputs",
        "_outputs",
        "_quick",
        "output_names",
    }

    _cuts_itself = True

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        trainable = kwargs.pop("trainable", None)
        symbols(inputs, "inputs")
        symbols(outputs, "outputs")
        _check_keys(inputs)
        inputs, outputs = starting_at(inputs, outputs)
        Model.__init__(self, name=name, **kwargs)
        self._convert_inputs = False
        self._manual_input_spec: Any = None
        self._set_graph(inputs, outputs)
        for layer in self.layers:
            self._track(layer)
        self._compiles = all(_is_known(op) for op in self._operations)
        self._quick: dict[Any, weakref.ref[CompiledFunction]] = {}
        self.output_names = [t._keras_history.operation.name for t in self._outputs]
        self.built = True
        if trainable is not None:
            self.trainable = trainable

    def _listed_layers(self) -> list[Layer]:
        return [op for op in self._operations if isinstance(op, Layer)]

    @property
    def input(self) -> Any:
        """The nest of symbolic inputs; of a model with one input, that one."""
        return self._nested_inputs

    @property
    def output(self) -> Any:
        """The nest of symbolic outputs."""
        return self._nested_outputs

    @property
    def input_shape(self) -> Any:
        """The shape of the input; of several, a list of them."""
        return _single([t.shape for t in self._inputs])

    @property
    def output_shape(self) -> Any:
        """The shape of the output; of several, a list of them."""
        return _single([t.shape for t in self._outputs])

    @property
    def input_spec(self) -> Any:
        """What the inputs must look like; `call` checks it, because it may still adjust their rank."""
        if self._manual_input_spec is not None:
            return self._manual_input_spec
        return [
            InputSpec(shape=(None, *t.shape[1:]), allow_last_axis_squeeze=True, name=t._keras_history.operation.name)
            for t in self._inputs
        ]

    @input_spec.setter
    def input_spec(self, value: Any) -> None:
        self._manual_input_spec = value

    def _check_spec(self, spec: Any) -> None:
        if self._manual_input_spec is not None:  # `call` checks the shapes that follow from the inputs
            super()._check_spec(spec)

    def build(self, input_shape: Any = None) -> None:
        """Nothing to do: the layers were built when they were called."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Computes the outputs, as one plan where the model has only layers of striate's own."""
        given = self.match_inputs(inputs)
        values = [self._standard_input(v, t) for v, t in zip(given, self._inputs, strict=True)]
        eager = any(v is None for v in values) or not self._compiles or self.run_eagerly
        if eager or current_tracer() is not None or any_symbolic(*values):
            return _single(self.run_graph(values, self._cut()))
        compiled = self._cache.get((training, changes()), lambda *xs: _single(self.run_graph(list(xs))), values)
        if len(values) == 1 and values[0] is given[0] and training is None:
            self._remember(values[0], compiled)
        return compiled(values)

    def _cut(self) -> Cut | None:
        """How the operations are called where they are computed again for the backward side."""
        mode = self._remat_mode
        return Cut(self._nodes) if mode is not None and mode.mode == "full" and may_cut() else None

    def _remember(self, x: np.ndarray, compiled: CompiledFunction) -> None:
        if len(self._quick) >= 16:
            self._quick.clear()
        self._quick[(x.shape, x.dtype, engines.current(), changes())] = weakref.ref(compiled)  # the cache's to keep

    def quickly(self, x: np.ndarray) -> CompiledFunction | None:
        """The plan for the array `x` if `call` has used one for its like before."""
        found = self._quick.get((x.shape, x.dtype, engines.current(), changes()))
        return None if found is None else found()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and type(args[0]) is np.ndarray:
            found = self.quickly(args[0])
            if found is not None and ambient_training() is None and current_tracer() is None:
                return found(args)
        return super().__call__(*args, **kwargs)

    def _standard_input(self, value: Any, wanted: KerasTensor) -> Any:
        """`value` in the dtype of the input, with a missing or superfluous last axis of size 1 mended as Keras does."""
        if value is None:
            layer = wanted._keras_history.operation
            if not getattr(layer, "optional", False):
                raise ValueError(f"The input '{wanted.name}' is not optional, but None was passed. Pass an array.")
            return None
        if not isinstance(value, KerasTensor):
            value = cast_to(value, wanted.dtype)
        rank, shape = len(wanted.shape), tuple(value.shape)
        if len(shape) == rank + 1 and shape[-1] == 1:
            value = OPS["squeeze"](value, -1)
        elif len(shape) == rank - 1 and wanted.shape[-1] == 1:
            value = OPS["expand_dims"](value, -1)
        check_shape(tuple(value.shape), wanted, self.name)
        return value

    def compute_output_spec(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        values = [self._standard_input(v, t) for v, t in zip(self.match_inputs(inputs), self._inputs, strict=True)]
        return _single(Function.compute_output_spec(self, tree.pack(self._nested_inputs, values)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The nest of output shapes for a nest of input shapes."""
        return Function.compute_output_shape(self, input_shape)

    def get_config(self) -> dict[str, Any]:
        """The layers, their calls, the inputs and the outputs; of a subclass with other arguments, those."""
        if not _made_like_functional(type(self)):
            return Model.get_config(self)
        return functional_config.config_of(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A model made from what `get_config` returned."""
        if not {"layers", "input_layers", "output_layers"} <= set(config):
            return super().from_config(config)
        inputs, outputs, rest = functional_config.graph_from(config, custom_objects)
        made: Any = cls if _made_like_functional(cls) else Functional
        return made(inputs=inputs, outputs=outputs, **rest)


def _single(nest: Any) -> Any:
    return nest[0] if isinstance(nest, list | tuple) and len(nest) == 1 else nest


def _made_like_functional(cls: type) -> bool:
    wanted = list(inspect.signature(Functional.__init__).parameters)
    init = next(vars(c)["__init__"] for c in cls.__mro__ if "__init__" in vars(c))
    found = inspect.signature(init).parameters
    free = {p.kind for p in found.values()} >= {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return free or list(found)[:4] == wanted[:4]


def _check_keys(inputs: Any) -> None:
    for key, tensor in inputs.items() if isinstance(inputs, dict) else ():
        if isinstance(tensor, KerasTensor) and key != tensor.name:
            warnings.warn(
                "When providing `inputs` as a dict, all keys in the dict must match the names of the corresponding "
                f"tensors. Received key '{key}' mapping to value {tensor} which has name '{tensor.name}'. Change the "
                f"tensor name to '{key}' (via `Input(..., name='{key}')`)",
                stacklevel=4,
            )


def _is_known(operation: Any) -> bool:
    """Whether an operation is striate's own all the way down, so that its trace does what its Python does."""
    if isinstance(operation, FunctionOperation):
        return _own(operation.fn)
    if isinstance(operation, InputLayer):
        return True
    if not _own(type(operation)) or getattr(operation, "runs_user_code", False):
        return False
    if getattr(operation, "activity_regularizer", None) is not None:
        return False
    if any(inspect.isfunction(v) and not _own(v) for v in vars(operation).values()):
        return False
    return all(_is_known(sub) for sub in getattr(operation, "_sublayers", list)())


def _own(x: Any) -> bool:
    return str(getattr(x, "__module__", "")).startswith("striate.")


Model._FUNCTIONAL = Functional
