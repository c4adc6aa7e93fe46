"""`model.export("model.onnx")`: what ONNX Runtime computes from the file is what the model computes."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opspecs_moves  # noqa: F401 - fills the table
import striate as keras
from export_layers import CASES
from opspecs import EXEMPT, SPECS
from random_models import random_model
from saving_models import functional, many_ops, sequential, subclassed, two_ends, x_for
from striate import layers, ops
from striate.cli import app
from striate.layers import InputSpec
from striate.primitives import get

# Gradients' own steps, which an inference has none of, and what ONNX has no operator for.
NO_EQUIVALENT = {
    "avg_pool_grad", "conv_kernel_grad", "erfinv", "max_pool_gather", "max_pool_grad", "max_pool_positions",
    "resize_grad", "unpool",
}  # fmt: skip


def run(path: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What ONNX Runtime computes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = dict(zip([i.name for i in session.get_inputs()], map(np.asarray, arrays), strict=True))
    return session.run(None, given)


def close(found: Any, wanted: Any, rtol: float = 1e-4) -> None:
    wanted = np.asarray(wanted)
    wanted = wanted.astype("float64") if wanted.dtype == object else wanted
    assert found.shape == wanted.shape
    finite = np.abs(wanted[np.isfinite(wanted)]) if wanted.size else wanted
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * float(finite.max(initial=1e-3)))


def exported(model: Any, path: Path, arrays: list[np.ndarray], **kwargs: Any) -> None:
    """Asserts that the file of `model` gives what the model gives for `arrays`."""
    model.export(path, verbose=False, **kwargs)
    wanted = model(arrays if len(arrays) > 1 else arrays[0], training=False)
    for found, y in zip(run(path, arrays), keras.tree.flatten(wanted), strict=True):
        close(found, y)


def kinds(path: Any) -> dict[str, int]:
    """How often each operator stands in the file."""
    found = [node.op_type for node in onnx.load(str(path)).graph.node]
    return {kind: found.count(kind) for kind in sorted(set(found))}


def draw(shape: Any, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 7, shape).astype(dtype) if dtype == "int32" else rng.uniform(0, 1, shape).astype(dtype)


# --- every op and every layer -----------------------------------------------------------------------------------------


class One(keras.Model):
    """A model of one primitive."""

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__()
        self.primitive, self.params = get(name), params

    def call(self, inputs: Any) -> Any:
        return self.primitive(*(inputs if isinstance(inputs, list | tuple) else [inputs]), **self.params)


@pytest.mark.parametrize("name", sorted(set(SPECS) - NO_EQUIVALENT))
def test_every_op(name: str, tmp_path: Path) -> None:
    @settings(max_examples=4)
    @given(st.data())
    def check(data: Any) -> None:
        inputs, params = SPECS[name].sample(data.draw)
        arrays = [a.astype("float32") if a.dtype == np.float64 else a for a in inputs]
        specs = [InputSpec(shape=a.shape, dtype=str(a.dtype)) for a in arrays]
        One(name, params).export(tmp_path / "m.onnx", verbose=False, input_signature=specs)
        wanted = SPECS[name].truth(*(a.astype("float64") if a.dtype == np.float32 else a for a in arrays), **params)
        for found, y in zip(run(tmp_path / "m.onnx", arrays), wanted if isinstance(wanted, tuple) else [wanted]):
            if name == "max_pool":  # there the maximum of nothing but padding is the lowest number
                found = np.where((y == -np.inf) & (found == np.finfo("float32").min), y, found)
            close(found, y, 2e-4)

    check()


@pytest.mark.parametrize("name", sorted(NO_EQUIVALENT))
def test_ops_without_an_equivalent_say_so(name: str, tmp_path: Path) -> None:
    @settings(max_examples=1)
    @given(st.data())
    def check(data: Any) -> None:
        inputs, params = SPECS[name].sample(data.draw)
        specs = [InputSpec(shape=a.shape, dtype=str(a.dtype)) for a in inputs]
        with pytest.raises(NotImplementedError, match=f"'{name}' has no equivalent in ONNX"):
            One(name, params).export(tmp_path / "m.onnx", verbose=False, input_signature=specs)

    check()
    assert list(tmp_path.iterdir()) == []


def test_no_op_is_forgotten() -> None:
    assert set(SPECS) >= NO_EQUIVALENT and "cond" in EXEMPT


@pytest.mark.parametrize("name", list(CASES))
def test_every_layer(name: str, tmp_path: Path) -> None:
    make, shapes, dtype = CASES[name]
    inputs = [keras.Input(shape, dtype=dtype) for shape in shapes]
    layer = make()
    model = keras.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
    for seed, weight in enumerate(w for w in model.weights if "float" in w.dtype):
        weight.assign(draw(weight.shape, seed=seed) + 0.1)
    exported(model, tmp_path / "m.onnx", [draw((3, *shape), dtype, i) for i, shape in enumerate(shapes)])


def test_no_layer_is_forgotten() -> None:
    tested = {type(make()) for make, _, _ in CASES.values()}
    public = {getattr(layers, name) for name in dir(layers) if name[0].isupper()}
    assert {k.__name__ for k in public if isinstance(k, type)} - {k.__name__ for k in tested} == {
        "InputLayer", "InputSpec", "Layer", "Wrapper",
    }  # fmt: skip


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_models(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    model, arrays = random_model(seed)
    exported(model, tmp_path_factory.mktemp("models") / "m.onnx", arrays if isinstance(arrays, list) else [arrays])


# --- whole models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [functional, sequential, two_ends, many_ops], ids=lambda m: m.__name__)
def test_models(make: Any, tmp_path: Path) -> None:
    model, x = make(keras), x_for(make)
    arrays = keras.tree.flatten(x)
    model.export(tmp_path / "m.onnx", verbose=False)
    for found, y in zip(run(tmp_path / "m.onnx", arrays), keras.tree.flatten(model(x)), strict=True):
        close(found, y)


def test_results_that_are_inputs_weights_or_there_twice(tmp_path: Path) -> None:
    x = keras.Input((3,))
    y = layers.Dense(2, name="d")(x)
    exported(keras.Model(x, [x, y, y, layers.ReLU()(y)]), tmp_path / "m.onnx", [draw((4, 3))])


def test_a_model_class(tmp_path: Path) -> None:
    exported(subclassed(keras), tmp_path / "m.onnx", [draw((7, 4))])


def test_an_image_network_is_transposed_at_its_ends_only(tmp_path: Path) -> None:
    model = keras.applications.MobileNetV2(input_shape=(64, 64, 3), weights=None, alpha=0.35)
    exported(model, tmp_path / "m.onnx", [draw((2, 64, 64, 3))])
    found = kinds(tmp_path / "m.onnx")
    assert found["Transpose"] == 1 and found["Conv"] == 52 and "BatchNormalization" not in found
    assert set(found) == {"Add", "Clip", "Conv", "MatMul", "ReduceMean", "Softmax", "Transpose"}


def test_names(tmp_path: Path) -> None:
    x = keras.Input((4, 4, 1), name="picture")
    model = keras.Model(x, [layers.Conv2D(2, 3, name="c")(x), layers.Flatten(name="flat")(x)])
    model.export(tmp_path / "m.onnx", verbose=False)
    graph = onnx.load(str(tmp_path / "m.onnx")).graph
    assert [i.name for i in graph.input] == ["picture"] and [o.name for o in graph.output] == ["c", "flat"]
    assert {i.name for i in graph.initializer} >= {"c/kernel", "c/bias"}
    assert {"c/Conv", "flat/Reshape"} <= {node.name.partition("/")[2] for node in graph.node}


# --- unknown sizes ----------------------------------------------------------------------------------------------------


def u_net(keras: Any) -> Any:
    x = keras.Input((None, None, 2))
    down = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    low = layers.Conv2D(6, 3, strides=2, padding="same")(down)
    up = layers.Conv2DTranspose(4, 2, strides=2)(low)
    merged = layers.Concatenate()([down, layers.UpSampling2D(2)(layers.MaxPooling2D()(up))])
    return keras.Model(x, layers.Conv2D(1, 1, activation="sigmoid")(merged))


@pytest.mark.parametrize("size", [(8, 8), (12, 20), (64, 30)])
def test_open_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    model = u_net(keras)
    exported(model, tmp_path / "m.onnx", [draw((2, *size, 2))])
    shape = onnx.load(str(tmp_path / "m.onnx")).graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in shape] == [0, 0, 0, 2] and shape[0].dim_param == "batch"


@pytest.mark.parametrize("size", [(8, 8), (9, 10), (13, 7)])
@pytest.mark.parametrize("kind", ["Conv2D", "MaxPooling2D", "AveragePooling2D"])
def test_padding_that_follows_from_the_size(kind: str, size: tuple[int, int], tmp_path: Path) -> None:
    layer = layers.Conv2D(3, 3, strides=2, padding="same") if kind == "Conv2D" else getattr(layers, kind)(
        3, strides=2, padding="same")  # fmt: skip
    model = keras.Sequential([keras.Input((None, None, 2)), layer, layers.GlobalAveragePooling2D(), layers.Dense(2)])
    exported(model, tmp_path / "m.onnx", [draw((2, *size, 2))])


def test_what_follows_from_an_open_size_otherwise(tmp_path: Path) -> None:
    x = keras.Input((None, 6, 3))
    model = keras.Model(x, layers.Resizing(4, 4, interpolation="bicubic", antialias=True)(x))
    with pytest.raises(ValueError, match=r"unknown.*input_signature=\[InputSpec"):
        model.export(tmp_path / "m.onnx", verbose=False)
    exported(model, tmp_path / "m.onnx", [draw((1, 5, 6, 3))], input_signature=[InputSpec(shape=(None, 5, 6, 3))])


def test_a_program_that_looks_at_sizes(tmp_path: Path) -> None:
    class Odd(keras.Model):
        def call(self, x: Any) -> Any:
            return x + 1 if x.shape[0] % 2 else x * 2

    model = Odd()
    with pytest.raises(ValueError, match="other sizes"):
        model.export(tmp_path / "m.onnx", verbose=False, input_signature=[InputSpec(shape=(None, 3))])
    exported(model, tmp_path / "m.onnx", [draw((3, 3))], input_signature=[InputSpec(shape=(3, 3))])


# --- branches, loops, numbers of other kinds --------------------------------------------------------------------------


class Controlled(keras.Model):
    """A branch in a loop, with values from outside in both."""

    def build(self, shape: Any) -> None:
        self.w = self.add_weight(shape=(3,), initializer="ones", name="w")

    def call(self, x: Any) -> Any:
        def body(i: Any, y: Any) -> Any:
            return i + 1, ops.cond(ops.sum(y) > 0, lambda: y * 0.5 + self.w, lambda: y - x[:, :3])

        return ops.while_loop(lambda i, y: i < 5, body, (0, x), maximum_iterations=4)[1]


@pytest.mark.parametrize("start", [-1.0, 1.0])
def test_branches_and_loops(start: float, tmp_path: Path) -> None:
    model = Controlled()
    x = np.full((2, 3), start, "float32")
    model(x)
    exported(model, tmp_path / "m.onnx", [x], input_signature=[InputSpec(shape=(2, 3))])
    assert {"Loop"} <= set(kinds(tmp_path / "m.onnx"))


def test_mixed_precision(tmp_path: Path) -> None:
    row = [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, dtype="mixed_float16"), layers.Flatten(), layers.Dense(2)]
    model = keras.Sequential(row)
    model.export(tmp_path / "m.onnx", verbose=False)
    x = draw((2, 8, 8, 3))
    close(run(tmp_path / "m.onnx", [x])[0], model(x), 2e-2)


def test_random_numbers_are_refused(tmp_path: Path) -> None:
    class Noisy(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.seeds = keras.random.SeedGenerator(3)

        def call(self, x: Any) -> Any:
            return x + keras.random.normal((3,), seed=self.seeds)

    with pytest.raises(NotImplementedError, match=r"each call changes the variable .*seed_generator_state"):
        Noisy().export(tmp_path / "m.onnx", verbose=False, input_signature=[InputSpec(shape=(2, 3))])


# --- the file ---------------------------------------------------------------------------------------------------------


def small() -> Any:
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, name="d"), layers.Dense(2)])


def test_more_than_two_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.exporting.files.LARGEST", 50)
    model = small()
    exported(model, tmp_path / "m.onnx", [draw((5, 4))])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    os.rename(tmp_path, tmp_path.with_name("elsewhere"))
    close(run(tmp_path.with_name("elsewhere") / "m.onnx", [draw((5, 4))])[0], model(draw((5, 4))))


def test_a_file_that_is_there_stays_if_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    small().export(path, verbose=False)
    before = path.read_bytes()
    monkeypatch.setattr("onnx.checker.check_model", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        small().export(path, verbose=False)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize("opset", [19, 20, 21])
def test_operator_sets(opset: int, tmp_path: Path) -> None:
    exported(small(), tmp_path / "m.onnx", [draw((5, 4))], opset_version=opset)
    assert onnx.load(str(tmp_path / "m.onnx")).opset_import[0].version == opset


def test_it_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small().export(tmp_path / "m.onnx")
    assert capsys.readouterr().out == f"Saved artifact at '{tmp_path / 'm.onnx'}'.\n"


@pytest.mark.parametrize(
    ("kwargs", "problem"),
    [
        ({"format": "tf_saved_model"}, "exported as ONNX files.*format='tf_saved_model'"),
        ({"filepath": "m.pb"}, r"exported as ONNX files.*m\.pb.*model\.export\('model\.onnx'\)"),
        ({"filepath": 3}, "filepath must be a path"),
        ({"opset_version": 7}, "opset_version must lie between 19 and"),
        ({"input_signature": [3]}, "`input_signature` must hold objects with `shape`"),
    ],
)
def test_wrong_uses(kwargs: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=problem):
        small().export(**({"filepath": tmp_path / "m.onnx"} | kwargs))
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_nobody_has_described(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing says what the model 'one\w*' takes.*input_signature"):
        One("relu", {}).export(tmp_path / "m.onnx")


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'striate\[onnx\]'"):
        small().export(tmp_path / "m.onnx")


# --- the command line and the page ------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    model = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(2, 3), layers.GlobalMaxPooling2D()])
    model.save("m.keras")
    for size in ((), ("--input", "7x6x1")):
        monkeypatch.setattr(sys, "argv", ["striate", "export", "m.keras", "m.onnx", *size])
        with pytest.raises(SystemExit) as ended:
            app.main()
        assert ended.value.code in (0, None) and capsys.readouterr().out == "m.onnx: 0.0 MB\n"
        close(run("m.onnx", [draw((2, 7, 6, 1))])[0], model(draw((2, 7, 6, 1))))
    assert len(onnx.load("m.onnx").graph.input[0].type.tensor_type.shape.dim[1].dim_param) == 0


@pytest.mark.parametrize(
    ("args", "problem"), [(("Conv2D(3, 3)", "m.onnx"), "is a layer"), (("none.keras", "m.onnx"), "there is no file")]
)
def test_mistakes_on_the_command_line(
    args: tuple[str, ...], problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["striate", "export", *args])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2 and problem in capsys.readouterr().err


def test_the_page_runs() -> None:
    text = (Path(__file__).parents[1] / "docs" / "onnx.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) == 2
    exec(compile("\n".join(blocks), "docs/onnx.md", "exec"), {"__name__": "docs_onnx"})
