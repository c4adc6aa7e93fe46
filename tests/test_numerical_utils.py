"""`to_categorical` and `normalize` against real Keras."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from striate import utils


@pytest.mark.parametrize(
    ("x", "classes"),
    [([0, 2, 1], None), ([0, 2, 1], 5), ([[0], [3]], None), ([[0, 1], [2, 0]], 3), (2, 4), ([-1, 0], 3)],
)
def test_to_categorical_is_keras(x: Any, classes: int | None, real_keras: ModuleType) -> None:
    ours, theirs = utils.to_categorical(x, classes), real_keras.utils.to_categorical(x, classes)
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    np.testing.assert_array_equal(ours, theirs)


def test_labels_that_are_no_classes() -> None:
    with pytest.raises(IndexError, match=r"run from 0 to 7, with num_classes=3.*0 to 2"):
        utils.to_categorical([0, 7], 3)
    with pytest.raises(ValueError, match="Pass num_classes"):
        utils.to_categorical([])


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("order", [1, 2, np.inf])
def test_normalize_is_keras(axis: int, order: Any, real_keras: ModuleType) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    x[1], x[:, 2] = 0, 0
    if axis == 0:  # Keras takes axis=0 for the last one when it divides
        wanted = x / np.where((n := np.linalg.norm(x, order, 0, keepdims=True)) == 0, 1, n)
    else:
        wanted = real_keras.utils.normalize(x, axis=axis, order=order)
    np.testing.assert_allclose(utils.normalize(x, axis=axis, order=order), wanted)


def test_the_registry_s_names_are_here_too() -> None:
    assert utils.custom_object_scope is not None and "get_custom_objects" in dir(utils)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = utils.nonsense
