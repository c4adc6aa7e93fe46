"""Activation functions with arguments, as layers."""

from __future__ import annotations

from typing import Any

from striate import activations, constraints, initializers, ops, regularizers
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.input_spec import InputSpec
from striate.layers.layer import Layer


class _ActivationLayer(Layer):
    """The base: the output has the input's shape."""

    _STATELESS = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking, self.built = True, True

    def _number(self, name: str, value: Any, least: float | None = 0.0) -> float:
        if value is None or (least is not None and value < least):
            rule = "" if least is None else f" of at least {least:g}"
            raise ValueError(
                message(
                    f"{type(self).__name__} '{self.name}'",
                    f"The {name} value of a {type(self).__name__} layer cannot be None or negative: expected a "
                    f"number{rule}. "
                    f"Received: {name}={value}",
                )
            )
        return float(value)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape


@export("keras.layers.ReLU")
class ReLU(_ActivationLayer):
    """`min(max(x, 0), max_value)` above `threshold`, `negative_slope * (x - threshold)` below.

    Args:
        max_value: None for no limit; at least 0.
        negative_slope, threshold: at least 0.
    """

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else self._number("max_value", max_value)
        self.negative_slope = self._number("negative_slope", negative_slope)
        self.threshold = self._number("threshold", threshold)

    def call(self, inputs: Any) -> Any:
        return activations.relu(
            inputs, negative_slope=self.negative_slope, max_value=self.max_value, threshold=self.threshold
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "max_value": self.max_value, "negative_slope": self.negative_slope, "threshold": self.threshold,
        }  # fmt: skip


@export("keras.layers.LeakyReLU")
class LeakyReLU(_ActivationLayer):
    """`x` above zero, `negative_slope * x` below."""

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**({k: v for k, v in kwargs.items() if k != "alpha"}))
        self.negative_slope = self._number("negative_slope", kwargs.get("alpha", negative_slope))

    def call(self, inputs: Any) -> Any:
        return activations.leaky_relu(inputs, negative_slope=self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"negative_slope": self.negative_slope}


@export("keras.layers.ELU")
class ELU(_ActivationLayer):
    """`x` above zero, `alpha * (exp(x) - 1)` below (Clevert et al. 2016)."""

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = self._number("alpha", alpha)

    def call(self, inputs: Any) -> Any:
        return activations.elu(inputs, alpha=self.alpha)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"alpha": self.alpha}


@export("keras.layers.Softmax")
class Softmax(_ActivationLayer):
    """`exp(x) / sum(exp(x))` along `axis` (one or several).

    With `mask`, an array of bools, entries that are False get next to nothing.
    """

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is not None:
            lowest = {"float16": -65504.0}.get(str(inputs.dtype), -1e9)
            inputs = ops.add(inputs, ops.multiply(ops.subtract(1.0, ops.cast(mask, inputs.dtype)), lowest))
        if isinstance(self.axis, list | tuple) and len(self.axis) > 1:
            return ops.exp(ops.subtract(inputs, ops.logsumexp(inputs, axis=tuple(self.axis), keepdims=True)))
        axis = self.axis[0] if isinstance(self.axis, list | tuple) else self.axis
        return activations.softmax(inputs, axis=axis)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"axis": self.axis}


@export("keras.layers.PReLU")
class PReLU(Layer):
    """`x` above zero, `alpha * x` below, with `alpha` learned (He et al. 2015).

    Args:
        alpha_*: initializer, regularizer and constraint of alpha, of the input's shape without the batch axis.
        shared_axes: axes along which one alpha serves all.
    """

    def __init__(
        self, alpha_initializer: Any = "Zeros", alpha_regularizer: Any = None, alpha_constraint: Any = None,
        shared_axes: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.supports_masking = True
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        listed = shared_axes if isinstance(shared_axes, list | tuple) or shared_axes is None else [shared_axes]
        self.shared_axes = None if listed is None else list(listed)

    def build(self, input_shape: Any) -> None:
        shape = list(input_shape[1:])
        for axis in self.shared_axes or ():
            shape[axis - 1] = 1
        self.alpha = self.add_weight(
            name="alpha", shape=tuple(shape), initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer, constraint=self.alpha_constraint,
        )  # fmt: skip
        fixed = {i: n for i, n in enumerate(input_shape) if i and i not in (self.shared_axes or ())}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=fixed)

    def call(self, inputs: Any) -> Any:
        return ops.add(ops.relu(inputs), ops.multiply(ops.negative(self.alpha), ops.relu(ops.negative(inputs))))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": constraints.serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }
