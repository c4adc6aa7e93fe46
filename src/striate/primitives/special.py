"""The error function, its complement and its inverse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from striate.primitives.base import Array, Primitive
from striate.primitives.elementwise import div, exp, mul, neg, square, unary

_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)

# Giles, "Approximating the erfinv function" (2010), single precision: polynomials in -log(1 - x^2), highest power
# first.
_CENTRE = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
    0.246640727, 1.50140941,
)  # fmt: skip
_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
    1.00167406, 2.83297682,
)  # fmt: skip


def _mapped(fn: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    """A function of the standard library, element by element in float64."""

    def reference(x: np.ndarray) -> np.ndarray:
        flat = np.asarray(x, np.float64).ravel()
        return np.fromiter(map(fn, flat.tolist()), np.float64, flat.size).reshape(np.shape(x)).astype(x.dtype)

    return reference


def _density(x: Array) -> Array:
    return mul(exp(neg(square(x))), _TWO_OVER_SQRT_PI)


_erf, _erfc = _mapped(math.erf), _mapped(math.erfc)


def _erfinv(x: np.ndarray) -> Any:
    """Giles's approximation; in float64 made exact by two steps of Halley's method, in the tails on the complement."""
    w = -np.log1p(-x * x)
    y = np.where(w < 5, np.polyval(_CENTRE, w - 2.5), np.polyval(_TAIL, np.sqrt(np.maximum(w, 5)) - 3)) * x
    y = y if x.dtype != np.float64 else _refined(x, y)
    return np.where(np.abs(x) == 1, np.copysign(np.inf, x), np.where(np.abs(x) > 1, np.nan, y)).astype(x.dtype)


def _refined(x: np.ndarray, y: np.ndarray) -> Any:
    inside = np.abs(x) < 1
    target, y = np.where(inside, np.abs(x), 0), np.where(inside, np.abs(y), 0)
    for _ in range(2):
        error = np.where(target < 0.5, _erf(y) - target, (1 - target) - _erfc(y))
        step = error / (_TWO_OVER_SQRT_PI * np.exp(-y * y))
        y = y - step / (1 + y * step)
    return np.copysign(y, x)


erf: Primitive = unary("erf", _erf, lambda g, y, x: mul(g, _density(x)))
erfc: Primitive = unary("erfc", _erfc, lambda g, y, x: neg(mul(g, _density(x))), kernel=False)
erfinv: Primitive = unary("erfinv", _erfinv, lambda g, y, x: div(g, _density(y)), kernel=False)
