"""Losses traced into graphs: values as when computed at once, gradients against finite differences in float64."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate import engines, losses, ops
from striate.autodiff import vjp
from striate.ir import Aval
from striate.trace import Traced, trace
from striate.trace.masks import set_keras_mask
from tests.loss_cases import CASES, CLASSES, EDGES, HOT, SEQUENCE, UNIT, Case, P, Z

# Clipped probabilities and labels: their kinks lie on the drawn points.
SMOOTH = CASES[: -len(EDGES)]


def _traced(fn: Any, *arrays: np.ndarray) -> Traced:
    return trace(fn, [Aval(a.shape, str(a.dtype)) for a in arrays])


def _slope(fn: Any, x: np.ndarray, direction: np.ndarray, step: float = 1e-6) -> Any:
    """The derivative of `fn` at `x`, by Richardson's central differences."""
    wide, narrow = ((fn(x + h * direction) - fn(x - h * direction)) / (2 * h) for h in (2 * step, step))
    return (4 * narrow - wide) / 3


@pytest.mark.parametrize("case", SMOOTH, ids=lambda c: c[0])
def test_gradients(case: Case) -> None:
    name, (y, p), options = case
    p = p.astype(np.float64)
    fn = getattr(losses, name)
    weights = np.cos(np.arange(np.size(fn(y, p, **options)), dtype=float)).reshape(fn(y, p, **options).shape)

    def total(x: Any) -> Any:
        return ops.sum(ops.multiply(fn(y, x, **options), weights))

    graph = vjp(_traced(total, p).graph, [0])
    (found,) = engines.get("native").compile(graph)([p, np.ones(())])
    assert found.dtype == np.float64 and np.isfinite(found).all()
    rng = np.random.default_rng(5)
    for _ in range(3):
        direction = rng.normal(size=p.shape) * np.maximum(np.abs(p), 1e-30)
        expected = _slope(total, p, direction)
        scale = np.abs(found * direction).sum()
        np.testing.assert_allclose(np.sum(found * direction), expected, rtol=2e-6, atol=1e-7 * scale + 1e-9)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_as_eager(case: Case, dtype: str) -> None:
    name, (y, p), options = case
    fn, p = getattr(losses, name), p.astype(dtype)
    traced = _traced(lambda a, b: fn(a, b, **options), y, p)
    (found,) = engines.get("native").compile(traced.graph)([y, p])
    expected = fn(y, p, **options)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=3e-7)


CLASSES_AND_DATA = [
    (name, {"SparseCategoricalCrossentropy": (CLASSES, P), "Circle": (CLASSES, UNIT)}.get(name, (HOT, P)))
    for name, cls in vars(losses).items()
    if inspect.isclass(cls) and name not in ("Loss", "LossFunctionWrapper", "CategoricalGeneralizedCrossEntropy", "CTC")
] + [("CategoricalGeneralizedCrossEntropy", (CLASSES, P)), ("CTC", (np.array([[1, 2], [3, 0]]), SEQUENCE))]


@pytest.mark.parametrize("case", CLASSES_AND_DATA, ids=lambda c: c[0])
def test_classes_with_weights_and_masks_compile(case: Any) -> None:
    name, (y, p) = case
    loss = getattr(losses, name)()
    per_example = getattr(losses, name)(reduction=None)(y, p).ndim
    mask = np.arange(len(y)) % 3 > 0 if per_example else None
    weights = np.linspace(0.5, 1.5, len(y), dtype=np.float32)

    def run(y_true: Any, y_pred: Any, w: Any) -> Any:
        y_pred = ops.multiply(y_pred, 1.0)
        if mask is not None:
            set_keras_mask(y_pred, mask)
        return loss(y_true, y_pred, w)

    (found,) = engines.get("native").compile(_traced(run, y, p, weights).graph)([y, p, weights])
    np.testing.assert_allclose(found, run(y, p, weights), rtol=3e-6, atol=3e-7)


def test_few_nodes() -> None:
    """A loss is computed in each step of a training: its graph stays small."""
    counts = {
        "mean_squared_error": 4, "huber": 12, "binary_crossentropy": 18, "sparse_categorical_crossentropy": 14,
    }  # fmt: skip
    for name, most in counts.items():
        y = CLASSES if name.startswith("sparse") else HOT
        graph = _traced(getattr(losses, name), y, P).graph
        assert len(graph.nodes) <= most, (name, [n.op for n in graph.nodes])


REGRESSION = ["mean_squared_error", "mean_absolute_error", "log_cosh", "huber"]


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    name=st.sampled_from(REGRESSION),
    seed=st.integers(0, 2**32),
)
def test_shapes_by_definition(shape: tuple[int, ...], name: str, seed: int) -> None:
    t, p = np.random.default_rng(seed).normal(size=(2, *shape))
    e = np.abs(t - p)
    truth = {
        "mean_squared_error": e**2,
        "mean_absolute_error": e,
        "log_cosh": np.log(np.cosh(e)),
        "huber": np.where(e <= 1, e**2 / 2, e - 0.5),
    }[name].mean(-1)
    np.testing.assert_allclose(getattr(losses, name)(t, p), truth, rtol=1e-9, atol=1e-12)


@given(
    lead=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    classes=st.integers(2, 6),
    axis=st.integers(0, 3),
    seed=st.integers(0, 2**32),
)
def test_crossentropies_by_definition(lead: tuple[int, ...], classes: int, axis: int, seed: int) -> None:
    """Sparse and categorical crossentropy along any axis, of logits and of probabilities, are one number."""
    axis = axis % (len(lead) + 1)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, lead)
    logits = np.moveaxis(3 * rng.normal(size=(*lead, classes)), -1, axis)
    shares = np.exp(logits) / np.exp(logits).sum(axis, keepdims=True)
    hot = np.moveaxis(np.eye(classes)[labels], -1, axis)
    truth = -np.log(np.sum(hot * shares, axis))
    for y, name in ((labels, "sparse_categorical_crossentropy"), (hot, "categorical_crossentropy")):
        fn = getattr(losses, name)
        np.testing.assert_allclose(fn(y, logits, from_logits=True, axis=axis), truth, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(fn(y, shares, axis=axis), truth, rtol=1e-6, atol=2e-7)


@settings(max_examples=15)
@given(steps=st.integers(1, 5), labels=st.lists(st.integers(1, 2), max_size=3), seed=st.integers(0, 2**32))
def test_ctc_by_enumeration(steps: int, labels: list[int], seed: int) -> None:
    """The probability of a reading is the sum over all paths that read so."""
    logits = np.random.default_rng(seed).normal(size=(1, steps, 3))
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum(-1, keepdims=True)
    total = 0.0
    for path in np.ndindex(*(3,) * steps):
        read = [c for i, c in enumerate(path) if c and (i == 0 or path[i - 1] != c)]
        total += float(np.prod(shares[np.arange(steps), path])) if read == labels else 0.0
    row = np.array([[*labels, 0]])
    found = losses.ctc(row, logits)
    if total:
        np.testing.assert_allclose(found, [-np.log(total)], rtol=1e-9)
    else:
        assert found[0] > 9e4


def test_logits_far_away() -> None:
    """Logits of any size give finite losses and gradients."""
    far = (Z * 1e3).astype(np.float32)
    for name, y in (("binary_crossentropy", HOT), ("categorical_crossentropy", HOT),
                    ("sparse_categorical_crossentropy", CLASSES)):  # fmt: skip
        fn = getattr(losses, name)
        graph = vjp(_traced(lambda x, f=fn, t=y: ops.sum(f(t, x, from_logits=True)), far).graph, [0])
        (slope,) = engines.get("native").compile(graph)([far, np.ones((), np.float32)])
        assert np.isfinite(fn(y, far, from_logits=True)).all() and np.isfinite(slope).all()
