"""What `striate bench` and `striate.explain.profile` say of a model: which layers, how much arithmetic and memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import striate as keras
from striate import engines, explain, kernels, layers, ops
from striate.cli import bench, bench_table
from striate.cli.user import UserError
from striate.kernels import attributes


@keras.saving.register_keras_serializable("test_bench")
class Doubled(keras.Layer):
    """A layer of the user's own, with another one inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inside = layers.Dense(6, name="inside")

    def call(self, x):
        return ops.sin(self.inside(x)) * 2.0


def network():
    image = keras.Input((12, 12, 3), name="image")
    block = keras.Sequential(
        [layers.Conv2D(16, 3, name="c"), layers.BatchNormalization(name="n"), layers.ReLU(name="r")], name="block"
    )
    x = layers.MaxPooling2D(name="pool")(ops.exp(block(image)))
    x = layers.Dropout(0.5, name="drop")(layers.Flatten(name="flat")(x))
    return keras.Model(image, layers.Softmax(name="top")(Doubled(name="own")(x)), name="network")


def images(n=2):
    return np.random.default_rng(0).random((n, 12, 12, 3), np.float32)


def names(found):
    return {name for row in found.layers for name in (row.name, *row.fused)}


def test_each_layer_that_computes_has_a_row():
    found = explain.profile(network(), images(), rounds=1)
    assert names(found) == {"block/c", "block/n", "block/r", "exp", "pool", "own", "own/inside", "top"}
    first = found.layers[0]
    assert (first.name, set(first.fused)) == ("block/c", {"block/n", "block/r"})


def test_layers_of_a_subclassed_model_and_functions():
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.a, self.b = layers.Conv2D(4, 3, name="a"), network().get_layer("block")

        def call(self, x):
            return ops.tanh(self.b(x)) + ops.mean(self.a(x))

    assert names(explain.profile(Own(), images(), rounds=1)) == {"a", "own", "block/c", "block/n", "block/r"}
    assert names(explain.profile(lambda x: ops.exp(x) + 1, images(), rounds=1)) == {"(other)"}
    assert names(explain.profile(layers.Dense(4, name="d"), images(), rounds=1)) == {"d"}


def test_training_has_the_backward_side_too():
    model = network()
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    before = [np.array(v) for v in model.variables]
    found = explain.profile(model, images(), np.eye(6, dtype="float32")[:2], rounds=2)
    layered = {"block/c", "block/n", "pool", "own/inside", "top"}
    wanted = layered | {f"{name} (gradient)" for name in layered} | {"(loss)", "(optimizer)", "(metrics)", "drop"}
    assert wanted <= names(found)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.variables, strict=True))


# (layer, input shape without batch, multiplications and additions for a batch of 2 by hand)
ARITHMETIC = [
    (lambda: layers.Conv2D(8, 3, activation="relu"), (10, 10, 4), 2 * 2 * 8 * 8 * 8 * 9 * 4),
    (lambda: layers.Conv2D(8, 5, strides=2, padding="same"), (9, 9, 4), 2 * 2 * 5 * 5 * 8 * 25 * 4),
    (lambda: layers.Conv2D(32, 3, padding="same"), (32, 32, 32), 2 * 2 * 32 * 32 * 32 * 9 * 32),  # Winograd
    (lambda: layers.Conv2D(8, 3, groups=2), (10, 10, 4), 2 * 2 * 8 * 8 * 8 * 9 * 2),
    (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (10, 10, 4), 2 * 2 * 8 * 8 * 8 * 9),
    (lambda: layers.Conv1D(8, 7), (20, 3), 2 * 2 * 14 * 8 * 7 * 3),
    (lambda: layers.Conv2DTranspose(8, 2, strides=2), (5, 5, 4), 2 * 2 * 5 * 5 * 8 * 4 * 4),
    (lambda: layers.Dense(7), (5, 3), 2 * 2 * 5 * 7 * 3),
    (lambda: layers.ReLU(), (5, 3), 0),
]


@pytest.mark.parametrize(("make", "shape", "flops"), ARITHMETIC)
def test_arithmetic_by_hand(make, shape, flops):
    x = np.ones((2, *shape), np.float32)
    assert explain.profile(make(), x, rounds=1).flops == flops


def test_a_step_of_training_has_both_gradients():
    """The first layer has the kernel's gradient, the second also that of its input."""
    model = keras.Sequential([layers.Input((10, 10, 4)), layers.Conv2D(8, 3, name="a"), layers.Conv2D(6, 1, name="b")])
    model.compile("sgd", "mse")
    found = explain.profile(model, np.ones((2, 10, 10, 4), "float32"), np.ones((2, 8, 8, 6), "float32"), rounds=1)
    flops = {row.name: row.flops for row in found.layers if row.flops}
    a, b = 2 * 2 * 8 * 8 * 8 * 9 * 4, 2 * 2 * 8 * 8 * 6 * 8
    assert flops == {"a": a, "b": b, "a (gradient)": a, "b (gradient)": 2 * b}


def test_bytes_by_hand():
    found = explain.profile(layers.MaxPooling2D(2), np.ones((3, 8, 8, 5), np.float32), rounds=1)
    assert (found.layers[0].read, found.layers[0].written) == (4 * 3 * 64 * 5, 4 * 3 * 16 * 5)
    model = keras.Sequential([layers.Input((4,)), layers.Dense(32, use_bias=False)])
    assert explain.profile(model, np.ones((1, 4), "float32"), rounds=1).kept_bytes == 4 * 32 * 4  # one packed copy


def test_times_add_up():
    """In a single round the steps lie within the call, and most of a large call is in its steps."""
    found = explain.profile(layers.Conv2D(64, 3), np.ones((4, 64, 64, 64), np.float32), rounds=1)
    assert all(row.seconds > 0 for row in found.layers)
    assert 0.3 * found.call_seconds < found.seconds <= found.call_seconds
    assert found.layers[0].gflops == pytest.approx(found.flops / found.seconds / 1e9)
    assert found.peak_gflops > 1 and found.threads == keras.config.num_threads()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: explain.profile(m, images(), rounds=0), "rounds"),
        (lambda m: explain.profile(m, images(), np.ones(2)), "not compiled"),
        (lambda m: explain.profile(lambda x: 1 if x else 2, images()), "cannot become a plan"),
        (lambda m: explain.profile(m, np.ones((2, 12, 12, 5), "float32")), "12, 12, 3"),
    ],
)
def test_wrong_uses(call, text):
    with pytest.raises(ValueError, match=text):
        call(network())


def test_another_engine_has_no_plan():
    with engines.use("reference"), pytest.raises(ValueError, match="native"):
        explain.profile(layers.ReLU(), images())


def test_timed_steps_compute_the_same():
    steps = [
        ("elementwise", [(0, (5,), "float32")], [(1, (5,), "float32")], ints, floats) for ints, floats in [_relu()]
    ]
    program = kernels.Program(steps, 2)
    x, y = np.array([-1, 2, -3, 4, 5], "float32"), np.empty(5, "float32")
    addresses = np.array([x.ctypes.data, y.ctypes.data], np.int64)
    times = program.run_timed(addresses)
    assert len(times) == 1 and times[0] > 0
    assert y.tolist() == [0, 2, 0, 4, 5]
    assert program.run_timed(addresses, 1, 1) == []
    with pytest.raises(IndexError):
        program.run_timed(addresses, 0, 2)
    with pytest.raises(ValueError, match="address"):
        program.run_timed(np.zeros(2, np.int64))


def _relu():
    return attributes.elementwise(1, [("relu", [0], ())])


# ------------------------------------------------------------------------------------------------------- the command


def striate(*args: str | Path, cwd: Path, columns: int = 80) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "striate", "bench", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, "COLUMNS": str(columns)})


def saved(folder: Path) -> Path:
    model = keras.Sequential(
        [layers.Input((8, 8, 3)), layers.Conv2D(4, 3, activation="relu", name="a_layer_with_quite_a_long_name_indeed"),
         layers.Flatten(), layers.Dense(5, name="top")], name="small",
    )  # fmt: skip
    model.save(folder / "small.keras")
    return folder / "small.keras"


def test_the_table_fits_a_narrow_terminal(tmp_path: Path) -> None:
    done = striate(saved(tmp_path), "--batch", "2", "--rounds", "2", "--threads", "1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("small, batch 2, 1 threads")
    rows = {line.split()[0]: line for line in lines[2:5]}
    assert list(rows)[1:] == ["top", "total"] and "few" in lines[2] and "a_layer" in lines[2]
    wide = striate("small.keras", "--rounds", "1", cwd=tmp_path, columns=140)
    assert "a_layer_with_quite_a_long_name_indeed" in wide.stdout, wide.stderr


def test_json(tmp_path: Path) -> None:
    done = striate(saved(tmp_path), "--json", "--train", "mse", "--rounds", "1", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (found["model"], found["batch"], found["rounds"]) == ("small", 1, 1)
    conv = next(row for row in found["layers"] if row["name"].startswith("a_layer"))
    assert conv["flops"] == 2 * 6 * 6 * 4 * 9 * 3
    assert {"name", "seconds", "gflops", "algorithm", "read", "written", "steps"} <= set(conv)
    assert sum(s["seconds"] for s in conv["steps"]) == pytest.approx(conv["seconds"])
    assert any(row["name"] == "top (gradient)" for row in found["layers"])


MISTAKES = [
    (dict(model="nowhere.keras"), "there is no file"),
    (dict(model="note.txt"), "is not a model's file"),
    (dict(model="broken.keras"), "can't be loaded"),
    (dict(model="vgg91"), "Did you mean 'vgg19'"),
    (dict(model="vgg16", batch=0), "--batch must be at least 1"),
    (dict(model="vgg16", rounds=0), "--rounds must be at least 1"),
    (dict(model="vgg16", threads=0), "--threads must be at least 1"),
    (dict(model="vgg16", size="224x224x"), "is no size"),
    (dict(model="small.keras", size="8x8x4"), "can't run"),
    (dict(model="small.keras", loss="nothing"), "there is no loss 'nothing'"),
    (dict(model="open.keras"), "Give --input HxWxC"),
]


@pytest.mark.parametrize(("options", "text"), MISTAKES)
def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path)
    for name in ("note.txt", "broken.keras"):
        Path(name).write_text("nonsense")
    keras.Sequential([layers.Input((None, None, 3)), layers.Conv2D(4, 3)]).save("open.keras")
    with pytest.raises(UserError, match=text) as caught:
        bench.run_bench(bench.Options(**options))
    assert len(str(caught.value).splitlines()) == 1


def test_applications_go_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"vgg16", "vgg19"} <= set(bench.known_applications())
    made = []
    monkeypatch.setattr(
        bench, "known_applications", lambda: {"vgg19": lambda **kwargs: made.append(kwargs) or network()}
    )
    monkeypatch.setattr(bench, "show", lambda found, title, batch: made.append((title, batch)))
    bench.run_bench(bench.Options("VGG-19", 3, rounds=1, top=False))
    assert made == [{"weights": None, "include_top": False, "input_shape": (224, 224, 3)}, ("network", 3)]


def test_ctrl_c_ends_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(explain, "profile", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit) as caught:
        bench.run_bench(bench.Options(str(saved(tmp_path))))
    assert caught.value.code == 130
    assert capsys.readouterr().err.strip().endswith("striate: interrupted")


def test_what_a_gradient_s_algorithm_is_called() -> None:
    shown = {
        name: bench_table._plain(name) for name in ("kernel_grad", "kernel_grad_winograd4", "input_grad", "direct")
    }
    assert shown == {
        "kernel_grad": "direct", "kernel_grad_winograd4": "winograd4", "input_grad": "direct", "direct": "direct",
    }  # fmt: skip


def test_a_file_opens_in_a_process_that_has_loaded_nothing(tmp_path: Path) -> None:
    source = f"import striate\nprint(striate.saving.load_model({str(saved(tmp_path))!r}).name)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("small\n", "")
