"""`Model`: a layer that is used on its own, with `summary`, `predict` and access to its layers."""

from __future__ import annotations

from typing import Any

from striate.core.registry import export
from striate.layers.layer import Layer
from striate.models.predict import Predictor
from striate.models.summary import print_summary
from striate.saving.weights import load_weights, save_weights


@export("keras.Model", "keras.models.Model")
class Model(Layer):
    """A model: `Model(inputs, outputs)` from symbolic tensors (functional), or a subclass with `call`.

    Args:
        inputs, outputs: symbolic tensors or nests of them.
        name: by default numbered automatically.
    """

    _FUNCTIONAL: Any = None  # filled by `models.functional`: what Model(inputs, outputs) makes

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls._makes_functional(args, kwargs) and Model._FUNCTIONAL is not None:
            return Model._FUNCTIONAL.__new__(Model._FUNCTIONAL, *args, **kwargs)
        return super().__new__(cls)

    @classmethod
    def _makes_functional(cls, args: Any, kwargs: Any) -> bool:
        given = len(args) >= 2 or (len(args) == 1 and "outputs" in kwargs) or ("inputs" in kwargs and "outputs" in kwargs)
        return cls is Model and given

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if type(self)._FUNCTIONAL is not None and args:
            raise TypeError(
                f"{type(self).__name__}.__init__ got positional arguments {args}. A subclassed model takes none: define "
                "its layers in `__init__` and use them in `call`, or use Model(inputs=..., outputs=...)."
            )
        super().__init__(**kwargs)
        self._predictor: Any = None

    def call(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"Model {type(self).__name__} does not have a `call()` method implemented. Write one, or use "
            "Model(inputs=..., outputs=...)."
        )

    @property
    def layers(self) -> list[Layer]:
        """The layers directly below the model."""
        return [layer for layer in self._sublayers() if isinstance(layer, Layer)]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer called `name`, or the one at `index`.

        Raises:
            ValueError: neither or both given, or no such layer.
        """
        if (name is None) == (index is None):
            raise ValueError(f"Provide either a layer name or layer index at `get_layer`. Received: name={name}, index={index}.")
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(f"Was asked to retrieve layer at index {index} but model only has {len(layers)} layers.")
            return layers[index]
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
    ) -> None:
        """Prints a table of the layers: names, output shapes, parameter counts."""
        print_summary(self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range)

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto", steps: Any = None, callbacks: Any = None) -> Any:
        """The outputs for `x`, computed in batches.

        Args:
            x: an array `(samples, ...)`, a list or dict of them, or an iterable of batches.
            batch_size: 32 by default, for arrays.
            verbose: "auto" or 1 for a progress bar, 0 for none, 2 for one line.
            steps: the number of batches, for an endless iterable.
            callbacks: see `striate.callbacks`.

        Returns:
            Arrays in the nest of the model's outputs.
        """
        if self._predictor is None:
            self._predictor = Predictor(self)
        return self._predictor(x, batch_size, verbose, steps, callbacks)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        return self.predict(x, batch_size=len(x) if hasattr(x, "__len__") and not isinstance(x, list | dict) else None, verbose=0)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Loads weights from a `.weights.h5` or a legacy `.h5` file; on an error the model is unchanged."""
        load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Saves the weights to a `.weights.h5` file, written beside it and moved into place."""
        save_weights(self, filepath, overwrite=overwrite)
