"""Functional models: `Model(inputs, outputs)`."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core import tree
from striate.core.registry import export
from striate.layers.input_layer import InputLayer
from striate.layers.input_spec import InputSpec
from striate.layers.layer import Layer
from striate.models.function import Function
from striate.models.model import Model
from striate.ops.base import cast_to
from striate.trace import FunctionOperation, KerasTensor, any_symbolic, current_tracer
from striate.trace.operators import OPS


@export("keras.models.Functional")
class Functional(Function, Model):
    """A model made of the layers between symbolic inputs and outputs.

    A model of striate's own layers runs as one compiled plan per input signature; with layers of the user's own among
    them, each layer runs as Python, so that prints and branches do what they say.
    """

    _UNTRACKED = Model._UNTRACKED | {"_operations", "_nodes", "inputs", "outputs"}

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        trainable = kwargs.pop("trainable", None)
        Model.__init__(self, name=name, **kwargs)
        self._set_graph(_plain(inputs), _plain(outputs))
        self.built, self._losses = True, []
        self.__dict__["_children"] = [op for op in self._operations if isinstance(op, Layer)]
        self._compiles = all(_is_known(op) for op in self._operations)
        if trainable is not None:
            self.trainable = trainable

    @property
    def layers(self) -> list[Layer]:
        """The layers from the inputs on."""
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
        """The nest of input shapes."""
        return tree.map_structure(lambda t: t.shape, self._nested_inputs)

    @property
    def output_shape(self) -> Any:
        """The nest of output shapes."""
        return tree.map_structure(lambda t: t.shape, self._nested_outputs)

    @property
    def input_spec(self) -> Any:
        """None: `call` checks the inputs, because it may still adjust their rank."""
        return None

    @input_spec.setter
    def input_spec(self, value: Any) -> None:
        raise AttributeError("A functional model's input spec follows from its inputs.")

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Computes the outputs; see `Function.call`."""
        values = [self._standard_input(v, t) for v, t in zip(self.match_inputs(inputs), self.inputs, strict=True)]
        if current_tracer() is not None or any_symbolic(*values) or not self._compiles:
            return self.run_graph(values)
        return self.run_compiled((training,), lambda *xs: self.run_graph(list(xs)), values)

    def _standard_input(self, value: Any, wanted: KerasTensor) -> Any:
        """`value` in the dtype of the input, with a missing or superfluous last axis of size 1 mended as Keras does."""
        value = cast_to(value, wanted.dtype) if not isinstance(value, KerasTensor) else value
        rank, shape = len(wanted.shape), tuple(value.shape)
        if len(shape) == rank + 1 and shape[-1] == 1:
            value = OPS["squeeze"](value, -1)
        elif len(shape) == rank - 1 and wanted.shape[-1] == 1:
            value = OPS["expand_dims"](value, -1)
        self._check_shape(tuple(value.shape), wanted)
        return value

    def _check_shape(self, shape: tuple[Any, ...], wanted: KerasTensor) -> None:
        fits = len(shape) == len(wanted.shape) and all(
            w is None or n is None or w == n for n, w in zip(shape, wanted.shape, strict=False)
        )
        if not fits:
            axis = " A batch axis seems to be missing: use x[None, ...]." if len(shape) == len(wanted.shape) - 1 else ""
            raise ValueError(
                f'Input of model "{self.name}" is incompatible: expected shape={wanted.shape}, found shape={shape}.{axis}'
            )

    def compute_output_spec(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return Function.compute_output_spec(self, inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The nest of output shapes for a nest of input shapes."""
        return Function.compute_output_shape(self, input_shape)

    def build(self, input_shape: Any = None) -> None:
        """Nothing to do: the layers were built when they were called."""

    @property
    def _input_specs(self) -> list[InputSpec]:
        return [InputSpec(shape=t.shape, name=t._keras_history.operation.name) for t in self.inputs]

    def get_config(self) -> dict[str, Any]:
        """The layers, their calls, the inputs and the outputs."""
        return {"name": self.name, "trainable": self.trainable}


def _plain(nest: Any) -> Any:
    return nest if tree.is_nested(nest) or isinstance(nest, KerasTensor | np.ndarray) else nest


def _is_known(operation: Any) -> bool:
    """Whether an operation is striate's own all the way down, so that its trace does what its Python does."""
    if isinstance(operation, FunctionOperation | InputLayer):
        return True
    known = type(operation).__module__.startswith("striate.") and not getattr(operation, "runs_user_code", False)
    return known and all(_is_known(sub) for sub in getattr(operation, "_sublayers", list)())


Model._FUNCTIONAL = Functional
