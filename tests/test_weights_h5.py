"""`.weights.h5` files: to and from real Keras, and what is refused."""

from __future__ import annotations

import pathlib
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

import striate


def functional(keras: Any, channels: int = 4) -> Any:
    """A shared layer, batch norm, a nested model, two layers of one kind."""
    layers = keras.layers
    image = keras.Input((8, 8, 3))
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    x = layers.BatchNormalization()(shared(shared(image)))
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 1), layers.ReLU()], name="inner")
    x = layers.Conv2D(channels, 3, name="last")(inner(x))
    return keras.Model(image, layers.SeparableConv2D(2, 1)(x))


def subclassed(keras: Any) -> Any:
    """Layers in attributes, in a list and in a dict, and a weight of the model's own."""

    class Mine(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.zeta = keras.layers.Dense(4)
            self._blocks = [keras.layers.Dense(3), keras.layers.Dense(2)]
            self.table = {"q": keras.layers.Dense(2)}
            self.scale = self.add_weight(shape=(2,), initializer="ones", name="scale")

        def call(self, x: Any) -> Any:
            x = self._blocks[1](self._blocks[0](self.zeta(x)))
            return self.table["q"](x) * self.scale

    model = Mine()
    model(np.ones((1, 5), "float32"))
    return model


def fill(model: Any, seed: int = 0) -> Any:
    model.set_weights([np.random.default_rng(seed + i).normal(size=w.shape) for i, w in enumerate(model.get_weights())])
    return model


def same(a: Any, b: Any) -> None:
    for x, y in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("make", [functional, subclassed])
def test_real_keras_file_is_read(make: Any, tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    theirs, ours = fill(make(real_keras)), make(striate)
    theirs.save_weights(tmp_path / "a.weights.h5")
    ours.load_weights(tmp_path / "a.weights.h5")
    same(ours, theirs)


@pytest.mark.parametrize("make", [functional, subclassed])
def test_real_keras_reads_ours(make: Any, tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    theirs, ours = make(real_keras), fill(make(striate))
    ours.save_weights(tmp_path / "a.weights.h5")
    theirs.load_weights(tmp_path / "a.weights.h5")
    same(ours, theirs)
    again = make(striate)
    again.load_weights(str(tmp_path / "a.weights.h5"))
    same(ours, again)


@pytest.mark.parametrize("make", [functional, subclassed])
def test_the_tree_is_that_of_keras(make: Any, tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    def datasets(path: pathlib.Path) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        with h5py.File(path) as file:
            file.visititems(lambda n, o: found.update({n: o.shape}) if isinstance(o, h5py.Dataset) else None)
        return found

    make(real_keras).save_weights(tmp_path / "k.weights.h5")
    make(striate).save_weights(tmp_path / "s.weights.h5")
    assert datasets(tmp_path / "s.weights.h5") == datasets(tmp_path / "k.weights.h5")


def test_files_that_do_not_fit_leave_the_model_unchanged(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.weights.h5"
    fill(functional(striate, 5)).save_weights(path)
    model = fill(functional(striate, 4), 100)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"layer 'last'.*\(3, 3, 2, 4\).*\(3, 3, 2, 5\)"):
        model.load_weights(path)
    short = tmp_path / "short.weights.h5"
    model.save_weights(short)
    with h5py.File(short, "r+") as file:
        del file["layers/separable_conv2d/vars/2"]
    with pytest.raises(ValueError, match=r"has 3 weights.*has 2"):
        model.load_weights(short)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.warns(UserWarning, match="Skipped"):
        model.load_weights(path, skip_mismatch=True)
    assert np.abs(model.get_weights()[0] - before[0]).max() > 0
    with h5py.File(path, "r+") as file:
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars/0"] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(ValueError, match="ExternalLink, which is not allowed"):
        model.load_weights(path)


def test_overwrite_and_other_names(tmp_path: pathlib.Path) -> None:
    model = functional(striate)
    model.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save_weights(tmp_path / "a.weights.h5", overwrite=False)
    with pytest.raises(ValueError, match=r"must end in `\.weights\.h5`"):
        model.save_weights(tmp_path / "a.h5")
    with pytest.raises(ValueError, match="only supports loading legacy"):
        model.load_weights(tmp_path / "a.weights.h5", by_name=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.weights.h5"]
