"""`explain.arithmetic`: every number in its text, HTML, drawing and data against real Keras and against the chapter's
formulas, written here once more."""

from __future__ import annotations

import json
import math
import random
import re
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import striate
from striate import explain, layers

RNG = random.Random(20)
KINDS = ("Conv", "DepthwiseConv", "SeparableConv", "MaxPooling", "AveragePooling", "ConvTranspose")


def drawn(rng: random.Random) -> tuple[str, int, dict[str, Any], tuple[int | None, ...]]:
    """A layer's name, its number of axes, its arguments and the shape of an input."""
    kind = rng.choice(KINDS)
    rank = rng.choice((1, 2) if kind in ("DepthwiseConv", "SeparableConv") else (1, 2, 3))
    name = f"{kind.removesuffix('Transpose')}{rank}D{'Transpose' if kind == 'ConvTranspose' else ''}"
    kernel = tuple(rng.randint(1, 5) for _ in range(rank))
    dilated = kind != "ConvTranspose" and not kind.endswith("Pooling") and rng.random() < 0.3
    strides = tuple(1 if dilated else rng.randint(1, 4) for _ in range(rank))
    if kind in ("DepthwiseConv", "SeparableConv"):
        strides = strides[:1] * rank
    padding = rng.choice(["valid", "same"] + ["causal"] * (name == "Conv1D"))
    args: dict[str, Any] = {"strides": strides, "padding": padding}
    args |= {"pool_size": kernel} if kind.endswith("Pooling") else {"kernel_size": kernel}
    if kind in ("Conv", "SeparableConv", "ConvTranspose"):
        args["filters"] = rng.randint(1, 4)
    if dilated:
        args["dilation_rate"] = tuple(rng.randint(1, 3) for _ in range(rank))
    if kind == "ConvTranspose" and rng.random() < 0.5:
        args["output_padding"] = tuple(rng.randrange(s) for s in strides)
    sizes = tuple(rng.randint(12, 40) if rng.random() < 0.9 else None for _ in range(rank))
    return name, rank, args, (None, *sizes, rng.randint(1, 3))


def chapter(i: int, k: int, s: int, d: int, before: int, after: int) -> int:
    """Formula (6) as the chapter prints it, by walking over the padded input."""
    reach = (k - 1) * d
    return sum(1 for first in range(-before, i + after, s) if first + reach <= i - 1 + after)


def test_a_thousand_configurations_agree_with_keras_and_with_the_chapter(real_keras: Any) -> None:
    rng = random.Random(1)
    seen = set()
    for _ in range(1000):
        name, _, args, shape = drawn(rng)
        seen.add(name)
        theirs = getattr(real_keras.layers, name)(**args).compute_output_shape(shape)
        ours = explain.arithmetic(getattr(layers, name)(**args), shape)
        assert ours.output_shape == tuple(theirs), (name, args, shape)
        for step, i, o in zip(ours.steps, shape[1:-1], theirs[1:-1], strict=True):
            assert (step.i, step.o) == (i, o), (name, args, shape)
            check_step(step, name)
    assert len(seen) == 3 * 4 + 2 * 2


def check_step(step: Any, name: str) -> None:
    """One axis against the chapter's formulas."""
    if step.i is None or step.p is None:
        return
    assert step.p == step.before + step.after and step.k_eff == (step.k - 1) * step.d + 1
    assert str(step.o) == step.numbers.rsplit(" = ", 1)[-1]
    if name.endswith("Transpose"):
        assert step.o == step.s * (step.i - 1) + step.a + step.k_eff - step.p
        assert step.spread_before + step.spread_after == 2 * (step.k_eff - 1) - step.p + step.a
        spread = step.s * (step.i - 1) + 1 + step.spread_before + step.spread_after
        assert spread - step.k_eff + 1 == step.o
        return
    assert step.o == chapter(step.i, step.k, step.s, step.d, step.before, step.after)
    assert step.a == (step.i + step.p - step.k_eff) % step.s
    assert (step.size, step.jump, step.start) == (step.k_eff, step.s, -step.before)


@pytest.mark.parametrize("padding", ["valid", "same", "full", 2, ((0, 2), (1, 0))])
@pytest.mark.parametrize("s", [1, 2, 3])
def test_the_sizes_of_the_same_output(padding: Any, s: int) -> None:
    """Against the layer itself, asked for every size."""
    layer = layers.Conv2D(1, 3, strides=s, padding=padding)
    step = explain.arithmetic(layer, (9, 9, 1)).steps[0]
    sizes = [n for n in range(3, 30) if layer.compute_output_shape((None, n, 9, 1))[1] == step.o]
    assert list(step.same_output) == sizes


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "name", ["Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D"]
)
def test_parameters_and_multiply_adds(name: str, groups: int) -> None:
    """Parameters against a built layer; multiply-adds against the products that a walk over the output counts."""
    rank = int(re.search(r"\d", name)[0])
    args: dict[str, Any] = {"kernel_size": tuple(range(2, 2 + rank))}
    args |= {} if name.startswith("Depth") else {"filters": 6}
    args |= {"groups": groups} if name in ("Conv1D", "Conv2D", "Conv3D") else {}
    layer, shape = getattr(layers, name)(**args), (None, *range(5, 5 + rank), 4)
    found = explain.arithmetic(layer, shape)
    layer.build(shape)
    assert found.parameters == layer.count_params()
    kernels = [w.shape for w in layer.weights if w.name != "bias"]
    places = shape[1:-1] if name.endswith("Transpose") else found.output_shape[1:-1]
    assert found.multiply_adds == sum(math.prod(k) for k in kernels) * math.prod(places)


# What is written ------------------------------------------------------------------------------------------------------


def numbers_in(html: str) -> list[int]:
    return [int(n.replace("−", "-")) for n in re.findall(r"<mn[^>]*>([^<]+)</mn>", html)]


@pytest.mark.parametrize("seed", range(12))
def test_the_numbers_in_text_and_html_are_those_of_the_layer(seed: int) -> None:
    rng = random.Random(seed)
    i, k, s, lo, hi = rng.randint(6, 12), rng.randint(2, 5), rng.randint(2, 4), rng.randint(0, 2), rng.randint(0, 2)
    found = explain.arithmetic(layers.Conv1D(1, k, strides=s, padding=((lo, hi),)), (i, 1))
    o = np.convolve(np.ones(i + lo + hi), np.ones(k), "valid")[::s].size
    match = re.search(r"= ⌊\((\d+) \+ (\d+) − (\d+)\) / (\d+)⌋ \+ 1 = (\d+)", str(found))
    assert match and [int(n) for n in match.groups()] == [i, lo + hi, k, s, o]
    line = re.search(r"<dt>\(6\)</dt><dd>(.*?)</dd>", found._repr_html_())
    assert line and numbers_in(line[1]) == [1, i, lo + hi, k, s, 1, o]


def test_text_has_eighty_columns_and_no_colour() -> None:
    model = striate.applications.VGG16(weights=None, include_top=False)
    found = [explain.arithmetic(layers.Conv2D(16, 3, strides=2, padding="same"), (7, 6, 1)), explain.arithmetic(model)]
    for text in map(str, found):
        assert max(map(len, text.splitlines())) <= 80
        assert "\x1b" not in text


def test_a_terminal_gets_colours() -> None:
    console = Console(force_terminal=True, color_system="standard", width=80)
    with console.capture() as captured:
        console.print(explain.arithmetic(layers.Conv2D(1, 3), (7, 6, 1)))
    assert "\x1b[34m7\x1b[0m" in captured.get()


def test_the_window_on_the_drawing_covers_what_the_output_depends_on() -> None:
    """Windows read out of the SVG, against the inputs that change the output."""
    layer = layers.Conv1D(1, 3, strides=2, padding="same", dilation_rate=1, use_bias=False, kernel_initializer="ones")
    base = layer(np.zeros((1, 8, 1), "float32"))
    svg = explain.arithmetic(layer, (8, 1)).draw().html
    spans = {
        int(o): (int(a), int(b))
        for o, a, b in re.findall(r'data-output="(\d+)" data-first="(-?\d+)" data-last="(\d+)"', svg)
    }
    assert len(spans) == base.shape[1]
    for n in range(8):
        x = np.zeros((1, 8, 1), "float32")
        x[0, n] = 1
        touched = {int(o) for o in np.flatnonzero(np.asarray(layer(x))[0, :, 0])}
        assert touched == {o for o, (a, b) in spans.items() if a <= n <= b}


@pytest.mark.parametrize("padding", ["valid", "same", 1])
def test_the_transposed_drawing_is_an_ordinary_convolution(padding: Any) -> None:
    """The kernel, turned, over the drawn cells gives what the layer gives."""
    layer = layers.Conv1DTranspose(1, 4, strides=3, padding=padding, use_bias=False)
    x = np.arange(1, 6, dtype="float32")
    y = np.asarray(layer(x[None, :, None]))[0, :, 0]
    svg = explain.arithmetic(layer, (5, 1)).draw().html
    cells = re.findall(r'data-kind="(\w+)" data-position="(-?\d+)".*?>(\d+)</text>', svg)
    row = {int(at): x[int(text)] if kind == "value" else 0.0 for kind, at, text in cells}
    kernel = np.asarray(layer.kernel).ravel()[::-1]
    windows = [int(a) for a in re.findall(r'data-output="\d+" data-first="(-?\d+)"', svg)]
    assert len(windows) == min(len(y), 12)
    drawn_y = [sum(row[a + t] * kernel[t] for t in range(4)) for a in windows]
    np.testing.assert_allclose(drawn_y[:6], y[:6], rtol=1e-5)


def test_cells_that_no_window_reaches_are_struck_out() -> None:
    svg = explain.arithmetic(layers.MaxPooling1D(3), (8, 1)).draw().html
    assert re.findall(r'data-kind="left value" data-position="(\d+)"', svg) == ["6", "7"]


def test_the_chapters_slips_are_pointed_out() -> None:
    same = str(explain.arithmetic(layers.Conv2D(1, 3, strides=2, padding="same"), (4, 4, 1)))
    assert (
        "the chapter takes p = k − 1 = 2 for SAME, and so a = 1" in same
        and "padding=1 draws its figure" in " ".join(same.split())
    )
    coded = layers.Conv2DTranspose(1, 3, strides=2, padding="same", output_padding=1)
    text = " ".join(str(explain.arithmetic(coded, (2, 2, 1))).split())
    assert "prints 4x4; output_padding=0 gives its 3x3" in text
    assert "(i + p + k) mod s is a slip for (i + p − k) mod s" in text
    assert explain.arithmetic(layers.Conv2D(1, 3, strides=2, padding=1), (4, 4, 1)).steps[0].a == 1


# Models ---------------------------------------------------------------------------------------------------------------


def branched() -> Any:
    a, b = striate.Input((16, 16, 1), name="a"), striate.Input((8, 8, 2), name="b")
    inner_in = striate.Input((16, 16, 1))
    inner = striate.Model(inner_in, layers.Conv2D(2, 3, strides=2, padding="same", name="deep")(inner_in), name="inner")
    merged = layers.Concatenate(name="both")([inner(a), b])
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    return striate.Model([a, b], shared(shared(merged)), name="branched")


def test_a_model_with_branches_and_a_nested_model() -> None:
    model = branched()
    found = explain.arithmetic(model)
    rows = {row.name: row for row in found.steps}
    assert rows["inner/deep"].input_shapes == ((None, 16, 16, 1),)
    assert rows["both"].sources == ("inner/deep", "b") and rows["both"].output_shape == (None, 8, 8, 4)
    assert found.output_shape == model.output_shape
    assert found.parameters == model.count_params()  # the shared layer's weights once
    assert found.multiply_adds == 8 * 8 * 9 * 1 * 2 + 2 * (8 * 8 * 9 * 4 * 4)
    assert [f.size for f in found.steps[-1].field] == [11, 11]  # 3, then 2 more on either side, 2 apart


def test_a_model_at_another_size_and_with_unknown_sizes() -> None:
    model = striate.Sequential([striate.Input((None, None, 3)), layers.Conv2D(4, 3, strides=2), layers.MaxPooling2D(2)])
    assert explain.arithmetic(model).output_shape == (None, None, None, 4)
    assert explain.arithmetic(model).multiply_adds is None
    sized = explain.arithmetic(model, (21, 32, 3))
    assert sized.output_shape == model.compute_output_shape((None, 21, 32, 3))
    unbuilt = striate.Sequential([layers.Conv2D(4, 3, strides=2), layers.MaxPooling2D(2)])
    assert explain.arithmetic(unbuilt, (21, 32, 3)).output_shape == sized.output_shape
    assert not unbuilt.built


def test_what_is_not_known_is_not_claimed() -> None:
    """A layer of the user's own, a wrapped one, and a function that may mix places."""
    for mixed in (Shifted(), layers.TimeDistributed(layers.Conv1D(2, 3)), lambda x: striate.ops.flip(x, 1)):
        x = striate.Input((8, 8, 2))
        found = explain.arithmetic(striate.Model(x, layers.Conv2D(1, 3)(mixed(x))))
        assert found.steps[-1].field is None and "?" in str(found)
    x = striate.Input((8, 8, 2))
    pooled = striate.ops.mean(layers.Conv2D(1, 3)(x), axis=(1, 2))
    assert explain.arithmetic(striate.Model(x, layers.Dense(2)(pooled))).steps[1].field[0].size == 3


class Shifted(layers.Layer):
    def call(self, x: Any) -> Any:
        return striate.ops.roll(x, 1, axis=1)


@pytest.mark.parametrize("size", [41, 100, 5000])
def test_long_axes_show_their_ends(size: int) -> None:
    svg = explain.arithmetic(layers.Conv1D(1, 25, strides=2), (size, 1)).draw().html
    shown = [int(n) for n in re.findall(r'data-position="(\d+)"', svg)]
    outputs = [int(n) for n in re.findall(r'data-output="(\d+)"', svg)]
    assert (shown[0], shown[-1], len(shown) <= 120) == (0, size - 1, True)
    assert outputs[:2] == [0, 1] and outputs[-1] == (size - 25) // 2


def test_the_chapters_model() -> None:
    """The sizes that the chapter prints under "Strides"."""
    model = striate.Sequential([
        striate.Input((128, 128, 3)), layers.Conv2D(16, 5, strides=(2, 3)), layers.MaxPool2D(2),
        layers.Conv2D(16, 7, padding="SAME"), layers.MaxPool2D((2, 4), strides=(3, 2)),
        layers.Conv2D(16, 3, padding="SAME", strides=2), layers.Flatten(), layers.Dense(16), layers.Dense(1),
    ])  # fmt: skip
    found = explain.arithmetic(model)
    sizes = [(62, 42), (31, 21), (31, 21), (10, 9), (5, 5)]
    assert [row.output_shape[1:3] for row in found.steps[1:6]] == sizes
    assert found.parameters == 22_529
    text = str(found)
    assert "⌊(128 + 0 − 5) / 2⌋ + 1 = 62" in text and "⌊(128 + 0 − 5) / 3⌋ + 1 = 42" in text


def test_data_is_json() -> None:
    for made in (
        explain.arithmetic(branched()),
        explain.arithmetic(layers.Conv2DTranspose(1, 3, strides=2), (4, 4, 1)),
    ):
        assert json.loads(json.dumps(made.to_dict())) == made.to_dict()


# Wrong uses -----------------------------------------------------------------------------------------------------------

WRONG = [
    (lambda: explain.arithmetic(layers.Conv2D(1, 5), (3, 7, 1)), r"5x5 kernel does not fit a 3x7 input.*at most 3"),
    (lambda: explain.arithmetic(layers.Conv2D(1, 5), (3, 7)), r"takes 2 spatial axes.*\(8, 8, 3\)"),
    (lambda: explain.arithmetic(layers.Conv2D(1, 5)), "not known yet.*input_shape"),
    (lambda: explain.arithmetic(layers.Conv2D(4, 3, groups=2), (8, 8, 3)), "2 groups do not divide the 3 chan.*Use 4"),
    (lambda: explain.arithmetic(layers.Flatten(), (8, 8, 3)), "no window"),
    (lambda: explain.arithmetic("Conv2D", (8, 8, 3)), "expected a layer or a model"),
    (lambda: explain.arithmetic(branched(), (8, 8, 3)), "has 2 inputs"),
]  # fmt: skip


@pytest.mark.parametrize(("use", "words"), WRONG)
def test_wrong_uses(use: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        use()


class Block(layers.Layer):
    """A layer of the user's own that calls others."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv, self.pool = layers.Conv2D(6, 3, strides=2, name="conv"), layers.MaxPooling2D(name="pool")

    def call(self, x: Any, training: Any = None) -> Any:
        return striate.ops.relu(self.pool(self.conv(x)))


class Subclassed(striate.Model):
    """Layers called by Python code, one of them twice."""

    def __init__(self) -> None:
        super().__init__(name="subclassed")
        self.first = layers.Conv2D(1, 3, padding="same", name="first")
        self.block, self.last = Block(name="block"), layers.Dense(3, name="last")

    def call(self, x: Any) -> Any:
        x = self.block(self.first(self.first(x)) + x)
        return self.last(x if x.shape[1] < 100 else x * 2)


def test_a_model_of_python_code() -> None:
    """The table is that of the functional model that the code amounts to."""
    model = Subclassed()
    x = striate.Input((28, 27, 1))
    first = layers.Conv2D(1, 3, padding="same")
    y = striate.ops.add(first(first(x)), x)
    y = striate.ops.relu(layers.MaxPooling2D()(layers.Conv2D(6, 3, strides=2)(y)))
    wanted = explain.arithmetic(striate.Model(x, layers.Dense(3)(y)))
    found = explain.arithmetic(model, (28, 27, 1))
    assert found.output_shape == wanted.output_shape == (None, 6, 6, 3)
    assert [(r.output_shape, r.formulas, r.field, r.cost) for r in found.steps] == [
        (r.output_shape, r.formulas, r.field, r.cost) for r in wanted.steps
    ]
    assert [r.name.split("_")[0] for r in found.steps][-4:] == ["block/conv", "block/pool", "block/relu", "last"]
    assert (found.parameters, found.multiply_adds) == (wanted.parameters, wanted.multiply_adds)
    assert model.first._inbound_nodes == [] and model.block.conv._inbound_nodes == []


def test_a_model_of_python_code_after_its_first_call() -> None:
    model = Subclassed()
    with pytest.raises(ValueError, match="its input has no size yet"):
        explain.arithmetic(model)
    model(np.zeros((2, 9, 9, 1), "float32"))
    assert explain.arithmetic(model).output_shape == (None, 2, 2, 3)
    model.call = lambda x: model.first(x) if float(striate.ops.sum(x)) > 0 else x
    with pytest.raises(ValueError, match=r"Python code that gives no graph.*Explain its layers one by one"):
        explain.arithmetic(model)
