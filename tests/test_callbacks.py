"""Callbacks beside real Keras's: both are driven by the same calls of hooks, and their effects are compared."""

from __future__ import annotations

import json
import math
import os
import re
import threading
import time
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate import callbacks as ours


class FakeModel:
    """What callbacks need of a model, for both sides."""

    def __init__(self, rate: float = 0.1, metrics: Any = ()) -> None:
        self.stop_training, self.history, self.built, self.metrics = False, None, True, list(metrics)
        self.optimizer = SimpleNamespace(learning_rate=np.float32(rate), iterations=np.int64(0))
        self.weights = [0.0]
        self.saved: list[str] = []

    def get_weights(self) -> list[float]:
        return list(self.weights)

    def set_weights(self, weights: list[float]) -> None:
        self.weights = list(weights)

    def save(self, path: str, overwrite: bool = False) -> None:
        self.saved.append(f"model {path} {self.weights} {overwrite}")

    def save_weights(self, path: str, overwrite: bool = False) -> None:
        self.saved.append(f"weights {path} {self.weights} {overwrite}")


class Clock:
    """A time that only goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "time", made)
    return made


@pytest.fixture(autouse=True)
def in_order(real_keras: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras may call hooks of batches from threads: here it calls them where they stand."""
    monkeypatch.setattr(real_keras.callbacks.CallbackList, "_configure_async_dispatch", lambda *_: None)


def train(
    module: Any, made: Any, epochs: list[dict[str, float]], steps: int = 2, model: Any = None, **params: Any
) -> FakeModel:
    """Calls the hooks as `fit` does; the weights after epoch e, batch b are e + b / 10."""
    model = model or FakeModel()
    options = {"verbose": 0, "epochs": len(epochs), "steps": steps, **params}
    every = module.CallbackList(made, add_history=True, model=model, **options)
    every.on_train_begin()
    logs: dict[str, float] = {}
    for epoch, logs in enumerate(epochs):
        every.on_epoch_begin(epoch)
        for batch in range(steps):
            every.on_train_batch_begin(batch)
            model.weights = [epoch + batch / 10]
            every.on_train_batch_end(batch, {k: v for k, v in logs.items() if not k.startswith("val_")})
            if model.stop_training:
                break
        every.on_epoch_end(epoch, dict(logs))
        if model.stop_training:
            break
    every.on_train_end(logs)
    return model


def warned(run: Any) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = run()
    return result, [str(w.message) for w in seen]


def both(real_keras: ModuleType, capsys: Any, name: str, epochs: Any, *args: Any, **options: Any) -> None:
    """One callback on both sides: model, history, printed text and warnings must be the same."""
    found = []
    for module in (ours, real_keras.callbacks):
        model, said = warned(lambda m=module: train(m, [getattr(m, name)(*args, **options)], epochs))
        state = {k: v for k, v in vars(model).items() if k not in ("optimizer", "history", "metrics")}
        rate = float(model.optimizer.learning_rate)
        found.append((state, rate, model.history.history, model.history.epoch, capsys.readouterr().out, said))
    assert found[0] == found[1]


VALUES = [1.0, 0.8, 0.9, 0.81, 0.79, 0.95, 0.5, 0.6, 0.7, 0.8]
EPOCHS = [{"loss": v, "val_loss": v * 1.5, "acc": 1 - v / 2} for v in VALUES]


class TestEarlyStopping:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"patience": 2, "verbose": 1},
            {"patience": 2, "restore_best_weights": True, "verbose": 1},
            {"patience": 1, "min_delta": 0.2, "restore_best_weights": True},
            {"monitor": "loss", "patience": 3, "baseline": 0.6},
            {"monitor": "loss", "patience": 1, "start_from_epoch": 4, "restore_best_weights": True, "verbose": 1},
            {"monitor": "acc", "mode": "max", "patience": 1, "restore_best_weights": True},
            {"monitor": "acc", "mode": "min", "patience": 4},
            {"monitor": "nothing", "mode": "min"},
            {"mode": "sideways", "patience": 1},
            {"patience": 100, "restore_best_weights": True, "verbose": 1},
        ],
    )
    def test_as_keras(self, real_keras: ModuleType, capsys: Any, options: dict[str, Any]) -> None:
        both(real_keras, capsys, "EarlyStopping", EPOCHS, **options)

    @given(
        st.lists(st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.5, math.nan, math.inf]), min_size=1, max_size=12),
        st.integers(0, 4),
        st.sampled_from([0, 0.05, 0.2]),
        st.booleans(),
        st.sampled_from(["min", "max"]),
    )
    def test_any_values(
        self, real_keras: ModuleType, values: list[float], patience: int, delta: float, restore: bool, mode: str
    ) -> None:
        epochs = [{"loss": v} for v in values]
        options = {"monitor": "loss", "patience": patience, "min_delta": delta, "mode": mode}
        mine, theirs = (
            train(m, m.EarlyStopping(restore_best_weights=restore, **options), epochs)
            for m in (ours, real_keras.callbacks)
        )
        assert (mine.weights, mine.stop_training) == (theirs.weights, theirs.stop_training)
        assert mine.history.epoch == theirs.history.epoch

    def test_auto_asks_the_metric(self) -> None:
        up, down = SimpleNamespace(name="acc", _direction="up"), SimpleNamespace(name="mae", _direction="down")
        model = FakeModel(metrics=[SimpleNamespace(name="compile_metrics", metrics=[up, down])])
        stop = ours.EarlyStopping(monitor="val_acc", patience=0)
        assert train(ours, stop, [{"val_acc": v} for v in (0.1, 0.2, 0.15, 0.9)], model=model).history.epoch == [
            0,
            1,
            2,
        ]
        stop = ours.EarlyStopping(monitor="mae", patience=0)
        model = FakeModel(metrics=[SimpleNamespace(name="compile_metrics", metrics=[up, down])])
        assert train(ours, stop, [{"mae": v} for v in (0.3, 0.2, 0.25, 0.1)], model=model).history.epoch == [0, 1, 2]

    def test_auto_without_a_direction(self, real_keras: ModuleType) -> None:
        for module in (ours, real_keras.callbacks):
            with pytest.raises(ValueError, match="Pass `mode='max'`"):
                train(module, module.EarlyStopping(monitor="strange"), [{"strange": 1.0}])

    def test_can_be_used_again(self) -> None:
        stop = ours.EarlyStopping(monitor="loss", patience=1)
        rising = [{"loss": v} for v in (1.0, 2.0, 3.0, 4.0)]
        assert train(ours, stop, rising).history.epoch == [0, 1]
        assert train(ours, stop, rising).history.epoch == [0, 1]


class TestLearningRates:
    @pytest.mark.parametrize(
        "options",
        [
            {"patience": 1, "verbose": 1},
            {"patience": 2, "factor": 0.5, "min_lr": 0.04, "verbose": 1},
            {"patience": 1, "cooldown": 2, "factor": 0.5},
            {"monitor": "acc", "mode": "max", "patience": 1, "min_delta": 0.3, "verbose": 1},
            {"monitor": "nothing", "mode": "min"},
        ],
    )
    def test_reduce_on_plateau(self, real_keras: ModuleType, capsys: Any, options: dict[str, Any]) -> None:
        both(real_keras, capsys, "ReduceLROnPlateau", EPOCHS, **options)

    def test_factor_must_lower(self) -> None:
        with pytest.raises(ValueError, match="factor >= 1"):
            ours.ReduceLROnPlateau(factor=1.0)

    @pytest.mark.parametrize(
        "schedule", [lambda e, r: r * 0.5 if e > 2 else r, lambda e: 1 / (e + 1), lambda e, r: np.float32(0.25)]
    )
    def test_scheduler(self, real_keras: ModuleType, capsys: Any, schedule: Any) -> None:
        both(real_keras, capsys, "LearningRateScheduler", EPOCHS, schedule, verbose=1)

    def test_schedule_gives_no_float(self) -> None:
        with pytest.raises(ValueError, match="should be a float"):
            train(ours, ours.LearningRateScheduler(lambda e, r: "fast"), EPOCHS)


class TestModelCheckpoint:
    @pytest.mark.parametrize(
        "options",
        [
            {"filepath": "a/{epoch:02d}-{val_loss:.2f}.keras", "verbose": 1},
            {"filepath": "a/best.weights.h5", "save_weights_only": True, "save_best_only": True, "verbose": 1},
            {"filepath": "a.keras", "save_best_only": True, "initial_value_threshold": 1.2, "verbose": 1},
            {"filepath": "a.keras", "save_best_only": True, "monitor": "acc", "mode": "max"},
            {"filepath": "a.keras", "save_best_only": True, "monitor": "nothing", "mode": "max"},
            {"filepath": "a-{epoch}-{batch}-{loss:.1f}.h5", "save_freq": 3},
            {"filepath": "a-{epoch}-{batch}.h5", "save_freq": 1, "verbose": 1},
        ],
    )
    def test_as_keras(
        self,
        real_keras: ModuleType,
        capsys: Any,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        options: dict[str, Any],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        both(real_keras, capsys, "ModelCheckpoint", EPOCHS, **options)

    def test_several_batches_per_call(self, tmp_path: Path, real_keras: ModuleType) -> None:
        saved = []
        for module in (ours, real_keras.callbacks):
            model, check = FakeModel(), module.ModelCheckpoint(str(tmp_path / "{epoch}-{batch}.keras"), save_freq=4)
            check.set_model(model)
            for epoch in range(3):
                check.on_epoch_begin(epoch)
                for batch in (1, 3, 5, 6):
                    check.on_train_batch_end(batch, {"loss": 1.0})
            saved.append(model.saved)
        assert saved[0] == saved[1] != []

    def test_wrong_arguments(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"must end in `\.keras`"):
            ours.ModelCheckpoint("model")
        with pytest.raises(ValueError, match=r"`\.weights\.h5`"):
            ours.ModelCheckpoint("model.keras", save_weights_only=True)
        for freq in ("batch", 0, 1.5):
            with pytest.raises(ValueError, match="save_freq"):
                ours.ModelCheckpoint("model.keras", save_freq=freq)
        with pytest.raises(KeyError, match="Failed to format"):
            train(ours, ours.ModelCheckpoint(tmp_path / "{nothing}.keras"), EPOCHS)

    def test_folder_in_the_way(self, tmp_path: Path) -> None:
        class Model(FakeModel):
            def save(self, path: str, overwrite: bool = False) -> None:
                Path(path).write_bytes(b"")

        (tmp_path / "m.keras").mkdir()
        with pytest.raises(OSError, match="existing directory"):
            train(ours, ours.ModelCheckpoint(tmp_path / "m.keras"), EPOCHS, model=Model())

    def test_newest_file(self, tmp_path: Path) -> None:
        for age, name in enumerate(["b02e02.keras", "b01e02.keras", "b01e01.keras", "other.keras"]):
            (tmp_path / name).write_text("")
            os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
        check = ours.ModelCheckpoint("x.keras")
        newest = check._get_most_recently_modified_file_matching_pattern(str(tmp_path / "b{b:02d}e{epoch:02d}.keras"))
        assert newest == str(tmp_path / "b02e02.keras")


class TestCSVLogger:
    @pytest.mark.parametrize("append", [False, True])
    @pytest.mark.parametrize("separator", [",", ";"])
    def test_as_keras(self, real_keras: ModuleType, tmp_path: Path, append: bool, separator: str) -> None:
        later = [{**EPOCHS[0]}, {"loss": 3.0}]
        files = []
        for module in (ours, real_keras.callbacks):
            path = tmp_path / f"{module.__name__}.csv"
            for epochs in (EPOCHS[:2], [{"loss": 1.0, "a": 2}, *later]):
                train(module, module.CSVLogger(path, separator=separator, append=append), epochs)
            files.append(path.read_bytes())
        assert files[0] == files[1]

    def test_lists_and_texts(self, real_keras: ModuleType, tmp_path: Path) -> None:
        logs = {"v": [1.0, 2.0], "text": "a,b", "array": np.array([3, 4]), "zero": np.array(5)}
        files = []
        for module in (ours, real_keras.callbacks):
            path = tmp_path / f"{module.__name__}.csv"
            logger = module.CSVLogger(str(path))
            logger.on_train_begin()
            logger.on_epoch_end(0, logs)
            logger.on_train_end()
            files.append(path.read_bytes())
        assert files[0] == files[1]

    def test_rows_are_on_the_disk_at_once(self, tmp_path: Path) -> None:
        logger = ours.CSVLogger(tmp_path / "log.csv")
        logger.on_train_begin()
        logger.on_epoch_end(0, {"loss": 1.0})
        assert (tmp_path / "log.csv").read_text().split() == ["epoch,loss,val_loss", "0,1.0,NA"]


class TestSmallOnes:
    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_terminate_on_nan(self, real_keras: ModuleType, capsys: Any, bad: float) -> None:
        both(real_keras, capsys, "TerminateOnNaN", [{"loss": 1.0}, {"loss": bad}, {"loss": 1.0}])
        for module in (ours, real_keras.callbacks):
            with pytest.raises(RuntimeError, match="NaN or Inf loss encountered at batch 0"):
                train(module, module.TerminateOnNaN(raise_error=True), [{"loss": bad}])

    def test_lambda_callback(self, real_keras: ModuleType) -> None:
        def calls(module: Any) -> list[Any]:
            seen: list[Any] = []
            names = ["epoch_begin", "epoch_end", "train_begin", "train_end", "train_batch_begin", "train_batch_end"]
            hooks = {f"on_{n}": lambda *a, _n=n, **k: seen.append((_n, a, k)) for n in [*names, "predict_end"]}
            train(module, module.LambdaCallback(**hooks), EPOCHS[:2])
            return seen

        assert calls(ours) == calls(real_keras.callbacks) != []

    def test_orbax_names_the_way_out(self) -> None:
        with pytest.raises(ImportError, match="ModelCheckpoint"):
            ours.OrbaxCheckpoint("folder", save_freq=1)


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any]]]:
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["Content-Type"], self.headers["X-Key"], body.decode()))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", seen
    http.shutdown()
    thread.join()
    http.server_close()


class TestRemoteMonitor:
    def test_sends_json(self, server: Any) -> None:
        root, seen = server
        monitor = ours.RemoteMonitor(root, path="/x", headers={"X-Key": "k"}, send_as_json=True)
        monitor.on_epoch_end(3, {"loss": np.float32(0.5), "v": np.array([1, 2])})
        ((path, kind, key, body),) = seen
        assert (path, kind, key) == ("/x", "application/json", "k")
        assert json.loads(body) == {"epoch": 3, "loss": 0.5, "v": [1, 2]}

    def test_sends_a_form(self, server: Any) -> None:
        root, seen = server
        ours.RemoteMonitor(root, field="f").on_epoch_end(0, {"loss": 0.25, "odd & more": 1})
        ((path, kind, _, body),) = seen
        assert (path, kind) == ("/publish/epoch/end/", "application/x-www-form-urlencoded")
        ((name, (text,)),) = parse_qs(body).items()
        assert (name, json.loads(text)) == ("f", {"epoch": 0, "loss": 0.25, "odd & more": 1})

    def test_nobody_there(self) -> None:
        with pytest.warns(UserWarning, match="Could not reach RemoteMonitor root server"):
            ours.RemoteMonitor("http://127.0.0.1:1").on_epoch_end(0, {"loss": 1.0})


class TestProgress:
    @pytest.mark.parametrize("verbose", [0, 1, 2, "auto"])
    @pytest.mark.parametrize("steps", [7, 120, None])
    @pytest.mark.parametrize("epochs", [1, 3])
    def test_text_of_fit(
        self, real_keras: ModuleType, capsys: Any, clock: Clock, verbose: Any, steps: int | None, epochs: int
    ) -> None:
        texts = []
        for module in (ours, real_keras.callbacks):
            clock.now = 1000.0
            self._fit(module, clock, verbose, steps, epochs)
            texts.append(capsys.readouterr().out)
        assert texts[0] == texts[1]
        assert bool(texts[0]) is (verbose != 0)

    def _fit(self, module: Any, clock: Clock, verbose: Any, steps: int | None, epochs: int) -> None:
        every = module.CallbackList(
            None, add_progbar=True, add_history=True, model=FakeModel(), verbose=verbose, epochs=epochs, steps=steps
        )
        every.on_train_begin()
        for epoch in range(epochs):
            every.on_epoch_begin(epoch)
            for batch in range(steps or 5):
                clock.now += 0.013 * (1 + batch) * (40 if epoch == 1 else 1)
                every.on_train_batch_end(batch, {"loss": 2.5 / (batch + 1), "acc": 1e-4 * batch, "minus": -0.5})
            every.on_test_begin()
            every.on_test_batch_end(0, {"loss": 3.0})
            every.on_test_end({"loss": 3.0})
            clock.now += 1.7
            every.on_epoch_end(epoch, {"loss": 0.123456, "acc": 0.5, "minus": -0.5, "val_loss": 3e-5})
        every.on_train_end({})

    @pytest.mark.parametrize("verbose", [1, 2])
    def test_text_of_evaluate_and_predict(
        self, real_keras: ModuleType, capsys: Any, clock: Clock, verbose: int
    ) -> None:
        texts = []
        for module in (ours, real_keras.callbacks):
            for kind in ("test", "predict"):
                clock.now = 1000.0
                every = module.CallbackList(None, add_progbar=True, model=None, verbose=verbose, epochs=1, steps=3)
                getattr(every, f"on_{kind}_begin")()
                for batch in range(3):
                    clock.now += 0.2
                    getattr(every, f"on_{kind}_batch_end")(batch, {"loss": 1.0})
                getattr(every, f"on_{kind}_end")({"loss": 2.0} if kind == "test" else None)
            texts.append(capsys.readouterr().out)
        assert texts[0] == texts[1]
        assert "3/3" in texts[0]


class TestCallbackList:
    def test_logs_are_flat_sorted_python_floats(self, real_keras: ModuleType) -> None:
        logs = {"b": np.float32(0.5), "a": 1, "n": {"z": np.array(2), "y": 3}, "text": "high", "m": np.arange(3)}
        seen = []
        for module in (ours, real_keras.callbacks):
            got: list[Any] = []
            module.CallbackList(
                module.LambdaCallback(on_epoch_end=lambda e, found, g=got: g.append(found))
            ).on_epoch_end(0, logs)
            seen.append([(k, v.tolist() if isinstance(v, np.ndarray) else v, type(v)) for k, v in got[0].items()])
        assert seen[0] == seen[1]

    def test_adds_what_is_missing(self) -> None:
        given = [[ours.ProgbarLogger()], (ours.Callback(),)]
        every = ours.CallbackList(given, add_history=True, add_progbar=True, model=FakeModel())
        assert [type(c).__name__ for c in every.callbacks] == ["ProgbarLogger", "Callback", "History"]
        assert every.model.history is every.callbacks[2]

    def test_end_without_begin(self) -> None:
        with pytest.raises(ValueError, match="without corresponding"):
            ours.CallbackList().on_train_end()

    @pytest.mark.parametrize("wrong", [ours.EarlyStopping, [ours.History], ["csv"], [print]])
    def test_no_callbacks(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="callbacks: expected"):
            ours.CallbackList(wrong)

    def test_older_names_of_hooks(self) -> None:
        seen: list[Any] = []

        class Old(ours.Callback):
            def on_batch_begin(self, batch: int, logs: Any = None) -> None:
                seen.append(("begin", batch))

            def on_batch_end(self, batch: int, logs: Any = None) -> None:
                seen.append(("end", batch, logs))

        train(ours, Old(), [{"loss": 1.0}], steps=1)
        assert seen == [("begin", 0), ("end", 0, {"loss": 1.0})]

    def test_every_hook_of_keras_is_there(self, real_keras: ModuleType) -> None:
        for name in (n for n in dir(real_keras.callbacks.Callback) if not n.startswith("_")):
            assert hasattr(ours.Callback, name)
        for name in real_keras.callbacks.__dict__:
            if re.match("[A-Z]", name):
                assert hasattr(ours, name), name
