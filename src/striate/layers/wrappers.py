"""Layers around a layer: `Wrapper`, `TimeDistributed`."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core.errors import message
from striate.core.lazy import exported
from striate.core.registry import export
from striate.layers import call_spec
from striate.layers.layer import Layer

_saving, _ = exported(__name__, "keras.saving", ("striate.saving.serialization",))  # above this folder: found when used


@export("keras.layers.Wrapper")
class Wrapper(Layer):
    """The base of layers that hold another one in `layer`.

    Raises:
        ValueError: `layer` is no layer.
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            problem = f"Layer {layer!r} supplied to Wrapper isn't a supported layer type"
            raise ValueError(
                message(type(self).__name__, problem, "Please ensure wrapped layer is a valid Keras layer")
            )
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"layer": _saving("serialize_keras_object")(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer that `get_config` described, with the one in it."""
        rest = dict(config)
        layer = _saving("deserialize_keras_object")(rest.pop("layer"), custom_objects=custom_objects)
        return cls(layer, **rest)


@export("keras.layers.TimeDistributed")
class TimeDistributed(Wrapper):
    """Applies a layer to each step of `(batch, steps, ...)` by itself, with the same weights.

    A mask `(batch, steps)` is given to the layer step by step if it takes one, and `training` likewise.

    Raises:
        ValueError: `layer` is no layer; an input of fewer than three axes; a mask of another batch or number of steps.
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def _step_shape(self, input_shape: Any) -> tuple[Any, ...]:
        if not isinstance(input_shape, tuple | list) or len(input_shape) < 3:
            problem = (
                "`TimeDistributed` Layer should be passed an `input_shape` with at least 3 dimensions, received: "
                f"{input_shape}"
            )
            raise ValueError(message(f"TimeDistributed '{self.name}'", problem))
        return (input_shape[0], *input_shape[2:])

    def build(self, input_shape: Any = None) -> None:
        super().build(self._step_shape(input_shape))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The layer's output shape with the steps behind the batch axis."""
        made = self.layer.compute_output_shape(self._step_shape(input_shape))
        return (made[0], input_shape[1], *made[1:])

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        self._check_mask(tuple(inputs.shape), mask)
        takes = {k: call_spec.names(type(self.layer).call, k) for k in ("mask", "training")}
        steps = []
        for i in range(inputs.shape[1]):
            kwargs = {"training": training} if takes["training"] else {}
            if takes["mask"] and mask is not None:
                kwargs["mask"] = mask[:, i]
            steps.append(self.layer.call(inputs[:, i], **kwargs))
        return ops.stack(steps, axis=1)

    def _check_mask(self, shape: tuple[Any, ...], mask: Any) -> None:
        if mask is None or tuple(mask.shape[:2]) == shape[:2]:
            return
        if len(mask.shape) < 2:
            rule = "must be at least 2D (e.g., `(batch_size, timesteps)`), but it has"
            problem = f"{rule} {len(mask.shape)} dimension(s) with shape {tuple(mask.shape)}"
        else:
            rule = f"has a shape {tuple(mask.shape)} that is incompatible with the input shape {shape}"
            problem = f"{rule}. Expected mask shape prefix: {shape[:2]}"
        where = f"TimeDistributed '{self.name}'"
        raise ValueError(message(where, f"The `mask` passed to the `TimeDistributed` layer {problem}"))
