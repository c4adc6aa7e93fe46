"""`striate.ops` against real Keras on JAX: values, dtypes, and the shapes of symbolic results."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from striate import KerasTensor, ops
from striate.core import tree
from tests.ops_cases import CASES, IMAGE_CASES, Case

TOLERANCE = {"float32": 2e-5, "float16": 2e-3, "float64": 1e-12}


def _name(case: Case) -> str:
    shown = [f"{a.dtype}{list(a.shape)}" if isinstance(a, np.ndarray) else str(a)[:20] for a in case[1]]
    return f"{case[0]}({', '.join(shown)}, {case[2]})"


def _compare(found: Any, expected: Any) -> None:
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            _compare(a, b)
        return
    if isinstance(expected, int | float | bool):
        assert found == expected
        return
    expected = np.asarray(expected)
    assert isinstance(found, np.ndarray)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    scale = TOLERANCE.get(str(expected.dtype), 1 if expected.dtype == np.uint8 else 0)  # halves may round either way
    np.testing.assert_allclose(found, expected, rtol=scale * 10, atol=scale)


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_values_and_dtypes(case: Case) -> None:
    name, args, kwargs = case
    _compare(getattr(ops, name)(*args, **kwargs), getattr(keras.ops, name)(*args, **kwargs))


@pytest.mark.parametrize("case", IMAGE_CASES, ids=_name)
def test_images(case: Case) -> None:
    name, args, kwargs = case
    _compare(getattr(ops.image, name)(*args, **kwargs), getattr(keras.ops.image, name)(*args, **kwargs))


# Where the symbolic shape is another one on purpose, or Keras itself cannot tell it.
NOT_SYMBOLIC = {
    "repeat",
    "nonzero",
    "bincount",
    "convert_to_tensor",
    "take",
    "get_item",
    "scatter",
    "scatter_update",
    "searchsorted",
    "digitize",
    "vander",
    "kaiser",
    "arange",
    "linspace",
    "logspace",
    "geomspace",
    "full",
    "bartlett",
    "blackman",
    "hamming",
    "hanning",
    "unravel_index",
    "slice_update",
    "slice",
    "fold",
    "unfold",
    "einsum",
    "isreal",
    "select",
    "in_top_k",
    "segment_sum",
    "segment_max",
    "segment_min",
    "segment_prod",
    "histogram",
    "dot_product_attention",
    "unstack",
    "extract_sequences",
    "tile",
}
SYMBOLIC = [
    c for c in CASES if c[1] and isinstance(c[1][0], np.ndarray) and c[1][0].ndim > 1 and c[0] not in NOT_SYMBOLIC
]


@pytest.mark.parametrize("case", SYMBOLIC, ids=_name)
@pytest.mark.parametrize("known", [True, False])
def test_symbolic_shapes(case: Case, known: bool) -> None:
    """The shape of a symbolic result is that of the real one; with an unknown batch it is None there, or left open."""
    name, args, kwargs = case
    first = args[0]
    real = getattr(ops, name)(*args, **kwargs)
    shape = first.shape if known else (None, *first.shape[1:])
    try:
        made = getattr(ops, name)(KerasTensor(shape, str(first.dtype)), *args[1:], **kwargs)
    except (ValueError, TypeError):
        if known:
            raise
        pytest.skip("needs a known batch")
    for symbol, array in zip(tree.flatten(made), tree.flatten(real), strict=True):
        assert isinstance(symbol, KerasTensor)
        assert symbol.dtype == str(array.dtype)
        assert len(symbol.shape) == array.ndim
        assert all(n is None or n == m for n, m in zip(symbol.shape, array.shape, strict=True)), (
            symbol.shape,
            array.shape,
        )
        assert None not in symbol.shape or not known
