"""Resizing by separable interpolation: one matrix per axis, so that the gradient is the transposed matrices.

Half-pixel centres, as `jax.image.resize` and Keras have them: output cell i samples the input at (i + 1/2) n / m - 1/2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from striate.ir import Aval
from striate.primitives.base import Array, Primitive, aval_of, register

Ints = tuple[int, ...]


def _triangle(x: np.ndarray) -> Any:
    return np.maximum(0, 1 - x)


def _cubic(x: np.ndarray) -> Any:
    """Keys' cubic convolution kernel with a = -1/2 (Keys 1981)."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(radius: int) -> Callable[[np.ndarray], Any]:
    return lambda x: np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0)


_KERNELS: dict[str, Callable[[np.ndarray], Any]] = {
    "bilinear": _triangle, "bicubic": _cubic, "lanczos3": _lanczos(3), "lanczos5": _lanczos(5),
}  # fmt: skip
METHODS = ("nearest", *_KERNELS)


@functools.lru_cache(maxsize=256)
def weights(n: int, m: int, method: str, antialias: bool) -> np.ndarray:
    """The matrix (m, n), float64, that resizes an axis from n cells to m. With `antialias` the kernel widens when
    shrinking.
    """
    scale = n / m
    if method == "nearest":
        return np.eye(n)[np.minimum(np.floor((np.arange(m) + 0.5) * scale).astype(int), n - 1)]
    sample = (np.arange(m) + 0.5) * scale - 0.5
    distance = np.abs(sample[:, None] - np.arange(n)[None, :]) / (max(scale, 1.0) if antialias else 1.0)
    matrix = _KERNELS[method](distance)
    total = matrix.sum(axis=1, keepdims=True)
    return matrix / np.where(total == 0, 1, total)


def _check(shape: Ints, new: Ints, method: str) -> None:
    if method not in METHODS:
        raise ValueError(f"resize: unknown method {method!r}. Use one of {', '.join(METHODS)}.")
    if len(shape) != len(new) or any((n == 0) != (m == 0) for n, m in zip(shape, new, strict=True)):
        raise ValueError(f"resize: an array of shape {shape} can't be resized to {new}.")


def _infer(x: Aval, *, shape: Ints, method: str, antialias: bool) -> Aval:
    _check(x.shape, tuple(shape), method)
    return Aval(tuple(shape), x.dtype)


def _along(x: np.ndarray, axis: int, matrix: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.tensordot(matrix.astype(x.dtype), x, axes=(1, axis)), 0, axis)


def _resize(x: np.ndarray, *, shape: Ints, method: str, antialias: bool) -> np.ndarray:
    for axis, (n, m) in enumerate(zip(x.shape, shape, strict=True)):
        if n != m and method == "nearest":
            x = np.take(x, np.argmax(weights(n, m, method, antialias), axis=1), axis=axis)
        elif n != m:
            x = _along(x, axis, weights(n, m, method, antialias))
    return x


def _resize_grad(g: np.ndarray, *, shape: Ints, method: str, antialias: bool) -> np.ndarray:
    for axis, (m, n) in enumerate(zip(g.shape, shape, strict=True)):
        if n != m:
            g = _along(g, axis, weights(n, m, method, antialias).T)
    return g


def _vjp(g: Array, y: Array, x: Array, *, shape: Ints, method: str, antialias: bool) -> tuple[Array]:
    return (resize_grad(g, shape=tuple(aval_of(x).shape), method=method, antialias=antialias),)


def _grad_vjp(gg: Array, y: Array, g: Array, *, shape: Ints, method: str, antialias: bool) -> tuple[Array]:
    return (resize(gg, shape=tuple(aval_of(g).shape), method=method, antialias=antialias),)


# `shape`: the result's sizes along all axes; axes whose size stays are not touched.
resize: Primitive = register(Primitive("resize", _infer, _resize, _vjp, "resize"))
# The transpose of `resize`; `shape`: the input's sizes.
resize_grad: Primitive = register(Primitive("resize_grad", _infer, _resize_grad, _grad_vjp))
