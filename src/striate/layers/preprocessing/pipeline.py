"""`Pipeline`: layers one after the other, as one layer."""

from __future__ import annotations

from typing import Any

from striate.core.errors import message
from striate.core.lazy import exported
from striate.core.registry import export
from striate.layers import call_spec
from striate.layers.layer import Layer
from striate.trace.masks import get_keras_mask

_saving, _ = exported(__name__, "keras.saving", ("striate.saving.serialization",))  # above this folder: found when used


@export("keras.layers.Pipeline")
class Pipeline(Layer):
    """Calls layers one after the other; inputs may be dicts, as the image layers take them.

    Args:
        layers: a list of layers.
    """

    def __init__(self, layers: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        self._pipeline_layers = layers
        self._convert_inputs = False

    @property
    def layers(self) -> Any:
        """The layers, in their order."""
        return self._pipeline_layers

    def call(self, inputs: Any, training: bool = True, mask: Any = None) -> Any:
        for layer in self._pipeline_layers:
            named = {"training": training, "mask": mask}
            given = {k: v for k, v in named.items() if v is not None and call_spec.names(type(layer).call, k)}
            inputs = layer(inputs, **given)
            mask = None if isinstance(inputs, dict | list | tuple) else get_keras_mask(inputs)
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {"layers": _saving("serialize_keras_object")(list(self._pipeline_layers)), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Pipeline:
        """The pipeline that `get_config` described; ValueError without a list of layers."""
        entries = config.get("layers")
        if not isinstance(entries, list | tuple):
            problem = f"expected a config with a list under 'layers', received layers={entries!r}"
            raise ValueError(message("Pipeline", problem, "Pass what `get_config()` returned"))
        decode = _saving("deserialize_keras_object")
        return cls(**{**config, "layers": [decode(entry, custom_objects=custom_objects) for entry in entries]})
