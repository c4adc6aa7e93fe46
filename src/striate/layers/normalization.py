"""Batch normalization (Ioffe & Szegedy 2015)."""

from __future__ import annotations

from typing import Any

from striate import constraints, initializers, ops, regularizers
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.input_spec import InputSpec
from striate.layers.layer import Layer
from striate.trace import Variable

_WEIGHTS = ("beta", "gamma", "moving_mean", "moving_variance")


@export("keras.layers.BatchNormalization")
class BatchNormalization(Layer):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta` per channel.

    In inference mean and variance are the moving ones; in training those of the batch, which the moving ones follow:
    `moving * momentum + batch * (1 - momentum)`.

    Args:
        axis: the channel axis.
        momentum: of the moving statistics.
        epsilon: added to the variance.
        center, scale: whether there is a beta, a gamma.
    """

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones", beta_regularizer: Any = None, gamma_regularizer: Any = None,
        beta_constraint: Any = None, gamma_constraint: Any = None, synchronized: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.axis, self.momentum, self.epsilon = int(axis), float(momentum), float(epsilon)
        self.center, self.scale, self.synchronized, self.supports_masking = center, scale, synchronized, True
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma: Variable | None = None
        self.beta: Variable | None = None

    def build(self, input_shape: Any) -> None:
        size = input_shape[self.axis]
        if size is None:
            raise ValueError(
                message(
                    f"BatchNormalization '{self.name}'",
                    f"axis {self.axis} of the input must have a known size, got shape {tuple(input_shape)}",
                )
            )
        if self.scale:
            self.gamma = self.add_weight(
                (size,), self.gamma_initializer, name="gamma", autocast=False,
                regularizer=self.gamma_regularizer, constraint=self.gamma_constraint,
            )  # fmt: skip
        if self.center:
            self.beta = self.add_weight(
                (size,), self.beta_initializer, name="beta", autocast=False,
                regularizer=self.beta_regularizer, constraint=self.beta_constraint,
            )  # fmt: skip
        self.moving_mean = self.add_weight(
            (size,), self.moving_mean_initializer, name="moving_mean", trainable=False, autocast=False
        )
        self.moving_variance = self.add_weight(
            (size,), self.moving_variance_initializer, name="moving_variance", trainable=False, autocast=False
        )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        x = ops.cast(inputs, "float32") if self.compute_dtype == "float16" else inputs
        mean, variance = self._statistics(x, bool(training) and self.trainable, mask)
        factor = ops.rsqrt(ops.add(variance, self.epsilon))
        if self.gamma is not None:
            factor = ops.multiply(factor, self.gamma)
        shift = ops.negative(ops.multiply(mean, factor))
        if self.beta is not None:
            shift = ops.add(shift, self.beta)
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        y = ops.add(ops.multiply(x, ops.reshape(factor, shape)), ops.reshape(shift, shape))
        return ops.cast(y, self.compute_dtype)

    def _statistics(self, x: Any, training: bool, mask: Any) -> tuple[Any, Any]:
        if not training:
            return self.moving_mean, self.moving_variance
        axes = [i for i in range(len(x.shape)) if i != self.axis % len(x.shape)]
        mean, variance = _moments(x, axes, mask)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(ops.add(ops.multiply(moving, self.momentum), ops.multiply(batch, 1.0 - self.momentum)))
        return mean, variance

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        made = super().get_config() | {
            "axis": self.axis, "momentum": self.momentum, "epsilon": self.epsilon, "center": self.center,
            "scale": self.scale, "synchronized": self.synchronized,
        }  # fmt: skip
        for name in _WEIGHTS:
            made[f"{name}_initializer"] = initializers.serialize(getattr(self, f"{name}_initializer"))
        for name in ("beta", "gamma"):
            made[f"{name}_regularizer"] = regularizers.serialize(getattr(self, f"{name}_regularizer"))
            made[f"{name}_constraint"] = constraints.serialize(getattr(self, f"{name}_constraint"))
        return made


def _moments(x: Any, axes: list[int], mask: Any) -> tuple[Any, Any]:
    """Mean and variance over `axes`, of the entries that `mask` keeps."""
    if mask is None:
        return ops.moments(x, axes=axes)
    weights = ops.cast(mask, x.dtype)
    weights = ops.broadcast_to(
        ops.reshape(weights, (*weights.shape, *(1,) * (len(x.shape) - len(weights.shape)))), x.shape
    )
    total = ops.add(ops.sum(weights, axis=axes), 1e-7)
    mean = ops.divide(ops.sum(ops.multiply(weights, x), axis=axes), total)
    shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
    deviation = ops.square(ops.subtract(x, ops.reshape(mean, shape)))
    return mean, ops.divide(ops.sum(ops.multiply(weights, deviation), axis=axes), total)
