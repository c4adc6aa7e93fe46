"""Random numbers: Threefry's published vectors, places that don't depend on the shape, and the distributions'
moments.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from striate.ir import Builder, building
from striate.passes.precision import in_float64
from striate.primitives import random
from striate.primitives.interpret import run_graph

KEY = random.key_of(1234)

# Random123's known answers for threefry2x32 with 20 rounds: counter, key, result.
VECTORS = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize(("counter", "key", "result"), VECTORS)
def test_known_answers(counter: tuple[int, int], key: tuple[int, int], result: tuple[int, int]) -> None:
    low, high = (np.array([c], np.uint32) for c in counter)
    words = random.threefry(np.array(key, np.uint32), low, high)
    assert tuple(int(w[0]) for w in words) == result


def test_the_first_words_are_those_of_the_counter_zero() -> None:
    found = random.random_bits(np.zeros(2, np.uint32), shape=(2,))
    assert found.tolist() == [0x6B200159, 0x99BA4EFE]


def test_an_elements_number_depends_on_its_place_alone() -> None:
    whole = random.random_bits(KEY, shape=(101,))
    np.testing.assert_array_equal(whole[:7], random.random_bits(KEY, shape=(7,)))
    np.testing.assert_array_equal(whole[:100], random.random_bits(KEY, shape=(4, 25)).ravel())
    assert random.random_bits(KEY, shape=(0, 3)).shape == (0, 3)


def test_keys_apart_give_numbers_apart() -> None:
    keys = [KEY, random.fold_in(KEY, 0), random.fold_in(KEY, 1), *random.split(KEY, 5)]
    drawn = {tuple(random.random_bits(k, shape=(2,)).tolist()) for k in keys}
    assert len(drawn) == len(keys) and len({tuple(k.tolist()) for k in keys}) == len(keys)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform(dtype: str) -> None:
    x = random.uniform(KEY, (40000,), dtype)
    assert x.dtype == dtype and x.min() >= 0 and x.max() < 1
    x = x.astype(np.float64)
    assert abs(x.mean() - 0.5) < 0.006 and abs(x.var() - 1 / 12) < 0.002
    counts = np.histogram(x, 20, (0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 43.8  # chi square, 19 degrees of freedom, 0.1 %
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.02


def _normal_cdf(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_normal(dtype: str) -> None:
    x = random.normal(KEY, (40000,), dtype)
    assert x.dtype == dtype and np.isfinite(x).all()
    x = np.sort(x.astype(np.float64))
    ranks = np.array([_normal_cdf(v) for v in x])
    assert np.abs(ranks - np.arange(1, 40001) / 40000).max() < 1.95 / 200  # Kolmogorov-Smirnov, 0.1 %


def test_truncated_normal() -> None:
    x = np.sort(random.truncated_normal(KEY, (40000,)).astype(np.float64))
    assert x[0] >= -2 and x[-1] <= 2
    low = _normal_cdf(-2)
    ranks = np.array([(_normal_cdf(v) - low) / (1 - 2 * low) for v in x])
    assert np.abs(ranks - np.arange(1, 40001) / 40000).max() < 1.95 / 200


def test_randint() -> None:
    x = random.randint(KEY, (30000,), -2, 4)
    assert x.dtype == np.int32
    counts = np.bincount(x + 2, minlength=6)
    assert len(counts) == 6 and ((counts - 5000) ** 2 / 5000).sum() < 20.5
    wide = random.randint(KEY, (1000,), -(2**62), 2**62, "int64")
    assert wide.min() < -(2**60) and wide.max() > 2**60
    with pytest.raises(ValueError, match="empty"):
        random.randint(KEY, (3,), 4, 4)


def test_permutation() -> None:
    x = random.permutation(KEY, 500)
    assert sorted(x.tolist()) == list(range(500)) and x.tolist() != list(range(500))
    assert random.permutation(random.fold_in(KEY, 1), 500).tolist() != x.tolist()


def test_float64_draws_the_same_numbers() -> None:
    """The oracle's arithmetic changes the precision, never the draw."""
    builder = Builder()
    key = builder.input((2,), "uint32")
    with building(builder):
        graph = builder.graph([random.uniform(key, (50,)), random.normal(key, (50,))])
    exact, rough = run_graph(in_float64(graph), [KEY]), run_graph(graph, [KEY])
    np.testing.assert_array_equal(exact[0], rough[0])
    np.testing.assert_allclose(exact[1], rough[1], rtol=2e-6)
