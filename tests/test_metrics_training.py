"""Metrics inside compiled steps: `fit` and `evaluate` give real Keras's values, and a model finds its own metrics."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import striate
from striate import layers, losses, metrics, models


def _classifier(keras: Any) -> Any:
    made = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, activation="softmax")])
    rng = np.random.default_rng(1)
    made.set_weights([rng.normal(size=v.shape).astype("float32") for v in made.weights])
    return made


def _lists(m: Any) -> tuple[list[Any], list[Any]]:
    plain = [
        "accuracy", "mse", m.AUC(name="area"), m.AUC(curve="PR", multi_label=True, num_labels=4, name="pr"),
        m.F1Score(average="macro"), m.TopKCategoricalAccuracy(2), m.OneHotMeanIoU(4), m.R2Score(),
        m.PrecisionAtRecall(0.5, name="par"),
    ]  # fmt: skip
    weighted = [m.Recall(name="r", class_id=1), "accuracy", m.RootMeanSquaredError()]
    return plain, [*weighted, m.F1Score(average="weighted", name="fw")]


def _run(keras: Any, data: tuple[np.ndarray, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    x, y, weights = data
    keras.utils.clear_session()  # names that are numbered start anew
    model = _classifier(keras)
    plain, weighted = _lists(keras.metrics)
    model.compile("sgd", "categorical_crossentropy", metrics=plain, weighted_metrics=weighted)
    given = {"sample_weight": weights, "batch_size": 16, "verbose": 0}
    history = model.fit(x, y, epochs=2, shuffle=False, validation_data=(x, y), **given).history
    return history, model.evaluate(x, y, return_dict=True, **given)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
def test_fit_and_evaluate_as_in_keras(real_keras: ModuleType) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 6)).astype("float32")
    data = x, np.eye(4, dtype="float32")[rng.integers(0, 4, 50)], rng.random(50).astype("float32")
    for own, real in zip(_run(striate, data), _run(real_keras, data), strict=True):
        assert list(own) == list(real)
        for name, values in real.items():
            np.testing.assert_allclose(own[name], values, rtol=2e-4, atol=1e-6, err_msg=name)


class _Own(models.Model):
    """A model that follows its loss itself."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)
        self.tracker = metrics.Mean(name="followed")
        self.errors = [metrics.MeanAbsoluteError(name="error"), metrics.R2Score(num_regressors=1, name="r2")]

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        out = self(x)
        self.tracker.update_state(losses.mean_squared_error(y, out))
        for m in self.errors:
            m.update_state(y, out)
        return {m.name: m.result() for m in self.metrics if m.name != "loss"}


@pytest.mark.parametrize("eagerly", [False, True])
def test_a_model_s_own_metrics(eagerly: bool) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)).astype("float32"), rng.normal(size=(20, 1)).astype("float32")
    model = _Own()
    model.compile(run_eagerly=eagerly)
    for _ in range(2):  # reset in between
        found = model.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
        error = np.float64(y) - model.predict(x, verbose=0)
        ratio = (error**2).sum() / ((y - y.mean()) ** 2).sum()
        expected = {"followed": (error**2).mean(), "error": abs(error).mean(), "r2": 1 - ratio * 19 / 18}
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-4), name
