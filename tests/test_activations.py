"""Activations by name against real Keras: values, signatures, serialization."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest

from striate import activations, ops
from striate.core.registry import register_keras_serializable
from striate.primitives.activations import ACTIVATIONS

NAMES = [n for n in dir(keras.activations) if not n.startswith("_") and n not in ("get", "serialize", "deserialize")]
X = np.concatenate([np.linspace(-6, 6, 49), [-100, 100]]).astype("float32").reshape(3, 17)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("sparsemax", "glu")])
def test_values(name: str) -> None:
    args: list[Any] = [0.5, -1.0] if name == "threshold" else []
    ours, theirs = getattr(activations, name)(X, *args), np.asarray(getattr(keras.activations, name)(X, *args))
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_signature_and_name(name: str) -> None:
    ours, theirs = getattr(activations, name), getattr(keras.activations, name)
    assert [(p.name, p.default) for p in inspect.signature(ours).parameters.values()] == [
        (p.name, p.default) for p in inspect.signature(theirs).parameters.values()
    ]
    assert activations.get(name) is ours
    assert activations.serialize(ours) == keras.activations.serialize(theirs)
    assert activations.deserialize(activations.serialize(ours)) in (ours, activations.get(activations.serialize(ours)))


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("limit", [None, 6, 2.5])
@pytest.mark.parametrize("threshold", [0.0, 0.75])
def test_relu_with_options(slope: float, limit: float | None, threshold: float) -> None:
    expected = np.asarray(keras.activations.relu(X, slope, limit, threshold))
    np.testing.assert_allclose(activations.relu(X, slope, limit, threshold), expected, rtol=1e-6, atol=1e-6)


def test_glu_and_sparsemax() -> None:
    x = X[:, :16]
    np.testing.assert_allclose(activations.glu(x), np.asarray(keras.activations.glu(x)), rtol=1e-5, atol=1e-30)
    rng = np.random.default_rng(0)
    for _ in range(20):
        z = rng.normal(size=5)
        made = activations.sparsemax(z)
        # the projection onto the simplex: a threshold tau with sum(max(z - tau, 0)) = 1, found by bisection
        low, high = z.min() - 1, z.max()
        for _ in range(100):
            tau = (low + high) / 2
            low, high = (tau, high) if np.maximum(z - tau, 0).sum() > 1 else (low, tau)
        np.testing.assert_allclose(made, np.maximum(z - low, 0), atol=1e-9)


def test_every_entry_of_the_table_is_published() -> None:
    for name in ACTIVATIONS:
        if name != "relu_general":
            assert name in activations.FUNCTIONS
            assert callable(getattr(ops, name))
            assert name in dir(ops)


def test_get_and_serialize() -> None:
    assert activations.get(None) is activations.linear
    for wrong in ("nonsense", 3):
        with pytest.raises(ValueError, match="Could not interpret"):
            activations.get(wrong)

    def mine(x: Any) -> Any:
        return x

    assert activations.get(mine) is mine
    with pytest.raises(ValueError, match="lambda"):
        activations.serialize(lambda x: x)
    register_keras_serializable("tests", "doubled")(mine)
    assert activations.get("tests>doubled") is mine
    assert activations.deserialize(activations.serialize(mine)) is mine
