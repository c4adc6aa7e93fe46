"""Group normalization (Wu & He 2018, arXiv:1803.08494)."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core import dtypes
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.affine import Affine, check_axes, sizes_at
from striate.layers.input_spec import InputSpec


@export("keras.layers.GroupNormalization")
class GroupNormalization(Affine):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta`, statistics per sample and group of channels.

    Args:
        groups: how many groups; -1 for one per channel (instance normalization). They divide the channels.
        axis: the channel axis.
        epsilon: added to the variance.
        center, scale, beta_*, gamma_*: see `Affine`.

    Raises:
        ValueError: `groups` is neither a positive int nor -1.
    """

    def __init__(
        self, groups: int = 32, axis: int = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", beta_regularizer: Any = None,
        gamma_regularizer: Any = None, beta_constraint: Any = None, gamma_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint,
            gamma_constraint, **kwargs,
        )  # fmt: skip
        if not isinstance(groups, int) or isinstance(groups, bool) or (groups <= 0 and groups != -1):
            problem = (
                "Received an invalid value for argument `groups`, expected a positive integer (or `-1` for instance "
                f"normalization). Received: groups={groups!r}"
            )
            raise ValueError(message(f"GroupNormalization '{self.name}'", problem))
        self.groups, self.axis, self.epsilon = groups, axis, epsilon

    def build(self, input_shape: Any) -> None:
        (channels,) = sizes_at(self, input_shape, [self.axis])
        if self.groups == -1:
            self.groups = channels
        if channels % self.groups:
            more = channels < self.groups
            rule = "cannot be more than the number of channels" if more else "must divide the number of channels"
            fix = f"Use a divisor of {channels}, or -1 for one group per channel"
            problem = f"Number of groups ({self.groups}) {rule} ({channels})"
            raise ValueError(message(f"GroupNormalization '{self.name}'", problem, fix))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: channels})
        self.gamma = self._add("gamma", (channels,)) if self.scale else None
        self.beta = self._add("beta", (channels,)) if self.center else None

    def call(self, inputs: Any) -> Any:
        shape, place = tuple(inputs.shape), self.axis % len(inputs.shape)
        split = (self.groups, shape[place] // self.groups)
        x = ops.reshape(inputs, (*shape[:place], *split, *shape[place + 1 :]))
        x = ops.cast(x, dtypes.result_type(dtypes.standardize(x.dtype), "float32"))
        mean, variance = ops.moments(x, axes=[i for i in range(1, len(x.shape)) if i != place], keepdims=True)
        along = [1] * len(x.shape)
        along[place : place + 2] = split
        factor = ops.rsqrt(ops.add(variance, self.epsilon))
        factor = factor if self.gamma is None else ops.multiply(factor, ops.reshape(self.gamma, along))
        made = ops.multiply(ops.subtract(x, mean), factor)
        made = made if self.beta is None else ops.add(made, ops.reshape(self.beta, along))
        return ops.cast(ops.reshape(made, shape), self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        check_axes(self, input_shape, [self.axis])
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"groups": self.groups, "axis": self.axis, "epsilon": self.epsilon}
        return super().get_config() | own | self._affine_config()
