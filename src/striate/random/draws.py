"""Draws from distributions. The seed is an int, a SeedGenerator, or None for the generator of the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striate import ops
from striate.core import dtypes
from striate.core.registry import export
from striate.ops.base import axes_of, host, sizes, symbolic
from striate.primitives import elementwise
from striate.primitives import random as prim
from striate.random.seed import draw_seed


def _float(dtype: Any, name: str) -> str:
    wanted = dtypes.standardize(dtype)
    if not dtypes.is_floating(wanted):
        raise ValueError(f"`keras.random.{name}` requires a floating point `dtype`. Received: dtype={dtype}")
    return wanted


def _shifted(sample: Any, scale: Any, offset: Any, dtype: str) -> Any:
    return ops.cast(ops.add(ops.multiply(sample, scale), offset), dtype)


@export("keras.random.normal")
def normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Normal numbers with `mean` (default 0) and `stddev` (default 1).

    Args:
        shape: the sizes of the result.
        dtype: a float dtype, by default `floatx()`; else ValueError.
        seed: an int (the same numbers each time), a SeedGenerator, or None.
    """
    wanted = _float(dtype, "normal")
    return _shifted(prim.normal(draw_seed(seed), sizes(shape), wanted), stddev, mean, wanted)


@export("keras.random.truncated_normal")
def truncated_normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Normal numbers within two `stddev` of `mean`. Arguments as `normal`."""
    wanted = _float(dtype, "truncated_normal")
    return _shifted(prim.truncated_normal(draw_seed(seed), sizes(shape), wanted), stddev, mean, wanted)


@export("keras.random.uniform")
def uniform(shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers spread evenly over [minval, maxval), by default [0, 1). Other arguments as `normal`."""
    wanted = _float(dtype, "uniform")
    if wanted == "float32" and all(isinstance(v, int | float) for v in (minval, maxval)):
        low, high = np.float32(minval), np.float32(maxval)
        return prim.random_uniform(
            draw_seed(seed), shape=sizes(shape), dtype=wanted, scale=float(high - low), offset=float(low)
        )
    sample = prim.uniform(draw_seed(seed), sizes(shape), wanted)
    return _shifted(sample, ops.subtract(maxval, minval), minval, wanted)


@export("keras.random.randint")
def randint(shape: Any, minval: Any, maxval: Any, dtype: Any = "int32", seed: Any = None) -> Any:
    """Whole numbers from [minval, maxval), all equally likely.

    Args:
        dtype: an integer dtype, "int32" by default; else ValueError. The others as in `normal`.
    """
    wanted = dtypes.standardize(dtype)
    if not dtypes.is_integer(wanted):
        raise ValueError(f"`keras.random.randint` requires an integer `dtype`. Received: dtype={dtype}")
    return prim.randint(draw_seed(seed), sizes(shape), int(minval), int(maxval), wanted)


@export("keras.random.categorical")
def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Classes drawn from unnormalized log-probabilities.

    Args:
        logits: `(batch, classes)`; ValueError for another rank.
        num_samples: how many draws for each row.

    Returns:
        `(batch, num_samples)` of `dtype`, "int32" by default.
    """
    if len(logits.shape) != 2:
        raise ValueError(
            f"`logits` should be 2-D with shape [batch_size, num_classes]. Received: logits.shape={logits.shape}"
        )
    x = ops.convert_to_tensor(logits)
    name = ops.dtype(x)
    noise = prim.uniform(draw_seed(seed), (x.shape[0], int(num_samples), x.shape[1]), name)
    # the largest of log p + Gumbel noise is at class i with probability p_i
    gumbel = ops.negative(ops.log(ops.negative(ops.log(ops.maximum(noise, np.finfo(name).tiny)))))
    return ops.cast(ops.argmax(ops.add(ops.expand_dims(x, 1), gumbel), axis=-1), dtype)


@export("keras.random.dropout")
@symbolic
def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """Each element is 0 with probability `rate`, else scaled by 1 / (1 - rate), so that the mean stays.

    Args:
        noise_shape: the shape of what is drawn, broadcast to that of `inputs`: None (default), or sizes in which None
            stands for the input's.
    """
    x = ops.convert_to_tensor(inputs)
    if rate == 0:
        return x
    if rate == 1:
        return ops.zeros_like(x)
    shape = (
        x.shape if noise_shape is None else [n if m is None else m for n, m in zip(x.shape, noise_shape, strict=True)]
    )
    kept = ops.greater_equal(prim.uniform(draw_seed(seed), sizes(shape)), np.float32(rate))
    name = ops.dtype(x)
    return elementwise.where(kept, ops.cast(ops.divide(x, 1 - rate), name), np.zeros((), name))


@export("keras.random.shuffle")
@symbolic
def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """`x` with its slices along `axis` in random order."""
    x = ops.convert_to_tensor(x)
    (place,) = axes_of(axis, x.ndim)
    return ops.take(x, prim.permutation(draw_seed(seed), x.shape[place]), axis=place)


def _by_numpy(draw: Callable[..., np.ndarray], shape: Any, dtype: Any, seed: Any, *parameters: Any) -> Any:
    """Numbers that NumPy's generator draws, from a key of our own; a step of NumPy while tracing."""
    wanted, whole = dtypes.standardize(dtype), sizes(shape)

    def run(key: np.ndarray, *values: np.ndarray) -> np.ndarray:
        generator = np.random.Generator(np.random.Philox(key=int(key[0]) | int(key[1]) << 32))
        return np.asarray(draw(generator, *values, size=whole), dtypes.as_numpy(wanted))

    return host(run, draw_seed(seed), *(ops.convert_to_tensor(p) for p in parameters))


@export("keras.random.gamma")
def gamma(shape: Any, alpha: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of the gamma distribution with shape `alpha` and scale 1. Other arguments as `normal`."""
    return _by_numpy(lambda g, a, size: g.gamma(a, size=size), shape, _float(dtype, "gamma"), seed, alpha)


@export("keras.random.beta")
def beta(shape: Any, alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of the beta distribution with parameters `alpha` and `beta`. Other arguments as `normal`."""
    return _by_numpy(lambda g, a, b, size: g.beta(a, b, size=size), shape, _float(dtype, "beta"), seed, alpha, beta)


@export("keras.random.binomial")
def binomial(shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None) -> Any:
    """How many of `counts` trials succeed, each with one of `probabilities`. Other arguments as `normal`."""

    def draw(generator: Any, n: Any, p: Any, size: Any) -> np.ndarray:
        return generator.binomial(n.astype(np.int64), p, size=size)

    return _by_numpy(draw, shape, _float(dtype, "binomial"), seed, counts, probabilities)
