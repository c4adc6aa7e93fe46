"""Reductions and softmax against NumPy in float64, over drawn shapes and axes, at every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernel_runner import each_level, run, same_bits
from striate.kernels.attributes import REDUCTIONS, reduce, softmax

NUMPY = {
    "sum": np.sum,
    "mean": np.mean,
    "max": lambda x, axis: np.max(x, axis, initial=-np.inf),
    "min": lambda x, axis: np.min(x, axis, initial=np.inf),
    "prod": np.prod,
    "sum_squares": lambda x, axis: np.sum(x * x, axis),
}


@st.composite
def cases(draw):
    shape = tuple(draw(st.lists(st.integers(0, 9) | st.just(1) | st.just(17), max_size=5)))
    axes = tuple(i for i in range(len(shape)) if draw(st.booleans()))
    return shape, axes


def reduced(op: str, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    out = np.full([n for i, n in enumerate(x.shape) if i not in axes], 7, np.float32)
    run("reduce", [x], [out], *reduce(op, axes))
    return out


def expected(op: str, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        if op == "mean":
            return np.sum(wide, axis=axes) / np.float64(np.prod([x.shape[a] for a in axes], dtype=np.int64))
        return NUMPY[op](wide, axis=axes)


@given(case=cases(), seed=st.integers(0, 99), op=st.sampled_from(sorted(REDUCTIONS)))
@example(case=((0, 3), (0,)), seed=0, op="mean")
@example(case=((3, 0, 2), (1,)), seed=0, op="max")
@example(case=((70001,), (0,)), seed=0, op="sum")
@example(case=((3, 50000), (1,)), seed=0, op="sum")
@example(case=((50000, 7), (0,)), seed=0, op="sum")
@example(case=((40, 50, 60, 3), (0, 1, 2)), seed=0, op="mean")
@example(case=((9, 50, 700), (0, 2)), seed=0, op="sum_squares")
@example(case=((9, 50, 700), (1,)), seed=0, op="max")
def test_reduce(case, seed, op):
    shape, axes = case
    rng = np.random.default_rng(seed)
    x = np.asarray(1 + 0.01 * rng.standard_normal(shape) if op == "prod" else rng.standard_normal(shape), np.float32)
    want, added = expected(op, x, axes), max(1, int(np.prod([shape[a] for a in axes])))
    for _ in each_level():
        got = reduced(op, x, axes)
        rtol = max(2e-6, 1e-7 * added**0.5) if op == "prod" else 2e-6  # each factor rounds
        np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-7 * (added if op == "sum" else 1), equal_nan=True)


def test_long_sums_stay_accurate():
    x = (np.random.default_rng(0).random(3_000_000) + 0.5).astype(np.float32)
    for _ in each_level():
        np.testing.assert_allclose(reduced("sum", x, (0,)), np.sum(x, dtype=np.float64), rtol=2e-7)
        np.testing.assert_allclose(
            reduced("sum", x.reshape(-1, 3), (0,)), np.sum(x.reshape(-1, 3), 0, dtype=np.float64), rtol=3e-7
        )


@pytest.mark.parametrize("op", sorted(REDUCTIONS))
@pytest.mark.parametrize("axes", [(0,), (1,)])
def test_a_nan_spreads_to_its_output_alone(op, axes):
    x = np.ones((37, 53), np.float32)
    for place in (0, 20, 36):
        x[:] = 1
        x[place, place] = np.nan
        for _ in each_level():
            assert np.flatnonzero(np.isnan(reduced(op, x, axes))).tolist() == [place]


@pytest.mark.parametrize(("shape", "axes"), [((300, 301, 3), (0, 1)), ((300, 301, 3), (0, 1, 2)), ((3, 99999), (1,))])
def test_reduce_same_bits_for_any_number_of_threads(shape, axes):
    x = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    for _ in each_level():
        same_bits(lambda: reduced("sum", x, axes))


@pytest.mark.parametrize("ints", [(), (6,), (0, 2), (0, 1, 1), (0, -1)])
def test_reduce_wrong_attributes(ints):
    with pytest.raises(ValueError, match="reduce"):
        run("reduce", [np.zeros((2, 3), np.float32)], [np.zeros(6, np.float32)], ints)


def soft(x: np.ndarray, axis: int, log: bool = False) -> np.ndarray:
    out = np.full(x.shape, 7, np.float32)
    run("softmax", [x], [out], *softmax(axis, log))
    return out


def soft_expected(x: np.ndarray, axis: int, log: bool) -> np.ndarray:
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        shifted = wide - np.max(wide, axis, keepdims=True, initial=-np.inf)
        total = np.sum(np.exp(shifted), axis, keepdims=True)
        return shifted - np.log(total) if log else np.exp(shifted) / total


@given(
    st.lists(st.integers(0, 5) | st.just(33) | st.just(70), min_size=1, max_size=3),
    st.data(),
    st.booleans(),
    st.integers(0, 99),
)
def test_softmax(shape, data, log, seed):
    axis = data.draw(st.integers(0, len(shape) - 1))
    x = (5 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)
    for _ in each_level():
        np.testing.assert_allclose(
            soft(x, axis, log), soft_expected(x, axis, log), rtol=1e-5, atol=2e-6 if log else 1e-30
        )


def test_softmax_of_large_and_special_values():
    x = np.array([[1e4, 0, -1e4], [np.inf, 0, 0], [-np.inf] * 3, [np.nan, 0, 0], [-np.inf, 0, 0]], np.float32)
    for _ in each_level():
        for log in (False, True):
            want = soft_expected(x, 1, log)
            np.testing.assert_allclose(soft(x, 1, log), want, rtol=1e-6, equal_nan=True)
            np.testing.assert_allclose(soft(np.ascontiguousarray(x.T), 0, log), want.T, rtol=1e-6, equal_nan=True)


def test_softmax_same_bits_for_any_number_of_threads():
    x = np.random.default_rng(4).standard_normal((40, 1000)).astype(np.float32)
    for _ in each_level():
        same_bits(lambda: soft(x, 1))
        same_bits(lambda: soft(x, 0))
