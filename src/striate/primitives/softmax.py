"""Softmax and its logarithm along one axis, safe for large inputs (the maximum is subtracted first)."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.ir import Aval
from striate.primitives.base import Array, Primitive, register
from striate.primitives.elementwise import exp, mul, sub
from striate.primitives.structural import reduce_sum


def _infer(x: Aval, *, axis: int) -> Aval:
    if not 0 <= axis < len(x.shape):
        raise ValueError(f"softmax: axis {axis} is not one of the {len(x.shape)} axes of shape {x.shape}.")
    return x


def _shifted(x: np.ndarray, axis: int) -> Any:
    return x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)


def _softmax(x: np.ndarray, *, axis: int) -> Any:
    powers = np.exp(_shifted(x, axis))
    return powers / np.sum(powers, axis=axis, keepdims=True)


def _log_softmax(x: np.ndarray, *, axis: int) -> Any:
    shifted = _shifted(x, axis)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def _sum(x: Array, axis: int) -> Array:
    return reduce_sum(x, axes=(axis,), keepdims=True)


softmax: Primitive = register(
    Primitive("softmax", _infer, _softmax, lambda g, y, x, axis: (mul(y, sub(g, _sum(mul(g, y), axis))),), "softmax")
)
log_softmax: Primitive = register(
    Primitive(
        "log_softmax", _infer, _log_softmax, lambda g, y, x, axis: (sub(g, mul(exp(y), _sum(g, axis))),), "softmax"
    )
)
