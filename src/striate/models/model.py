"""`Model`: a layer that is used on its own, with `summary`, training and access to its layers."""

from __future__ import annotations

import json
from typing import Any

from striate.core.errors import message
from striate.core.registry import custom_object_scope, export
from striate.exporting import export_onnx
from striate.layers.layer import Layer
from striate.models.building import build_by_running, has_own_build
from striate.models.summary import print_summary
from striate.saving.models import path_of, save_model
from striate.saving.serialization import deserialize_keras_object, serialize_keras_object
from striate.saving.weights import load_weights, save_weights
from striate.training.trainer import Trainer


@export("keras.Model", "keras.models.Model")
class Model(Trainer, Layer):
    """A model: `Model(inputs, outputs)` from symbolic tensors (functional), or a subclass with `call`.

    Args:
        inputs, outputs: symbolic tensors or nests of them.
        name: by default numbered automatically.
    """

    _UNTRACKED = Layer._UNTRACKED | Trainer._OF_TRAINING
    _has_parts, _cuts_itself = True, False
    _FUNCTIONAL: Any = None  # filled by `models.functional`: what Model(inputs, outputs) makes

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Model and _is_functional(args, kwargs):
            cls = Model._FUNCTIONAL
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if _is_functional(args, kwargs) and not isinstance(self, Model._FUNCTIONAL):
            _make_functional(type(self))
            Model._FUNCTIONAL.__init__(self, *args, **kwargs)
            return
        if args:
            raise TypeError(
                f"{type(self).__name__}.__init__ got positional arguments {args}. Use Model(inputs=..., "
                "outputs=...), or a "
                "subclass that defines its layers in `__init__` and uses them in `call`."
            )
        super().__init__(**kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"Model {type(self).__name__} does not have a `call()` method implemented. Write one, or use "
            "Model(inputs=..., outputs=...)."
        )

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes over: all but the compiled plans."""
        return {**self.__dict__, "_predictor": None, "_steps": {}}

    @property
    def layers(self) -> list[Layer]:
        """The layers directly below the model: of a functional one from the inputs on, of a sequential one in a row
        (without the input)."""
        return self._listed_layers()

    @layers.setter
    def layers(self, value: Any) -> None:
        raise AttributeError(self._reserved())

    def _reserved(self) -> str:
        return "`Model.layers` attribute is reserved and should not be used. Please use another name."

    def _listed_layers(self) -> list[Layer]:
        return [layer for layer in self._sublayers() if isinstance(layer, Layer)]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer called `name`, or the one at `index`.

        Raises:
            ValueError: neither or both given, or no such layer.
        """
        if name is not None and index is not None:
            raise ValueError(f"Provide only a layer name or a layer index. Received: index={index}, name={name}.")
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(
                    f"Was asked to retrieve layer at index {index} but model only has {len(layers)} layers."
                )
            return layers[index]
        if name is None:
            raise ValueError("Provide either a layer name or layer index at `get_layer`.")
        found = next((layer for layer in layers if layer.name == name), None)
        if found is None:
            raise ValueError(f"No such layer: {name}. Existing layers are: {[layer.name for layer in layers]}.")
        return found

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
        show_receptive_field: bool = False,
    ) -> None:
        """Prints a table of the layers: names, output shapes, parameter counts, and what a unit sees of the input if
        `show_receptive_field`."""
        print_summary(
            self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range, show_receptive_field
        )

    def save(self, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any) -> None:
        """Saves the whole model to a `.keras` file: see `striate.saving.save_model`."""
        save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def export(
        self,
        filepath: Any,
        format: str | None = None,
        verbose: bool | None = None,
        input_signature: Any = None,
        opset_version: int | None = None,
    ) -> None:
        """Writes the inference of the model as an ONNX file: see `striate.exporting`.

        Args:
            filepath: a path that ends in `.onnx`.
            format: "onnx", or None: by the path.
            verbose: whether a line says what was written (default True).
            input_signature: None for the model's own inputs, or a nest of `InputSpec`s: `[InputSpec((1, 32, 32, 3))]`.
            opset_version: version of ONNX's operator set, from 19 on (default 19).

        Raises:
            ValueError: another format, or the model needs sizes that are not known.
            NotImplementedError: a layer has no equivalent in ONNX. ImportError: the package `onnx` is not installed.
        """
        path = path_of(filepath, "export")
        if (format or ("onnx" if path.endswith(".onnx") else None)) != "onnx":
            problem = f"models are exported as ONNX files, received format={format!r} and {path!r}"
            raise ValueError(message("export", problem, "Use `model.export('model.onnx')`"))
        export_onnx(self, path, input_signature, opset_version)
        if verbose or verbose is None:
            print(f"Saved artifact at '{path}'.")

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Loads weights from a `.weights.h5`, `.keras` or legacy `.h5` file; on an error the model is unchanged."""
        load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def save_weights(
        self, filepath: Any, overwrite: bool = True, max_shard_size: float | None = None, **kwargs: Any
    ) -> None:
        """Saves the weights to a `.weights.h5` file, written beside it and moved into place."""
        save_weights(self, filepath, overwrite=overwrite, max_shard_size=max_shard_size, **kwargs)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds the model for the shapes in `config`; without a `build` of its own by a symbolic call."""
        if has_own_build(self):
            super().build_from_config(config)
            return
        build_by_running(self, config)
        self.built = True

    def to_json(self, **kwargs: Any) -> str:
        """The architecture, without the weights, as JSON; `kwargs` go to `json.dumps`."""
        return json.dumps(serialize_keras_object(self), **kwargs)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A model made from what `get_config` returned: `Model.from_config` makes functional models, too."""
        if cls is Model and {"layers", "input_layers", "output_layers"} <= set(config):
            return Model._FUNCTIONAL.from_config(config, custom_objects)
        with custom_object_scope(custom_objects or {}):
            return super().from_config(config)


@export("keras.models.model_from_json")
def model_from_json(json_string: str, custom_objects: Any = None) -> Any:
    """The model, with fresh weights, that `model.to_json()` described.

    Raises:
        ValueError: no such description, or an unknown class.
    """
    return deserialize_keras_object(json.loads(json_string), custom_objects=custom_objects)


def _is_functional(args: Any, kwargs: Any) -> bool:
    """Whether a model is made with inputs and outputs."""
    return len(args) >= 2 or (len(args) == 1 and "outputs" in kwargs) or ("inputs" in kwargs and "outputs" in kwargs)


def _make_functional(cls: type) -> None:
    """Puts the functional model between a subclass of `Model` that calls `super().__init__(inputs, outputs)` and
    `Model`."""
    if cls is not object and Model in cls.__bases__:
        cls.__bases__ = tuple(Model._FUNCTIONAL if base is Model else base for base in cls.__bases__)
        return
    for base in cls.__bases__:
        if issubclass(base, Model):
            _make_functional(base)
