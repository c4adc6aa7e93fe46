"""The reference engine: an interpreter in the graph's dtypes or in float64, whose results are arrays of their own."""

from __future__ import annotations

import numpy as np
import pytest

from striate import engines
from striate.engines import reference  # noqa: F401  (registers the engine)
from striate.ir import Builder, Graph, building
from striate.primitives import get


def graph() -> Graph:
    """(x, y) -> x itself, a constant, exp(x + y) in float32"""
    builder = Builder()
    x, y = builder.input((3,), "float32"), builder.input((3,), "float32")
    with building(builder):
        total = get("exp")(get("add")(x, y))
        return builder.graph([x, builder.constant(np.array([4.0], np.float32)), total])


X, Y = np.array([0.1, 0.2, 0.3], np.float32), np.array([1.0, -1.0, 2.0], np.float32)


def test_float32() -> None:
    results = engines.get("reference").compile(graph())([X, Y])
    assert [r.dtype for r in results] == [np.float32] * 3
    np.testing.assert_allclose(results[2], np.exp(X.astype(float) + Y), rtol=1e-6)


def test_float64() -> None:
    results = engines.get("float64").compile(graph())([X, Y])
    assert [r.dtype for r in results] == [np.float64] * 3
    np.testing.assert_allclose(results[2], np.exp(X.astype(float) + Y), rtol=1e-15)


def test_results_alias_neither_inputs_nor_constants() -> None:
    run = engines.get("reference").compile(graph())
    results = run([X, Y])
    assert not np.shares_memory(results[0], X)
    results[1][:] = 0
    assert run([X, Y])[1].tolist() == [4.0]


def test_use_switches_the_engine_and_back() -> None:
    before = engines.current()
    with engines.use("float64") as engine:
        assert engines.current() is engine and engine.name == "float64"
        assert get("add")(np.ones(1), np.ones(1)).tolist() == [2.0]
    assert engines.current() is before


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown engine 'gpu'.*reference"):
        engines.get("gpu")
