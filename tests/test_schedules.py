"""Learning-rate schedules against real Keras and against their formulas, at many steps; configs in both directions."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import striate
from striate.optimizers import schedules
from striate.trace import Variable

STEPS = [*range(0, 32), 49, 50, 51, 99, 100, 101, 137, 500, 1000, 12345]
CASES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.9}),
    ("ExponentialDecay", {"initial_learning_rate": 0.5, "decay_steps": 7, "decay_rate": 0.5, "staircase": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 2.0, "staircase": True}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 50}),
    ("PolynomialDecay", {"initial_learning_rate": 0.5, "decay_steps": 50, "end_learning_rate": 0.1, "power": 0.5}),
    ("PolynomialDecay", {"initial_learning_rate": 0.5, "decay_steps": 10, "power": 2.0, "cycle": True}),
    ("PiecewiseConstantDecay", {"boundaries": [3, 50, 100], "values": [1.0, 0.5, 0.25, 0.125]}),
    ("PiecewiseConstantDecay", {"boundaries": [0], "values": [1.0, 0.5], "name": "two"}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 100}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 100, "alpha": 0.25, "name": "c"}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 50, "warmup_target": 0.5, "warmup_steps": 20}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 50, "warmup_target": 0.5}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 10}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 7, "t_mul": 1.0, "m_mul": 0.5}),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.5, "first_decay_steps": 10, "t_mul": 1.5, "m_mul": 0.9, "alpha": 0.1},
    ),
]
each_case = pytest.mark.parametrize(("name", "kwargs"), CASES, ids=lambda x: x if isinstance(x, str) else "")


def made(name: str, kwargs: dict[str, Any], space: Any = schedules) -> Any:
    return getattr(space, name)(**kwargs)


@each_case
def test_rates_follow_keras(real_keras: Any, name: str, kwargs: dict[str, Any]) -> None:
    import jax

    mine, theirs = made(name, kwargs), made(name, kwargs, real_keras.optimizers.schedules)
    theirs = jax.jit(theirs) if name.startswith("Cosine") else theirs  # those have branches, which JAX compiles anyway
    expected = np.array([float(theirs(step)) for step in STEPS])
    np.testing.assert_allclose([float(mine(step)) for step in STEPS], expected, rtol=1e-5, atol=1e-8)


@each_case
def test_rates_are_the_same_for_all_kinds_of_steps(name: str, kwargs: dict[str, Any]) -> None:
    schedule = made(name, kwargs)
    compiled = striate.jit(lambda step: schedule(step))
    for step in (0, 3, 10, 55):
        expected = schedule(step)
        assert expected.shape == () and expected.dtype == "float32"
        np.testing.assert_allclose(compiled(np.int32(step)), expected, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(schedule(Variable(step, dtype="int32")), expected, rtol=1e-6)
        np.testing.assert_allclose(schedule(float(step)), expected, rtol=1e-6)


@each_case
def test_configs_go_both_ways(real_keras: Any, name: str, kwargs: dict[str, Any]) -> None:
    theirs = real_keras.optimizers.schedules
    mine, other = made(name, kwargs), made(name, kwargs, theirs)
    assert mine.get_config() == other.get_config()
    assert json.loads(json.dumps(schedules.serialize(mine))) == theirs.serialize(other)
    assert schedules.deserialize(theirs.serialize(other)).get_config() == other.get_config()
    assert theirs.deserialize(schedules.serialize(mine)).get_config() == mine.get_config()


def by_hand_restarts(step: int, first: int, t_mul: float, m_mul: float) -> float:
    """Way down after way down, as Loshchilov and Hutter write it, in float64."""
    length, height = float(first), 1.0
    while step >= length:
        step, length, height = step - length, length * t_mul, height * m_mul  # type: ignore[assignment]
    return height * 0.5 * (1 + math.cos(math.pi * step / length))


@given(
    step=st.integers(0, 400), first=st.integers(1, 30), t_mul=st.sampled_from([1.0, 2.0, 3.0]), m_mul=st.floats(0.5, 1)
)
def test_restarts_follow_the_definition(step: int, first: int, t_mul: float, m_mul: float) -> None:
    # Exactly at a restart float32 may see the step on either side: the one before is the end of a way down.
    begins, length = {0.0}, float(first)
    while max(begins) <= 400:
        begins.add(max(begins) + length)
        length *= t_mul
    found = float(schedules.CosineDecayRestarts(1.0, first, t_mul, m_mul)(step))
    expected = by_hand_restarts(step, first, t_mul, m_mul)
    assert abs(found - expected) < 1e-4 or (step in begins and abs(found) < 1e-4)


@given(
    boundaries=st.lists(st.integers(0, 100), min_size=0, max_size=5, unique=True).map(sorted), step=st.integers(0, 120)
)
def test_pieces_follow_the_table(boundaries: list[int], step: int) -> None:
    values = [1.0 / (i + 1) for i in range(len(boundaries) + 1)]
    found = float(schedules.PiecewiseConstantDecay(boundaries, values)(step))
    assert found == np.float32(values[np.searchsorted(boundaries, step, side="left")])


@given(steps=st.integers(1, 1000), rate=st.floats(0.01, 1.0), step=st.integers(0, 2000))
def test_exponential_follows_the_formula(steps: int, rate: float, step: int) -> None:
    found = float(schedules.ExponentialDecay(0.5, steps, rate)(step))
    assert found == pytest.approx(0.5 * rate ** (step / steps), rel=1e-3, abs=1e-30)


class Own(schedules.LearningRateSchedule):
    """Of a user."""

    def __call__(self, step: Any) -> Any:
        return striate.ops.sqrt(striate.ops.cast(step, "float32"))

    def get_config(self) -> dict[str, Any]:
        return {}


def test_own_schedules_are_saved_with_their_optimizer() -> None:
    config = striate.optimizers.serialize(striate.optimizers.SGD(Own()))
    with striate.saving.custom_object_scope({"Own": Own}):
        made = striate.optimizers.deserialize(config)
    made.build([Variable(np.zeros(2, "float32"))])
    for _ in range(4):
        made.apply([np.zeros(2, "float32")])
    assert float(made.learning_rate) == 2.0


WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), ValueError, "`decay_steps` must be > 0. Received: decay_steps=0"),
    (lambda: schedules.PolynomialDecay(0.1, -1), ValueError, "PolynomialDecay: .*decay_steps=-1"),
    (lambda: schedules.CosineDecay(0.1, 0), ValueError, "`decay_steps` must be > 0"),
    (lambda: schedules.InverseTimeDecay(0.1, 0, 0.5), ValueError, "`decay_steps` must be > 0"),
    (lambda: schedules.CosineDecayRestarts(0.1, 0), ValueError, "`first_decay_steps` must be > 0"),
    (lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1]), ValueError, "length of boundaries should be 1 less"),
    (lambda: schedules.LearningRateSchedule()(0), NotImplementedError, "has no `__call__"),
    (lambda: schedules.LearningRateSchedule().get_config(), NotImplementedError, "has no `get_config`"),
    (
        lambda: schedules.deserialize({"class_name": "Nope", "config": {}}),
        ValueError,
        "Could not interpret learning rate schedule identifier.*Known names: CosineDecay",
    ),
]


@pytest.mark.parametrize(("wrong", "error", "words"), WRONG, ids=[w[2][:30] for w in WRONG])
def test_what_is_refused(wrong: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        wrong()
