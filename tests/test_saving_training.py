"""Compiled and trained models as files: training goes on in the other package as it would have in the first."""

from __future__ import annotations

import json
import pathlib
import warnings
import zipfile
from collections.abc import Callable
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

import striate
from striate.saving import load_model
from tests.saving_models import INPUTS, functional, scrambled, sequential, subclassed, two_ends, x_for

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda o: o.SGD(0.05),
    "momentum": lambda o: o.SGD(0.05, momentum=0.9, nesterov=True),
    "adam, schedule": lambda o: o.Adam(o.schedules.ExponentialDecay(0.01, 2, 0.5), amsgrad=True, clipnorm=1.0),
    "adamw, average": lambda o: o.AdamW(0.01, weight_decay=0.02, use_ema=True, ema_overwrite_frequency=3),
    "rmsprop": lambda o: o.RMSprop(0.01, momentum=0.1, centered=True),
    "accumulation": lambda o: o.Adam(0.01, gradient_accumulation_steps=2),
    "adagrad": lambda o: o.Adagrad(0.05),
    "adadelta": lambda o: o.Adadelta(0.5),
    "adamax": lambda o: o.Adamax(0.01),
    "nadam": lambda o: o.Nadam(0.01),
    "ftrl": lambda o: o.Ftrl(0.05),
    "lion": lambda o: o.Lion(0.001),
    "adafactor": lambda o: o.Adafactor(0.01),
    "loss scale": lambda o: o.LossScaleOptimizer(o.Adam(0.01), initial_scale=8.0),
}


def compiled(keras: Any, make: Any, optimizer: str) -> Any:
    model = make(keras)
    options: dict[str, Any] = {
        "loss": "categorical_crossentropy",
        "metrics": ["accuracy", keras.metrics.MeanSquaredError()],
    }
    if make is two_ends:
        losses = {"u": keras.losses.LogCosh(), "v": "mse"}
        options = {"loss": losses, "loss_weights": {"u": 2.0, "v": 0.5}, "metrics": {"v": ["mae"]}}
    model.compile(optimizer=OPTIMIZERS[optimizer](keras.optimizers), **options)
    return model


def y_for(make: Any) -> Any:
    rng = np.random.default_rng(2)
    if make is two_ends:
        return {"u": rng.normal(size=(5, 2)).astype("float32"), "v": rng.normal(size=(5, 1)).astype("float32")}
    return np.eye(3, dtype="float32")[rng.integers(0, 3, 5)]


def steps(model: Any, make: Any, number: int) -> list[Any]:
    return [model.train_on_batch(x_for(make), y_for(make), return_dict=True) for _ in range(number)]


def same_course(first: Any, second: Any, make: Any) -> None:
    """Equal losses, metrics and weights in the next steps."""
    for a, b in zip(steps(first, make, 3), steps(second, make, 3), strict=True):
        assert set(a) == set(b)
        for key in a:
            np.testing.assert_allclose(float(a[key]), float(b[key]), rtol=2e-4, atol=1e-5, err_msg=key)
    for v, w in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(v, w, rtol=2e-3, atol=2e-4)


def same_state(a: Any, b: Any) -> None:
    assert len(a.variables) == len(b.variables)
    for v, w in zip(a.variables, b.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(v), np.asarray(w), err_msg=v.path)


def both(make: Any, real_keras: Any) -> None:
    if make is subclassed:  # registers the classes
        make(real_keras)
        make(striate)


def tiny(keras: Any) -> Any:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax", kernel_regularizer="l2")], name="tiny")


INPUTS[tiny] = lambda rng: rng.normal(size=(5, 4)).astype("float32")
CASES = [
    *((tiny, name) for name in OPTIMIZERS),
    *((m, "adam, schedule") for m in (functional, subclassed, two_ends)),
]


@pytest.mark.parametrize(("make", "optimizer"), CASES)
def test_keras_goes_on_with_ours(make: Any, optimizer: str, tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    both(make, real_keras)
    ours = compiled(striate, make, optimizer)
    scrambled(ours)
    steps(ours, make, 3)
    ours.save(tmp_path / "m.keras")
    theirs = real_keras.saving.load_model(tmp_path / "m.keras")
    assert theirs.compiled
    same_state(ours.optimizer, theirs.optimizer)
    again = load_model(tmp_path / "m.keras")
    same_state(ours.optimizer, again.optimizer)
    same_course(ours, theirs, make)


@pytest.mark.parametrize(("make", "optimizer"), CASES)
def test_we_go_on_with_theirs(make: Any, optimizer: str, tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    both(make, real_keras)
    theirs = compiled(real_keras, make, optimizer)
    scrambled(theirs)
    steps(theirs, make, 3)
    theirs.save(tmp_path / "m.keras")
    ours = load_model(tmp_path / "m.keras")
    assert ours.compiled
    same_state(ours.optimizer, theirs.optimizer)
    same_course(ours, theirs, make)


@pytest.mark.parametrize("make", [functional, subclassed])
def test_weight_files_hold_the_optimizer(make: Any, tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    both(make, real_keras)
    ours, theirs = compiled(striate, make, "momentum"), compiled(real_keras, make, "momentum")
    scrambled(ours)
    steps(ours, make, 3)
    steps(theirs, make, 1)
    ours.save_weights(tmp_path / "a.weights.h5")
    theirs.load_weights(tmp_path / "a.weights.h5")
    same_state(ours.optimizer, theirs.optimizer)
    same_course(ours, theirs, make)
    theirs.save_weights(tmp_path / "b.weights.h5")
    fresh = compiled(striate, make, "momentum")
    fresh.optimizer.build(fresh.trainable_variables)
    fresh.load_weights(tmp_path / "b.weights.h5")
    same_state(fresh.optimizer, theirs.optimizer)


def test_the_tree_of_a_compiled_model_is_that_of_keras(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    def tree(path: pathlib.Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with h5py.File(path) as file:
            file.visititems(lambda n, o: found.update({n: (getattr(o, "shape", None), str(getattr(o, "dtype", "")))}))
        return found

    for make in (functional, subclassed, two_ends):
        for keras, name in ((striate, "s.weights.h5"), (real_keras, "k.weights.h5")):
            model = compiled(keras, make, "accumulation")
            steps(model, make, 1)
            model.save_weights(tmp_path / name)
        assert tree(tmp_path / "s.weights.h5") == tree(tmp_path / "k.weights.h5")


def test_the_compile_config_is_that_of_keras(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    found = []
    for keras, name in ((striate, "s.keras"), (real_keras, "k.keras")):
        compiled(keras, two_ends, "adamw, average").save(tmp_path / name)
        with zipfile.ZipFile(tmp_path / name) as archive:
            found.append(json.loads(archive.read("config.json"))["compile_config"])
    for config in found:
        config["optimizer"]["config"].pop("name")
        config.pop("jit_compile")
    assert found[0] == found[1]


@pytest.mark.parametrize("make", [sequential, two_ends])
def test_legacy_files_hold_it_too(make: Any, tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    """Keras itself loses the state of the optimizer, and stumbles over dictionaries of losses; we don't."""
    for keras, name in ((striate, "s.h5"), (real_keras, "k.h5")):
        model = compiled(keras, make, "momentum")
        steps(model, make, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save(tmp_path / name)
            if make is sequential:
                assert real_keras.saving.load_model(tmp_path / name).compiled
        loaded = load_model(tmp_path / name)
        same_state(loaded.optimizer, model.optimizer)
        same_course(loaded, model, make)


def test_without_compiling(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    theirs = compiled(real_keras, sequential, "momentum")
    steps(theirs, sequential, 1)
    theirs.save(tmp_path / "m.keras")
    ours = load_model(tmp_path / "m.keras", compile=False)
    assert not ours.compiled
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_losses_and_metrics_of_the_users(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    def half_squared(y_true: Any, y_pred: Any) -> Any:
        return (y_true - y_pred) ** 2 / 2

    model = sequential(striate)
    model.compile("sgd", loss=half_squared, metrics=[half_squared])
    steps(model, sequential, 1)
    model.save(tmp_path / "m.keras")
    with pytest.raises(TypeError, match="Could not locate function 'half_squared'"):
        load_model(tmp_path / "m.keras")
    known = {"half_squared": half_squared}
    loaded = [load(tmp_path / "m.keras", custom_objects=known) for load in (load_model, real_keras.saving.load_model)]
    same_course(loaded[0], loaded[1], sequential)
    assert not load_model(tmp_path / "m.keras", compile=False).compiled


def test_clones_are_compiled_alike() -> None:
    def my_loss(y_true: Any, y_pred: Any) -> Any:
        return (y_true - y_pred) ** 2

    model = sequential(striate)
    model.compile(striate.optimizers.Adam(0.02), my_loss, metrics=["mae"])
    steps(model, sequential, 2)
    clone = striate.models.clone_model(model)
    assert clone.compiled
    assert clone.optimizer is not model.optimizer
    assert int(clone.optimizer.iterations) == 0
    clone.set_weights(model.get_weights())
    assert float(clone.optimizer.learning_rate) == pytest.approx(0.02)
    assert steps(clone, sequential, 1)[0]["loss"] == pytest.approx(steps(model, sequential, 1)[0]["loss"], rel=1e-5)


def test_another_optimizer_keeps_its_state(tmp_path: pathlib.Path) -> None:
    model, other = compiled(striate, sequential, "momentum"), compiled(striate, sequential, "sgd")
    steps(model, sequential, 2)
    steps(other, sequential, 1)
    model.save_weights(tmp_path / "m.weights.h5")
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer"):
        other.load_weights(tmp_path / "m.weights.h5")
    assert int(other.optimizer.iterations) == 1
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_damaged_optimizer_leaves_all_unchanged(tmp_path: pathlib.Path) -> None:
    model = compiled(striate, sequential, "momentum")
    steps(model, sequential, 2)
    path = tmp_path / "m.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        del file["optimizer/vars/3"]
        file["optimizer/vars/3"] = np.zeros((1, 1), "float32")
    steps(model, sequential, 1)
    before = [*model.get_weights(), *(np.array(v) for v in model.optimizer.variables)]
    with pytest.raises(ValueError, match="could not be loaded"):
        model.load_weights(path)
    after = [*model.get_weights(), *(np.array(v) for v in model.optimizer.variables)]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
