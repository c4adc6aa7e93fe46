"""Batch normalization (Ioffe & Szegedy 2015)."""

from __future__ import annotations

from typing import Any

from striate import constraints, initializers, ops, regularizers
from striate.core import dtypes
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.input_spec import InputSpec
from striate.layers.layer import Layer
from striate.trace import Variable

_CLIPPED = ("rmax", "rmin", "dmax")
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
        synchronized: across machines: there is only one here, so True is refused.
        renorm: batch renormalization (Ioffe 2017), with `renorm_clipping` (bounds "rmax", "rmin", "dmax") and
            `renorm_momentum`.
    """

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones", beta_regularizer: Any = None, gamma_regularizer: Any = None,
        beta_constraint: Any = None, gamma_constraint: Any = None, renorm: bool = False, renorm_clipping: Any = None,
        renorm_momentum: float = 0.99, synchronized: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        if synchronized:
            problem = (
                "Argument synchronized=True is only supported with the TensorFlow backend: there is one machine here"
            )
            raise ValueError(message(f"BatchNormalization '{self.name}'", problem, "Leave it out"))
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
        self.renorm, self.renorm_momentum = renorm, renorm_momentum
        self.renorm_clipping = self._checked_clipping(renorm_clipping or {}) if renorm else renorm_clipping

    def _checked_clipping(self, clipping: dict[str, float]) -> dict[str, float]:
        problem = None
        rmax, rmin, dmax = (clipping.get(k) for k in _CLIPPED)
        if set(clipping) - set(_CLIPPED):
            problem = f"Received invalid keys for `renorm_clipping` argument: {clipping}. Supported values: {_CLIPPED}"
        elif rmax is not None and rmin is not None and rmax < rmin:
            problem = f"rmax should be greater than rmin in `renorm_clipping`. Received: rmax={rmax}, rmin={rmin}"
        elif dmax is not None and dmax < 0:
            problem = f"dmax should be non-negative in `renorm_clipping`. Received: dmax={dmax}"
        if problem:
            raise ValueError(message(f"BatchNormalization '{self.name}'", problem))
        return clipping

    def build(self, input_shape: Any) -> None:
        if not -len(input_shape) <= self.axis < len(input_shape):
            problem = f"axis {self.axis} does not exist in an input of shape {tuple(input_shape)}"
            raise ValueError(message(f"BatchNormalization '{self.name}'", problem, "Use axis=-1 for the last axis"))
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
        if self.renorm:
            self._add_renorm(size)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})

    def _add_renorm(self, size: int) -> None:
        """The statistics of batch renormalization: standard deviations start as roots of the variance's initializer."""

        def root(shape: Any, dtype: Any = None) -> Any:
            return ops.sqrt(self.moving_variance_initializer(shape, dtype=dtype))

        kept: dict[str, Any] = {"trainable": False, "autocast": False}
        self.moving_stddev = self.add_weight((size,), root, name="moving_stddev", **kept)
        self.renorm_mean = self.add_weight((size,), self.moving_mean_initializer, name="renorm_mean", **kept)
        self.renorm_stddev = self.add_weight((size,), root, name="renorm_stddev", **kept)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is not None and len(mask.shape) != len(inputs.shape) - 1:
            problem = (
                "The mask provided should be one dimension less than the inputs. Received: "
                f"mask.shape={tuple(mask.shape)}, inputs.shape={tuple(inputs.shape)}"
            )
            raise ValueError(message(f"BatchNormalization '{self.name}'", problem))
        x = ops.cast(inputs, dtypes.result_type(dtypes.standardize(inputs.dtype), "float32"))  # half would overflow
        mean, variance, renorm = self._statistics(x, bool(training) and self.trainable, mask)
        factor = ops.rsqrt(ops.add(variance, self.epsilon))
        if renorm is not None:  # (x * r + d) * gamma + beta, as another mean and another factor
            r, d = renorm
            factor = ops.multiply(factor, r)
            mean = ops.subtract(mean, ops.divide(d, factor))
        if self.gamma is not None:
            factor = ops.multiply(factor, self.gamma)
        shift = ops.negative(ops.multiply(mean, factor))
        if self.beta is not None:
            shift = ops.add(shift, self.beta)
        shape = [1] * len(x.shape)
        shape[self.axis] = x.shape[self.axis]
        y = ops.add(ops.multiply(x, ops.reshape(factor, shape)), ops.reshape(shift, shape))
        return ops.cast(y, self.compute_dtype)

    def _statistics(self, x: Any, training: bool, mask: Any) -> tuple[Any, Any, Any]:
        """Mean, variance, and the corrections `(r, d)` of batch renormalization or None."""
        if not training:
            return self.moving_mean, self.moving_variance, None
        axes = [i for i in range(len(x.shape)) if i != self.axis % len(x.shape)]
        mean, variance = _moments(x, axes, mask)
        if self.renorm:
            return mean, variance, self._renormalized(mean, variance)
        _follow(self.moving_mean, mean, self.momentum)
        _follow(self.moving_variance, variance, self.momentum)
        return mean, variance, None

    def _renormalized(self, mean: Any, variance: Any) -> tuple[Any, Any]:
        """`r = stddev / renorm_stddev`, `d = (mean - renorm_mean) / renorm_stddev`, clipped (Ioffe 2017)."""
        stddev = ops.sqrt(ops.add(variance, self.epsilon))
        base = ops.maximum(self.renorm_stddev, self.epsilon**0.5)
        r, d = ops.divide(stddev, base), ops.divide(ops.subtract(mean, self.renorm_mean), base)
        rmax, rmin, dmax = (self.renorm_clipping.get(k) for k in _CLIPPED)
        r = r if rmin is None else ops.maximum(r, rmin)
        r = r if rmax is None else ops.minimum(r, rmax)
        d = d if dmax is None else ops.clip(d, -dmax, dmax)
        _follow(self.renorm_mean, mean, self.renorm_momentum)
        _follow(self.renorm_stddev, stddev, self.renorm_momentum)
        _follow(self.moving_mean, mean, self.momentum)
        _follow(self.moving_stddev, stddev, self.momentum)
        self.moving_variance.assign(ops.maximum(ops.subtract(ops.square(self.moving_stddev), self.epsilon), 0.0))
        return ops.stop_gradient(r), ops.stop_gradient(d)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        made = super().get_config() | {
            "axis": self.axis, "momentum": self.momentum, "epsilon": self.epsilon, "center": self.center,
            "scale": self.scale, "synchronized": self.synchronized, "renorm": self.renorm,
            "renorm_clipping": self.renorm_clipping, "renorm_momentum": self.renorm_momentum,
        }  # fmt: skip
        for name in _WEIGHTS:
            made[f"{name}_initializer"] = initializers.serialize(getattr(self, f"{name}_initializer"))
        for name in ("beta", "gamma"):
            made[f"{name}_regularizer"] = regularizers.serialize(getattr(self, f"{name}_regularizer"))
            made[f"{name}_constraint"] = constraints.serialize(getattr(self, f"{name}_constraint"))
        return made


def _follow(moving: Any, batch: Any, momentum: float) -> None:
    moving.assign(ops.add(ops.multiply(moving, momentum), ops.multiply(batch, 1.0 - momentum)))


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
