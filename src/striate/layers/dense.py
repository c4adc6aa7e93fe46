"""`Dense`: a matrix product with the last axis."""

from __future__ import annotations

from typing import Any

from striate import activations, constraints, initializers, ops, regularizers
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.fitting import flattened_from
from striate.layers.input_spec import InputSpec
from striate.layers.layer import Layer


@export("keras.layers.Dense")
class Dense(Layer):
    """`activation(inputs @ kernel + bias)`: `(batch, ..., features)` to `(batch, ..., units)`.

    Args:
        units: the size of the output's last axis.
        activation: a name or a function; None for none.
        use_bias: whether a bias is added.
        kernel_*, bias_*: initializer, regularizer and constraint of the kernel `(features, units)` and the bias
        `(units,)`.

    Raises:
        ValueError: `units` is no positive int.
    """

    def __init__(
        self, units: int, activation: Any = None, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None, bias_regularizer: Any = None,
        activity_regularizer: Any = None, kernel_constraint: Any = None, bias_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        if not isinstance(units, int) or isinstance(units, bool) or units <= 0:
            raise ValueError(
                message(
                    f"Dense '{self.name}'",
                    f"Received an invalid value for `units`, expected a positive integer. Received: units={units!r}",
                )
            )
        self.units, self.use_bias = units, use_bias
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        features = input_shape[-1]
        if features is None:
            raise ValueError(
                message(
                    f"Dense '{self.name}'",
                    f"the last axis of the input must have a known size, got shape {tuple(input_shape)}",
                    "Give `Input` sizes, or put GlobalAveragePooling2D before it",
                )
            )
        self._kernel = self.add_weight(
            name="kernel", shape=(features, self.units), initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        self.bias = (
            self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
            if self.use_bias
            else None
        )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})

    def _explain_axis(self, axis: int, size: int, shape: Any) -> str | None:
        return flattened_from(self, size, shape[axis])

    @property
    def kernel(self) -> Any:
        """The kernel, `(features, units)`."""
        if not self.built:
            raise AttributeError(
                f"You must build the layer before accessing `kernel`. Call layer '{self.name}' on data or an `Input`."
            )
        return self._kernel

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = ops.matmul(inputs, self.kernel)
        if self.use_bias:
            x = ops.add(x, self.bias)
        return x if self.activation is None else self.activation(x)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """`(batch, ..., units)`."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }
