"""The same call eagerly and traced: a traced graph, run by the reference engine, gives what the eager call gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate import engines, ops
from striate.core import tree
from striate.ir import Aval, verify
from striate.primitives import infer_node
from striate.trace import trace
from tests.ops_cases import CASES, Case

# Their results' sizes depend on values.
CONCRETE = {"nonzero", "unique", "repeat", "bincount", "convert_to_tensor", "cast"}
TRACED = [c for c in CASES if c[0] not in CONCRETE and any(isinstance(a, np.ndarray) for a in c[1])]


def _run(fn: Any, arrays: list[np.ndarray]) -> Any:
    traced = trace(fn, [Aval(a.shape, str(a.dtype)) for a in arrays])
    verify(traced.graph, infer_node)
    results = engines.get("reference").compile(traced.graph)([*arrays, *(v.array for v in traced.reads)])
    return tree.map_structure(lambda k: results[k], traced.structure) if traced.structure != 0 else results[0]


@pytest.mark.parametrize("case", TRACED, ids=lambda c: c[0])
def test_traced_as_eager(case: Case) -> None:
    name, args, kwargs = case
    places = [n for n, a in enumerate(args) if isinstance(a, np.ndarray)]

    def fn(*values: Any) -> Any:
        full = list(args)
        for n, value in zip(places, values, strict=True):
            full[n] = value
        return getattr(ops, name)(*full, **kwargs)

    arrays = [args[n] for n in places]
    for found, expected in zip(tree.flatten(_run(fn, arrays)), tree.flatten(fn(*arrays)), strict=True):
        assert found.dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_control_flow() -> None:
    def fn(x: Any) -> Any:
        chosen = ops.cond(
            ops.sum(x) > 0, lambda: {"a": x * 2, "b": (x, None)}, lambda: {"a": x - 1, "b": (x * 0, None)}
        )
        count, looped = ops.while_loop(lambda k, a: k < 3, lambda k, a: (k + 1, a + chosen["a"]), (0, x))
        summed = ops.fori_loop(0, 4, lambda k, a: a + ops.cast(k, "float32") * x, x)
        branch = ops.switch(ops.cast(ops.sum(x), "int32"), [lambda a: a, lambda a: a * 10, lambda a: a * 100], x)
        carry, rows = ops.scan(lambda c, v: (c + v, c * v), 0.0, x)
        running = ops.associative_scan(lambda a, b: a + b, x)
        return chosen["a"], chosen["b"][0], count, looped, summed, branch, carry, rows, running

    for values in ([0.5, 1.0, 2.0], [-1.0, 0.25, -3.0], [0.0, 0.5, 0.75]):
        x = np.asarray(values, np.float32)
        traced, eager = _run(fn, [x]), fn(x)
        for found, expected in zip(traced, eager, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert eager[2] == 3
        np.testing.assert_allclose(eager[3], x + 3 * (x * 2 if x.sum() > 0 else x - 1), rtol=1e-6)
        np.testing.assert_allclose(eager[4], x * 7, rtol=1e-6)
        np.testing.assert_allclose(eager[5], x * [1, 10, 100][int(np.clip(int(x.sum()), 0, 2))], rtol=1e-6)
        np.testing.assert_allclose(eager[8], np.cumsum(x), rtol=1e-6)


def test_branches_must_agree() -> None:
    with pytest.raises(ValueError, match="same"):
        trace(lambda x: ops.cond(ops.sum(x) > 0, lambda: x, lambda: ops.concatenate([x, x])), [Aval((2,), "float32")])


@pytest.mark.parametrize(
    "key",
    [
        3, -1, slice(None, None, 2), slice(3, None, -1), slice(4, 4), (slice(None), None, 2), (Ellipsis, 0), (0,
        Ellipsis, slice(1, 3)),
        (np.array([0, 2]),), (slice(None), np.array([[0, -1], [1, 1]])), (np.array([0, 2]), slice(None),
        np.array([1, 3])),
        (np.array([0, 2]), np.array([1, 0])), (0, slice(None), np.array([1, 3])), (None, np.array(1)),
    ],
    ids=str,
)  # fmt: skip
def test_get_item(key: Any) -> None:
    x = np.arange(4 * 3 * 5, dtype=np.float32).reshape(4, 3, 5)
    np.testing.assert_array_equal(_run(lambda v: v[key], [x]), x[key])
    np.testing.assert_array_equal(ops.get_item(x, key), x[key])


def test_get_item_errors() -> None:
    aval = Aval((4, 3), "float32")
    for key in (4, (0, 0, 0), -5):
        with pytest.raises(IndexError):
            trace(lambda x, k=key: x[k], [aval])
    with pytest.raises(ValueError, match="bools"):
        trace(lambda x: x[x > 0], [aval])


def test_operators() -> None:
    def fn(x: Any, y: Any) -> Any:
        return [
            x + y, x - 1, 2 * x, x / y, x // 2, x % 2, x**2, -x, abs(x), x < y, x <= 1, x > y, x >= 1, x == y, x != y,
            (x > 0) & (y > 0), (x > 0) | (y > 0), (x > 0) ^ (y > 0), ~(x > 0), x @ y.T, 1 - x, 1 / (abs(x) + 1),
            x.reshape(-1), x.astype("int32"), np.float32(2) * x, np.ones((2, 3), np.float32) + x,
        ]  # fmt: skip

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3)).astype("f"), rng.normal(size=(2, 3)).astype("f")
    expected = fn(x, y)
    for found, truth in zip(_run(fn, [x, y]), expected, strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-6)
