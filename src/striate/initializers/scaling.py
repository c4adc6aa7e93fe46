"""Initializers whose spread follows from how many units a weight connects: Glorot's, He's and LeCun's."""

from __future__ import annotations

import math
from typing import Any

from striate import random
from striate.core.registry import export
from striate.initializers.base import makes_new
from striate.initializers.random import RandomInitializer

# The standard deviation of a standard normal variable truncated to [-2, 2].
TRUNCATED_STD = 0.87962566103423978


def compute_fans(shape: Any, input_axes: Any = None, output_axes: Any = None) -> tuple[int, int]:
    """How many inputs an output has and how many outputs an input, for weights of `shape`.

    By default the last axis but one counts inputs, the last one outputs, and all axes before them (a
    convolution's window)
    count for both. With `input_axes` and `output_axes` both given, just these axes count.
    """
    shape = tuple(shape)
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    window = math.prod(shape[:-2])
    return int(shape[-2] * window), int(shape[-1] * window)


@export("keras.initializers.VarianceScaling", "keras.initializers.variance_scaling")
class VarianceScaling(RandomInitializer):
    """Values of variance scale / n, where n is the number of inputs, of outputs, or their mean.

    Args:
        scale: positive. Defaults to 1.
        mode: "fan_in" (default), "fan_out" or "fan_avg".
        distribution: "truncated_normal" (default), "untruncated_normal" or "uniform".
        seed: as in `RandomInitializer`.
        input_axes, output_axes: which axes count inputs and outputs, see `compute_fans`.

    Raises:
        ValueError: another scale, mode or distribution.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Any = None,
        output_axes: Any = None,
    ) -> None:
        if scale <= 0.0:
            raise ValueError(f"Argument `scale` must be positive float. Received: scale={scale}")
        modes = ("fan_in", "fan_out", "fan_avg")
        if mode not in modes:
            raise ValueError(f"Invalid `mode` argument: {mode}. Please use one of {modes}")
        distribution = "truncated_normal" if str(distribution).lower() == "normal" else str(distribution).lower()
        known = ("uniform", "truncated_normal", "untruncated_normal")
        if distribution not in known:
            raise ValueError(f"Invalid `distribution` argument: {distribution}. Please use one of {known}")
        self.scale, self.mode, self.distribution = scale, mode, distribution
        self.input_axes, self.output_axes = input_axes, output_axes
        super().__init__(seed)

    @makes_new
    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return random.uniform(shape, -limit, limit, dtype, self.seed)
        if self.distribution == "untruncated_normal":
            return random.normal(shape, 0.0, math.sqrt(variance), dtype, self.seed)
        return random.truncated_normal(shape, 0.0, math.sqrt(variance) / TRUNCATED_STD, dtype, self.seed)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _Named(VarianceScaling):
    """VarianceScaling with fixed settings; its config holds the rest."""

    settings: tuple[float, str, str] = (1.0, "fan_in", "truncated_normal")

    def __init__(self, seed: Any = None, input_axes: Any = None, output_axes: Any = None) -> None:
        super().__init__(*self.settings, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {name: config[name] for name in ("seed", "input_axes", "output_axes")}


@export("keras.initializers.GlorotUniform", "keras.initializers.glorot_uniform")
class GlorotUniform(_Named):
    """Even values in [-limit, limit] with limit = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""

    settings = (1.0, "fan_avg", "uniform")


@export("keras.initializers.GlorotNormal", "keras.initializers.glorot_normal")
class GlorotNormal(_Named):
    """Truncated normal values with variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""

    settings = (1.0, "fan_avg", "truncated_normal")


@export("keras.initializers.LecunNormal", "keras.initializers.lecun_normal")
class LecunNormal(_Named):
    """Truncated normal values with variance 1 / fan_in (Klambauer et al. 2017, arXiv:1706.02515)."""

    settings = (1.0, "fan_in", "truncated_normal")


@export("keras.initializers.LecunUniform", "keras.initializers.lecun_uniform")
class LecunUniform(_Named):
    """Even values in [-limit, limit] with limit = sqrt(3 / fan_in) (Klambauer et al. 2017, arXiv:1706.02515)."""

    settings = (1.0, "fan_in", "uniform")


@export("keras.initializers.HeNormal", "keras.initializers.he_normal")
class HeNormal(_Named):
    """Truncated normal values with variance 2 / fan_in (He et al. 2015, arXiv:1502.01852)."""

    settings = (2.0, "fan_in", "truncated_normal")


@export("keras.initializers.HeUniform", "keras.initializers.he_uniform")
class HeUniform(_Named):
    """Even values in [-limit, limit] with limit = sqrt(6 / fan_in) (He et al. 2015, arXiv:1502.01852)."""

    settings = (2.0, "fan_in", "uniform")
