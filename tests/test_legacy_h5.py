"""Weight files in the layout of Keras 1 and 2: those that real Keras writes, older ones made by h5py, and bad ones."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

from striate.saving import h5, load_weights, save_weights
from striate.saving.legacy_h5 import load_weights_from_hdf5, save_weights_to_hdf5


class FakeVariable:
    """What the reader needs of a variable."""

    def __init__(self, path: str, shape: tuple[int, ...], trainable: bool = True, dtype: str = "float32") -> None:
        self.path, self.name, self.trainable = path, path.rsplit("/", 1)[-1], trainable
        self.array = np.full(shape, 7, dtype)
        self.fails = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def numpy(self) -> np.ndarray:
        return self.array

    def assign(self, value: np.ndarray) -> None:
        if self.fails:
            self.fails = False
            raise RuntimeError("assign failed")
        assert np.shape(value) == self.shape
        self.commit(np.array(value, self.array.dtype))

    def commit(self, array: np.ndarray) -> None:
        self.array = array


class FakeLayer:
    def __init__(self, name: str, *weights: FakeVariable) -> None:
        self.name, self.weights, self.built = name, list(weights), True

    @property
    def trainable_weights(self) -> list[FakeVariable]:
        return [v for v in self.weights if v.trainable]

    @property
    def non_trainable_weights(self) -> list[FakeVariable]:
        return [v for v in self.weights if not v.trainable]


class FakeModel(FakeLayer):
    def __init__(self, *layers: FakeLayer, own: tuple[FakeVariable, ...] = ()) -> None:
        super().__init__("fake", *own, *(v for layer in layers for v in layer.weights))
        self.layers = list(layers)


def conv(name: str, kernel: tuple[int, ...] = (3, 3, 3, 4)) -> FakeLayer:
    return FakeLayer(name, FakeVariable(f"{name}/kernel", kernel), FakeVariable(f"{name}/bias", kernel[-1:]))


def small_model() -> FakeModel:
    """An input, two convolutions around a pooling layer, as at the beginning of VGG."""
    return FakeModel(FakeLayer("input_1"), conv("block1_conv1"), FakeLayer("pool"), conv("block1_conv2", (3, 3, 4, 4)))


def old_file(path: pathlib.Path, group: str = "", seed: int = 0) -> dict[str, np.ndarray]:
    """A file as the official VGG ones are: `block1_conv1` holds `block1_conv1_W_1:0` and `block1_conv1_b_1:0`."""
    rng, values = np.random.default_rng(seed), {}
    with h5py.File(path, "w") as file:
        root = file.create_group(group) if group else file
        root.attrs["layer_names"] = [b"input_1", b"block1_conv1", b"pool", b"block1_conv2"]
        for name in ("input_1", "pool"):
            root.create_group(name).attrs["weight_names"] = np.zeros(0)
        for name, channels in (("block1_conv1", 3), ("block1_conv2", 4)):
            below = root.create_group(name)
            below.attrs["weight_names"] = [f"{name}_W_1:0".encode(), f"{name}_b_1:0".encode()]
            for ending, shape in (("W", (3, 3, channels, 4)), ("b", (4,))):
                values[f"{name}_{ending}"] = rng.normal(size=shape).astype("float32")
                below[f"{name}_{ending}_1:0"] = values[f"{name}_{ending}"]
    return values


def assert_loaded(model: FakeModel, values: dict[str, np.ndarray]) -> None:
    for variable, value in zip(model.weights, values.values(), strict=True):
        np.testing.assert_array_equal(variable.array, value)


def assert_unchanged(model: FakeModel) -> None:
    for variable in model.weights:
        assert (variable.array == 7).all(), variable.path


# ----------------------------------------------------------------------------------------------------------- good files


@pytest.mark.parametrize("group", ["", "model_weights"])
def test_the_older_layout(tmp_path: pathlib.Path, group: str) -> None:
    values, model = old_file(tmp_path / "w.h5", group), small_model()
    load_weights_from_hdf5(tmp_path / "w.h5", model)
    assert_loaded(model, values)


def test_weight_names_that_are_paths(tmp_path: pathlib.Path) -> None:
    values = old_file(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        for name in ("block1_conv1", "block1_conv2"):
            group = file[name]
            group.attrs["weight_names"] = [f"{name}/{name}_{e}_1:0".encode() for e in "Wb"]
            for ending in "Wb":
                group.move(f"{name}_{ending}_1:0", f"{name}/{name}_{ending}_1:0")
    model = small_model()
    load_weights_from_hdf5(tmp_path / "w.h5", model)
    assert_loaded(model, values)


@pytest.mark.parametrize("suffix", ["h5", "hdf5"])
def test_whatever_real_keras_saves_as_h5(tmp_path: pathlib.Path, suffix: str, real_keras: ModuleType) -> None:
    layers = real_keras.layers
    real = real_keras.Sequential(
        [real_keras.Input((6, 6, 3)), layers.Conv2D(4, 3, name="b_conv"), layers.BatchNormalization(name="a_norm"),
         layers.Flatten(), layers.Dense(5, name="top")]
    )  # fmt: skip
    real.set_weights([np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(real.get_weights())])
    real.save(tmp_path / f"m.{suffix}")
    model = FakeModel(*(FakeLayer(x.name, *(copy_of(v) for v in x.weights)) for x in real.layers))
    load_weights(model, tmp_path / f"m.{suffix}")
    for ours, theirs in zip(model.weights, real.get_weights(), strict=True):
        np.testing.assert_array_equal(ours.array, theirs)


def copy_of(variable: Any) -> FakeVariable:
    return FakeVariable(variable.path, tuple(variable.shape), variable.trainable, variable.dtype)


def test_real_keras_reads_what_is_written_here(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    layers = real_keras.layers
    real = real_keras.Sequential([real_keras.Input((6, 6, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()])
    model = FakeModel(*(FakeLayer(x.name, *(copy_of(v) for v in x.weights)) for x in real.layers))
    for i, variable in enumerate(model.weights):
        variable.array = np.random.default_rng(i).normal(size=variable.shape).astype("float32")
    save_weights_to_hdf5(tmp_path / "w.h5", model)
    real.load_weights(tmp_path / "w.h5")
    for ours, theirs in zip(model.weights, real.get_weights(), strict=True):
        np.testing.assert_array_equal(ours.array, theirs)


def test_trainable_weights_come_first(tmp_path: pathlib.Path) -> None:
    """A layer that makes a non-trainable weight first: the file has the trainable one first."""
    make = lambda: FakeModel(FakeLayer("x", FakeVariable("x/state", (2,), False), FakeVariable("x/kernel", (2,))))  # noqa: E731
    model = make()
    model.weights[0].array[:], model.weights[1].array[:] = 1, 2
    save_weights_to_hdf5(tmp_path / "w.h5", model)
    with h5py.File(tmp_path / "w.h5") as file:
        assert list(file["x"].attrs["weight_names"]) == [b"x/kernel", b"x/state"]
    other = make()
    load_weights_from_hdf5(tmp_path / "w.h5", other)
    assert [float(v.array[0]) for v in other.weights] == [1, 2]


def test_long_lists_of_names_are_cut_into_chunks_both_ways(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    def make() -> FakeModel:
        names = [f"layer_{i:05d}_{'x' * 180}" for i in range(800)]  # 800 x 192 bytes
        return FakeModel(*(FakeLayer(name, FakeVariable(f"{name}/w", (1,))) for name in names))

    model = make()
    for i, variable in enumerate(model.weights):
        variable.array[:] = i
    save_weights_to_hdf5(tmp_path / "w.h5", model)
    with h5py.File(tmp_path / "w.h5") as file:
        assert "layer_names" not in file.attrs and "layer_names2" in file.attrs
        assert all(file.attrs[f"layer_names{i}"].nbytes <= 64512 for i in range(3))
        format_of_keras = real_keras.src.legacy.saving.legacy_h5_format
        assert format_of_keras.load_attributes_from_hdf5_group(file, "layer_names") == [x.name for x in model.layers]
    other = make()
    load_weights_from_hdf5(tmp_path / "w.h5", other)
    assert [int(v.array[0]) for v in other.weights] == list(range(800))


def test_weights_of_the_model_itself(tmp_path: pathlib.Path) -> None:
    def make() -> FakeModel:
        return FakeModel(conv("a"), own=(FakeVariable("fake/scale", (2,)),))

    model = make()
    model.weights[0].array[:] = 3
    save_weights_to_hdf5(tmp_path / "w.h5", model)
    other = make()
    load_weights_from_hdf5(tmp_path / "w.h5", other)
    assert (other.weights[0].array == 3).all()
    with pytest.raises(ValueError, match="the model itself has 0 weights"):
        load_weights_from_hdf5(tmp_path / "w.h5", FakeModel(conv("a")))


def test_by_name_takes_what_both_have(tmp_path: pathlib.Path) -> None:
    values = old_file(tmp_path / "w.h5")
    model = FakeModel(conv("block1_conv2", (3, 3, 4, 4)), conv("mine"))
    load_weights_from_hdf5(tmp_path / "w.h5", model, by_name=True)
    np.testing.assert_array_equal(model.weights[0].array, values["block1_conv2_W"])
    assert (model.weights[2].array == 7).all()


def test_skip_mismatch_leaves_out_what_differs(tmp_path: pathlib.Path) -> None:
    values = old_file(tmp_path / "w.h5")
    model = FakeModel(conv("block1_conv1"), conv("block1_conv2", (1, 1, 4, 4)))
    with pytest.warns(UserWarning, match=r"'block1_conv2/kernel' has shape \(1, 1, 4, 4\).*Skipped"):
        load_weights_from_hdf5(tmp_path / "w.h5", model, skip_mismatch=True)
    np.testing.assert_array_equal(model.weights[0].array, values["block1_conv1_W"])
    assert (model.weights[2].array == 7).all()
    np.testing.assert_array_equal(model.weights[3].array, values["block1_conv2_b"])
    lone = FakeModel(FakeLayer("block1_conv1", FakeVariable("k", (3, 3, 3, 4))))
    with pytest.warns(UserWarning, match=r"weight count mismatch.*Skipped"):
        load_weights_from_hdf5(tmp_path / "w.h5", lone, by_name=True, skip_mismatch=True)
    assert_unchanged(lone)


# ------------------------------------------------------------------------------------------------------------ bad files


def spoil(path: pathlib.Path, how: str) -> None:
    """Makes a good file bad in one way."""
    with h5py.File(path, "r+") as file:
        last = file["block1_conv2"]
        name = "block1_conv2_W_1:0"
        if how == "missing layer":
            file.attrs["layer_names"] = [b"input_1", b"block1_conv1", b"pool"]
        elif how == "missing group":
            del file["block1_conv2"]
        elif how == "missing dataset":
            del last[name]
        elif how == "missing weight":
            last.attrs["weight_names"] = [name.encode()]
        elif how == "no names":
            del file.attrs["layer_names"]
        elif how == "numbers for names":
            file.attrs["layer_names"] = [1, 2, 3]
        elif how == "path out":
            last.attrs["weight_names"] = [b"../block1_conv1/block1_conv1_W_1:0", b"block1_conv2_b_1:0"]
        else:
            del last[name]
            replace(path, last, name, how)


def replace(path: pathlib.Path, group: Any, name: str, how: str) -> None:
    shape = (3, 3, 4, 4)
    if how == "wrong shape":
        group[name] = np.zeros((3, 3, 3, 4), "float32")
    elif how == "scalar":
        group[name] = np.float32(1)
    elif how == "soft link":
        group[name] = h5py.SoftLink("/block1_conv1/block1_conv1_W_1:0")
    elif how == "external link":
        group[name] = h5py.ExternalLink(str(path.parent / "secret.h5"), "/secret")
    elif how == "external data":
        group.create_dataset(name, shape, "float32", external=[(str(path.parent / "secret.h5"), 0, 576)])
    elif how == "virtual":
        layout = h5py.VirtualLayout(shape, "float32")
        layout[...] = h5py.VirtualSource(str(path.parent / "secret.h5"), "secret", shape)
        group.create_virtual_dataset(name, layout)
    elif how == "strings":
        group.create_dataset(name, shape, h5py.string_dtype())
    elif how == "references":
        group.create_dataset(name, shape, h5py.ref_dtype)
    elif how == "compound":
        group.create_dataset(name, shape, np.dtype([("a", "f4"), ("b", "f4")]))
    elif how == "complex":
        group.create_dataset(name, shape, "complex64")
    elif how == "empty":
        group[name] = h5py.Empty("f4")
    elif how == "group":
        group.create_group(name)
    elif how == "absurd size":
        group.create_dataset(name, (1 << 40, 4), "float32", chunks=(1, 4))


SPOILT = {
    "missing layer": "layer count mismatch.*2 layers with weights.*has 1; only in the model: block1_conv2",
    "missing group": "holds no 'block1_conv2'",
    "missing dataset": "holds no 'block1_conv2_W_1:0'",
    "missing weight": "weight count mismatch for layer 'block1_conv2'",
    "no names": "no legacy Keras weight file",
    "numbers for names": "does not hold a list of names",
    "path out": "is no path below",
    "wrong shape": r"layer 'block1_conv2'.*'block1_conv2/kernel' has shape \(3, 3, 4, 4\).*has shape \(3, 3, 3, 4\)",
    "scalar": r"has shape \(\)",
    "soft link": "is a SoftLink, which is not allowed",
    "external link": "is a ExternalLink, which is not allowed",
    "external data": "lie in another file",
    "virtual": "lie in another file",
    "strings": "expected numbers",
    "references": "expected numbers",
    "compound": "expected numbers",
    "complex": "expected numbers",
    "empty": "expected numbers",
    "group": "is a group, expected a dataset",
    "absurd size": r"has shape \(1099511627776, 4\)",
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_bad_file_is_refused_and_the_model_unchanged(tmp_path: pathlib.Path, how: str) -> None:
    old_file(tmp_path / "w.h5")
    with h5py.File(tmp_path / "secret.h5", "w") as secret:
        secret["secret"] = np.zeros((3, 3, 4, 4), "float32")
    spoil(tmp_path / "w.h5", how)
    model = small_model()
    with pytest.raises(ValueError, match=SPOILT[how]):
        load_weights_from_hdf5(tmp_path / "w.h5", model)
    assert_unchanged(model)


def test_a_dataset_of_the_right_shape_that_stores_nothing_is_a_bomb(tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(h5, "FLOOR", 1 << 20)
    shape = (1 << 10, 1 << 10)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"a"]
        file.create_group("a").attrs["weight_names"] = [b"k"]
        file["a"].create_dataset("k", shape, "float32", chunks=(1, 1024))
    model = FakeModel(FakeLayer("a", FakeVariable("k", shape)))
    with pytest.raises(ValueError, match="claims 4,194,304 bytes but stores 0"):
        load_weights_from_hdf5(tmp_path / "w.h5", model)
    assert_unchanged(model)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.2, 0.5, 0.8, 0.99])
def test_a_file_cut_short_is_an_oserror(tmp_path: pathlib.Path, keep: float) -> None:
    path = tmp_path / "w.h5"
    old_file(path)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    model = small_model()
    with pytest.raises(OSError, match=r"w\.h5.* is (cut short|no HDF5)"):
        load_weights_from_hdf5(path, model)
    assert_unchanged(model)


def test_flipped_bytes_never_leave_half_a_model(tmp_path: pathlib.Path) -> None:
    """Any damage is an error or loads to the end; nothing crashes and nothing is half loaded."""
    path = tmp_path / "w.h5"
    old_file(path)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        spoilt = bytearray(content)
        for at in rng.integers(0, 4000, 6):
            spoilt[at] = rng.integers(256)
        path.write_bytes(bytes(spoilt))
        model = small_model()
        try:
            load_weights_from_hdf5(path, model)
        except (OSError, ValueError):
            assert_unchanged(model)
        else:
            assert not any((v.array == 7).all() for v in model.weights)


def test_what_is_no_file_or_no_hdf5(tmp_path: pathlib.Path) -> None:
    model = small_model()
    with pytest.raises(FileNotFoundError, match="Check the path"):
        load_weights(model, tmp_path / "gone.h5")
    with pytest.raises(IsADirectoryError):
        (tmp_path / "folder.h5").mkdir()
        load_weights(model, tmp_path / "folder.h5")
    (tmp_path / "text.h5").write_text("<html>404</html>")
    with pytest.raises(OSError, match=r"text\.h5' is no HDF5 file"):
        load_weights(model, str(tmp_path / "text.h5"))
    with pytest.raises(ValueError, match=r"File format not supported.*legacy"):
        load_weights(model, tmp_path / "weights.npz")
    with pytest.raises(ValueError, match="Invalid keyword arguments"):
        load_weights(model, tmp_path / "w.h5", by_nam=True)
    with pytest.raises(ValueError, match="received ndarray"):
        load_weights(model, np.zeros(3))


def test_an_unbuilt_model_says_so(tmp_path: pathlib.Path) -> None:
    old_file(tmp_path / "w.h5")
    with pytest.raises(ValueError, match=r"has no weights yet.*Build the model first"):
        load_weights_from_hdf5(tmp_path / "w.h5", FakeModel(FakeLayer("a")))


def test_when_an_assignment_fails_the_earlier_ones_are_taken_back(tmp_path: pathlib.Path) -> None:
    old_file(tmp_path / "w.h5")
    model = small_model()
    model.weights[2].fails = True
    with pytest.raises(RuntimeError, match="assign failed"):
        load_weights_from_hdf5(tmp_path / "w.h5", model)
    assert_unchanged(model)


def test_a_failed_save_keeps_the_old_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "w.h5"
    save_weights_to_hdf5(path, FakeModel(conv("a")))
    before = path.read_bytes()
    twice = FakeModel(FakeLayer("a", FakeVariable("a/k", (1,)), FakeVariable("a/k", (1,))))
    with pytest.raises(ValueError, match=r"same path: \['a/k', 'a/k'\]"):
        save_weights_to_hdf5(path, twice)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["w.h5"]
    with pytest.raises(RuntimeError, match="does not fit"):
        save_weights_to_hdf5(path, FakeModel(FakeLayer("x" * 70_000)))
    with pytest.raises(ValueError, match=r"must end in `\.weights\.h5`"):
        save_weights(FakeModel(), tmp_path / "w.h5")


def test_h5py_is_imported_with_the_first_file_and_not_before() -> None:
    code = "import sys, striate.saving; print('h5py' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
