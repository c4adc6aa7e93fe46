"""Whole models as files: to and from real Keras, custom objects, and what a kill in the middle leaves."""

from __future__ import annotations

import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import striate
from striate.saving import load_model, save_model
from tests.saving_models import functional, many_ops, same, scrambled, sequential, subclassed, two_ends, x_for

MAKERS = [functional, sequential, subclassed, two_ends]
layers = striate.layers


def quiet(save: Any, *args: Any, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return save(*args, **kwargs)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("zipped", [True, False])
def test_keras_opens_ours(make: Any, zipped: bool, tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    if make is subclassed:
        make(real_keras)
    path = tmp_path / ("m.keras" if zipped else "m")
    ours = scrambled(make(striate))
    ours.save(path, zipped=zipped)
    theirs = real_keras.saving.load_model(path)
    same(ours.predict(x_for(make), verbose=0), theirs.predict(x_for(make), verbose=0))
    again = load_model(path)
    same(ours.predict(x_for(make), verbose=0), again.predict(x_for(make), verbose=0), 0)
    assert again.name == ours.name


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("zipped", [True, False])
def test_we_open_theirs(make: Any, zipped: bool, tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    if make is subclassed:
        make(striate)
    path = tmp_path / ("m.keras" if zipped else "m")
    theirs = scrambled(make(real_keras))
    theirs.save(path, zipped=zipped)
    ours = load_model(path)
    same(ours.predict(x_for(make), verbose=0), theirs.predict(x_for(make), verbose=0))
    ours.save(tmp_path / "back.keras")
    back = real_keras.saving.load_model(tmp_path / "back.keras")
    same(back.predict(x_for(make), verbose=0), theirs.predict(x_for(make), verbose=0), 0)


@pytest.mark.parametrize("make", [sequential, two_ends])
def test_legacy_files_both_ways(make: Any, tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    ours, theirs = scrambled(make(striate)), scrambled(make(real_keras), 1)
    quiet(ours.save, tmp_path / "ours.h5")
    quiet(theirs.save, tmp_path / "theirs.h5")
    for path, model in (("ours.h5", ours), ("theirs.h5", theirs)):
        for load in (real_keras.saving.load_model, load_model):
            loaded = quiet(load, tmp_path / path, compile=False)
            same(loaded.predict(x_for(make), verbose=0), model.predict(x_for(make), verbose=0))


def test_a_legacy_file_with_ops_comes_back(tmp_path: pathlib.Path) -> None:
    ours = scrambled(functional(striate))
    quiet(ours.save, tmp_path / "m.h5")
    same(
        quiet(load_model, tmp_path / "m.h5").predict(x_for(functional), verbose=0),
        ours.predict(x_for(functional), verbose=0),
        0,
    )


@pytest.mark.parametrize("make", [functional, sequential, two_ends])
def test_json_both_ways(make: Any, real_keras: ModuleType) -> None:
    ours, theirs = scrambled(make(striate)), scrambled(make(real_keras))
    for text in (ours.to_json(), theirs.to_json()):
        for module in (striate, real_keras):
            model = scrambled(module.models.model_from_json(text))
            same(model.predict(x_for(make), verbose=0), ours.predict(x_for(make), verbose=0))


def test_calls_of_ops_both_ways(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    ours, theirs = many_ops(striate), many_ops(real_keras)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    x = x_for(many_ops)
    wanted = [np.asarray(y) for y in theirs(x)]
    for load, name in ((load_model, "theirs"), (real_keras.saving.load_model, "ours"), (load_model, "ours")):
        got = load(tmp_path / f"{name}.keras")(x)
        for i, (a, b) in enumerate(zip(got, wanted, strict=True)):
            np.testing.assert_allclose(np.asarray(a), b, rtol=1e-4, atol=1e-5, err_msg=f"output {i}, {name}")


def test_members_are_those_of_keras(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    for keras, name in ((striate, "a.keras"), (real_keras, "b.keras")):
        sequential(keras).save(tmp_path / name)
    found = [zipfile.ZipFile(tmp_path / name) for name in ("a.keras", "b.keras")]
    assert found[0].namelist() == found[1].namelist()
    assert [i.compress_type for i in found[0].infolist()] == [0, 0, 0]
    ours, theirs = (json.loads(z.read("metadata.json")) for z in found)
    assert set(ours) == set(theirs)
    assert ours["keras_version"] == theirs["keras_version"]


def test_files_in_memory(real_keras: ModuleType) -> None:
    file = io.BytesIO()
    model = scrambled(sequential(striate))
    model.save(file)
    file.seek(0)
    same(load_model(file)(x_for(sequential)), model(x_for(sequential)), 0)


def test_weights_are_taken_from_whole_models(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    theirs, ours = scrambled(functional(real_keras)), functional(striate)
    theirs.save(tmp_path / "m.keras")
    ours.load_weights(tmp_path / "m.keras")
    same(ours.predict(x_for(functional), verbose=0), theirs.predict(x_for(functional), verbose=0))


def test_bfloat16_weights_of_keras_become_float32(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    theirs = real_keras.Sequential([real_keras.Input((3,)), real_keras.layers.Dense(2, dtype="bfloat16")])
    ours = striate.Sequential([striate.Input((3,)), layers.Dense(2)])
    theirs.save_weights(tmp_path / "m.weights.h5")
    ours.load_weights(tmp_path / "m.weights.h5")
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b.astype("float32"))


# ------------------------------------------------------------------------------------------------------- custom objects


def test_names_overwriting_and_arguments(tmp_path: pathlib.Path) -> None:
    model = sequential(striate)
    save_model(model, tmp_path / "m.keras")
    before = (tmp_path / "m.keras").read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(tmp_path / "m.keras", overwrite=False)
    assert (tmp_path / "m.keras").read_bytes() == before
    for path, options, problem in (
        ("m.pb", {}, "Invalid filepath extension"),
        ("m", {}, "Invalid filepath extension"),
        ("m.keras", {"zipped": False}, "zipped=False"),
        ("m.keras", {"odd": 1}, "not supported"),
        ("m", {"save_format": "tf"}, "deprecated"),
        ("hf://a/b", {}, "hf://"),
    ):
        with pytest.raises(ValueError, match=problem):
            model.save(path if "://" in path else tmp_path / path, **options)
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]


def test_a_model_that_is_not_built_is_saved_with_a_warning(tmp_path: pathlib.Path) -> None:
    model = striate.Sequential([layers.Dense(2)])
    with pytest.warns(UserWarning, match="not yet been built"):
        model.save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras")(np.ones((1, 3), "float32")).shape == (1, 2)


class Scaled(layers.Layer):
    """Not registered; with a format of its own, a file beside, and a build config of its own."""

    def __init__(self, words: Any = (), inner: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words, self.inner, self.extra = list(words), inner, 0.0

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x: Any) -> Any:
        return x * self.scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "words": self.words, "inner": self.inner}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**{**config, "inner": striate.saving.deserialize_keras_object(config["inner"])})

    def get_build_config(self) -> Any:
        return {"shape": (None, self.scale.shape[0]), "far": True}

    def build_from_config(self, config: Any) -> None:
        self.far = config["far"]
        self.build(config["shape"])

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store["extra"] = np.array(7.0)

    def load_own_variables(self, store: Any) -> None:
        self.extra = float(store["extra"])
        super().load_own_variables({"0": store["0"]})

    def save_assets(self, folder: str) -> None:
        pathlib.Path(folder, "words.txt").write_text(" ".join(self.words))

    def load_assets(self, folder: str) -> None:
        self.words = pathlib.Path(folder, "words.txt").read_text().split()


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_with_formats_of_their_own(zipped: bool, tmp_path: pathlib.Path) -> None:
    path = tmp_path / ("m.keras" if zipped else "m")
    inner = layers.Dense(3, name="inside")
    model = scrambled(striate.Sequential([striate.Input((4,)), Scaled(["a", "b"], inner, name="s"), layers.Dense(2)]))
    model.save(path, zipped=zipped)
    loaded = load_model(path, custom_objects={"Scaled": Scaled})
    layer = loaded.layers[0]
    assert (layer.words, layer.extra, layer.far, layer.inner.name) == (["a", "b"], 7.0, True, "inside")
    x = np.ones((2, 4), "float32")
    same(loaded(x), model(x), 0)
    with striate.saving.custom_object_scope({"Scaled": Scaled}):
        same(load_model(path)(x), model(x), 0)


def test_an_own_format_that_fails_leaves_the_model_unchanged(tmp_path: pathlib.Path) -> None:
    model = striate.Sequential([striate.Input((4,)), layers.Dense(4), Scaled(name="s")])
    model.save_weights(tmp_path / "a.weights.h5")
    other = striate.Sequential([striate.Input((4,)), layers.Dense(4), layers.Dense(1, use_bias=False)])
    other.save_weights(tmp_path / "b.weights.h5")
    os.rename(tmp_path / "b.weights.h5", tmp_path / "c.weights.h5")
    before = model.get_weights()
    Scaled.load_own_variables, kept = _failing, Scaled.load_own_variables  # type: ignore[method-assign]
    try:
        with pytest.raises(ValueError, match="Scaled 's' could not be loaded"):
            model.load_weights(tmp_path / "a.weights.h5")
    finally:
        Scaled.load_own_variables = kept  # type: ignore[method-assign]
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def _failing(self: Any, store: Any) -> None:
    self.scale.assign(np.full(4, 9.0))
    raise RuntimeError("broken")


def test_classes_that_are_not_known(tmp_path: pathlib.Path) -> None:
    class Local(layers.Dense):
        pass

    striate.Sequential([striate.Input((4,)), Local(2)]).save(tmp_path / "m.keras")
    with pytest.raises(TypeError, match=r"Could not locate class 'Local'.*register_keras_serializable.*custom_objects"):
        load_model(tmp_path / "m.keras")
    assert type(load_model(tmp_path / "m.keras", custom_objects={"Local": Local}).layers[0]) is Local


class OfCalls(striate.Model):
    """Without a `build`: its layers are built when it is called, and when it is loaded."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.a, self.rows = layers.Dense(3), [[layers.Dense(2)], {"x": layers.Dense(2)}]

    @property
    def zz(self) -> Any:
        return self.a

    def call(self, x: Any) -> Any:
        x = self.a(x)
        return self.rows[0][0](x) + self.rows[1]["x"](x)


def test_models_without_a_build_are_built_by_a_call(tmp_path: pathlib.Path) -> None:
    model = OfCalls()
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    model(x)
    scrambled(model).save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras", custom_objects={"OfCalls": OfCalls})
    same(loaded(x), model(x), 0)
    loaded.save(tmp_path / "again.keras")
    same(load_model(tmp_path / "again.keras", custom_objects={"OfCalls": OfCalls})(x[:2]), model(x[:2]), 1e-6)


def test_layers_under_another_name_are_found(tmp_path: pathlib.Path) -> None:
    x = np.ones((1, 5), "float32")
    first = OfCalls()
    first(x)
    first.save_weights(tmp_path / "m.weights.h5")

    class Aliased(striate.Model):
        def __init__(self) -> None:
            super().__init__()
            self.a_first = layers.Dense(3)
            self.rows = [[layers.Dense(2)], {"x": layers.Dense(2)}]

        call = OfCalls.call

        @property
        def a(self) -> Any:
            return self.a_first

    second = Aliased()
    second(x)
    second.load_weights(tmp_path / "m.weights.h5")
    same(second(x), first(x), 0)


def test_shared_objects_stay_shared(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    def twice(keras: Any) -> Any:
        dense = keras.layers.Dense(3, name="one")
        x = keras.Input((3,))
        models = [keras.Sequential([keras.Input((3,)), dense], name=name) for name in ("p", "q")]
        return keras.Model(x, models[1](models[0](x)))

    for make, load in (
        (striate, real_keras.saving.load_model),
        (striate, load_model),
    ):  # Keras's own file it can't read
        twice(make).save(tmp_path / "m.keras")
        loaded = load(tmp_path / "m.keras")
        assert loaded.get_layer("p").layers[-1] is loaded.get_layer("q").layers[-1]
        assert len(loaded.weights) == 2


def test_layers_of_keras_still_know_training_from_inference(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    """Keras's configs say `training=False` (or True) in the call of each layer that takes it."""
    x = real_keras.Input((6, 6, 1))
    y = real_keras.layers.Dropout(0.5)(real_keras.layers.RandomFlip()(x))
    real_keras.Model(x, real_keras.layers.BatchNormalization()(y)).save(tmp_path / "m.keras")
    model = load_model(tmp_path / "m.keras")
    image = np.random.default_rng(0).normal(1.0, 1.0, size=(4, 6, 6, 1)).astype("float32")
    same(model.predict(image, verbose=0), image / np.sqrt(1.001), 1e-5)
    shares = np.mean(np.asarray(model.get_layer(index=2)(image, training=True)) == 0)
    assert 0.3 < shares < 0.7
    before = model.get_weights()[2]
    model.compile("sgd", "mse")
    model.train_on_batch(image, image)
    assert np.abs(model.get_weights()[2] - before).max() > 1e-4  # the moving mean
    dropped = striate.Model(model.input, model.layers[2].output)
    assert 0.3 < np.mean(np.asarray(dropped(image, training=True)) == 0) < 0.7
    assert np.mean(np.asarray(dropped(image, training=False)) == 0) == 0


def test_named_functions_in_lambdas(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    def halved(x: Any) -> Any:
        return x / 2

    x = np.ones((2, 3), "float32")
    for keras, load in ((striate, real_keras.saving.load_model), (real_keras, load_model)):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(halved), keras.layers.Lambda(keras.ops.relu)])
        model.save(tmp_path / "m.keras")
        np.testing.assert_array_equal(load(tmp_path / "m.keras", custom_objects={"halved": halved})(x), x / 2)


def test_the_page_on_files_runs() -> None:
    text = (pathlib.Path(__file__).parents[1] / "docs" / "saving.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert blocks
    exec(compile("\n".join(blocks), "docs/saving.md", "exec"), {"__name__": "docs_saving"})


# ------------------------------------------------------------------------------------------------- killed in the middle

WRITER = """
import itertools, sys
import numpy as np
import striate
model = striate.Sequential([striate.Input((600,)), striate.layers.Dense(600), striate.layers.Dense(600)])
for n in itertools.count(1):
    model.set_weights([np.full(w.shape, n, "float32") for w in model.get_weights()])
    model.save(sys.argv[1]) if sys.argv[1].endswith(".keras") else model.save_weights(sys.argv[1])
    print(n, flush=True)
"""


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_a_kill_leaves_the_last_whole_file(name: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / name
    model = striate.Sequential([striate.Input((600,)), layers.Dense(600), layers.Dense(600)])
    rng = np.random.default_rng(0)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        done = int(process.stdout.readline())
        time.sleep(float(rng.uniform(0.0, 0.05)))
        process.send_signal(signal.SIGKILL)
        done = max([done, *(int(line) for line in process.communicate()[0].splitlines() if line.strip())])
        model.load_weights(path)
        values = {float(v) for w in model.get_weights() for v in np.unique(w)}
        assert len(values) == 1
        assert values.pop() in (done, done + 1)
    model.save(path) if name == "m.keras" else model.save_weights(path)  # what is left over is not in the way


def test_a_failed_save_keeps_the_old_file(tmp_path: pathlib.Path) -> None:
    class Failing(layers.Dense):
        def save_own_variables(self, store: Any) -> None:
            raise RuntimeError("disk on fire")

    path = tmp_path / "m.keras"
    sequential(striate).save(path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="disk on fire"):
        striate.Sequential([striate.Input((4,)), Failing(2)]).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]


def test_what_a_kill_left_is_removed_when_it_is_old(tmp_path: pathlib.Path) -> None:
    old, new = tmp_path / ".m.keras.abc.part", tmp_path / ".m.keras.def.part"
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    sequential(striate).save(tmp_path / "m.keras")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".m.keras.def.part", "m.keras"]


def test_a_linked_file_stays_linked(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "m.keras").symlink_to(tmp_path / "real" / "m.keras")
    sequential(striate).save(tmp_path / "m.keras")
    assert (tmp_path / "m.keras").is_symlink()
    assert zipfile.is_zipfile(tmp_path / "real" / "m.keras")
