"""Constraints and penalties on kernels of layers: values and gradients against real Keras on JAX, and what they
promise."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import striate
from striate import constraints, optimizers, regularizers
from striate.trace import Variable

KERNELS = {"Dense": (6, 5), "Conv1D": (3, 4, 5), "Conv2D": (3, 2, 4, 5), "DepthwiseConv2D": (3, 3, 4, 1)}
RULES: list[tuple[str, dict[str, Any]]] = [
    ("MaxNorm", {"max_value": 0.75, "axis": 0}),
    ("MaxNorm", {"max_value": 1.5, "axis": "inner"}),
    ("MinMaxNorm", {"min_value": 0.5, "max_value": 1.5, "axis": "inner"}),
    ("MinMaxNorm", {"min_value": 2.0, "max_value": 2.5, "rate": 0.25, "axis": -1}),
    ("UnitNorm", {"axis": "inner"}),
    ("UnitNorm", {"axis": 1}),
    ("NonNeg", {}),
]
PENALTIES: list[tuple[str, dict[str, Any]]] = [
    ("L1", {"l1": 0.25}),
    ("L2", {"l2": 0.5}),
    ("L1L2", {"l1": 0.1, "l2": 0.2}),
    ("L1L2", {}),
]


def kernel(name: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=KERNELS[name]).astype("float32")


def named(rule: dict[str, Any], w: np.ndarray) -> dict[str, Any]:
    """`axis="inner"`: all axes but that of the filters, as Keras advises for convolutions."""
    return {k: list(range(w.ndim - 1)) if v == "inner" else v for k, v in rule.items()}


@pytest.mark.parametrize("layer", KERNELS)
@pytest.mark.parametrize(("name", "rule"), RULES, ids=lambda x: x if isinstance(x, str) else "+".join(map(str, x)))
def test_constraints_are_keras(real_keras: Any, layer: str, name: str, rule: dict[str, Any]) -> None:
    w = kernel(layer)
    mine, theirs = (getattr(k, name)(**named(rule, w)) for k in (constraints, real_keras.constraints))
    expected = np.asarray(theirs(w))
    np.testing.assert_allclose(mine(w), expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(striate.jit(lambda x: mine(x))(w), expected, rtol=1e-6, atol=1e-7)
    assert not np.allclose(expected, w)


@pytest.mark.parametrize("layer", KERNELS)
@pytest.mark.parametrize(("name", "args"), PENALTIES, ids=lambda x: x if isinstance(x, str) else "+".join(x))
def test_penalties_and_their_gradients_are_keras(real_keras: Any, layer: str, name: str, args: dict[str, Any]) -> None:
    check_penalty(real_keras, name, args, kernel(layer))


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonality_and_its_gradient_are_keras(real_keras: Any, mode: str) -> None:
    check_penalty(real_keras, "OrthogonalRegularizer", {"factor": 0.5, "mode": mode}, kernel("Dense"))


def check_penalty(real_keras: Any, name: str, args: dict[str, Any], w: np.ndarray) -> None:
    import jax

    mine, theirs = (getattr(k, name)(**args) for k in (regularizers, real_keras.regularizers))
    value, gradient = jax.value_and_grad(theirs)(w)
    np.testing.assert_allclose(mine(w), value, rtol=1e-5)
    if args:
        found = striate.value_and_grad(lambda x: mine(x))(w)
        np.testing.assert_allclose(found[0], value, rtol=1e-5)
        np.testing.assert_allclose(found[1], gradient, rtol=1e-4, atol=1e-6)


def test_a_single_row_is_orthogonal_to_nothing() -> None:
    assert float(regularizers.OrthogonalRegularizer()(np.ones((1, 4), "float32"))) == 0.0


@given(
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple),
    low=st.floats(0.1, 1.0),
    width=st.floats(0.1, 1.0),
    seed=st.integers(0, 50),
)
def test_constraints_keep_what_they_promise(shape: tuple[int, ...], low: float, width: float, seed: int) -> None:
    w, axis = np.random.default_rng(seed).normal(size=shape).astype("float32"), list(range(len(shape)))[:-1] or [0]

    def norms(x: np.ndarray) -> np.ndarray:
        return np.sqrt((np.asarray(x, "float64") ** 2).sum(tuple(axis)))

    assert (norms(constraints.MaxNorm(low, axis)(w)) <= low * (1 + 1e-5)).all()
    between = norms(constraints.MinMaxNorm(low, low + width, axis=axis)(w))[norms(w) > 1e-2]
    assert ((between >= low * (1 - 1e-4)) & (between <= (low + width) * (1 + 1e-4))).all()
    np.testing.assert_allclose(norms(constraints.UnitNorm(axis)(w))[norms(w) > 1e-2], 1.0, rtol=1e-4)
    np.testing.assert_array_equal(constraints.NonNeg()(w), np.maximum(w, 0))


def test_zeros_stay_finite() -> None:
    zeros = np.zeros((3, 2), "float32")
    for rule in (constraints.MaxNorm(), constraints.UnitNorm(), constraints.MinMaxNorm(0.5)):
        np.testing.assert_array_equal(rule(zeros), zeros)


class Rounded(constraints.Constraint):
    """Of a user."""

    def __call__(self, w: Any) -> Any:
        return striate.ops.round(w)


def test_own_constraints_and_the_base_class() -> None:
    w = Variable(np.array([0.4, 1.4], "float32"))
    w.constraint = Rounded()
    optimizers.SGD(1.0).apply([np.array([-0.3, -0.3], "float32")], [w])
    np.testing.assert_array_equal(w.numpy(), [1, 2])
    assert constraints.Constraint()(w) is w


@pytest.mark.parametrize("space", ["constraints", "regularizers"])
def test_signatures_are_keras(real_keras: Any, space: str) -> None:
    mine, theirs = getattr(striate, space), getattr(real_keras, space)
    for name in (n for n in dir(theirs) if n[0].isupper()):
        expected = [(p.name, p.default) for p in inspect.signature(getattr(theirs, name)).parameters.values()]
        found = [(p.name, p.default) for p in inspect.signature(getattr(mine, name)).parameters.values()]
        assert found == expected, name
