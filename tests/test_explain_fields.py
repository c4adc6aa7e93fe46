"""`explain.receptive_field`: the box against what really changes the unit, the gradient against finite differences, the
whole against a model that real Keras has saved."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate import explain, layers


def model() -> Any:
    inner_in = striate.Input((12, 10, 4))
    deep = layers.Conv2D(3, 3, padding="same", name="deep")(layers.AveragePooling2D(2, name="pool")(inner_in))
    inner = striate.Model(inner_in, deep, name="inner")
    x = striate.Input((24, 20, 2))
    y = layers.Conv2D(4, 3, strides=2, padding="same", activation="tanh", name="first")(x)
    z = layers.Conv2DTranspose(2, 3, strides=2, padding="same", name="up")(inner(y))
    both = layers.Concatenate(name="both")([z, y])
    head = layers.Dense(2, name="head")(layers.GlobalAveragePooling2D(name="gap")(both))
    return striate.Model(x, head, name="whole")


def touched(net: Any, path: str, unit: tuple[int, ...]) -> np.ndarray:
    """By brute force: the cells of the input whose change changes the unit."""
    part = part_of(net, path)
    x = np.random.default_rng(0).normal(size=(1, 24, 20, 2)).astype("float32")
    base = np.asarray(part(x))[(0, *unit)].sum()
    cells = np.argwhere(np.ones((24, 20)))
    batch = np.repeat(x, len(cells), axis=0)
    for n, (r, c) in enumerate(cells):
        batch[n, r, c] += 3
    changed = np.abs(np.asarray(part(batch))[(slice(None), *unit)].reshape(len(cells), -1).sum(-1) - base) > 1e-6
    return cells[changed]


def part_of(net: Any, path: str) -> Any:
    if path == "inner/deep":
        return striate.Model(net.input, inner_output(net))
    return striate.Model(net.input, net.get_layer(path).output)


def inner_output(net: Any) -> Any:
    return net.get_layer("inner")(net.get_layer("first").output)


@pytest.mark.parametrize("unit", [(0, 0), (2, 3), (5, 4)])
@pytest.mark.parametrize("path", ["first", "inner/deep", "up", "both"])
def test_the_box_is_what_really_changes_the_unit(path: str, unit: tuple[int, int]) -> None:
    net = model()
    found = explain.receptive_field(net, path, unit)
    cells = touched(net, path, unit)
    box = tuple(zip(cells.min(0).tolist(), cells.max(0).tolist(), strict=True))
    assert found.box == box
    rows, columns = np.nonzero(found.gradient)
    assert ((rows.min(), rows.max()), (columns.min(), columns.max())) == box


def test_the_gradient_is_that_of_finite_differences() -> None:
    net = model()
    image = np.random.default_rng(1).normal(size=(24, 20, 2)).astype("float32")
    found = explain.receptive_field(net, "first", (4, 4, 1), image)
    part, step = part_of(net, "first"), 1e-2
    for r, c in [(8, 8), (9, 10), (10, 9)]:
        total = 0.0
        for channel in range(2):
            ends = np.repeat(image[None], 2, axis=0)
            ends[0, r, c, channel] += step
            ends[1, r, c, channel] -= step
            high, low = np.asarray(part(ends))[:, 4, 4, 1]
            total += abs(high - low) / (2 * step)
        assert found.gradient[r, c] == pytest.approx(total, rel=0.02, abs=1e-4)


def test_theory_and_effect() -> None:
    """A stack of ten 3x3 convolutions of ones sees 21 cells and listens to the middle of them."""
    x = striate.Input((41, 41, 1))
    y = x
    for _ in range(10):
        y = layers.Conv2D(1, 3, padding="same", kernel_initializer="ones", use_bias=False)(y)
    found = explain.receptive_field(striate.Model(x, y), -1)
    assert [f.size for f in found.fields] == [21, 21] and found.box == ((10, 30), (10, 30))
    line = np.ones(1)
    for _ in range(10):
        line = np.convolve(line, np.ones(3))
    weights = line**2 / (line**2).sum()
    spread = 4 * np.sqrt((weights * np.arange(-10, 11) ** 2).sum())
    assert found.effective_size == pytest.approx((spread, spread), rel=1e-3)
    assert spread < 12


def test_on_the_image() -> None:
    """The box and the opacity, read out of the drawing."""
    striate.utils.set_random_seed(1)  # a unit whose rectifiers are not all shut
    image = np.random.default_rng(2).uniform(0, 1, size=(24, 20, 2))
    found = explain.receptive_field(model(), "first", (3, 3), image)
    html = found.draw().html
    box = re.search(r'striate-box" x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', html)
    left, top, w, h = (int(n) for n in box.groups())
    assert ((top, top + h - 1), (left, left + w - 1)) == found.box
    pictures = [base64.b64decode(p) for p in re.findall(r"base64,([^\"]+)", html)]
    alpha = np.asarray(Image.open(io.BytesIO(pictures[1])))[..., 3]
    np.testing.assert_array_equal(alpha > 0, np.sqrt(found.gradient / found.gradient.max()) * 235 > 0.5)
    assert json.loads(json.dumps(found.to_dict()))["box"] == [list(b) for b in found.box]


def test_a_file_of_keras(real_keras: Any, tmp_path: Any) -> None:
    x = real_keras.Input((16, 16, 1))
    y = real_keras.layers.Conv2D(2, 3, padding="same", name="a")(x)
    y = real_keras.layers.MaxPooling2D(2, name="p")(real_keras.layers.BatchNormalization()(y))
    y = real_keras.layers.Conv2D(2, 3, name="b")(real_keras.layers.ReLU()(y))
    real_keras.Model(x, y).save(tmp_path / "m.keras")
    net = striate.models.load_model(tmp_path / "m.keras")
    found = explain.receptive_field(net, "b", (0, 0))
    assert [f.size for f in found.fields] == [8, 8]
    assert found.box == ((0, 6), (0, 6))


WRONG = [
    (lambda: explain.receptive_field(model(), "nothing"), "no such layer.*first"),
    (lambda: explain.receptive_field(model(), "head"), "no places"),
    (lambda: explain.receptive_field(model(), "first", (99, 0)), "within.*middle is"),
    (lambda: explain.receptive_field(model(), "first", (0,)), "2 numbers"),
    (lambda: explain.receptive_field(model(), "first", (0, 0), np.ones((9, 9, 2))), "takes inputs of shape"),
    (lambda: explain.receptive_field(layers.Conv2D(1, 3), "first"), "one input"),
]


@pytest.mark.parametrize(("use", "words"), WRONG)
def test_wrong_uses(use: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        use()
