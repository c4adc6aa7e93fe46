"""Initializers that draw from a distribution. With an int as seed every call draws the same values."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate import random
from striate.core import dtypes
from striate.core.objects import deserialize_object, serialize_object
from striate.core.registry import export
from striate.initializers.base import Initializer
from striate.ops import convert_to_numpy


class RandomInitializer(Initializer):
    """Base of initializers with a seed: an int, a SeedGenerator, or None for a seed of its own.

    Raises:
        ValueError: any other seed.
    """

    def __init__(self, seed: Any = None) -> None:
        self._init_seed = seed
        if seed is None:
            seed = random.make_default_seed()
        elif isinstance(seed, dict):
            seed = deserialize_object(seed, {"SeedGenerator": random.SeedGenerator}, "seed")
        elif isinstance(seed, bool) or not isinstance(seed, int | np.integer | random.SeedGenerator):
            raise ValueError(
                "`seed` argument should be an instance of `keras.random.SeedGenerator()` or an integer. "
                f"Received: seed={seed}"
            )
        self.seed = seed

    def get_config(self) -> dict[str, Any]:
        own = self._init_seed
        return {"seed": serialize_object(own) if isinstance(own, random.SeedGenerator) else own}


@export("keras.initializers.RandomNormal", "keras.initializers.random_normal")
class RandomNormal(RandomInitializer):
    """Normal values with `mean` (default 0) and `stddev` (default 0.05)."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        self.mean, self.stddev = mean, stddev
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return random.normal(shape, self.mean, self.stddev, dtype, self.seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


@export("keras.initializers.TruncatedNormal", "keras.initializers.truncated_normal")
class TruncatedNormal(RandomInitializer):
    """Normal values within two `stddev` (default 0.05) of `mean` (default 0): what lies outside is not drawn."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        self.mean, self.stddev = mean, stddev
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return random.truncated_normal(shape, self.mean, self.stddev, dtype, self.seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


@export("keras.initializers.RandomUniform", "keras.initializers.random_uniform")
class RandomUniform(RandomInitializer):
    """Values spread evenly over [minval, maxval), by default [-0.05, 0.05)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None) -> None:
        self.minval, self.maxval = minval, maxval
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return random.uniform(shape, self.minval, self.maxval, dtype, self.seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


@export("keras.initializers.Orthogonal", "keras.initializers.OrthogonalInitializer", "keras.initializers.orthogonal")
class Orthogonal(RandomInitializer):
    """Orthonormal rows or columns (whichever are fewer) of the matrix of all axes but the last times the last.

    It is the Q of the QR decomposition of normal values, its signs fixed by R's diagonal (Saxe et al. 2014,
    arXiv:1312.6120), times `gain` (default 1). ValueError for fewer than two axes.
    """

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        self.gain = gain
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        if len(shape) < 2:
            raise ValueError(
                "The tensor to initialize must be at least two-dimensional. Received: "
                f"shape={shape} of rank {len(shape)}."
            )
        rows, columns = int(np.prod(shape[:-1])), int(shape[-1])
        tall = (max(rows, columns), min(rows, columns))
        draws = convert_to_numpy(random.normal(tall, dtype="float32", seed=self.seed)).astype(np.float64)
        q, r = np.linalg.qr(draws)
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
        q = q.T if rows < columns else q
        return (self.gain * q.reshape(tuple(shape))).astype(dtypes.as_numpy(dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gain": self.gain}
