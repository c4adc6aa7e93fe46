"""Normalizations of each sample by itself: `LayerNormalization`, `RMSNormalization`, `UnitNormalization`."""

from __future__ import annotations

import warnings
from typing import Any

from striate import ops
from striate.core.registry import export
from striate.layers.affine import Affine, axes_list, check_axes, checked_axis, sizes_at
from striate.layers.layer import Layer


@export("keras.layers.LayerNormalization")
class LayerNormalization(Affine):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta`, statistics along `axis` (arXiv:1607.06450).

    Args:
        axis: the axis or axes that are normalized over; gamma and beta have their sizes.
        epsilon: added to the variance.
        center, scale, beta_*, gamma_*: see `Affine`.
        rms_scaling: `gamma * x / sqrt(variance + epsilon)` instead; Keras warns of it in favour of `RMSNormalization`.

    Raises:
        TypeError: `axis` is neither an int nor ints.
    """

    def __init__(
        self, axis: Any = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", beta_regularizer: Any = None,
        gamma_regularizer: Any = None, beta_constraint: Any = None, gamma_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        rms_scaling = kwargs.pop("rms_scaling", False)
        super().__init__(
            center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint,
            gamma_constraint, **kwargs,
        )  # fmt: skip
        if rms_scaling:
            warnings.warn(
                "`rms_scaling=True` is deprecated: it divides by the standard deviation, not by the root mean square. "
                "Use `keras.layers.RMSNormalization` instead.",
                stacklevel=2,
            )
        self.axis = checked_axis(axis, f"LayerNormalization '{self.name}'")
        self.epsilon, self.rms_scaling = epsilon, rms_scaling

    def build(self, input_shape: Any) -> None:
        self.axis = sorted(axes_list(self.axis))
        shape = sizes_at(self, input_shape, self.axis)
        self.gamma = self._add("gamma", shape) if self.scale or self.rms_scaling else None
        self.beta = self._add("beta", shape) if self.center and not self.rms_scaling else None

    def call(self, inputs: Any) -> Any:
        if self.rms_scaling:
            return ops.cast(self._scaled(inputs), self.compute_dtype)
        made = ops.layer_normalization(inputs, self.gamma, self.beta, self.axis, self.epsilon)
        return ops.cast(made, self.compute_dtype)

    def _scaled(self, x: Any) -> Any:
        """Divided by the standard deviation, without taking the mean away."""
        shape = [n if i in [a % len(x.shape) for a in self.axis] else 1 for i, n in enumerate(x.shape)]
        factor = ops.rsqrt(ops.add(ops.var(x, axis=tuple(self.axis), keepdims=True), self.epsilon))
        return ops.multiply(x, ops.multiply(factor, ops.reshape(self.gamma, shape)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        check_axes(self, input_shape, axes_list(self.axis))
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"axis": self.axis, "epsilon": self.epsilon, "rms_scaling": self.rms_scaling}
        return super().get_config() | own | self._affine_config()


@export("keras.layers.RMSNormalization")
class RMSNormalization(Layer):
    """`scale * x / sqrt(mean(x^2) + epsilon)`, the mean along `axis` (arXiv:1910.07467).

    Args:
        axis: the axis or axes that are normalized over; the trained `scale` has their sizes.
        epsilon: added to the mean square.
    """

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = checked_axis(axis, f"RMSNormalization '{self.name}'")
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        self.axis = sorted(axes_list(self.axis))
        self.scale = self.add_weight(sizes_at(self, input_shape, self.axis), "ones", name="scale")

    def call(self, x: Any) -> Any:
        return ops.rms_normalization(x, scale=self.scale, axis=self.axis, epsilon=self.epsilon)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        check_axes(self, input_shape, axes_list(self.axis))
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"axis": self.axis, "epsilon": self.epsilon}


@export("keras.layers.UnitNormalization")
class UnitNormalization(Layer):
    """Each sample divided by its Euclidean norm along `axis`.

    Args:
        axis: an int or several.

    Raises:
        TypeError: `axis` is neither an int nor ints.
    """

    _STATELESS = True

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        rule = "Invalid value for `axis` argument: expected an int or a list/tuple of ints. Received: axis ="
        self.axis = checked_axis(axis, f"UnitNormalization '{self.name}'", rule)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return ops.normalize(inputs, axis=self.axis, order=2, epsilon=1e-12)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        check_axes(self, input_shape, axes_list(self.axis))
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"axis": self.axis}
