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
        self.supports_masking = True

    def _number(self, name: str, value: Any, problem: str, *, negative: bool = False) -> float:
        """`value` as a float; ValueError with `problem` for None, and for a negative one unless they are allowed."""
        valid = isinstance(value, int | float) and not isinstance(value, bool) and (negative or value >= 0)
        if not valid:
            where = f"{type(self).__name__} '{self.name}'"
            rule = "a number" if negative else "a number of at least 0"
            raise ValueError(message(where, f"{problem}. Received: {name}={value!r}", f"Pass {rule}"))
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
        problem = "{} of a ReLU layer cannot be {}a negative value"
        if max_value is not None:
            max_value = self._number("max_value", max_value, problem.format("max_value", ""))
        self.max_value = max_value
        self.negative_slope = self._number(
            "negative_slope", negative_slope, problem.format("negative_slope", "None or ")
        )
        self.threshold = self._number("threshold", threshold, problem.format("threshold", "None or "))

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
        problem = "The negative_slope value of a Leaky ReLU layer cannot be None or a negative value"
        self.negative_slope = self._number("negative_slope", kwargs.get("alpha", negative_slope), problem)

    def call(self, inputs: Any) -> Any:
        return activations.leaky_relu(inputs, negative_slope=self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"negative_slope": self.negative_slope}


@export("keras.layers.ELU")
class ELU(_ActivationLayer):
    """`x` above zero, `alpha * (exp(x) - 1)` below (Clevert et al. 2016)."""

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = self._number("alpha", alpha, "alpha of an ELU layer must be a number", negative=True)

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
        self._check_axis(len(inputs.shape))
        if mask is None:
            return self._softmax(inputs)
        self._check_mask(tuple(mask.shape), tuple(inputs.shape))
        keep = ops.greater(mask, 0.5) if str(mask.dtype) != "bool" else mask
        lowest = {"float16": -3e4}.get(str(inputs.dtype), -1e9)
        outputs = self._softmax(ops.where(keep, inputs, ops.cast(lowest, inputs.dtype)))
        return ops.where(keep, outputs, ops.zeros_like(outputs))  # where everything is masked, too

    def _softmax(self, x: Any) -> Any:
        if isinstance(self.axis, list | tuple) and len(self.axis) > 1:
            return ops.exp(ops.subtract(x, ops.logsumexp(x, axis=tuple(self.axis), keepdims=True)))
        return activations.softmax(x, axis=self.axis[0] if isinstance(self.axis, list | tuple) else self.axis)

    def _check_axis(self, rank: int) -> None:
        axes = self.axis if isinstance(self.axis, list | tuple) else [self.axis]
        if any(not -rank <= a < rank for a in axes):
            problem = f"axis={self.axis} is out of range for an input with {rank} axes"
            raise ValueError(message(f"Softmax '{self.name}'", problem, f"Use {-rank} to {rank - 1}"))

    def _check_mask(self, mask: tuple[Any, ...], shape: tuple[Any, ...]) -> None:
        where, received = f"Softmax '{self.name}'", f"Received: inputs.shape={shape}, mask.shape={mask}"
        if len(mask) > len(shape):
            problem = "The `mask` must be broadcastable to `inputs` and must not have more dimensions"
            raise ValueError(message(where, f"{problem}. {received}"))
        pairs = zip(reversed(mask), reversed(shape), strict=False)
        if any(None not in (m, n) and m not in (1, n) for m, n in pairs):
            problem = "The `mask` must be broadcastable to `inputs`: each of its sizes must be 1 or the input's"
            raise ValueError(message(where, f"{problem}. {received}"))

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
