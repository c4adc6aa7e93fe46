"""What the tests of models share: inputs for any model, and when two results are the same."""

from __future__ import annotations

from typing import Any

import numpy as np

import striate
from architectures import TABLE
from striate.core import tree

RNG = np.random.default_rng(0)


def inputs_for(model: Any, batch: int = 3) -> Any:
    """Random arrays in the structure of a model's inputs; unknown sizes are 12."""

    def draw(t: Any) -> np.ndarray:
        return RNG.normal(size=(batch, *(n or 12 for n in t.shape[1:]))).astype("float32")

    nest = model.input if isinstance(model, striate.Function) else model.inputs[0]
    return tree.map_structure(draw, nest) if isinstance(nest, list | tuple | dict) else draw(nest)


def flat(nest: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in tree.flatten(nest)]


def assert_same(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    """Equal within `tolerance` of the largest value; same nest, shapes and dtypes."""
    for a, b in zip(flat(ours), flat(theirs), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, atol=tolerance * max(1.0, float(np.abs(b).max(initial=0))), rtol=0)


DEFINED = sorted(set(TABLE) - {"subclassed"})
