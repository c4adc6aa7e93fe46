"""`predict`: batches, forms of data, progress, callbacks."""

from __future__ import annotations

import gc
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest

import striate
from striate import layers
from striate.training.data import adapt
from striate.training.predict import Results
from striate.utils.progbar import Progbar

X = np.random.default_rng(1).normal(size=(7, 6, 6, 2)).astype("float32")


@pytest.fixture
def model() -> Any:
    inputs = layers.Input((6, 6, 2))
    h = layers.Conv2D(3, 3, activation="relu")(inputs)
    return striate.Model(inputs, {"maps": h, "mean": layers.GlobalAveragePooling2D()(h)})


@pytest.fixture
def single(model: Any) -> Any:
    return striate.Model(model.inputs, model.output["mean"])


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3, 7, 100])
def test_any_batch_size_gives_the_same(model: Any, batch_size: int | None) -> None:
    whole = model(X)
    found = model.predict(X, batch_size=batch_size, verbose=0)
    assert found["maps"].shape == (7, 4, 4, 3)
    for key in whole:
        np.testing.assert_allclose(found[key], whole[key], atol=1e-6)


def generator(n: int) -> Any:
    return (X[i : i + 2] for i in range(0, n, 2))


class Sequence:
    """What `keras.utils.PyDataset` is like."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int) -> Any:
        return X[2 * i : 2 * i + 2], np.zeros(2)


class ArrayLike:
    """A tensor of another library."""

    shape = X.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return X


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (lambda: X, 7),
        (lambda: [X], 7),
        (lambda: X.astype("float64"), 7),
        (lambda: striate.Variable(X), 7),
        (ArrayLike, 7),
        (lambda: generator(6), 6),
        (lambda: ((x, 0) for x in generator(6)), 6),
        (lambda: ((x,) for x in generator(6)), 6),
        (lambda: ((x, 0, 1) for x in generator(6)), 6),
        (Sequence, 6),
    ],
)
def test_forms_of_data(single: Any, data: Any, rows: int) -> None:
    np.testing.assert_allclose(single.predict(data(), verbose=0), single(X)[:rows], atol=1e-6)


def test_several_inputs() -> None:
    a, b = layers.Input((2,), name="a"), layers.Input((2,), name="b")
    model = striate.Model([a, b], layers.Subtract()([a, b]))
    x, y = np.ones((5, 2), "float32"), np.full((5, 2), 3, "float32")
    for data in ([x, y], (x, y), {"a": x, "b": y}):
        assert model.predict(data, batch_size=2, verbose=0).tolist() == [[-2, -2]] * 5
    assert model.predict((((x, y), 0) for _ in range(2)), verbose=0).shape == (10, 2)
    with pytest.raises(ValueError, match="cardinality"):
        model.predict([x, y[:3]], verbose=0)
    with pytest.raises(ValueError, match="expected 2 input"):
        model.predict(x, verbose=0)


def test_steps(single: Any) -> None:
    assert single.predict(X, batch_size=2, steps=2, verbose=0).shape == (4, 3)
    with pytest.warns(UserWarning, match="ran out of data"):
        assert single.predict(X, batch_size=2, steps=99, verbose=0).shape == (7, 3)

    def endless() -> Any:
        while True:
            yield X[:2]

    assert single.predict(endless(), steps=3, verbose=0).shape == (6, 3)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"x": X[:0]}, "no samples"),
        ({"x": iter(())}, "no batches"),
        ({"x": X[0]}, "shape"),
        ({"x": np.float32(1)}, "batch axis|shape"),
        ({"x": "images"}, "Unrecognized data type"),
        ({"x": 3}, "Unrecognized data type"),
        ({"x": [[1.0, 2.0]]}, "Unrecognized data type"),
        ({"x": np.array(["a"])}, "numbers"),
        ({"x": X, "batch_size": 0}, "batch_size"),
        ({"x": X, "batch_size": 2.5}, "batch_size"),
        ({"x": X, "steps": -1}, "steps"),
        ({"x": X, "verbose": "loud"}, "verbose"),
    ],
)
def test_wrong_arguments(single: Any, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        single.predict(**arguments)


def test_images_of_several_sizes() -> None:
    inputs = layers.Input((None, None, 1))
    model = striate.Model(inputs, layers.GlobalMaxPooling2D()(inputs))
    batches = [np.full((2, n, n + 1, 1), n, "float32") for n in (3, 5, 4)]
    assert model.predict(iter(batches), verbose=0)[:, 0].tolist() == [3, 3, 5, 5, 4, 4]
    whole = striate.Model(inputs, layers.Identity()(inputs))
    with pytest.raises(ValueError, match="cannot join"):
        whole.predict(iter(batches), verbose=0)


def test_on_batch(single: Any) -> None:
    assert np.array_equal(single.predict_on_batch(X), single(X))
    with pytest.raises(ValueError, match="predict_on_batch"):
        single.predict_on_batch(generator(4))


def test_progress_looks_like_that_of_keras(single: Any, capsys: pytest.CaptureFixture[str], real_keras: Any) -> None:
    single.predict(X, batch_size=3)
    plain = re.sub(r"\x1b\[\d+m|\x08", "", capsys.readouterr().out).split("\r")[-1]
    assert re.fullmatch(r"3/3 ━{20} \d+s \d+(us|ms|s)/step\n", plain)
    single.predict(X, verbose=2)
    assert re.fullmatch(r"1/1 - \d+s - \d+(us|ms|s)/step\n", capsys.readouterr().out)
    single.predict(X, verbose=0)
    assert capsys.readouterr().out == ""
    single.predict(generator(6))
    assert "3/Unknown" in capsys.readouterr().out


@pytest.mark.parametrize(("target", "verbose"), [(1, 1), (3, 1), (12, 1), (None, 1), (3, 2)])
def test_bar_writes_what_that_of_keras_writes(
    target: int | None,
    verbose: int,
    capsys: pytest.CaptureFixture[str],
    real_keras: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both with a clock of the test's own."""

    def run(cls: Any, module: str) -> str:
        ticks = iter(np.arange(1, 200, 0.37))
        monkeypatch.setattr(f"{module}.time.time", lambda: float(next(ticks)))
        bar = cls(target, verbose=verbose)
        for step in range(1, (target or 4) + 1):
            bar.update(step, values=[("loss", 1 / step), ("small", 1e-5)])
        bar.update(target or 4, finalize=True)
        monkeypatch.undo()
        return capsys.readouterr().out

    ours, theirs = run(Progbar, "striate.utils.progbar"), run(real_keras.utils.Progbar, "keras.src.utils.progbar")
    tidy = [re.sub(r"\x08+\r", "\r", text) for text in (ours, theirs)]
    assert tidy[0] == tidy[1]


def test_callbacks(single: Any) -> None:
    heard: list[Any] = []

    class Listener(striate.callbacks.Callback):
        def on_predict_begin(self, logs: Any = None) -> None:
            heard.append((self.model is single, self.params["steps"]))

        def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
            heard.append((batch, logs["outputs"].shape))

        def on_predict_end(self, logs: Any = None) -> None:
            heard.append("end")

    single.predict(X, batch_size=4, verbose=0, callbacks=[Listener()])
    assert heard == [(True, 2), (0, (4, 3)), (1, (3, 3)), "end"]


def test_a_callback_may_stop_it(single: Any) -> None:
    class Stop(striate.callbacks.Callback):
        def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_predicting = batch == 1

    for _ in range(2):
        assert single.predict(X, batch_size=2, verbose=0, callbacks=Stop()).shape == (4, 3)
    assert single.predict(X, batch_size=2, verbose=0).shape == (7, 3)


def test_an_interrupt_leaves_the_model_usable(single: Any) -> None:
    def interrupted() -> Any:
        yield X[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        single.predict(interrupted(), verbose=0)
    assert single.predict(X, verbose=0).shape == (7, 3)


def test_python_code_is_traced_once_per_shape() -> None:
    calls: list[Any] = []

    class Spy(striate.Model):
        def call(self, x: Any) -> Any:
            calls.append(x.shape)
            return x + 1

    model = Spy()
    for _ in range(3):
        model.predict(X, batch_size=3, verbose=0)
    assert calls == [(3, 6, 6, 2), (1, 6, 6, 2)]
    model.run_eagerly = True
    model.predict(X, batch_size=7, verbose=0)
    model.predict(X, batch_size=7, verbose=0)
    assert len(calls) == 4


def test_predict_step_can_be_overridden() -> None:
    class Doubled(striate.Model):
        def call(self, x: Any) -> Any:
            return x

        def predict_step(self, data: Any) -> Any:
            return self(data) * 2

    assert np.array_equal(Doubled().predict(X, verbose=0), X * 2)


def test_memory_is_flat_in_a_loop(single: Any) -> None:
    """The second thousand calls keep nothing that the first did not; one small array each would be 100 kB."""

    def many() -> int:
        for _ in range(500):
            single.predict(X, verbose=0)
            single(X)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    first, second = many(), many()
    tracemalloc.stop()
    assert second - first < 20_000


def test_batches_are_views() -> None:
    assert all(np.shares_memory(batch[0], X) for batch in adapt(X, batch_size=2).epoch(0, 0))
    assert [len(b[0]) for b in adapt(X, batch_size=3).epoch(0, 0)] == [3, 3, 1]


def test_results_of_scalars_and_of_changing_rows() -> None:
    scalars = Results(4)
    for value in (1.0, 2.0):
        scalars.add(np.float32(value) * np.ones(()))
    assert scalars.joined().tolist() == [1, 2]
    rows = Results(6)
    for n in (2, 3, 4):
        rows.add(np.full((n, 1), n))
    assert rows.joined()[:, 0].tolist() == [2] * 2 + [3] * 3 + [4] * 4
