"""Training beside the real Keras on JAX: from equal weights and data, the same losses, metrics and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import striate

OPTIMIZERS = {
    "sgd": lambda k: k.optimizers.SGD(0.02),
    "momentum": lambda k: k.optimizers.SGD(0.01, momentum=0.9),
    "nesterov": lambda k: k.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "adam": lambda k: k.optimizers.Adam(1e-3),
    "adamw": lambda k: k.optimizers.AdamW(1e-3, weight_decay=0.01),
    "rmsprop": lambda k: k.optimizers.RMSprop(5e-4),
    "clipped": lambda k: k.optimizers.SGD(0.05, global_clipnorm=0.5),
    "scheduled": lambda k: k.optimizers.Adam(k.optimizers.schedules.CosineDecay(2e-3, 50)),
}


def network(k: Any) -> Any:
    """Convolutions, batch normalization, L2, pooling, two dense layers; no dropout."""
    l2 = k.regularizers.L2(1e-3)
    return k.Sequential(
        [
            k.layers.Input((8, 8, 2)),
            k.layers.Conv2D(6, 3, padding="same", kernel_regularizer=l2),
            k.layers.BatchNormalization(),
            k.layers.ReLU(),
            k.layers.MaxPooling2D(),
            k.layers.Conv2D(8, 3, strides=2, activation="tanh", kernel_regularizer=l2),
            k.layers.Flatten(),
            k.layers.Dense(12, activation="relu"),
            k.layers.Dense(4, activation="softmax"),
        ]
    )


def data(samples: int = 160, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images, and labels that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 8, 8, 2)).astype("float32")
    return x, (x[:, :4, :4, 0].mean((1, 2)) > 0).astype("int32") + 2 * (x[:, 4:, 4:, 1].mean((1, 2)) > 0)


def both(real_keras: Any, make: Any = network) -> tuple[Any, Any]:
    """Our model and theirs, with equal weights."""
    ours, theirs = make(striate), make(real_keras)
    theirs.set_weights(ours.get_weights())
    return ours, theirs


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_steps_follow_keras(real_keras: Any, name: str) -> None:
    striate.utils.set_random_seed(3)
    ours, theirs = both(real_keras)
    x, y = data()
    for model, k in ((ours, striate), (theirs, real_keras)):
        model.compile(OPTIMIZERS[name](k), "sparse_categorical_crossentropy", metrics=["accuracy"])
    losses: list[list[float]] = [[], []]
    for step in range(50):
        rows = slice(16 * (step % 10), 16 * (step % 10) + 16)
        for model, found in ((ours, losses[0]), (theirs, losses[1])):
            model.reset_metrics()
            found.append(float(model.train_on_batch(x[rows], y[rows], return_dict=True)["loss"]))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert np.mean(losses[0][-10:]) < np.mean(losses[0][:10])
    assert int(ours.optimizer.iterations.numpy()) == 50
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


def history(model: Any, k: Any, x: Any, y: Any, **options: Any) -> dict[str, list[float]]:
    return model.fit(x, y, epochs=3, batch_size=32, shuffle=False, verbose=0, **options).history


@pytest.mark.parametrize(
    ("loss", "metrics", "target"),
    [
        ("sparse_categorical_crossentropy", ["accuracy", "sparse_top_k_categorical_accuracy"], "sparse"),
        ("categorical_crossentropy", ["accuracy", "AUC", "Precision", "Recall"], "onehot"),
        ("mse", ["mae", "RootMeanSquaredError"], "onehot"),
        ("binary_crossentropy", ["binary_accuracy"], "onehot"),
        ("categorical_hinge", ["acc"], "onehot"),
        ("kl_divergence", ["cosine_similarity"], "onehot"),
        ("huber", ["F1Score"], "onehot"),
    ],
)
def test_histories_with_validation_follow_keras(real_keras: Any, loss: str, metrics: Any, target: str) -> None:
    striate.utils.set_random_seed(4)
    ours, theirs = both(real_keras)
    x, y = data()
    y = y if target == "sparse" else np.eye(4, dtype="float32")[y]
    found = []
    for model, k in ((ours, striate), (theirs, real_keras)):
        model.compile(k.optimizers.SGD(0.02), loss, metrics=list(metrics))
        found.append(history(model, k, x, y, validation_split=0.2))
    assert list(found[0]) == list(found[1])
    for key in found[0]:
        np.testing.assert_allclose(found[0][key], found[1][key], rtol=2e-4, atol=1e-6, err_msg=key)


def two_heads(k: Any) -> Any:
    x = k.Input((8, 8, 2), name="image")
    z = k.Input((3,), name="extra")
    h = k.layers.Flatten()(k.layers.Conv2D(4, 3, strides=2, activation="relu")(x))
    h = k.layers.Concatenate()([h, z])
    return k.Model(
        {"image": x, "extra": z},
        [k.layers.Dense(4, activation="softmax", name="kind")(h), k.layers.Dense(1, name="size")(h)],
    )


def trained_heads(model: Any, k: Any, named: bool) -> list[dict[str, Any]]:
    """What `fit` and `evaluate` of a model with two inputs and outputs give, all arguments as lists or by name."""
    x, y = data()
    rng = np.random.default_rng(1)
    inputs = {"image": x, "extra": rng.normal(size=(160, 3)).astype("float32")}
    size = rng.normal(size=(160, 1)).astype("float32")
    weights = rng.uniform(size=160).astype("float32")
    losses: Any = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
    shown: Any = {"kind": ["accuracy"], "size": ["mae"]}
    factors: Any = {"kind": 1.0, "size": 0.25}
    targets: Any = {"kind": y, "size": size}
    if not named:
        losses, shown, factors, targets = (list(v.values()) for v in (losses, shown, factors, targets))
    model.compile(k.optimizers.Adam(1e-3), losses, loss_weights=factors, metrics=shown, weighted_metrics=shown)
    found = [history(model, k, inputs, targets, sample_weight=weights)]
    found.append(model.evaluate(inputs, targets, verbose=0, batch_size=50, return_dict=True))
    found.append({str(i): v for i, v in enumerate(model.evaluate(inputs, targets, verbose=0))})
    return [*found, {n: 0 for n in model.metrics_names}]


def test_several_inputs_and_outputs_with_weights(real_keras: Any) -> None:
    striate.utils.set_random_seed(5)
    ours, theirs = both(real_keras, two_heads)
    by_name = striate.models.clone_model(ours)
    by_name.set_weights(ours.get_weights())
    found, expected = trained_heads(ours, striate, False), trained_heads(theirs, real_keras, False)
    for a, b, c in zip(found, expected, trained_heads(by_name, striate, True), strict=True):
        assert list(a) == list(b) == list(c)
        for key in a:
            np.testing.assert_allclose(a[key], b[key], rtol=3e-4, atol=1e-6, err_msg=key)
            np.testing.assert_allclose(a[key], c[key], rtol=1e-6, err_msg=key)


def test_class_weights_and_frozen_layers(real_keras: Any) -> None:
    striate.utils.set_random_seed(6)
    ours, theirs = both(real_keras)
    x, y = data()
    found = []
    for model, k in ((ours, striate), (theirs, real_keras)):
        model.layers[0].trainable = model.layers[1].trainable = False
        model.compile(k.optimizers.SGD(0.02), "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
        found.append(history(model, k, x, y, class_weight={0: 1.0, 1: 3.0, 2: 0.5, 3: 0.0}))
    for key in found[1]:
        np.testing.assert_allclose(found[0][key], found[1][key], rtol=2e-4, err_msg=key)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_added_and_activity_losses(real_keras: Any) -> None:
    def make(k: Any) -> Any:
        class Shrinking(k.layers.Layer):
            def call(self, x: Any) -> Any:
                self.add_loss(0.01 * k.ops.mean(k.ops.square(x)))
                return x * 0.9

        return k.Sequential(
            [
                k.layers.Input((8, 8, 2)),
                k.layers.Conv2D(4, 3, activity_regularizer="l2", bias_regularizer="l1"),
                Shrinking(),
                k.layers.Flatten(),
                k.layers.Dense(4),
            ]
        )

    striate.utils.set_random_seed(7)
    ours, theirs = both(real_keras, make)
    x, y = data()
    found = []
    for model, k in ((ours, striate), (theirs, real_keras)):
        model.compile(k.optimizers.SGD(0.01), k.losses.SparseCategoricalCrossentropy(from_logits=True))
        found.append(history(model, k, x, y))
    np.testing.assert_allclose(found[0]["loss"], found[1]["loss"], rtol=2e-4)
    assert ours.layers[0]._losses == [] or not any("Traced" in type(v).__name__ for v in ours.layers[0]._losses)


def test_a_loss_of_several_outputs_together_beside_losses_of_each(real_keras: Any) -> None:
    rng = np.random.default_rng(3)
    x, a, b = (rng.normal(size=(16, n)).astype("float32") for n in (3, 1, 1))

    def together(k: Any) -> Any:
        return lambda y, y_pred: k.ops.mean(k.ops.square(y["a"] - y_pred["a"]) + k.ops.abs(y["b"] - y_pred["b"]), -1)

    found = []
    weights = [rng.normal(size=(3, 1)).astype("float32") for _ in range(2)]
    for k in (striate, real_keras):
        inputs = k.Input((3,))
        outputs = {name: k.layers.Dense(1, use_bias=False, name=name)(inputs) for name in ("a", "b")}
        model = k.Model(inputs, outputs)
        model.set_weights(weights)
        model.compile("sgd", loss=[together(k), {"a": "mse", "b": "mae"}], loss_weights=[2.0, {"a": 0.5, "b": 3.0}])
        model.fit(x, {"a": a, "b": b}, batch_size=8, epochs=2, shuffle=False, verbose=0)
        found.append(model.history.history)
    assert sorted(found[0]) == sorted(found[1]) == ["a_b_loss", "a_loss", "b_loss", "loss"]
    for name, values in found[1].items():
        np.testing.assert_allclose(found[0][name], values, rtol=1e-4, err_msg=name)


def test_a_nest_of_losses_for_a_single_output_is_said() -> None:
    inputs = striate.Input((3,))
    model = striate.Model(inputs, {"a": striate.layers.Dense(1)(inputs)})
    model.compile("sgd", loss={"a": {"c": "mse"}})
    with pytest.raises(KeyError, match="can't be found in the model's output"):
        model.fit(np.ones((4, 3)), {"a": np.ones((4, 1))}, verbose=0)


def test_steps_per_execution_groups_the_batches_of_predict(real_keras: Any) -> None:
    x = np.arange(28, dtype="float32").reshape(14, 2)
    begun, ended, results = [], [], []
    for k in (striate, real_keras):
        inputs = k.Input((2,))
        model = k.Model(inputs, [inputs * 2.0, k.ops.sum(inputs, axis=-1)])
        model.compile("sgd", "mse", steps_per_execution=3)
        starts: list[int] = []
        shapes: list[Any] = []
        watch = k.callbacks.LambdaCallback()
        watch.on_predict_batch_begin = lambda batch, logs=None, starts=starts: starts.append(batch)
        watch.on_predict_batch_end = lambda batch, logs, shapes=shapes: shapes.append(
            [tuple(np.shape(o)) for o in logs["outputs"]]
        )
        results.append(model.predict(x, batch_size=4, callbacks=[watch], verbose=0))
        begun.append(starts)
        ended.append(shapes)
    assert begun[0] == begun[1] == [0, 3]
    assert ended[0] == ended[1] == [[(12, 2), (12,)], [(2, 2), (2,)]]
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_variables_of_the_metrics_are_listed_as_in_keras(real_keras: Any) -> None:
    x, y = data(16)
    found = []
    for model, k in zip(both(real_keras), (striate, real_keras), strict=True):
        model.compile(
            "sgd", "sparse_categorical_crossentropy", metrics=["accuracy", k.metrics.SparseCategoricalCrossentropy()]
        )
        model.fit(x, y, verbose=0)
        found.append([(v.name, tuple(v.shape)) for v in model.metrics_variables])
    assert found[0] == found[1]
    assert len(found[0]) == 6
