"""Optimizers follow real Keras, step by step, computed at once and as a compiled plan; shapes of all kinds."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import striate
from striate import constraints, engines, ops, optimizers
from striate.trace import Variable

STEPS = 20
SHAPES = [(3, 3, 2, 4), (5, 7), (6,), ()]
CLASSES = [
    "SGD", "Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Adagrad", "Adadelta", "Adafactor", "Lion", "Lamb", "Ftrl",
    "Muon", "ScheduleFreeAdamW",
]  # fmt: skip
FTRL = {
    "learning_rate": 0.1, "learning_rate_power": -0.3, "l1_regularization_strength": 0.1, "beta": 0.5,
    "l2_regularization_strength": 0.2, "l2_shrinkage_regularization_strength": 0.3, "initial_accumulator_value": 0.2,
}  # fmt: skip
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in CLASSES),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "clipnorm": 1.0}),
    ("Adam", {"amsgrad": True, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3}),
    ("Adam", {"gradient_accumulation_steps": 3, "clipvalue": 0.5, "use_ema": True, "ema_overwrite_frequency": 2}),
    ("AdamW", {"weight_decay": 0.1, "global_clipnorm": 1.0}),
    ("SGD", {"use_ema": True, "ema_momentum": 0.7}),
    ("SGD", {"momentum": 0.5, "gradient_accumulation_steps": 2, "weight_decay": 0.1, "global_clipnorm": 2.0}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "rho": 0.8, "loss_scale_factor": 8.0}),
    ("Nadam", {"gradient_accumulation_steps": 2, "clipnorm": 0.5}),
    ("Adafactor", {"relative_step": False, "learning_rate": 0.5, "clip_threshold": 0.5, "beta_2_decay": -0.5}),
    ("Ftrl", FTRL),
    ("Muon", {"nesterov": False, "rms_rate": None, "adam_lr_ratio": 0.1, "ns_steps": 3, "learning_rate": 0.02}),
    ("Muon", {"exclude_layers": ["v1"], "adam_weight_decay": None}),
    ("ScheduleFreeAdamW", {"warmup_steps": 7, "weight_decay": 0.01, "use_ema": True, "ema_overwrite_frequency": 5}),
    ("Lion", {"beta_1": 0.5, "weight_decay": 0.01, "use_ema": True}),
]


def values(seed: int = 0, shapes: Sequence[tuple[int, ...]] = SHAPES) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype("float32") for s in shapes]


Prepare = Callable[[Any, Any, list[Any]], None]


def run(
    keras: Any, optimizer: Any, compiled: bool = False, prepare: Prepare | None = None, gradients: Any = None
) -> dict[str, Any]:
    """STEPS steps of `optimizer` with variables of `keras` (real or ours): what all variables hold then."""
    trained = [keras.Variable(v, name=f"v{i}") for i, v in enumerate(values())]
    if prepare:
        prepare(keras, optimizer, trained)
    optimizer.build(trained)
    do = _real_step(optimizer, trained) if keras is not striate else _step(optimizer, compiled)
    for i in range(STEPS):
        do(values(100 + i) if gradients is None else gradients(i))
    state = {f"{i} {v.path}": np.asarray(v.value) for i, v in enumerate(optimizer.variables)}
    return {v.name: np.asarray(v.value) for v in trained} | state


def _step(optimizer: Any, compiled: bool) -> Callable[[Any], None]:
    return striate.jit(optimizer.apply) if compiled else optimizer.apply


def _real_step(optimizer: Any, trained: list[Any]) -> Callable[[Any], None]:
    """A step of the real Keras as its `fit` makes it on JAX: compiled, with the state passed."""
    import jax

    apply = jax.jit(optimizer.stateless_apply)

    def step(grads: Any) -> None:
        trained_now, own = apply([v.value for v in optimizer.variables], grads, [v.value for v in trained])
        for variable, value in zip((*trained, *optimizer.variables), (*trained_now, *own), strict=True):
            variable.assign(value)

    return step


def assert_close(found: dict[str, Any], expected: dict[str, Any], tolerance: float = 1e-6) -> None:
    assert list(found) == list(expected)
    for name, right in expected.items():
        assert found[name].dtype == right.dtype, name
        size = max(float(np.abs(right).max(initial=0)), 1e-3)
        np.testing.assert_allclose(found[name], right, rtol=0, atol=tolerance * size, err_msg=name)


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=lambda x: x if isinstance(x, str) else "+".join(x) or "plain")
def test_steps_follow_keras(real_keras: Any, name: str, kwargs: dict[str, Any]) -> None:
    named = kwargs | {"name": "opt"}
    expected = run(real_keras, getattr(real_keras.optimizers, name)(**named))
    for compiled in (False, True):
        found = run(striate, getattr(optimizers, name)(**named), compiled)
        if name == "Nadam":  # one of its variables is numbered by the process
            found, expected = ({re.sub(r"variable.*", "u", k): v for k, v in d.items()} for d in (found, expected))
        assert_close(found, expected)
    assert not np.allclose(expected["v0"], values()[0])


def constrain(keras: Any, optimizer: Any, trained: list[Any]) -> None:
    kinds = keras.constraints
    rules = kinds.MaxNorm(1.0, axis=[0, 1, 2]), kinds.MinMaxNorm(0.2, 0.9, rate=0.5, axis=1), kinds.NonNeg()
    for variable, rule in zip(trained, (*rules, None), strict=True):
        variable.constraint = rule


def exclude(keras: Any, optimizer: Any, trained: list[Any]) -> None:
    optimizer.exclude_from_weight_decay(var_list=[trained[0]], var_names=["v[12]"])


def overwrite(keras: Any, optimizer: Any, trained: list[Any]) -> None:
    trained[1].overwrite_with_gradient = True


@pytest.mark.parametrize(
    ("prepare", "kwargs"),
    [
        (constrain, {"momentum": 0.9, "learning_rate": 0.1}),
        (constrain, {"gradient_accumulation_steps": 2, "learning_rate": 0.1}),
        (exclude, {"weight_decay": 0.5}),
        (overwrite, {"momentum": 0.9, "weight_decay": 0.1}),
        (overwrite, {"momentum": 0.9, "gradient_accumulation_steps": 3}),
    ],
    ids=["constraints", "constraints while accumulating", "exclusion", "overwriting", "overwriting while accumulating"],
)
def test_marks_on_variables_follow_keras(real_keras: Any, prepare: Prepare, kwargs: Any) -> None:
    expected = run(real_keras, real_keras.optimizers.SGD(name="opt", **kwargs), prepare=prepare)
    for compiled in (False, True):
        assert_close(run(striate, optimizers.SGD(name="opt", **kwargs), compiled, prepare), expected)


def test_a_constraint_holds_after_each_step() -> None:
    kernel = Variable(values()[0])
    kernel.constraint = constraints.MaxNorm(0.5, axis=[0, 1, 2])
    optimizers.SGD(1.0).apply([values(1)[0]], [kernel])
    assert np.sqrt((kernel.numpy() ** 2).sum((0, 1, 2))).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("compiled", [False, True])
def test_missing_gradients_change_nothing(real_keras: Any, compiled: bool) -> None:
    def some(i: int) -> list[Any]:
        return [g if n != 1 else None for n, g in enumerate(values(100 + i))]

    with pytest.warns(UserWarning, match=r"Gradients do not exist for variables \['v1'\]"):
        expected = run(real_keras, real_keras.optimizers.Adam(name="opt"), gradients=some)
    with pytest.warns(UserWarning, match=r"Gradients do not exist for variables \['v1'\]"):
        found = run(striate, optimizers.Adam(name="opt"), compiled, gradients=some)
    assert_close(found, expected)
    np.testing.assert_array_equal(found["v1"], values()[1])


@pytest.mark.parametrize("compiled", [False, True])
def test_loss_scale_follows_keras(real_keras: Any, compiled: bool) -> None:
    def some(i: int) -> list[Any]:
        grads = [g * 4 for g in values(100 + i)]
        if i in (3, 11, 12):
            grads[i % 3].flat[0] = np.inf if i % 2 else np.nan
        return grads

    def made(kinds: Any) -> Any:
        inner = kinds.Adam(0.1, name="inner", weight_decay=0.1, loss_scale_factor=3.0)
        return kinds.LossScaleOptimizer(inner, initial_scale=4.0, dynamic_growth_steps=4, name="opt")

    expected = run(real_keras, made(real_keras.optimizers), gradients=some)
    found = run(striate, made(optimizers), compiled, gradients=some)
    assert_close(found, expected)
    assert all(np.isfinite(v).all() for v in found.values())
    assert int(next(v for k, v in found.items() if k.endswith("inner/iteration"))) == STEPS - 3


@pytest.mark.parametrize("compiled", [False, True])
def test_multi_optimizer_follows_keras(real_keras: Any, compiled: bool) -> None:
    def made(kinds: Any) -> Any:
        table = {"v[01]": kinds.Adam(name="adam", use_ema=True), "v2": kinds.RMSprop(name="rmsprop")}
        default = kinds.SGD(momentum=0.9, name="sgd")
        return kinds.MultiOptimizer(kinds.OptimizerMap(default, table), loss_scale_factor=2.0, name="opt")

    expected = run(real_keras, made(real_keras.optimizers))
    assert_close(run(striate, made(optimizers), compiled), expected)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["schedule", "function", "own schedule"])
def test_learning_rates_of_all_kinds_follow_keras(real_keras: Any, kind: str, compiled: bool) -> None:
    def made(keras: Any) -> Any:
        schedules = keras.optimizers.schedules

        class Own(schedules.LearningRateSchedule):  # type: ignore[misc, name-defined]
            def __call__(self, step: Any) -> Any:
                return 0.1 / (keras.ops.cast(step, "float32") + 1.0)

        rates = {
            "schedule": schedules.ExponentialDecay(0.1, 5, 0.5, staircase=True),
            "function": lambda: 0.05,
            "own schedule": Own(),
        }
        # with accumulation the schedule still counts each step
        return keras.optimizers.SGD(rates[kind], weight_decay=0.1, gradient_accumulation_steps=2, name="opt")

    assert_close(run(striate, made(striate), compiled), run(real_keras, made(real_keras)))


def test_a_new_learning_rate_counts_in_compiled_steps() -> None:
    w, g = Variable(np.zeros(3, "float32")), np.ones(3, "float32")
    optimizer = optimizers.SGD(1.0)
    optimizer.build([w])
    step = striate.jit(lambda g: optimizer.apply([g]))
    step(g)
    optimizer.learning_rate = 0.25
    step(g)
    np.testing.assert_array_equal(w.numpy(), -1.25 * np.ones(3, "float32"))
    assert float(optimizer.learning_rate.numpy()) == 0.25


class Textbook(optimizers.Optimizer):
    """An optimizer of a user, as Keras's documentation shows how to write one."""

    def __init__(self, learning_rate: float = 0.1, factor: float = 0.9, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self.factor = factor

    def build(self, variables: Any) -> None:
        super().build(variables)
        self.momentums = []
        for variable in variables:
            self.momentums.append(self.add_variable_from_reference(variable, name="momentum"))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        learning_rate = ops.cast(learning_rate, variable.dtype)
        m = self.momentums[self._get_variable_index(variable)]
        self.assign(m, ops.subtract(ops.multiply(m, self.factor), ops.multiply(gradient, learning_rate)))
        self.assign_add(variable, m)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"factor": self.factor}


@pytest.mark.parametrize("compiled", [False, True])
def test_an_optimizer_of_the_users_own(compiled: bool) -> None:
    found = run(striate, Textbook(name="opt"), compiled)
    assert_close(found, run(striate, optimizers.SGD(0.1, 0.9, name="opt")))


class Slower(optimizers.Adam):
    """Another learning rate for some variables, in one step."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient, variable, learning_rate * 0.5 if variable.name == "v0" else learning_rate)


def test_what_is_computed_once_per_step_belongs_to_its_learning_rate() -> None:
    found, half = run(striate, Slower(0.1)), run(striate, optimizers.Adam(0.05))
    whole = run(striate, optimizers.Adam(0.1))
    np.testing.assert_allclose(found["v0"], half["v0"], rtol=1e-6)
    np.testing.assert_allclose(found["v1"], whole["v1"], rtol=1e-6)


def adam_by_hand(w: np.ndarray, gradients: list[np.ndarray], rate: float) -> np.ndarray:
    """Algorithm 1 of Kingma and Ba in float64, with the epsilon of their section 2."""
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        size = rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        w = w - size * m / (np.sqrt(v) + 1e-7)
    return w


@pytest.mark.parametrize("compiled", [False, True])
def test_float64_follows_the_definition(compiled: bool) -> None:
    rng = np.random.default_rng(5)
    w, gradients = rng.normal(size=(4, 3)), list(rng.normal(size=(10, 4, 3)))
    variable, optimizer = Variable(w, dtype="float64"), optimizers.Adam(0.125)
    optimizer.build([variable])
    with engines.use("float64"):
        step = striate.jit(lambda g: optimizer.apply([g])) if compiled else lambda g: optimizer.apply([g])
        for g in gradients:
            step(g)
    assert variable.dtype == "float64"
    np.testing.assert_allclose(variable.numpy(), adam_by_hand(w, gradients, 0.125), rtol=1e-12)


shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
ELEMENTWISE = sorted(set(CLASSES) - {"Adafactor", "Lamb", "Muon"})


def after(name: str, start: np.ndarray, gradients: list[np.ndarray], compiled: bool) -> np.ndarray:
    variable, optimizer = Variable(start), getattr(optimizers, name)()
    optimizer.build([variable])
    step = striate.jit(lambda g: optimizer.apply([g])) if compiled else lambda g: optimizer.apply([g])
    for g in gradients:
        step(g)
    return variable.numpy()


@given(name=st.sampled_from(ELEMENTWISE), shape=shapes, seed=st.integers(0, 99), compiled=st.booleans())
def test_elements_do_not_depend_on_the_shape(name: str, shape: tuple[int, ...], seed: int, compiled: bool) -> None:
    rng = np.random.default_rng(seed)
    start, *gradients = rng.normal(size=(4, *shape)).astype("float32")
    start, gradients = np.asarray(start), [np.asarray(g) for g in gradients]
    found = after(name, start, gradients, compiled)
    assert found.shape == shape
    flat = after(name, start.reshape(-1), [g.reshape(-1) for g in gradients], not compiled)
    np.testing.assert_allclose(found.reshape(-1), flat, rtol=1e-5, atol=1e-7)


@given(name=st.sampled_from(["Adafactor", "Lamb", "Muon"]), shape=shapes, compiled=st.booleans())
def test_all_shapes_are_taken(name: str, shape: tuple[int, ...], compiled: bool) -> None:
    start, *gradients = np.random.default_rng(3).normal(size=(4, *shape)).astype("float32")
    found = after(name, np.asarray(start), [np.asarray(g) for g in gradients], compiled)
    assert found.shape == shape and np.isfinite(found).all()
    assert found.size == 0 or not np.array_equal(found, start)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_each_variable_costs_one_step(name: str) -> None:
    """One loop gives the variable and all that is kept for it."""

    def steps(count: int) -> int:
        trained = [Variable(np.zeros((4, 3 + i), "float32")) for i in range(count)]
        optimizer = getattr(optimizers, name)(weight_decay=0.1)
        optimizer.build(trained)
        traced = striate.trace.trace(
            lambda *g: optimizer.apply(list(g)), [striate.ir.Aval(v.shape, "float32") for v in trained]
        )
        return len(striate.trace.CompiledFunction(traced, engines.current()).executable.plan.steps)

    assert steps(6) - steps(3) == 3


@pytest.mark.parametrize("name", [*CLASSES, "Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"])
def test_signatures_are_keras(real_keras: Any, name: str) -> None:
    mine, theirs = (
        [(p.name, p.default, p.kind) for p in inspect.signature(space).parameters.values()]
        for space in (getattr(optimizers, name), getattr(real_keras.optimizers, name))
    )
    assert mine == theirs


@pytest.mark.parametrize("name", CLASSES)
def test_building_inside_a_compiled_step(name: str) -> None:
    """The first call makes the optimizer's variables while it is traced; nothing is lost."""
    start, gradients = values()[1], [values(i)[1] for i in range(1, 4)]
    variable, optimizer = Variable(start), getattr(optimizers, name)()
    step = striate.jit(lambda g: optimizer.apply([g], [variable]))
    for g in gradients:
        step(g)
    np.testing.assert_allclose(variable.numpy(), after(name, start, gradients, False), rtol=1e-5, atol=1e-7)
    assert int(optimizer.iterations) == 3


@pytest.mark.parametrize("compiled", [False, True])
def test_a_loop_of_the_users_own_finds_the_line(compiled: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3)).astype("float32")
    y = x @ np.array([[1.0], [-2.0], [0.5]], "float32") + 3
    w, b = Variable(np.zeros((3, 1), "float32")), Variable(np.zeros(1, "float32"))
    optimizer = optimizers.Adam(optimizers.schedules.CosineDecay(0.2, 150))

    def loss(x: Any, y: Any) -> Any:
        return ops.mean(ops.square(ops.subtract(ops.add(ops.matmul(x, w), b), y)))

    def step(x: Any, y: Any) -> Any:
        value, gradients = striate.value_and_grad(loss, variables=[w, b])(x, y)
        optimizer.apply(gradients, [w, b])
        return value

    do = striate.jit(step) if compiled else step
    losses = [float(do(x, y)) for _ in range(150)]
    assert losses[-1] < 1e-4 < losses[0]
    np.testing.assert_allclose(w.numpy()[:, 0], [1, -2, 0.5], atol=0.01)
