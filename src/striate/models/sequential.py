"""`Sequential`: layers in a row."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core.registry import export
from striate.layers import call_spec
from striate.layers.call_spec import ambient_training
from striate.layers.input_layer import InputLayer
from striate.layers.layer import Layer
from striate.models.functional import Functional
from striate.models.model import Model
from striate.saving.serialization import deserialize_keras_object, serialize_keras_object
from striate.trace import KerasTensor, NoValueError, current_tracer, standardize_shape


@export("keras.Sequential", "keras.models.Sequential")
class Sequential(Model):
    """Layers in a row, each with one input and one output.

    Args:
        layers: the layers, an `Input` first if the model should be built at once.
        trainable, name: see `Layer`.
    """

    _UNTRACKED = Model._UNTRACKED | {"_functional", "_row"}

    _cuts_itself = True

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(trainable=trainable, name=name)
        self._functional: Functional | None = None
        self._row: list[Any] = []
        self._built_by_call = False  # the sizes of the first data were taken for lack of an `Input`
        if layers is not None and not isinstance(layers, list | tuple):
            layers = [layers]
        for layer in layers or ():
            self._append(layer)
        if self._row:
            self._rebuild()

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Appends a layer (or an `Input` at the start).

        Raises:
            ValueError: no layer, a name that is taken, or a second input.
        """
        self._append(layer)
        self._changed(rebuild)

    def pop(self, rebuild: bool = True) -> Layer:
        """Removes the last layer and returns it.

        Raises:
            ValueError: there is none.
        """
        if not self.layers:
            raise ValueError(f"Sequential model '{self.name}' has no layers to pop. Call `model.add(layer)` first.")
        layer = self._row.pop()
        self._changed(rebuild)
        return layer

    def _append(self, layer: Any) -> None:
        if not self._row and getattr(layer, "_input_shape_arg", None) is not None:
            self._append(InputLayer(shape=layer._input_shape_arg))
        layer = _as_layer(layer)
        if any(layer.name == other.name and layer is not other for other in self._row):
            raise ValueError(
                f"All layers added to a Sequential model should have unique names. Name '{layer.name}' is already "
                "the name "
                f"of a layer in this model. Update the `name` argument to pass a unique name."
            )
        if isinstance(layer, InputLayer) and self._row:
            first = self._row[0]
            shape = first.batch_shape if isinstance(first, InputLayer) else None
            raise ValueError(
                f"Sequential model '{self.name}' has already been configured to use input shape {shape}. You "
                "cannot add a "
                "different Input layer to it. Put the Input first."
            )
        self._row.append(layer)

    def _changed(self, rebuild: bool) -> None:
        self._functional, self._predictor, self.built = None, None, False
        if rebuild and self._row:
            self._rebuild()

    def _rebuild(self) -> None:
        self._functional, self.built = None, False
        first = self._row[0]
        if len(self._row) < 2:
            return
        if isinstance(first, InputLayer):
            self.build(first.batch_shape)
        elif isinstance(first, Functional) or getattr(first, "_functional", None) is not None:
            self.build(first.input_shape)

    def _sublayers(self) -> list[Any]:
        return list(self._row)

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers for inputs of `input_shape` `(batch, ...)`.

        Raises:
            ValueError: no layers, another shape than that of the `Input`, or a layer with several outputs.
        """
        if not _is_shape(input_shape):
            return  # a nest of shapes: the layers are built when they are called
        if not self._row:
            raise ValueError(
                f"Sequential model {self.name} cannot be built because it has no layers. Call `model.add(layer)`."
            )
        shape, first = standardize_shape(input_shape), self._row[0]
        if not isinstance(first, InputLayer):
            self._row.insert(0, InputLayer(batch_shape=shape, dtype=first.compute_dtype))
            self._built_by_call = True
        elif first.batch_shape != shape:
            raise ValueError(
                f"Sequential model '{self.name}' has already been configured to use input shape "
                f"{first.batch_shape}. You "
                f"cannot build it with input_shape {shape}."
            )
        try:
            self._functional = self._connect(self._row[0])
        except (NoValueError, NotImplementedError):  # code that looks at values: the layers are called one by one
            self._functional = None
        self.built = True

    def _connect(self, source: InputLayer) -> Functional:
        x: Any = source.output
        for layer in self._row[1:]:
            _check_arguments(layer)
            x = layer(x)
        made = Functional(source.output, x)
        made.name = self.name  # what its errors call it
        return made

    def _listed_layers(self) -> list[Layer]:
        return self._row[1:] if self._row and isinstance(self._row[0], InputLayer) else list(self._row)

    def _reserved(self) -> str:
        return "`Sequential.layers` attribute is reserved and should not be used. Use `add()` and `pop()` instead."

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._functional is not None and len(args) == 1 and not kwargs and type(args[0]) is np.ndarray:
            found = self._functional.quickly(args[0])
            if found is not None and ambient_training() is None and current_tracer() is None:
                return found(args)
        return super().__call__(*args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Runs the layers on `inputs`."""
        if self._functional is not None and not self._other_sizes(inputs):
            self._functional.__dict__["_remat_mode"] = self._remat_mode
            return self._functional.call(inputs, training=training, mask=mask)
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs

    def _other_sizes(self, inputs: Any) -> bool:
        """Whether sizes differ from those of the call that the model was built by; no `Input` asked for them."""
        if not self._built_by_call or not hasattr(inputs, "shape"):
            return False
        known, shape = self._row[0].batch_shape, tuple(inputs.shape)
        return len(shape) == len(known) and any(n not in (None, m) for m, n in zip(shape[1:], known[1:], strict=True))

    def compute_output_spec(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if self._functional is not None:
            return self._functional.compute_output_spec(inputs)
        for layer in self.layers:
            inputs = layer.compute_output_spec(inputs)
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output for a shape of the input."""
        if self._functional is not None:
            return self._functional.compute_output_shape(input_shape)
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

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
    def input_shape(self) -> Any:
        """The shape of the input."""
        return self._defined("input shape").input_shape

    @property
    def output_shape(self) -> Any:
        """The shape of the output."""
        return self._defined("output shape").output_shape

    @property
    def input_dtype(self) -> str:
        """The dtype of the input."""
        row = self._row
        return row[0].dtype if row and isinstance(row[0], InputLayer) else super().input_dtype

    def get_config(self) -> dict[str, Any]:
        """The layers' configs and the shape the model was built with."""
        made = super().get_config() | {
            "name": self.name,
            "layers": [serialize_keras_object(layer) for layer in self._row],
        }
        return made | ({"build_input_shape": self._row[0].batch_shape} if self._functional is not None else {})

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A model made from what `get_config` returned."""
        if "name" not in config or "layers" not in config:
            raise ValueError(
                "A Sequential model configuration must be a dictionary containing the 'name' and 'layers' keys. "
                f"Received: config={config}"
            )
        model = cls(name=config["name"])
        for entry in config["layers"]:
            model.add(deserialize_keras_object(entry, custom_objects=custom_objects), rebuild=False)
        shape = config.get("build_input_shape")
        if model._row:
            model._rebuild()
        if model._functional is None and shape and model._row:
            model.build(shape)
        return model


def _as_layer(layer: Any) -> Any:
    history = getattr(layer, "_keras_history", None)
    if isinstance(layer, KerasTensor) and history is not None and isinstance(history.operation, InputLayer):
        return history.operation
    if not isinstance(layer, Layer):
        raise ValueError(
            f"Only instances of `keras.Layer` can be added to a Sequential model. Received: {layer!r} (of type "
            f"{type(layer)})."
        )
    return layer


def _is_shape(x: Any) -> bool:
    return isinstance(x, list | tuple) and all(n is None or hasattr(n, "__index__") for n in x)


def _check_arguments(layer: Layer) -> None:
    """ValueError if `call` needs more than the input."""
    parameters = list(call_spec.signature_of(type(layer).call).parameters.values())[1:]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in positional if p.default is p.empty]
    if len(needed) > 1 or not (positional or any(p.kind is p.VAR_POSITIONAL for p in parameters)):
        raise ValueError(
            "Layers added to a Sequential model can only have a single required positional argument, the input tensor. "
            f"Layer {type(layer).__name__} '{layer.name}' has {needed or 'none'}. Use the functional API: "
            "Model(inputs, outputs)."
        )
