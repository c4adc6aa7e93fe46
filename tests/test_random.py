"""`striate.random`: distributions, seeds, and the same draws eagerly and traced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate import config, engines, random
from striate.ir import Aval
from striate.primitives import random as prim
from striate.trace import CompiledFunction, trace
from striate.utils import set_random_seed

N = 40_000


def test_same_seed_same_numbers() -> None:
    for draw in (
        lambda s: random.normal((5,), seed=s), lambda s: random.uniform((5,), seed=s), lambda s:
        random.randint((5,), 0, 99, seed=s),
        lambda s: random.gamma((5,), 2.0, seed=s), lambda s: random.categorical(np.zeros((2, 9), "f"), 5, seed=s),
    ):  # fmt: skip
        np.testing.assert_array_equal(draw(3), draw(3))
        assert not np.array_equal(draw(3), draw(4))


@pytest.mark.parametrize(
    ("sample", "mean", "std", "low", "high"),
    [
        (lambda: random.normal((N,), 1.0, 2.0, seed=1), 1, 2, -20, 20),
        (lambda: random.uniform((N,), -1.0, 3.0, seed=1), 1, 4 / 12**0.5, -1, 3),
        (lambda: random.truncated_normal((N,), 1.0, 2.0, seed=1), 1, 2 * 0.8796, -3, 5),
        (lambda: random.randint((N,), -2, 5, seed=1), 1, 2, -2, 4),
        (lambda: random.gamma((N,), 4.0, seed=1), 4, 2, 0, 60),
        (lambda: random.beta((N,), 2.0, 2.0, seed=1), 0.5, 0.05**0.5, 0, 1),
        (lambda: random.binomial((N,), 10, 0.3, seed=1), 3, 2.1**0.5, 0, 10),
        (lambda: random.dropout(np.ones(N, "f"), 0.25, seed=1), 1, (1 / 3) ** 0.5, 0, 4 / 3 + 1e-6),
    ],
)
def test_moments_and_bounds(sample: Any, mean: float, std: float, low: float, high: float) -> None:
    x = sample()
    assert x.shape == (N,)
    assert x.min() >= low and x.max() <= high
    assert abs(x.mean() - mean) < 5 * std / N**0.5
    assert abs(x.std() / std - 1) < 0.03


def test_categorical_frequencies() -> None:
    p = np.array([0.1, 0.6, 0.3])
    drawn = random.categorical(np.log([p, p[::-1]]).astype("f"), N, seed=2)
    assert drawn.dtype == np.int32 and drawn.shape == (2, N)
    np.testing.assert_allclose(np.bincount(drawn[0], minlength=3) / N, p, atol=0.015)
    np.testing.assert_allclose(np.bincount(drawn[1], minlength=3) / N, p[::-1], atol=0.015)


def test_shuffle_is_a_permutation() -> None:
    x = np.arange(50).reshape(10, 5)
    made = random.shuffle(x, axis=0, seed=3)
    assert not np.array_equal(made, x)
    np.testing.assert_array_equal(np.sort(made[:, 0]), x[:, 0])
    np.testing.assert_array_equal(made - made[:, :1], x - x[:, :1])


def test_generator_moves_on_also_in_compiled_functions() -> None:
    eager, compiled = random.SeedGenerator(7), random.SeedGenerator(7)
    step = CompiledFunction(
        trace(lambda x: x + random.normal((3,), seed=compiled), [Aval((3,), "float32")]), engines.current()
    )
    zero = np.zeros(3, np.float32)
    for _ in range(3):
        np.testing.assert_allclose(step([zero]), random.normal((3,), seed=eager), rtol=1e-6)
    np.testing.assert_array_equal(compiled.state.numpy(), [7, 3])


def test_global_seed() -> None:
    set_random_seed(5)
    first = random.normal((4,)), random.normal((4,)), np.random.rand()
    set_random_seed(5)
    again = random.normal((4,)), random.normal((4,)), np.random.rand()
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], first[1])


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="integer"):
        random.SeedGenerator(seed="a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Unrecognized"):
        random.SeedGenerator(seed=1, foo=2)
    with pytest.raises(ValueError, match="seed"):
        random.normal((2,), seed="x")
    with pytest.raises(ValueError, match="floating"):
        random.normal((2,), dtype="int32")
    with pytest.raises(ValueError, match="integer `dtype`"):
        random.randint((2,), 0, 3, dtype="float32")
    with pytest.raises(ValueError, match="2-D"):
        random.categorical(np.zeros(3), 2)


@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 5), (2**20 + 3,)])
def test_uniform_in_one_go_gives_the_numbers_of_the_bits(shape: tuple[int, ...]) -> None:
    key = prim.key_of(2**40 + 5)
    bits = np.asarray(prim.random_bits(key, shape=shape))
    wanted = (bits >> 8).astype("float32") * np.float32(2.0**-24) * np.float32(3) + np.float32(-1)
    for dtype in ("float32", "float64"):
        found = prim.random_uniform(key, shape=shape, dtype=dtype, scale=3.0, offset=-1.0)
        assert (found.shape, found.dtype) == (shape, dtype)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-7)
    drawn = random.uniform(shape, -1, 2, seed=9)
    longer = random.uniform(shape, np.float32(-1), np.float32(2), seed=9)
    np.testing.assert_array_equal(drawn, longer)


def test_many_bits_are_those_of_few_threads() -> None:
    key, before = prim.key_of(1), config.num_threads()
    drawn = []
    for n in (1, 3):
        config.set_num_threads(n)
        drawn.append(prim.random_bits(key, shape=(3_000_001,)))
    config.set_num_threads(before)
    np.testing.assert_array_equal(*drawn)
    low, high = prim.threefry(key, np.array([1_000_000], "uint32"), np.array([0], "uint32"))
    assert (drawn[0][2_000_000], drawn[0][2_000_001]) == (low[0], high[0])
