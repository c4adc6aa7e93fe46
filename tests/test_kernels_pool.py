"""Pooling and its gradients against a direct computation over each window in float64, at every instruction set."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kernel_runner import each_level, run, same_bits
from striate.kernels.attributes import pool


@dataclass(frozen=True)
class Case:
    batch: int
    channels: int
    spatial: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    include: bool = False
    p: float = 2.0

    @property
    def attributes(self):
        return pool(self.window, self.strides, self.padding, self.dilation, count_include_pad=self.include, p=self.p)

    @property
    def x_shape(self):
        return (self.batch, *self.spatial, self.channels)

    @property
    def out(self):
        axes = zip(self.spatial, self.window, self.strides, self.padding, self.dilation, strict=True)
        return tuple((n + sum(pad) - (k - 1) * d - 1) // s + 1 for n, k, s, pad, d in axes)

    @property
    def y_shape(self):
        return (self.batch, *self.out, self.channels)

    def windows(self):
        """Each output's place and the cells of its window that lie inside the input, in row-major order."""
        for place in itertools.product(*map(range, self.out)):
            cells = []
            for tap in itertools.product(*map(range, self.window)):
                at = tuple(
                    o * s - lo + t * d
                    for o, s, (lo, _), t, d in zip(place, self.strides, self.padding, tap, self.dilation, strict=True)
                )
                if all(0 <= i < n for i, n in zip(at, self.spatial, strict=True)):
                    cells.append(at)
            yield place, cells


@st.composite
def drawn(draw):
    rank = draw(st.integers(1, 3))
    axis = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(rank))  # noqa: E731
    case = Case(
        draw(st.integers(0, 2)), draw(st.sampled_from([0, 1, 3, 16, 19, 70])), axis(1, 7), axis(1, 3), axis(1, 3),
        tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(rank)), axis(1, 2), draw(st.booleans()),
        draw(st.sampled_from([1.0, 2.0, 3.5])),
    )  # fmt: skip
    assume(all(n >= 1 for n in case.out))
    return case


VGG = Case(1, 64, (14, 14), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
SAME = Case(2, 33, (9, 9), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))


def pooled(name: str, case: Case, x: np.ndarray) -> np.ndarray:
    y = np.full(case.y_shape, 7, np.float32)
    run(name, [x], [y], *case.attributes)
    return y


def reference(name: str, case: Case, x: np.ndarray) -> np.ndarray:
    y = np.zeros(case.y_shape)
    for place, cells in case.windows():
        found = np.stack([x[(slice(None), *c)] for c in cells] or [np.zeros((0,))]).astype(np.float64)
        at = (slice(None), *place)
        if name == "max_pool":
            y[at] = np.max(found, axis=0) if cells else -np.inf
        elif name == "avg_pool":
            count = int(np.prod(case.window)) if case.include else max(len(cells), 1)
            y[at] = np.sum(found, axis=0) / count if cells else 0
        else:
            y[at] = np.sum(np.abs(found) ** case.p, axis=0) ** (1 / case.p) if cells else 0
    return y


@given(case=drawn(), seed=st.integers(0, 99), name=st.sampled_from(["max_pool", "avg_pool", "lp_pool"]))
@example(case=VGG, seed=0, name="max_pool")
@example(case=SAME, seed=0, name="avg_pool")
@example(case=VGG, seed=0, name="lp_pool")
def test_pool(case, seed, name):
    x = np.random.default_rng(seed).standard_normal(case.x_shape).astype(np.float32)
    want = reference(name, case, x)
    for _ in each_level():
        np.testing.assert_allclose(pooled(name, case, x), want, rtol=2e-6, atol=1e-6)


@given(case=drawn(), seed=st.integers(0, 99))
@example(case=VGG, seed=0)
@example(case=SAME, seed=0)
def test_max_pool_gradients(case, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, case.x_shape).astype(np.float32)  # many ties: the first maximum of a window counts
    x[rng.random(x.shape) < 0.05] = np.nan
    g, v = (rng.standard_normal(s).astype(np.float32) for s in (case.y_shape, case.x_shape))
    want, gathered = np.zeros(case.x_shape), np.zeros(case.y_shape)
    for place, cells in case.windows():
        if not cells:
            continue
        found = np.stack([x[(slice(None), *c)] for c in cells])
        winner = np.argmax(found, axis=0)  # of NumPy: the first maximum, or the first NaN
        for number, cell in enumerate(cells):
            at, here = (slice(None), *cell), (slice(None), *place)
            want[at] += np.where(winner == number, g[here], 0)
            gathered[here] = np.where(winner == number, v[at], gathered[here])
    for _ in each_level():
        dx, y = np.full(case.x_shape, 7, np.float32), np.full(case.y_shape, 7, np.float32)
        run("max_pool_grad", [x, g], [dx], *case.attributes)
        run("max_pool_gather", [x, v], [y], *case.attributes)
        np.testing.assert_allclose(dx, want, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(y, gathered.astype(np.float32))


@given(case=drawn(), seed=st.integers(0, 99))
@example(case=SAME, seed=0)
def test_avg_pool_gradient(case, seed):
    g = np.random.default_rng(seed).standard_normal(case.y_shape).astype(np.float32)
    want = np.zeros(case.x_shape)
    for place, cells in case.windows():
        count = int(np.prod(case.window)) if case.include else max(len(cells), 1)
        for cell in cells:
            want[(slice(None), *cell)] += g[(slice(None), *place)] / np.float64(count)
    for _ in each_level():
        dx = np.full(case.x_shape, 7, np.float32)
        run("avg_pool_grad", [g], [dx], *case.attributes)
        np.testing.assert_allclose(dx, want, rtol=1e-5, atol=1e-5)


def test_a_nan_counts_as_the_maximum():
    x = np.zeros((1, 4, 4, 35), np.float32)
    x[0, 1, 2] = np.nan
    case = Case(1, 35, (4, 4), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    for _ in each_level():
        found = np.isnan(pooled("max_pool", case, x))
        assert found[0, 0, 1].all() and found.sum() == 35


def test_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    case = Case(2, 70, (31, 31), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))
    x = rng.standard_normal(case.x_shape).astype(np.float32)
    g = rng.standard_normal(case.y_shape).astype(np.float32)

    def gradient() -> np.ndarray:
        dx = np.empty(case.x_shape, np.float32)
        run("max_pool_grad", [x, g], [dx], *case.attributes)
        return dx

    for _ in each_level():
        same_bits(lambda: pooled("avg_pool", case, x))
        same_bits(gradient)


@pytest.mark.parametrize("shape", [(1, 3, 4, 2), (1, 4, 2), (2, 2, 2, 2), (1, 2, 2, 3)])
def test_wrong_shapes(shape):
    case = Case(1, 2, (4, 4), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    with pytest.raises(ValueError, match="max_pool"):
        run("max_pool", [np.zeros(case.x_shape, np.float32)], [np.zeros(shape, np.float32)], *case.attributes)


def test_wrong_attributes():
    case = Case(1, 2, (4, 4), (2, 2), (0, 2), ((0, 0), (0, 0)), (1, 1))
    x, y = np.zeros((1, 4, 4, 2), np.float32), np.zeros((1, 2, 2, 2), np.float32)
    with pytest.raises(ValueError, match="strides"):
        run("max_pool", [x], [y], *case.attributes)
    with pytest.raises(ValueError, match="ints"):
        run("max_pool", [x], [y], (2, 2))
