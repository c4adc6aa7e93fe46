"""Callbacks in `fit` itself."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

import striate
from striate import callbacks, layers, optimizers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 5)).astype("float32")
Y = (X @ RNG.normal(size=(5, 1)) + 0.1).astype("float32")


def make_model(module: Any = striate, optimizer: Any = None, **options: Any) -> Any:
    """The same weights for striate and for real Keras."""
    made = [module.Input((5,)), module.layers.Dense(4, activation="tanh"), module.layers.Dense(1)]
    model = module.Sequential(made)
    model.set_weights([np.random.default_rng(i).normal(size=w.shape) * 0.5 for i, w in enumerate(model.get_weights())])
    model.compile(optimizer or module.optimizers.SGD(0.05), "mse", metrics=["mae"], **options)
    return model


def fit(model: Any, *made: Any, epochs: int = 4, **options: Any) -> Any:
    data = {"batch_size": 16, "shuffle": False, "verbose": 0, "validation_data": (X[:8], Y[:8])}
    return model.fit(X, Y, epochs=epochs, callbacks=list(made), **{**data, **options})


class Recorder(callbacks.Callback):
    """Notes every call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda *a, **k: self.calls.append((name, *[_shape(v) for v in (*a, *k.values())]))


def _shape(value: Any) -> Any:
    return tuple(value) if isinstance(value, dict) else value


@pytest.mark.parametrize("options", [{}, {"steps_per_execution": 2}])
def test_hooks_in_the_order_of_keras(real_keras: ModuleType, monkeypatch: pytest.MonkeyPatch, options: Any) -> None:
    monkeypatch.setattr(real_keras.callbacks.CallbackList, "_configure_async_dispatch", lambda *_: None)
    found = []
    for module in (striate, real_keras):
        recorder, model = Recorder(), make_model(module, **options)
        fit(model, recorder, epochs=2, batch_size=12, validation_batch_size=4)
        model.evaluate(X, Y, batch_size=12, verbose=0, callbacks=[recorder])
        if not options:
            model.predict(X, batch_size=16, verbose=0, callbacks=[recorder])
        found.append(recorder.calls)
    assert found[0] == found[1]


def test_early_stopping_restores_the_best(real_keras: ModuleType) -> None:
    histories, weights = [], []
    for module in (striate, real_keras):
        model = make_model(module, module.optimizers.SGD(0.4, momentum=0.9))
        stop = module.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
        history = fit(model, stop, epochs=12)
        histories.append(history.history["val_loss"])
        weights.append(model.get_weights())
        assert len(history.epoch) < 12
        best = float(np.min(history.history["val_loss"]))
        assert model.evaluate(X[:8], Y[:8], verbose=0)[0] == pytest.approx(best, rel=1e-6)
        assert history.history["val_loss"][-1] > best
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-4)
    for mine, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)


def test_learning_rates(real_keras: ModuleType) -> None:
    rates = []
    for module in (striate, real_keras):
        model = make_model(module)
        made = module.callbacks
        plateau = made.ReduceLROnPlateau(patience=1, min_delta=10.0, factor=0.5, min_lr=0.001)
        rates.append(fit(model, plateau, epochs=6).history["learning_rate"])
        schedule = made.LearningRateScheduler(lambda epoch, rate: rate * 2 if epoch else rate)
        rates[-1] += fit(model, schedule, epochs=3).history["learning_rate"]
    np.testing.assert_allclose(rates[0], rates[1], rtol=1e-6)
    assert rates[0][0] != rates[0][5]


@pytest.mark.parametrize("on_epoch", [False, True])
def test_averages_of_weights(real_keras: ModuleType, on_epoch: bool) -> None:
    found = []
    for module in (striate, real_keras):
        model = make_model(module, module.optimizers.SGD(0.2, use_ema=True, ema_momentum=0.8))
        seen: list[Any] = []
        look = module.callbacks.LambdaCallback(
            on_epoch_end=lambda e, logs, m=model, s=seen: s.append([np.array(w) for w in m.get_weights()])
        )
        swap = module.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)
        losses = fit(model, swap, look, epochs=3).history["val_loss"]
        found.append((losses, [*seen, model.get_weights()]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4)
    for mine, theirs in zip(found[0][1], found[1][1], strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_averages_when_training_ends_early() -> None:
    """The model must end with the averages, as it does without the callback."""
    stop = callbacks.LambdaCallback(on_epoch_end=lambda e, logs: setattr(stop.model, "stop_training", e == 1))
    ends = []
    for made in ([stop], [callbacks.SwapEMAWeights(swap_on_epoch=True), stop]):
        model = make_model(optimizer=optimizers.SGD(0.2, use_ema=True, ema_momentum=0.8))
        fit(model, *made, epochs=5)
        ends.append(model.get_weights())
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)


def test_predict_leaves_the_weights() -> None:
    swap = callbacks.SwapEMAWeights()
    model = make_model(optimizer=optimizers.SGD(0.2, use_ema=True))
    fit(model, callbacks.LambdaCallback(on_train_end=lambda logs: None), epochs=1)
    model.layers[0].kernel.assign_add(1.0)
    before = model.get_weights()
    with_averages = model.predict(X, verbose=0, callbacks=[swap])
    assert np.abs(with_averages - model.predict(X, verbose=0)).max() > 1e-3
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="use_ema=True"):
        fit(make_model(), callbacks.SwapEMAWeights())


def test_checkpoints(tmp_path: Path) -> None:
    model = make_model()
    kept: list[Any] = []
    note = callbacks.LambdaCallback(on_epoch_end=lambda e, logs: kept.append(model.get_weights()))
    losses = fit(
        model,
        note,
        callbacks.ModelCheckpoint(tmp_path / "new" / "{epoch}-{val_loss:.3f}.keras"),
        callbacks.ModelCheckpoint(tmp_path / "{epoch}-{batch}.weights.h5", save_weights_only=True, save_freq=2),
        epochs=2,
    ).history["val_loss"]
    assert sorted(p.name for p in tmp_path.glob("*.h5")) == ["1-2.weights.h5", "2-1.weights.h5", "2-3.weights.h5"]
    first, second = sorted((tmp_path / "new").iterdir())
    assert [first.name, second.name] == [f"{i}-{loss:.3f}.keras" for i, loss in enumerate(losses, 1)]
    for one, other in zip(kept[0], striate.models.load_model(first).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    fresh = make_model()
    fresh.load_weights(tmp_path / "2-3.weights.h5")
    for one, other in zip(kept[1], fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_csv_holds_the_history(tmp_path: Path) -> None:
    history = fit(make_model(), callbacks.CSVLogger(tmp_path / "log.csv"), epochs=3).history
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    for name, values in history.items():
        assert [float(row[name]) for row in rows] == values


def test_tensorboard_reads_the_history(tmp_path: Path) -> None:
    model = make_model()
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, write_images=True, update_freq=2)
    history = fit(model, board, epochs=3).history
    for run, prefix in (("train", ""), ("validation", "val_")):
        accumulator = EventAccumulator(str(tmp_path / run), size_guidance={"tensors": 0})
        accumulator.Reload()
        for name in ("loss", "mae"):
            events = accumulator.Tensors(f"epoch_{name}")
            read = [float(tensor_util.make_ndarray(e.tensor_proto)) for e in events]
            np.testing.assert_allclose(read, history[prefix + name], rtol=1e-6)
    accumulator = EventAccumulator(str(tmp_path / "train"))
    accumulator.Reload()
    assert [e.step for e in accumulator.Tensors("batch_loss")] == [2, 4, 6, 8]
    assert f"{model.layers[0].kernel.path}/histogram" in accumulator.Tags()["tensors"]


def test_tensorboard_in_evaluate(tmp_path: Path) -> None:
    model = make_model()
    fit(model, epochs=1)
    board = callbacks.TensorBoard(tmp_path, write_graph=False)
    loss = model.evaluate(X, Y, verbose=0, callbacks=[board])[0]
    assert not board._writers  # the file is closed
    accumulator = EventAccumulator(str(tmp_path / "validation"))
    accumulator.Reload()
    (event,) = accumulator.Tensors("evaluation_loss_vs_iterations")
    assert (event.step, float(tensor_util.make_ndarray(event.tensor_proto))) == (3, pytest.approx(loss))
    assert not (tmp_path / "train").exists()


def test_nan_ends_training() -> None:
    model = make_model()
    broken = Y.copy()
    broken[20] = np.nan
    with pytest.warns(RuntimeWarning, match="nan"):
        history = model.fit(
            X, broken, batch_size=16, shuffle=False, verbose=0, epochs=5, callbacks=[callbacks.TerminateOnNaN()]
        )
    assert len(history.epoch) == 1


def test_embeddings(tmp_path: Path) -> None:
    model = striate.Sequential(
        [striate.Input((3,)), layers.Embedding(7, 2, name="e"), layers.Flatten(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    board = callbacks.TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata="rows.tsv")
    model.fit(np.arange(9).reshape(3, 3) % 7, np.zeros((3, 1)), verbose=0, callbacks=[board])
    table = np.loadtxt(tmp_path / "e.tsv")
    np.testing.assert_allclose(table, model.layers[0].get_weights()[0], rtol=1e-5, atol=1e-7)
    config = (tmp_path / "projector_config.pbtxt").read_text()
    assert 'tensor_path: "e.tsv"' in config
    assert 'metadata_path: "rows.tsv"' in config
    assert (tmp_path / "train" / "keras_embedding.ckpt-0.weights.h5").exists()


@pytest.mark.parametrize("place", ["batch", "validation", "epoch"])
def test_ctrl_c_leaves_the_model_usable(tmp_path: Path, place: str) -> None:
    def interrupt(number: int, logs: Any = None) -> None:
        if number == 1:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(10_000):  # Python handles the signal between two of its instructions
                pass

    hook = {"batch": "on_train_batch_end", "validation": "on_test_batch_end", "epoch": "on_epoch_begin"}[place]
    model = make_model()
    log = callbacks.CSVLogger(tmp_path / "log.csv")
    board = callbacks.TensorBoard(tmp_path / "board")
    backup = callbacks.BackupAndRestore(tmp_path / "backup", save_freq=1)
    with pytest.raises(KeyboardInterrupt):
        fit(model, log, board, backup, callbacks.LambdaCallback(**{hook: interrupt}), validation_batch_size=4)
    assert np.isfinite(model.predict(X, verbose=0)).all()
    before = model.evaluate(X, Y, verbose=0)[0]
    history = fit(model, log, board, callbacks.History(), epochs=3)
    assert history.epoch == [0, 1, 2]
    assert model.evaluate(X, Y, verbose=0)[0] < before
    model.save_weights(tmp_path / "after.weights.h5")


class Stop(callbacks.Callback):
    """Breaks training off after so many batches."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def arrays() -> dict[str, Any]:
    return {"x": X, "y": Y, "batch_size": 16, "shuffle": True}


def arrays_in_parts() -> dict[str, Any]:
    return {**arrays(), "batch_size": 6, "steps_per_epoch": 5}


def batch_order() -> dict[str, Any]:
    return {**arrays(), "shuffle": "batch"}


def generator() -> dict[str, Any]:
    rows = np.random.default_rng(4).integers(0, len(X), (100, 8))
    return {"x": ((X[r], Y[r]) for r in rows), "steps_per_epoch": 3}


def iterable() -> dict[str, Any]:
    class Batches:
        def __iter__(self) -> Any:
            return ((X[i : i + 16], Y[i : i + 16]) for i in range(0, 48, 16))

    return {"x": Batches()}


def dataset() -> dict[str, Any]:
    class Data(striate.utils.PyDataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, number: int) -> Any:
            return X[16 * number : 16 * number + 16], Y[16 * number : 16 * number + 16]

    return {"x": Data(), "shuffle": True}


@pytest.mark.parametrize("after", [1, 3, 10])
@pytest.mark.parametrize("data", [arrays, arrays_in_parts, batch_order, generator, iterable, dataset])
def test_broken_off_then_run_again(tmp_path: Path, data: Any, after: int) -> None:
    """The second run is a new model, whose own seed would give another order of the samples."""
    ends = []
    for broken in (False, True):
        striate.utils.set_random_seed(3)
        model = make_model(optimizer=optimizers.Adam(0.01))
        backup = callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)
        if broken:
            with pytest.raises(KeyboardInterrupt):
                model.fit(**data(), epochs=4, verbose=0, callbacks=[backup, Stop(after)])
            striate.utils.set_random_seed(99)
            model = make_model(optimizer=optimizers.Adam(0.01))
            backup = callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)
        losses = model.fit(**data(), epochs=4, verbose=0, callbacks=[backup]).history["loss"]
        ends.append((model.get_weights(), losses))
    for one, other in zip(ends[0][0], ends[1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert ends[1][1] == ends[0][1][-len(ends[1][1]) :]  # the metrics of the epoch that was broken off are whole


@pytest.mark.parametrize("freq", ["epoch", 1, 2])
@pytest.mark.parametrize("first", [False, True])
def test_what_other_callbacks_have_counted_goes_on(tmp_path: Path, freq: Any, first: bool) -> None:
    """The rate falls, the best model is kept, and training ends early as if nothing had happened."""

    def made(stop: list[Any]) -> list[Any]:
        backup = callbacks.BackupAndRestore(tmp_path / "b", save_freq=freq)
        others = [
            callbacks.ReduceLROnPlateau(monitor="loss", patience=2, min_delta=0.5, factor=0.5),
            callbacks.SwapEMAWeights(swap_on_epoch=True),
            callbacks.ModelCheckpoint(tmp_path / "best.weights.h5", save_weights_only=True, save_best_only=True),
            callbacks.EarlyStopping(patience=4, min_delta=0.3, restore_best_weights=True),
        ]
        return [backup, *others, *stop] if first else [*others, backup, *stop]

    def trained(*stop: Any) -> Any:
        striate.utils.set_random_seed(3)
        model = make_model(optimizer=optimizers.Adam(0.2, use_ema=True, ema_momentum=0.5))
        losses = fit(model, *made(list(stop)), epochs=30, shuffle=True).history
        saved = make_model(optimizer=optimizers.Adam(use_ema=True))
        saved.optimizer.build(saved.trainable_variables)
        saved.load_weights(tmp_path / "best.weights.h5")
        return [*model.get_weights(), *saved.get_weights()], losses

    whole, history = trained()
    assert len(history["loss"]) < 30 and history["learning_rate"][-1] < 0.2
    (tmp_path / "best.weights.h5").unlink()
    for after in (8, 5, 6):  # batches, of which an epoch has three
        with pytest.raises(KeyboardInterrupt):
            trained(Stop(after))
    again, rest = trained()
    for name, values in rest.items():
        assert values == history[name][-len(values) :] != history[name]
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_progress_looks_as_in_keras(real_keras: ModuleType, capsys: Any) -> None:
    import re

    texts = []
    for module in (striate, real_keras):
        fit(make_model(module), verbose=2, epochs=2)
        text = re.sub(r"\d+(?=m?u?s)", "T", capsys.readouterr().out)
        texts.append(re.sub(r"\b(T[mu]?s)", "Ts", re.sub(r"\d\.\d{4}", "V", text)))
    assert texts[0] == texts[1] != ""
