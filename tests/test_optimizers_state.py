"""Optimizers: names of variables, files, configs in both directions with real Keras, and what they refuse."""

from __future__ import annotations

import copy
import json
import re
import warnings
from typing import Any

import numpy as np
import pytest

import striate
from striate import optimizers
from striate.optimizers import schedules
from striate.trace import Variable

CONFIGS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"learning_rate": 0.5, "momentum": 0.9, "nesterov": True, "clipnorm": 1.0}),
    ("Adam", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 0.1, "amsgrad": True, "use_ema": True, "ema_momentum": 0.5}),
    ("AdamW", {"weight_decay": 0.25, "global_clipnorm": 2.0, "gradient_accumulation_steps": 4}),
    ("Adamax", {"beta_1": 0.8, "loss_scale_factor": 2.0}),
    ("Nadam", {"beta_2": 0.8, "clipvalue": 0.5}),
    ("RMSprop", {"rho": 0.8, "momentum": 0.1, "centered": True}),
    ("Adagrad", {"initial_accumulator_value": 0.5}),
    ("Adadelta", {"rho": 0.5, "epsilon": 0.01}),
    ("Adafactor", {"relative_step": False, "epsilon_1": 0.1, "epsilon_2": 0.2, "clip_threshold": 3.0}),
    ("Lion", {"beta_1": 0.5, "beta_2": 0.6}),
    ("Lamb", {"epsilon": 0.5}),
    ("Ftrl", {"learning_rate_power": -1.0, "beta": 0.5, "l1_regularization_strength": 0.1}),
    ("Muon", {"exclude_layers": ["a"], "muon_a": 1.0, "ns_steps": 3, "rms_rate": None, "adam_weight_decay": 0.1}),
    ("ScheduleFreeAdamW", {"warmup_steps": 9, "ema_overwrite_frequency": 3}),
]


def same(mine: Any, theirs: Any) -> None:
    """Equal as JSON, which is what files hold."""
    assert json.loads(json.dumps(mine)) == json.loads(json.dumps(theirs))


@pytest.mark.parametrize(("name", "kwargs"), CONFIGS, ids=lambda x: x if isinstance(x, str) else "")
def test_configs_go_both_ways(real_keras: Any, name: str, kwargs: dict[str, Any]) -> None:
    named = kwargs | {"name": "opt"}
    mine, theirs = getattr(optimizers, name)(**named), getattr(real_keras.optimizers, name)(**named)
    same(mine.get_config(), theirs.get_config())
    same(optimizers.serialize(mine), real_keras.optimizers.serialize(theirs))
    same(optimizers.deserialize(real_keras.optimizers.serialize(theirs)).get_config(), theirs.get_config())
    if name != "Lamb":  # real Keras's `deserialize` does not know its own Lamb
        same(real_keras.optimizers.deserialize(optimizers.serialize(mine)).get_config(), mine.get_config())
    same(type(theirs).from_config(mine.get_config()).get_config(), mine.get_config())
    same(type(mine).from_config(theirs.get_config()).get_config(), theirs.get_config())


def nested(kinds: Any) -> list[Any]:
    rate = kinds.schedules.CosineDecay(0.5, 10, warmup_target=1.0, warmup_steps=3)
    table = kinds.OptimizerMap(kinds.SGD(name="a"), {"x/.*": kinds.Adam(rate, name="b")})
    return [
        kinds.SGD(rate, name="sgd"),
        kinds.LossScaleOptimizer(kinds.AdamW(rate, name="inner"), 8.0, 5, name="scaled"),
        kinds.MultiOptimizer(table, loss_scale_factor=2.0, name="several"),
    ]


@pytest.mark.parametrize("i", range(3), ids=["schedule", "loss scale", "several"])
def test_configs_that_hold_others_go_both_ways(real_keras: Any, i: int) -> None:
    mine, theirs = nested(optimizers)[i], nested(real_keras.optimizers)[i]
    same(optimizers.serialize(mine), real_keras.optimizers.serialize(theirs))
    back = optimizers.deserialize(real_keras.optimizers.serialize(theirs))
    same(optimizers.serialize(back), real_keras.optimizers.serialize(theirs))
    there = real_keras.optimizers.deserialize(optimizers.serialize(mine))
    same(real_keras.optimizers.serialize(there), optimizers.serialize(mine))


def test_from_config_leaves_the_config_alone() -> None:
    for optimizer in nested(optimizers):
        config = optimizer.get_config()
        before = copy.deepcopy(config)
        type(optimizer).from_config(config)
        assert config == before


@pytest.mark.parametrize("name", [n for n, _ in CONFIGS])
def test_variables_are_named_as_in_keras(real_keras: Any, name: str) -> None:
    def paths(keras: Any) -> list[str]:
        optimizer = getattr(keras.optimizers, name)(use_ema=True, gradient_accumulation_steps=2, name="opt")
        with keras.name_scope("dense"):
            trained = [
                keras.Variable(np.zeros((3, 2), "float32"), name="kernel"),
                keras.Variable(np.zeros(2, "float32"), name="bias"),
            ]
        optimizer.build(trained)
        return [re.sub(r"^variable.*", "u", v.path) + str(tuple(v.shape)) + str(v.dtype) for v in optimizer.variables]

    assert paths(striate) == paths(real_keras)


@pytest.mark.parametrize("name", [n for n, _ in CONFIGS])
def test_automatic_names_are_keras(real_keras: Any, name: str) -> None:
    mine, theirs = getattr(optimizers, name)().name, getattr(real_keras.optimizers, name)().name
    assert re.sub(r"_\d+$", "", mine) == re.sub(r"_\d+$", "", theirs)


class Store(dict[str, Any]):
    """What `save_own_variables` writes into, as a group of an HDF5 file."""


def trained_by(keras: Any, store: Any = None) -> tuple[Any, Any]:
    variable = keras.Variable(np.linspace(-1, 1, 6, dtype="float32").reshape(2, 3), name="w")
    optimizer = keras.optimizers.Adam(0.1, name="opt")
    optimizer.build([variable])
    for i in range(0 if store else 3):
        optimizer.apply([np.full((2, 3), i - 1.5, "float32")])
    if store:
        optimizer.load_own_variables(store)
    return optimizer, variable


@pytest.mark.parametrize("back", [False, True], ids=["to Keras", "from Keras"])
def test_a_saved_state_goes_on_in_the_other(real_keras: Any, back: bool) -> None:
    first, second = (real_keras, striate) if back else (striate, real_keras)
    store, gradient = Store(), np.ones((2, 3), "float32")
    one, v1 = trained_by(first)
    one.save_own_variables(store)
    two, v2 = trained_by(second, store)
    v2.assign(np.asarray(v1.value))
    one.apply([gradient])
    two.apply([gradient])
    np.testing.assert_allclose(np.asarray(v1.value), np.asarray(v2.value), rtol=1e-6)
    assert int(np.asarray(two.iterations.value)) == 4


def test_a_state_of_another_size_is_skipped_with_a_warning() -> None:
    optimizer, _ = trained_by(striate)
    before = [v.numpy() for v in optimizer.variables]
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer 'opt', because it has 4 variables"):
        optimizer.load_own_variables({"0": np.zeros(())})
    for variable, value in zip(optimizer.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_set_weights() -> None:
    optimizer, _ = trained_by(striate)
    weights = [np.asarray(v.numpy()) + 1 for v in optimizer.variables]
    optimizer.set_weights(weights)
    np.testing.assert_array_equal(optimizer.variables[2].numpy(), weights[2])
    with pytest.raises(ValueError, match="not compatible with provided weight shape"):
        optimizer.set_weights([np.zeros(5), *weights[1:]])
    with pytest.raises(ValueError, match="not yet been built"):
        optimizers.Adam().set_weights(weights)


def test_stateless_apply_changes_no_variable() -> None:
    optimizer, variable = trained_by(striate)
    before = [v.numpy() for v in (variable, *optimizer.variables)]
    gradient = np.ones((2, 3), "float32")
    (new,), own = optimizer.stateless_apply(before[1:], [gradient], before[:1])
    for v, old in zip((variable, *optimizer.variables), before, strict=True):
        np.testing.assert_array_equal(v.numpy(), old)
    optimizer.apply([gradient])
    np.testing.assert_array_equal(new, variable.numpy())
    for v, value in zip(optimizer.variables, own, strict=True):
        np.testing.assert_array_equal(v.numpy(), value)


def test_copies_have_variables_of_their_own() -> None:
    several = optimizers.MultiOptimizer(optimizers.OptimizerMap(optimizers.Adam(), {"b": optimizers.SGD()}))
    for optimizer in (optimizers.Adam(), optimizers.LossScaleOptimizer(optimizers.SGD(momentum=0.5)), several):
        trained = [Variable(np.ones(2, "float32"), name="a"), Variable(np.ones(3, "float32"), name="b")]
        optimizer.build(trained)
        other, others = copy.deepcopy((optimizer, trained))
        other.apply([np.ones(2, "float32"), np.ones(3, "float32")], others)
        assert [float(v.numpy()[0]) for v in trained] == [1.0, 1.0]
        assert all(v.numpy()[0] < 1 for v in others)
        assert int(optimizer._iterations) == 0


def test_ema_weights_at_the_end() -> None:
    variable, optimizer = Variable(np.zeros(2, "float32")), optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    for _ in range(3):
        optimizer.apply([np.ones(2, "float32")], [variable])
    optimizer.finalize_variable_values([variable])
    # averages of -1, -2, -3: the first counts fully, then halves
    np.testing.assert_allclose(variable.numpy(), [-2.25, -2.25])
    with pytest.raises(ValueError, match="does not match the length of model variables"):
        optimizer.finalize_variable_values([])


def test_apply_gradients_and_scaled_losses() -> None:
    variable, optimizer = Variable(np.zeros(2, "float32")), optimizers.SGD(1.0, loss_scale_factor=4.0)
    assert int(optimizer.apply_gradients([(np.ones(2, "float32"), variable)])) == 1
    np.testing.assert_allclose(variable.numpy(), [-0.25, -0.25])
    assert float(optimizer.scale_loss(2.0)) == 8.0
    assert optimizers.SGD().scale_loss(2.0) == 2.0
    assert float(optimizers.LossScaleOptimizer(optimizer, 16.0).scale_loss(2.0)) == 32.0
    optimizers.SGD().apply([])


def test_get() -> None:
    assert optimizers.get(None) is None
    for name in ("adam", "Adam", "ADAM", "adamw", "AdamW", "RMSprop", "rmsprop", "lamb"):
        assert optimizers.get(name).__class__.__name__.lower() == name.lower()
    made = optimizers.SGD()
    assert optimizers.get(made) is made
    assert optimizers.get({"class_name": "sgd", "config": {"momentum": 0.5}}).momentum == 0.5


class Mine(optimizers.SGD):
    """Not registered."""


def test_own_classes_are_found_among_custom_objects() -> None:
    config = optimizers.serialize(Mine(momentum=0.5, name="x"))
    assert type(optimizers.deserialize(config, {"Mine": Mine})) is Mine
    with striate.saving.custom_object_scope({"Mine": Mine}):
        assert optimizers.get(config).momentum == 0.5
    scaled = optimizers.serialize(optimizers.LossScaleOptimizer(Mine()))
    assert type(optimizers.deserialize(scaled, {"Mine": Mine}).inner_optimizer) is Mine
    with pytest.raises(ValueError, match=r"Could not interpret optimizer identifier.*Known names: .*adam"):
        optimizers.deserialize(config)


def test_learning_rate_is_set() -> None:
    optimizer = optimizers.SGD(0.5)
    optimizer.learning_rate = 0.25
    assert optimizer.get_config()["learning_rate"] == 0.25
    optimizer.learning_rate = schedules.InverseTimeDecay(1.0, 1, 1.0)
    assert [v.path.split("/")[-1] for v in optimizer.variables] == ["iteration"]
    assert float(optimizer.learning_rate) == 1.0
    with pytest.raises(TypeError, match="hence its learning rate is not settable"):
        optimizer.learning_rate = 0.5


def apply(optimizer: Any, *shapes: tuple[int, ...], grads: Any = None, others: Any = None) -> None:
    trained = [Variable(np.zeros(s, "float32"), name=f"v{i}") for i, s in enumerate(shapes)]
    optimizer.build(trained)
    optimizer.apply([np.zeros(s, "float32") for s in shapes] if grads is None else grads, others)


class NoSuper(optimizers.Optimizer):
    """Forgets its base class."""

    def __init__(self) -> None:
        self.factor = 1.0


def multi(*inner: Any) -> Any:
    return optimizers.MultiOptimizer(lambda variable: inner[0])


def built_twice() -> None:
    table = optimizers.OptimizerMap(optimizers.SGD(), {"v.*": optimizers.SGD(), ".*0": optimizers.Adam()})
    apply(optimizers.MultiOptimizer(table), (2,))


# what is done; the error in real Keras; a word of ours
WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda: optimizers.SGD(learning_rate=1), ValueError, "should be float.*Pass a float such as 0.001"),
    (lambda: optimizers.SGD(learning_rate="0.1"), ValueError, "should be float"),
    (
        lambda: optimizers.SGD(rate=0.1),
        ValueError,
        r"SGD: Argument\(s\) not recognized: \{'rate': 0.1\}.*learning_rate",
    ),
    (lambda: optimizers.SGD(momentum=1), ValueError, "`momentum` must be a float between"),
    (lambda: optimizers.SGD(momentum=1.5), ValueError, "`momentum` must be a float between"),
    (lambda: optimizers.Adam(clipnorm=1.0, clipvalue=1.0), ValueError, "Only one of `clipnorm`"),
    (lambda: optimizers.Adam(use_ema=True, ema_momentum=2.0), ValueError, "ema_momentum` must be in the range"),
    (lambda: optimizers.Adam(use_ema=True, ema_overwrite_frequency=-1), ValueError, "must be an integer >= 1 or None"),
    (lambda: optimizers.Adam(gradient_accumulation_steps=1), ValueError, "must be an integer >= 2"),
    (lambda: optimizers.AdamW(weight_decay=None), ValueError, "must be a float.*Use Adam"),
    (lambda: optimizers.Lion(beta_1=0.0), ValueError, "degenerates to SignSGD"),
    (
        lambda: optimizers.Ftrl(learning_rate_power=0.5),
        ValueError,
        "`learning_rate_power` needs to be negative or zero",
    ),
    (lambda: optimizers.Ftrl(l1_regularization_strength=-0.5), ValueError, "needs to be positive or zero"),
    (lambda: optimizers.get("adamm"), ValueError, "Could not interpret optimizer identifier.*Known names"),
    (lambda: optimizers.get(optimizers.Adam), ValueError, "an object, not its class"),
    (lambda: optimizers.get(3), ValueError, "Could not interpret optimizer identifier: 3"),
    (lambda: optimizers.SGD().apply([np.zeros(2)]), ValueError, r"Call `optimizer.build\(trainable_variables\)` first"),
    (lambda: apply(optimizers.SGD(), (2,), grads=[1.0, 2.0]), ValueError, "2 gradients.*1 trainable variables"),
    (lambda: apply(optimizers.SGD(), (2,), (3,), grads=[None, None]), ValueError, "No gradients provided"),
    (
        lambda: apply(optimizers.SGD(), (2,), grads=[np.zeros(2)], others=[Variable(np.zeros(2), name="other")]),
        ValueError,
        "Unknown variable: other.*recreate a new optimizer",
    ),
    (lambda: apply(optimizers.SGD(), (2,), grads=[np.zeros(3)]), ValueError, "2.*3|3.*2"),
    (lambda: apply(optimizers.Optimizer(0.1), (2,)), NotImplementedError, "has no `update_step"),
    (lambda: NoSuper(), RuntimeError, r"forgot to call `super\(\).__init__\(\)`"),
    (
        lambda: optimizers.SGD().add_optimizer_variables([], ["a", "b"], ["zeros"]),
        ValueError,
        "number of provided names",
    ),
    (lambda: optimizers.SGD().stateless_apply([], [], []), ValueError, "must be built"),
    (lambda: optimizers.Muon().zeropower_via_newtonschulz5(np.zeros(3), 5), ValueError, "at least 2 dimensions"),
    (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), clipnorm=1.0), ValueError, "`clipnorm` on the `inner_opt"),
    (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), dynamic=False), ValueError, "dynamic=False"),
    (lambda: optimizers.OptimizerMap("sgd"), TypeError, "must be a Keras Optimizer instance"),
    (lambda: optimizers.OptimizerMap(optimizers.SGD(), []), TypeError, "must be a dictionary"),
    (lambda: apply(multi("sgd"), (2,)), ValueError, "must be a Keras Optimizer instance"),
    (lambda: apply(multi(multi()), (2,)), ValueError, "MultiOptimizer cannot be used inside"),
    (lambda: multi(optimizers.SGD()).learning_rate, AttributeError, "individual sub-optimizers"),
    (built_twice, ValueError, "Multiple optimizers assigned to variable v0"),
    (lambda: optimizers.legacy.Adam(), ImportError, "not supported in Keras 3"),
]


@pytest.mark.parametrize(("wrong", "error", "words"), WRONG, ids=[w[2][:40] for w in WRONG])
def test_what_is_refused(wrong: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"(?s){words}"):
        wrong()


def test_the_old_argument_decay_is_ignored_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="`decay` is no longer supported"):
        optimizers.SGD(decay=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizers.SGD(decay=None)


def test_nothing_changes_where_a_step_fails() -> None:
    w, optimizer = Variable(np.ones(2, "float32")), optimizers.SGD(1.0, momentum=0.5)
    optimizer.build([w])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([np.ones(2, "float32"), np.ones(1, "float32")], [w, Variable(np.ones(1, "float32"))])
    np.testing.assert_array_equal(w.numpy(), [1, 1])
    assert int(optimizer.iterations) == 0
