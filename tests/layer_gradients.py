"""Gradients of layers against finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import striate
from striate import engines, ops

STEP = 1e-5


def _weighted(y: Any) -> Any:
    """A sum with weights, so that every element of the output has a gradient of its own."""
    weights = np.cos(np.arange(1, 1 + int(np.prod(y.shape)), dtype="float64")).reshape(tuple(y.shape))
    return ops.sum(ops.multiply(y, weights))


def _differences(value: Callable[[np.ndarray], Any], at: np.ndarray) -> np.ndarray:
    found = np.empty(at.shape)
    for place in np.ndindex(*at.shape):
        ends = []
        for sign in (1, -1):
            moved = np.array(at)
            moved[place] += sign * STEP
            ends.append(float(value(moved)))
        found[place] = (ends[0] - ends[1]) / (2 * STEP)
    return found


def check(layer: Any, x: np.ndarray, **kwargs: Any) -> None:
    """Asserts the gradients by the input, unless it is whole numbers, and by each weight. The layer is of float64."""
    with engines.use("float64"):
        layer(x, **kwargs)
        state = [(v, np.array(v.numpy())) for v in layer.variables]
        weights = layer.trainable_variables

        def value(given: Any) -> Any:
            for v, start in state:  # what the call before has moved on
                if not any(v is w for w in weights):
                    v.assign(start)
            return _weighted(layer(given, **kwargs))

        if x.dtype.kind == "f":
            found = striate.grad(value)(x)
            np.testing.assert_allclose(found, _differences(value, x), rtol=1e-5, atol=1e-7)
        found = striate.grad(lambda: value(x), variables=weights)()
        for v, gradient in zip(weights, found, strict=True):
            start = np.array(v.numpy())

            def moved(w: np.ndarray, v: Any = v) -> Any:
                v.assign(w)
                return value(x)

            np.testing.assert_allclose(gradient, _differences(moved, start), rtol=1e-5, atol=1e-7)
            v.assign(start)
