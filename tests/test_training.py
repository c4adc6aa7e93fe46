"""`fit`, `evaluate` and their steps: what is overridden, what goes wrong, what stays as it was."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import textwrap
import warnings
from typing import Any

import numpy as np
import pytest

import striate
from striate import layers, ops


def network(**options: Any) -> Any:
    model = striate.Sequential(
        [
            layers.Input((6, 6, 1)), layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(),
            layers.Dropout(0.2), layers.Flatten(), layers.Dense(3, activation="softmax"),
        ]
    )  # fmt: skip
    options = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **options}
    model.compile(**options)
    return model


def data(samples: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(samples, 6, 6, 1)).astype("float32"), rng.integers(0, 3, samples)


def weights_after(threads: int | None = None, **options: Any) -> list[np.ndarray]:
    striate.utils.set_random_seed(11)
    model = network()
    model.fit(*data(), epochs=2, batch_size=20, verbose=0, **options)
    return model.get_weights()


def test_a_seed_repeats_a_run_to_the_bit_for_any_number_of_threads() -> None:
    code = textwrap.dedent(
        """
        import hashlib, numpy as np, striate
        from striate import layers
        striate.utils.set_random_seed(11)
        m = striate.Sequential([layers.Input((10, 10, 3)), layers.RandomFlip(), layers.Conv2D(40, 3, activation="relu"),
                                layers.BatchNormalization(), layers.Dropout(0.3), layers.MaxPooling2D(),
                                layers.Conv2D(33, 3), layers.Flatten(), layers.Dense(5)])
        m.compile("adam", striate.losses.SparseCategoricalCrossentropy(from_logits=True))
        rng = np.random.default_rng(0)
        h = m.fit(rng.normal(size=(90, 10, 10, 3)).astype("float32"), rng.integers(0, 5, 90), epochs=2, verbose=0)
        print(hashlib.sha256(b"".join(w.tobytes() for w in m.get_weights())).hexdigest(), h.history["loss"])
        """
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**__import__("os").environ, "STRIATE_NUM_THREADS": str(n)},
        ).stdout
        for n in (1, 2, 3)
    }  # fmt: skip
    assert len(found) == 1


def test_eager_steps_do_the_same() -> None:
    striate.utils.set_random_seed(11)
    model = network(run_eagerly=True)
    model.fit(*data(), epochs=2, batch_size=20, verbose=0)
    for a, b in zip(model.get_weights(), weights_after(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_one_plan_per_signature_and_no_more_for_a_new_learning_rate() -> None:
    model = network()
    x, y = data()
    for rate in (0.1, 0.01):
        model.optimizer.learning_rate = rate
        model.fit(x, y, batch_size=20, epochs=3, verbose=0)  # 20, 20, 8
        model.evaluate(x, y, batch_size=24, verbose=0)
    assert len(model._step("train_step")._jit.cache._entries) == 2
    assert len(model._step("test_step")._jit.cache._entries) == 1


def test_batch_normalization_that_is_not_trainable_stays_as_it_is() -> None:
    model = network()
    model.layers[1].trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = [np.array(v.numpy()) for v in model.layers[1].weights]
    x, y = data()
    model.fit(x, y, verbose=0)
    for v, b in zip(model.layers[1].weights, before, strict=True):
        np.testing.assert_array_equal(v.numpy(), b)
    model.layers[1].trainable = True
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)
    assert np.abs(model.layers[1].moving_mean.numpy() - before[2]).max() > 0


# Overriding -----------------------------------------------------------------------------------------------------------


class Doubled(striate.Model):
    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:
        return 2 * ops.mean(ops.square(y - y_pred))


def test_compute_loss_without_training_argument() -> None:
    inputs = striate.Input((3,))
    model = Doubled(inputs, layers.Dense(2)(inputs))
    model.compile("sgd")
    x, y = np.ones((8, 3), "float32"), np.zeros((8, 2), "float32")
    expected = 2 * np.mean(np.square(y - model(x)))
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), expected, rtol=1e-6)
    assert model.fit(x, y, epochs=3, verbose=0).history["loss"][-1] < expected


class Adversaries(striate.Model):
    """Two networks, two optimizers, no `call`."""

    def __init__(self) -> None:
        super().__init__()
        self.maker = striate.Sequential([layers.Input((2,)), layers.Dense(3)])
        self.judge = striate.Sequential([layers.Input((3,)), layers.Dense(1)])
        self.maker_loss = striate.metrics.Mean(name="maker_loss")

    def compile(self, maker: Any, judge: Any) -> None:
        super().compile()
        self.maker_optimizer, self.judge_optimizer = maker, judge

    def train_step(self, real: Any) -> Any:
        noise = striate.random.normal((ops.shape(real)[0], 2))

        def judge() -> Any:
            return ops.mean(ops.square(self.judge(real) - 1)) + ops.mean(ops.square(self.judge(self.maker(noise))))

        value, grads = striate.value_and_grad(judge, variables=self.judge.trainable_variables)()
        self.judge_optimizer.apply(grads, self.judge.trainable_variables)

        def maker() -> Any:
            return ops.mean(ops.square(self.judge(self.maker(noise)) - 1))

        made, grads = striate.value_and_grad(maker, variables=self.maker.trainable_variables)()
        self.maker_optimizer.apply(grads, self.maker.trainable_variables)
        self.maker_loss.update_state(made)
        return {"judge": value, "maker_loss": self.maker_loss.result()}


def test_a_step_with_two_optimizers_and_no_call() -> None:
    model = Adversaries()
    model.compile(striate.optimizers.SGD(0.01), striate.optimizers.SGD(0.01))
    real = np.random.default_rng(0).normal(size=(64, 3)).astype("float32") + 2
    history = model.fit(real, epochs=5, batch_size=16, verbose=0).history
    assert list(history) == ["judge", "maker_loss"]
    assert history["judge"][-1] < history["judge"][0]
    assert [m.name for m in model.metrics if m.name == "maker_loss"]


def test_a_step_that_looks_at_values_runs_as_python_with_a_warning(capsys: Any) -> None:
    class Printing(striate.Sequential):
        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            if float(ops.max(data[0])) > 1e9:
                raise RuntimeError("no")
            print("seen", ops.shape(data[0])[0])
            return logs

    model = Printing([layers.Input((6, 6, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = data(8)
    with pytest.warns(UserWarning, match="cannot be compiled"):
        model.fit(x, y, verbose=0)
    assert capsys.readouterr().out == "seen 8\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(x, y, verbose=0)


def test_keras_s_form_for_jax_is_explained() -> None:
    class Stateless(striate.Sequential):
        def train_step(self, state: Any, data: Any) -> Any:
            return {}, state

    model = Stateless([layers.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="value_and_grad"):
        model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)


def test_a_subclassed_model_is_built_by_its_data() -> None:
    class Own(striate.Model):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = layers.Dense(4, activation="relu"), layers.Dense(1)

        def call(self, x: Any, training: bool = False) -> Any:
            return self.b(ops.dropout(self.a(x), 0.1) if training and hasattr(ops, "dropout") else self.a(x))

    model = Own()
    model.compile("adam", "mse")
    history = model.fit(np.ones((16, 3)), np.zeros((16, 1)), epochs=4, verbose=0).history["loss"]
    assert model.built and len(model.weights) == 4 and history[-1] < history[0]


# What goes wrong ------------------------------------------------------------------------------------------------------


def fit(x: Any, y: Any = None, **options: Any) -> Any:
    return network().fit(x, y, verbose=0, **options)


X, Y = data()
WRONG = {
    "not compiled": (
        lambda: striate.Sequential([layers.Input((3,)), layers.Dense(1)]).fit(np.ones((2, 3)), np.ones(2)),
        ValueError,
        "compile",
    ),
    "empty": (lambda: fit(X[:0], Y[:0]), ValueError, "no samples|empty"),
    "lengths": (lambda: fit(X, Y[:-1]), ValueError, "cardinality|same number"),
    "label too large": (lambda: fit(X, Y + 1), ValueError, "labels must be 0 to 2. Received labels \\[3\\]"),
    "label negative": (lambda: fit(X, Y - 1), ValueError, "Received labels \\[-1\\]"),
    "shape": (lambda: fit(X[..., 0, 0], Y), ValueError, "shape"),
    "targets": (lambda: fit(X, np.zeros((48, 7, 2))), ValueError, "shape|rank"),
    "no loss": (lambda: network(loss=None).fit(X, Y, verbose=0), ValueError, "No loss to compute"),
    "unknown loss": (lambda: network(loss="msee"), ValueError, "msee"),
    "unknown metric": (lambda: network(metrics=["acuracy"]).fit(X, Y, verbose=0), ValueError, "acuracy"),
    "unknown optimizer": (lambda: network(optimizer="adamm"), ValueError, "adamm"),
    "metrics no list": (lambda: network(metrics=striate.metrics.Mean()), ValueError, "list, tuple, or dict"),
    "steps": (lambda: network(steps_per_execution=0), ValueError, "steps_per_execution"),
    "frequency": (lambda: fit(X, Y, validation_freq="x", validation_split=0.5), ValueError, "validation_freq"),
    "verbose": (lambda: network().evaluate(X, Y, verbose=0, nothing=1), ValueError, "not recognized"),
    "class weight": (lambda: fit(X, Y, class_weight=[1, 2]), (TypeError, ValueError), "class_weight"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_uses_say_so(name: str) -> None:
    call, error, text = WRONG[name]
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("wrong", ["labels", "interrupt", "exception"])
def test_the_model_is_usable_after_a_failure(wrong: str) -> None:
    model = network()
    x, y = data()

    class Breaking(striate.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 1:
                raise KeyboardInterrupt if wrong == "interrupt" else RuntimeError("from a callback")

    error = {"labels": ValueError, "interrupt": KeyboardInterrupt, "exception": RuntimeError}[wrong]
    with pytest.raises(error):
        if wrong == "labels":
            model.fit(x, np.where(np.arange(48) == 40, 9, y), batch_size=8, shuffle=False, verbose=0)
        else:
            model.fit(x, y, batch_size=8, verbose=0, callbacks=[Breaking()])
    steps = int(model.optimizer.iterations.numpy())
    assert steps == (5 if wrong == "labels" else 2)
    assert np.isfinite(model.predict(x, verbose=0)).all()
    assert len(model.fit(x, y, epochs=2, verbose=0).history["loss"]) == 2
    assert not any(layer._losses for layer in model._flatten_layers())


def test_a_loss_that_is_not_finite_is_named_with_its_cause() -> None:
    x, y = data()
    bad = x.copy()
    bad[20] = np.nan
    with pytest.warns(RuntimeWarning, match="`x` holds values that are not finite"):
        network().fit(bad, y, verbose=0)
    model = network(optimizer=striate.optimizers.SGD(1e30), loss="mse", metrics=None)
    with pytest.warns(RuntimeWarning, match="Lower the learning rate \\(now 1e\\+30\\)"):
        model.fit(x * 1e5, np.ones((48, 3)), epochs=3, batch_size=8, verbose=0)


def test_a_generator_that_ends_early_is_said_and_history_is_kept() -> None:
    x, y = data()

    def batches() -> Any:
        for i in range(3):
            yield x[i * 8 : i * 8 + 8], y[i * 8 : i * 8 + 8]

    model = network()
    with pytest.warns(UserWarning, match="ran out of data"):
        history = model.fit(batches(), steps_per_epoch=5, epochs=1, verbose=0)
    assert len(history.history["loss"]) == 1
    with pytest.warns(UserWarning, match="ran out of data"):
        history = model.fit(batches(), epochs=3, verbose=0)
    assert len(history.history["loss"]) == 1
    with pytest.raises(ValueError, match=r"no batches|empty|at least one"):
        network().fit((b for b in []), verbose=0)


def test_memory_stays_flat_over_steps_and_fits() -> None:
    code = textwrap.dedent(
        """
        import resource, numpy as np, striate
        from striate import layers
        m = striate.Sequential([layers.Input((16, 16, 4)), layers.Conv2D(16, 3, activation="relu"),
                                layers.BatchNormalization(), layers.Flatten(), layers.Dense(64), layers.Dense(3)])
        m.compile("adam", striate.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        x, y = np.zeros((64, 16, 16, 4), "float32"), np.zeros(64, "int32")
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(5):
            m.fit(x, y, epochs=4, verbose=0)
        before = peak()
        for _ in range(100):
            m.fit(x, y, epochs=5, verbose=0)  # 1,000 steps in 100 fits
        print(peak() - before)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 3000, f"grew by {done.stdout} KB"


def test_models_are_freed_and_copied_after_training() -> None:
    model = network()
    x, y = data()
    model.fit(x, y, verbose=0)
    other = striate.models.clone_model(model)
    other.compile("sgd", "sparse_categorical_crossentropy")
    other.fit(x, y, verbose=0)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    again.fit(x, y, verbose=0)
    del model, other, again
    gc.collect()


# Looks ----------------------------------------------------------------------------------------------------------------


def test_verbosity_looks_as_in_keras(real_keras: Any, capsys: Any) -> None:
    import re

    shown = []
    for k in (striate, real_keras):
        model = k.Sequential([k.layers.Input((3,)), k.layers.Dense(1)])
        model.compile("sgd", "mse", metrics=["mae"])
        x, y = np.ones((64, 3), "float32"), np.zeros((64, 1), "float32")
        capsys.readouterr()
        for verbose in (1, 2, 0):
            model.fit(x, y, epochs=2, verbose=verbose, validation_split=0.5)
            model.evaluate(x, y, verbose=verbose)
        text = capsys.readouterr().out
        text = re.sub(r"[^\n]*(\r|\x08)", "", text)
        text = re.sub(r"\d+(ms|us|s)(/step)?", "TIME", text)
        lines = re.sub(r"\d\.\d+(e-?\d+)?", "NUMBER", text).splitlines()
        shown.append([line.rstrip() for line in lines])  # a line may cover up a longer one
    assert shown[0] == shown[1]


def test_limits_on_epochs_and_steps_hold_in_every_loop() -> None:
    model, (x, y) = network(), data()
    try:
        striate.config.set_max_epochs(2)
        striate.config.set_max_steps_per_epoch(3)
        begun: list[int] = []
        count = striate.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: begun.append(batch))
        with pytest.warns(UserWarning, match="Limiting"):
            history = model.fit(x, y, batch_size=8, epochs=5, callbacks=[count], verbose=0)
            assert model.predict(x, batch_size=8, verbose=0).shape == (24, 3)
        assert (striate.config.max_epochs(), striate.config.max_steps_per_epoch()) == (2, 3)
        assert len(history.history["loss"]) == 2
        assert begun == [0, 1, 2, 0, 1, 2]
    finally:
        striate.config.set_max_epochs(None)
        striate.config.set_max_steps_per_epoch(None)


def test_limits_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from striate.core import config

    monkeypatch.setattr(config, "_limits", {})
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    assert config.max_epochs() == 1
    assert config.max_steps_per_epoch() is None
