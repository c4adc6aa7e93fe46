"""Layers that disturb their input while training: noise and dropout of several kinds; `ActivityRegularization`."""

from __future__ import annotations

import math
from typing import Any

from striate import ops, random, regularizers
from striate.core import config
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.core import Dropout
from striate.layers.input_spec import InputSpec
from striate.layers.layer import Layer

_ALPHA, _SCALE = 1.6732632423543772, 1.0507009873554805  # of the SELU (Klambauer et al. 2017, arXiv:1706.02515)


class _SpatialDropout(Dropout):
    """Drops whole maps: one decision per sample and channel (Tompson et al. 2015).

    Args:
        rank: the number of spatial axes.
        rate: the share of maps that become zero, in [0, 1].
        seed: an int for reproducible masks.
    """

    def __init__(
        self, rank: int, rate: float, data_format: str | None = None, seed: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self._rank = rank
        self.data_format = config.standardize_data_format(data_format, f"{type(self).__name__} '{self.name}'")
        self.input_spec = InputSpec(ndim=rank + 2)

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        if not training or self.seed_generator is None:
            return inputs
        ones = (1,) * self._rank
        shape = (None, None, *ones) if self.data_format == "channels_first" else (None, *ones, None)
        return random.dropout(inputs, self.rate, noise_shape=shape, seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        made = {"rate": self.rate, "seed": self.seed, "name": self.name, "dtype": self.dtype}
        return made if self._rank == 1 else made | {"data_format": self.data_format}


@export("keras.layers.SpatialDropout1D")
class SpatialDropout1D(_SpatialDropout):
    """Drops whole channels of `(batch, steps, channels)`. Arguments: see `_SpatialDropout`."""

    def __init__(self, rate: float, seed: int | None = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(1, rate, "channels_last", seed, name, dtype)


@export("keras.layers.SpatialDropout2D")
class SpatialDropout2D(_SpatialDropout):
    """Drops whole feature maps of `(batch, height, width, channels)`.

    Args:
        data_format: "channels_last" or "channels_first"; by default `image_data_format()`.
        rate, seed: see `_SpatialDropout`.
    """

    def __init__(
        self, rate: float, data_format: str | None = None, seed: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(2, rate, data_format, seed, name, dtype)


@export("keras.layers.SpatialDropout3D")
class SpatialDropout3D(_SpatialDropout):
    """Drops whole feature maps of `(batch, depth, height, width, channels)`. Arguments as `SpatialDropout2D`."""

    def __init__(
        self, rate: float, data_format: str | None = None, seed: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(3, rate, data_format, seed, name, dtype)


class _Noise(Layer):
    """Noise whose strength is one number in [0, 1].

    Args:
        strength: the argument's name and its value.
        seed: an int for reproducible noise.
    """

    _STATELESS = True

    def __init__(self, strength: tuple[str, Any], seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        name, value = strength
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            rule = f"Invalid value received for argument `{name}`. Expected a float value between 0 and 1"
            raise ValueError(message(f"{type(self).__name__} '{self.name}'", f"{rule}. Received: {name}={value!r}"))
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed) if value > 0 else None
        self.supports_masking = True

    def _normal(self, inputs: Any, mean: float, stddev: float) -> Any:
        shape = tuple(inputs.shape)
        return random.normal(shape, mean=mean, stddev=stddev, dtype=self.compute_dtype, seed=self.seed_generator)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape


@export("keras.layers.GaussianNoise")
class GaussianNoise(_Noise):
    """Adds normal noise with mean 0 while training.

    Args:
        stddev: its standard deviation, in [0, 1].
        seed: an int for reproducible noise.

    Raises:
        ValueError: another `stddev`.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(("stddev", stddev), seed, **kwargs)
        self.stddev = stddev

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        if not training or self.seed_generator is None:
            return inputs
        return ops.add(inputs, self._normal(inputs, 0.0, self.stddev))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"stddev": self.stddev, "seed": self.seed}


@export("keras.layers.GaussianDropout")
class GaussianDropout(_Noise):
    """Multiplies by normal noise with mean 1 and variance `rate / (1 - rate)` while training (Srivastava et al. 2014).

    Args:
        rate: the rate of the dropout with the same variance, in [0, 1).
        seed: an int for reproducible noise.

    Raises:
        ValueError: another `rate`; 1, whose variance would be infinite, when the layer is called in training.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(("rate", rate), seed, **kwargs)
        self.rate = rate

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        if not training or self.seed_generator is None:
            return inputs
        if self.rate == 1:
            problem = "rate=1 means noise of infinite variance"
            raise ZeroVarianceError(message(f"GaussianDropout '{self.name}'", problem, "Use a rate below 1"))
        return ops.multiply(inputs, self._normal(inputs, 1.0, math.sqrt(self.rate / (1.0 - self.rate))))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rate": self.rate, "seed": self.seed}


class ZeroVarianceError(ValueError, ZeroDivisionError):
    """A rate of 1 leaves nothing to divide by. (Keras raises a ZeroDivisionError.)"""


@export("keras.layers.AlphaDropout")
class AlphaDropout(_Noise):
    """Sets inputs to the value that the SELU saturates at, and scales so that mean 0 and variance 1 stay (Klambauer et
    al. 2017, arXiv:1706.02515).

    Args:
        rate: the share that is dropped, in [0, 1].
        noise_shape: shape of the mask; size 1 shares it along an axis, None stands for the input's size.
        seed: an int for reproducible masks.

    Raises:
        ValueError: another `rate`.
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(("rate", rate), seed, **kwargs)
        self.rate, self.noise_shape = rate, noise_shape

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        if not training or self.seed_generator is None:
            return inputs
        low = -_ALPHA * _SCALE
        a = ((1 - self.rate) * (1 + self.rate * low**2)) ** -0.5 if self.rate < 1 else 0.0
        kept = ops.greater_equal(random.uniform(self._mask_shape(inputs), seed=self.seed_generator), self.rate)
        made = ops.where(kept, inputs, low)
        return ops.cast(ops.add(ops.multiply(made, a), -a * low * self.rate), self.compute_dtype)

    def _mask_shape(self, inputs: Any) -> tuple[int, ...]:
        shape = tuple(inputs.shape)
        if self.noise_shape is None:
            return shape
        return tuple(shape[i] if n is None else n for i, n in enumerate(self.noise_shape))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rate": self.rate, "seed": self.seed, "noise_shape": self.noise_shape}


@export("keras.layers.ActivityRegularization")
class ActivityRegularization(Layer):
    """Passes its input on and adds `l1 * sum|x| + l2 * sum(x^2)`, per sample, to the loss.

    Args:
        l1, l2: factors of at least 0.
    """

    _STATELESS = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.supports_masking = True
        self.l1, self.l2 = l1, l2

    def call(self, inputs: Any) -> Any:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        made = super().get_config() | {"l1": self.l1, "l2": self.l2}
        made.pop("activity_regularizer")
        return made
