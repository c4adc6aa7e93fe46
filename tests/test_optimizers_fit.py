"""`fit` with each optimizer, its state, its schedule and constraints in one compiled step, follows real Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import striate

EPOCHS, BATCH = 4, 16
MAKERS: dict[str, Callable[[Any], Any]] = {
    "name": lambda k: "adam",
    "momentum": lambda k: k.optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipnorm=1.0),
    "averages": lambda k: k.optimizers.SGD(0.05, momentum=0.9, use_ema=True, ema_overwrite_frequency=3),
    "averages at the end": lambda k: k.optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.9),
    "accumulation": lambda k: k.optimizers.Adam(
        k.optimizers.schedules.CosineDecay(0.1, 10), gradient_accumulation_steps=2
    ),
    "loss scale": lambda k: k.optimizers.LossScaleOptimizer(k.optimizers.RMSprop(0.01), dynamic_growth_steps=5),
    "several": lambda k: k.optimizers.MultiOptimizer(
        k.optimizers.OptimizerMap(k.optimizers.Nadam(0.01), {"first/.*": k.optimizers.Lion(0.01)})
    ),
    "muon": lambda k: k.optimizers.Muon(0.01, exclude_layers=["second"]),
}


def fitted(keras: Any, make: Callable[[Any], Any]) -> tuple[list[float], list[np.ndarray], list[np.ndarray]]:
    """Losses of the epochs, weights, and the optimizer's variables."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)).astype("float32")
    rule = {"kernel_constraint": keras.constraints.MaxNorm(1.5), "kernel_regularizer": "l2"}
    layers = keras.layers.Dense(3, "tanh", name="first", **rule), keras.layers.Dense(1, name="second")
    model = keras.Sequential([keras.layers.Input((4,)), *layers])
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
    model.compile(make(keras), "mse")
    history = model.fit(x, x.sum(1, keepdims=True), batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)
    return history.history["loss"], model.get_weights(), [np.asarray(v.value) for v in model.optimizer.variables]


@pytest.mark.parametrize("kind", MAKERS)
def test_fit_follows_keras(real_keras: Any, kind: str) -> None:
    expected, found = fitted(real_keras, MAKERS[kind]), fitted(striate, MAKERS[kind])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    assert found[0][-1] < found[0][0]
    for mine, theirs in zip((*found[1], *found[2]), (*expected[1], *expected[2]), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
