"""`striate features`, run as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate as keras
from striate import explain


def run(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KERAS_HOME": str(cwd / "keras")}
    command = [sys.executable, "-m", "striate", "features", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, real_keras: Any) -> Path:
    """A picture, and a model that real Keras has saved."""
    made = tmp_path_factory.mktemp("features")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(made / "photo.png")
    layers = real_keras.layers
    x = real_keras.Input((20, 16, 3))
    h = layers.Conv2D(5, 3, activation="relu", name="near")(layers.Rescaling(1 / 255)(x))
    h = layers.Conv2D(6, 3, strides=2, activation="relu", name="far")(h)
    y = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(h))
    real_keras.Model(x, y).save(made / "theirs.keras")
    return made


def test_maps_as_a_picture_and_as_json(folder: Path) -> None:
    done = run("photo.png", "--model", "theirs.keras", "--channels", "3", "--by", "strength", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["name"] for row in found["layers"]] == ["near", "far"]
    model = keras.models.load_model(folder / "theirs.keras")
    with Image.open(folder / "photo.png") as picture:
        x = np.asarray(picture, "float32")
    truth = np.asarray(keras.Model(model.inputs, model.get_layer("far").output)(x[None]))
    row = found["layers"][1]
    assert row["shape"] == list(truth.shape)
    assert row["largest"] == pytest.approx(truth.max(), rel=1e-5)
    strongest = np.argsort(-truth.mean((0, 1, 2)), kind="stable")[:3]
    assert row["channels"] == strongest.tolist()
    with Image.open(folder / "features.png") as picture:
        assert min(picture.size) > 300


def test_an_attribution(folder: Path) -> None:
    arguments = ("--attribution", "saliency", "--target", "1", "--out", "made/map.svg", "--json")
    done = run("photo.png", "--model", "theirs.keras", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    with Image.open(folder / "photo.png") as picture:
        x = np.asarray(picture, "float32")
    truth = explain.saliency(keras.models.load_model(folder / "theirs.keras"), x, 1)
    np.testing.assert_allclose(found["map"], truth.map[0], rtol=1e-4, atol=1e-8)
    assert (folder / "made" / "map.svg").read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("nothing.png",), "no file 'nothing.png'"),
        (("theirs.keras", "--model", "theirs.keras"), "not an image"),
        (("photo.png", "--model", "theirs.keras", "--layers", "nea"), "Layers like it: near"),
        (("photo.png", "--model", "theirs.keras", "--by", "size"), "random, strength"),
        (("photo.png", "--model", "theirs.keras", "--out", "x.doc"), "--out"),
        (("photo.png", "--model", "nothing.keras"), "no file 'nothing.keras'"),
    ],
)
def test_mistakes_are_one_line(folder: Path, arguments: tuple[str, ...], text: str) -> None:
    done = run(*arguments, cwd=folder)
    assert done.returncode == 2
    assert text in done.stderr and done.stderr.count("\n") == 1
