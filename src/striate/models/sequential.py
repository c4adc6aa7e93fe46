"""`Sequential`: layers in a row."""

from __future__ import annotations

from typing import Any

from striate.core.registry import export
from striate.layers.input_layer import Input, InputLayer
from striate.layers.layer import Layer
from striate.models.functional import Functional
from striate.models.model import Model
from striate.trace import KerasTensor, Operation, standardize_shape


@export("keras.Sequential", "keras.models.Sequential")
class Sequential(Model):
    """Layers in a row, each with one input and one output.

    Args:
        layers: the layers, an `Input` first if the model should be built at once.
        trainable, name: see `Layer`.
    """

    _UNTRACKED = Model._UNTRACKED | {"_functional"}

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(trainable=trainable, name=name)
        self._functional: Functional | None = None
        self._row: list[Any] = []
        for layer in layers or []:
            self._append(layer)
        self._rebuild()

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Appends a layer (or an `Input` at the start).

        Raises:
            ValueError: no layer, a name that is taken, or a second input.
        """
        self._append(layer)
        if rebuild:
            self._rebuild()
        else:
            self._functional, self.built = None, False

    def pop(self, rebuild: bool = True) -> Layer:
        """Removes the last layer and returns it."""
        if not self.layers:
            raise ValueError("There are no layers in the model to pop.")
        layer = self._row.pop()
        self._functional, self.built = None, False
        if rebuild:
            self._rebuild()
        return layer

    def _append(self, layer: Any) -> None:
        layer = _as_layer(layer, self._row)
        if any(layer.name == other.name for other in self._row):
            raise ValueError(
                f"All layers added to a Sequential model should have unique names. Name '{layer.name}' is already the name "
                f"of a layer in this model. Update the `name` argument to pass a unique name."
            )
        if isinstance(layer, InputLayer) and self._row and isinstance(self._row[0], InputLayer):
            raise ValueError(f"Sequential model '{self.name}' has already been configured to use input shape "
                             f"{self._row[0].batch_shape}. You cannot add a different Input layer to it.")  # fmt: skip
        if isinstance(layer, InputLayer):
            self._row.insert(0, layer)
            return
        first_shape = getattr(layer, "_input_shape_arg", None)
        if not self._row and first_shape is not None:
            self._row.append(InputLayer(batch_shape=(None, *first_shape)))
        self._row.append(layer)

    def _rebuild(self) -> None:
        self._functional = None
        self.built = False
        if len(self._row) > 1 and isinstance(self._row[0], InputLayer):
            self.build(self._row[0].batch_shape)

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers for inputs of `input_shape` `(batch, ...)`.

        Raises:
            ValueError: no shape known, no layers, or a layer with several outputs.
        """
        if not self.layers:
            raise ValueError(f"Sequential model {self.name} cannot be built because it has no layers. Call `model.add(layer)`.")
        if self._row and isinstance(self._row[0], InputLayer):
            source = self._row[0]
        elif input_shape is None:
            raise ValueError("You must provide an `input_shape` argument, or start the model with an `Input`.")
        else:
            source = InputLayer(batch_shape=standardize_shape(input_shape))
            self._row.insert(0, source)
        self._functional = self._connect(source)
        self.built = True

    def _connect(self, source: InputLayer) -> Functional:
        x: Any = source.output
        for layer in self._row[1:]:
            x = layer(x)
            if isinstance(x, list | tuple | dict):
                raise ValueError(
                    f"All layers in a Sequential model should have a single output tensor. Layer '{layer.name}' returned "
                    f"{len(x)}. Use the functional API: Model(inputs, outputs)."
                )
        return Functional(source.output, x, name=self.name)

    @property
    def layers(self) -> list[Layer]:
        """The layers in a row, without the input."""
        return [layer for layer in self._row if not isinstance(layer, InputLayer)]

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Runs the layers on `inputs`."""
        if self._functional is None:
            raise ValueError(f"Sequential model '{self.name}' has no layers to run. Call `model.add(layer)`.")
        return self._functional.call(inputs, training=training, mask=mask)

    def compute_output_spec(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if self._functional is None:
            return Operation.compute_output_spec(self, inputs, training=training, mask=mask)
        return self._functional.compute_output_spec(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output for a shape of the input."""
        shape = tuple(input_shape)
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        return shape

    def _defined(self, what: str) -> Functional:
        if self._functional is None:
            raise AttributeError(f"Sequential model '{self.name}' has no defined {what} yet. Start it with an `Input`, "
                                 "or call it on data.")  # fmt: skip
        return self._functional

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic inputs."""
        return self._defined("inputs").inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic outputs."""
        return self._defined("outputs").outputs

    @property
    def input(self) -> KerasTensor:
        """The symbolic input."""
        return self.inputs[0]

    @property
    def output(self) -> KerasTensor:
        """The symbolic output."""
        return self.outputs[0]

    @property
    def input_shape(self) -> Any:
        """The shape of the input."""
        return self._defined("input shape").inputs[0].shape

    @property
    def output_shape(self) -> Any:
        """The shape of the output."""
        return self._defined("output shape").outputs[0].shape

    @property
    def input_dtype(self) -> str:
        """The dtype of the input."""
        layers = self._row
        return layers[0].dtype if layers and isinstance(layers[0], InputLayer) else super().input_dtype


def _as_layer(layer: Any, row: list[Any]) -> Any:
    if isinstance(layer, KerasTensor) and layer._keras_history is not None:
        operation = layer._keras_history.operation
        if isinstance(operation, InputLayer):
            return operation
    if not isinstance(layer, Layer):
        raise ValueError(
            f"Only instances of `keras.Layer` can be added to a Sequential model. Received: {layer!r} (of type {type(layer)})."
        )
    return layer


__all__ = ["Input", "Sequential"]
