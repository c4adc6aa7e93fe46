"""Layers without a family: Activation, Identity, Lambda, Dropout, Rescaling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striate import activations, ops, random
from striate.core import config
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.functions import function_config, function_of
from striate.layers.layer import Layer
from striate.trace import KerasTensor, infer_spec


@export("keras.layers.Activation")
class Activation(Layer):
    """An activation function as a layer.

    Args:
        activation: a name or a function.
    """

    _STATELESS = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.activation = activations.get(activation)

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"activation": activations.serialize(self.activation)}


@export("keras.layers.Identity")
class Identity(Layer):
    """Returns its input."""

    _STATELESS = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def compute_output_spec(self, inputs: Any) -> Any:
        return KerasTensor(inputs.shape, inputs.dtype)


@export("keras.layers.Masking")
class Masking(Layer):
    """Masks the time steps of `(batch, steps, features)` that hold nothing but `mask_value`; layers behind skip them.

    Args:
        mask_value: the value; masked steps become zeros.
    """

    _STATELESS = True

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value, self.supports_masking = mask_value, True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """False for the steps that are masked."""
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        counts = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return ops.where(counts, inputs, ops.zeros_like(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"mask_value": self.mask_value}


@export("keras.layers.Lambda")
class Lambda(Layer):
    """A function of the user's as a layer. It runs as Python each time the layer is called on arrays.

    Args:
        function: of the inputs.
        output_shape: the shape without the batch axis, or a function of the input's shape; by default found by tracing.
        mask: a mask, or a function `(inputs, mask)`.
        arguments: keyword arguments for `function`.
    """

    runs_user_code = True

    def __init__(
        self, function: Callable[..., Any], output_shape: Any = None, mask: Any = None,
        arguments: dict[str, Any] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(message(f"Lambda '{self.name}'", f"`function` must be callable. Received: {function!r}"))
        self.function, self._output_shape, self.mask = function, output_shape, mask
        self.arguments = arguments or {}
        self.supports_masking = mask is not None

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        known = {"mask": mask, "training": training}
        names = getattr(getattr(self.function, "__code__", None), "co_varnames", ())
        extra = {k: v for k, v in known.items() if k in names and k not in self.arguments}
        return self.function(inputs, **self.arguments, **extra)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """`output_shape` behind the batch axis, or what tracing finds."""
        if self._output_shape is None:
            return infer_spec(self.call, KerasTensor(input_shape, self.compute_dtype)).shape
        if callable(self._output_shape):
            return self._output_shape(input_shape)
        return (input_shape[0], *self._output_shape)

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        if self._output_shape is None:
            return infer_spec(self.call, inputs)
        return KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The given mask, or what the given function makes of it."""
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def get_config(self) -> dict[str, Any]:
        made = super().get_config() | {"function": function_config(self.function), "arguments": self.arguments}
        if self._output_shape is not None:
            shape = self._output_shape
            made["output_shape"] = function_config(shape) if callable(shape) else shape
        if self.mask is not None:
            made["mask"] = function_config(self.mask) if callable(self.mask) else _plain(self.mask)
        return made

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None, safe_mode: bool | None = None
    ) -> Lambda:
        """The layer that `get_config` described.

        Raises:
            ValueError: a function that this program doesn't have; the code in a file is never run.
        """
        made = {k: _array(function_of(v, custom_objects, config.get("name"))) for k, v in config.items()}
        if isinstance(made.get("output_shape"), list):
            made["output_shape"] = tuple(made["output_shape"])
        return cls(**made)


@export("keras.layers.Dropout")
class Dropout(Layer):
    """Sets inputs to zero at random while training, and scales the others by `1 / (1 - rate)` (Srivastava et al. 2014).

    Args:
        rate: the share of zeros, in [0, 1].
        noise_shape: shape of the mask; size 1 shares it along an axis.
        seed: an int for reproducible masks.
    """

    _STATELESS = True

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise ValueError(
                message(
                    f"Dropout '{self.name}'",
                    "Invalid value received for argument `rate`. Expected a float value between 0 and 1. Received: "
                    f"rate={rate!r}",
                )
            )
        self.rate, self.seed, self.noise_shape = rate, seed, self._checked_shape(noise_shape)
        self.seed_generator = random.SeedGenerator(seed) if rate > 0 else None
        self.supports_masking = True

    def _checked_shape(self, shape: Any) -> tuple[Any, ...] | None:
        if shape is None:
            return None
        rule = None
        if not isinstance(shape, list | tuple):
            rule = "Expected a tuple or list of integers"
        elif not all(n is None or (isinstance(n, int) and not isinstance(n, bool)) for n in shape):
            rule = "Expected all elements to be integers or None"
        elif not all(n is None or n > 0 for n in shape):
            rule = "Expected all dimensions to be positive integers or None"
        if rule:
            problem = f"Invalid value received for argument `noise_shape`. {rule}. Received: noise_shape={shape!r}"
            raise ValueError(message(f"Dropout '{self.name}'", problem))
        return tuple(shape)

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        if not training or self.seed_generator is None:
            return inputs
        return random.dropout(inputs, self.rate, noise_shape=self.noise_shape, seed=self.seed_generator)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rate": self.rate, "seed": self.seed, "noise_shape": self.noise_shape}


@export("keras.layers.Rescaling")
class Rescaling(Layer):
    """`inputs * scale + offset`.

    Args:
        scale, offset: numbers, or one per channel.
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale, self.offset, self.supports_masking = scale, offset, True

    def call(self, inputs: Any) -> Any:
        scale, offset = (self._per_channel(v) for v in (self.scale, self.offset))
        return ops.add(ops.multiply(ops.cast(inputs, self.compute_dtype), scale), offset)

    def _per_channel(self, values: Any) -> Any:
        """`values`, with channels first ready to be broadcast along height and width."""
        values = ops.cast(values, self.compute_dtype)
        rank = len(values.shape)
        first = config.image_data_format() == "channels_first" and 0 < rank < 3
        return ops.reshape(values, (*values.shape, *(1,) * (3 - rank))) if first else values

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {k: _plain(getattr(self, k)) for k in ("scale", "offset")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Rescaling:
        """The layer that `get_config` described."""
        return cls(**config | {k: _array(config[k]) for k in ("scale", "offset") if k in config})


def _plain(value: Any) -> Any:
    """An array as Keras's configs hold one."""
    if not isinstance(value, np.ndarray | np.generic):
        return value
    return {"class_name": "__numpy__", "config": {"value": value.tolist(), "dtype": str(value.dtype)}}


def _array(value: Any) -> Any:
    if isinstance(value, dict) and value.get("class_name") == "__numpy__":
        return np.array(value["config"]["value"], dtype=value["config"]["dtype"])
    return value
