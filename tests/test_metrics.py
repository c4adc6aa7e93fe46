"""Metrics against real Keras: over several batches, weighted and not, traced and not; configs, resets, errors."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import striate
from metric_cases import CASES, Case, batch, weights
from striate import metrics


def _made(module: Any, case: Case) -> Any:
    return getattr(module, case.cls)(**case.kwargs)


def _feeds(case: Case, which: str) -> list[tuple[Any, Any, Any]]:
    rng = np.random.default_rng(3)
    return [(*batch(case.kind, rng), weights(case.kind, which, rng)) for _ in range(3)]


def _compare(own: Any, real: Any, what: str) -> None:
    np.testing.assert_allclose(np.asarray(own), np.asarray(real), rtol=2e-5, atol=2e-6, err_msg=what)


@pytest.mark.parametrize("which", ["none", "examples", "all"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
@pytest.mark.filterwarnings("ignore")
def test_values_state_and_traced(real_keras: ModuleType, case: Case, which: str) -> None:
    own, traced, real = (_made(m, case) for m in (metrics, metrics, real_keras.metrics))
    step = striate.jit(lambda t, p, w: traced(t, p, sample_weight=w))
    for true, pred, w in _feeds(case, which):
        try:
            expected = real(true, pred, sample_weight=w)
        except (TypeError, ValueError) as error:
            with pytest.raises(type(error)):
                own(true, pred, sample_weight=w)
            return
        _compare(own(true, pred, sample_weight=w), expected, "eager")
        _compare(step(true, pred, w), expected, "traced")
    _same_variables(own, real)
    _same_variables(traced, real)
    own.reset_state()
    assert all(not np.asarray(v).any() for v in own.variables)


def _same_variables(own: Any, real: Any) -> None:
    assert [v.path.split("/")[-1] for v in own.variables] == [v.path.split("/")[-1] for v in real.variables]
    for a, b in zip(own.variables, real.variables, strict=True):
        _compare(a, b, a.path)
        assert (a.dtype, a.shape, a.trainable) == (b.dtype, tuple(b.shape), b.trainable)
