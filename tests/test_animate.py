"""Animations: the numbers on the pictures, read out of SVG and HTML, are NumPy's."""

from __future__ import annotations

import itertools
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate import explain, layers
from striate.core import window

Pair = tuple[int, int]


class Planes(HTMLParser):
    """The planes of an SVG: numbers, which cells are lit, what kind each is, and the outlines in cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: dict[str, dict[tuple[int, ...], dict[str, str]]] = {}
        self.outlines: dict[str, tuple[float, ...]] = {}
        self.plane, self.side = "", 1.0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {k: v or "" for k, v in attrs}
        if "data-plane" in found:
            self.plane = found["data-plane"]
            self.cells[self.plane] = {}
        elif "data-at" in found:
            self.cells[self.plane][tuple(map(int, found["data-at"].split(",")))] = found
        elif found.get("class") == "window" and "visibility" not in found:
            self.outlines[self.plane] = tuple(float(found[k]) / self.side for k in ("y", "x", "height", "width"))
        elif tag == "rect" and "fill-opacity" in found:
            self.side = float(found["width"])

    def numbers(self, plane: str, missing: float = np.nan) -> np.ndarray:
        cells = self.cells[plane]
        out = np.full(np.max(list(cells), axis=0) + 1, missing)
        for at, cell in cells.items():
            out[at] = float(cell["data-value"]) if "data-value" in cell else missing
        return out

    def lit(self, plane: str) -> list[tuple[int, ...]]:
        return [at for at, cell in self.cells[plane].items() if "on" in cell["class"].split()]


def drawn(animation: Any, frame: int) -> Planes:
    return Planes(animation.still(frame).html)


def built(layer: Any, channels: int, rng: np.random.Generator) -> Any:
    """The layer with small whole weights."""
    layer.build((None, *(None,) * layer.rank, channels))
    layer.set_weights([rng.integers(-3, 4, w.shape).astype("float32") for w in layer.weights])
    return layer


def same(i: int, k: int, s: int) -> Pair:
    """TensorFlow's rule, in words of its own: ceil(i / s) windows, what is missing goes half to either side."""
    total = max((int(np.ceil(i / s)) - 1) * s + k - i, 0)
    return total // 2, total - total // 2


def padding_of(name: Any, sizes: tuple[int, ...], kernel: tuple[int, ...], s: tuple[int, ...], d: int) -> list[Pair]:
    spans = [(k - 1) * d + 1 for k in kernel]
    if name == "same":
        return [same(i, k, n) for i, k, n in zip(sizes, spans, s)]
    width = {"valid": 0}.get(name, name)
    return [(k - 1, k - 1) if name == "full" else (width, width) for k in spans]


def windows(i: int, pad: Pair, k: int, s: int, d: int) -> list[list[int]]:
    """Cells of the padded axis under each window: as many as fit."""
    found = []
    start = 0
    while start + (k - 1) * d < i + sum(pad):
        found.append([start + t * d for t in range(k)])
        start += s
    return found


@st.composite
def convolutions(draw: Any) -> tuple[dict[str, Any], tuple[int, ...], int, int]:
    """Arguments, the input's shape with its channels, a frame's share of the way, a seed."""
    groups, each = draw(st.sampled_from([(1, 1), (1, 2), (1, 3), (2, 1)]))
    strides = draw(st.tuples(*[st.integers(1, 3)] * 2))
    dilation = draw(st.integers(1, 2)) if strides == (1, 1) else 1
    arguments = {
        "filters": groups * draw(st.integers(1, 2)),
        "kernel_size": draw(st.tuples(*[st.integers(1, 3)] * 2)),
        "strides": strides,
        "dilation_rate": dilation,
        "padding": draw(st.sampled_from(["valid", "same", "full", 1, 2])),
        "groups": groups,
        "use_bias": draw(st.booleans()),
        "activation": draw(st.sampled_from([None, "relu"])),
    }
    shape = (*draw(st.tuples(*[st.integers(5, 8)] * 2)), groups * each)
    return arguments, shape, draw(st.integers(0, 99)), draw(st.integers(0, 99))


@given(convolutions())
def test_a_frame_of_a_convolution_shows_numpy_s_numbers(
    case: tuple[dict[str, Any], tuple[int, ...], int, int],
) -> None:
    check_convolution(*case)


def check_convolution(arguments: dict[str, Any], shape: tuple[int, ...], share: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = built(layers.Conv2D(**arguments), shape[-1], rng)
    x = rng.integers(-4, 5, shape).astype("float64")
    kernel = np.asarray(layer.kernel, "float64")
    d, s, k = arguments["dilation_rate"], arguments["strides"], arguments["kernel_size"]
    pads = padding_of(arguments["padding"], shape[:2], k, s, d)
    rows, columns = (windows(i, p, n, m, d) for i, p, n, m in zip(shape, pads, k, s))
    around = np.pad(x, [*pads, (0, 0)])
    animation = explain.animate(layer, x, limit=9999)
    places = list(itertools.product(range(arguments["filters"]), rows, columns))
    assert len(animation.frames) == len(places)
    n = share * (len(places) - 1) // 99
    q, down, across = places[n]
    picture = drawn(animation, n)
    per_group = shape[-1] // arguments["groups"]
    first = q // (arguments["filters"] // arguments["groups"]) * per_group
    total = 0.0
    for c in range(per_group):
        plane = f"x{first + c}"
        under = around[np.ix_(down, across, [first + c])][..., 0]
        np.testing.assert_array_equal(picture.numbers(plane), around[..., first + c])
        assert picture.lit(plane) == list(itertools.product(down, across))
        size = (down[-1] - down[0] + 1, across[-1] - across[0] + 1)
        assert picture.outlines[plane] == (down[0], across[0], *size)
        np.testing.assert_array_equal(picture.numbers(f"k{first + c}"), kernel[..., c, q])
        np.testing.assert_array_equal(picture.numbers(f"p{first + c}"), under * kernel[..., c, q])
        total += float((under * kernel[..., c, q]).sum())
        inner = around.shape[0] - pads[0][1], around.shape[1] - pads[1][1]
        for at, cell in picture.cells[plane].items():
            own = pads[0][0] <= at[0] < inner[0] and pads[1][0] <= at[1] < inner[1]
            assert ("pad" in cell["class"].split()) == (not own)
    total += float(layer.bias[q]) if arguments["use_bias"] else 0
    total = max(total, 0) if arguments["activation"] else total
    made = np.asarray(layer(x[None].astype("float32")))[0, ..., q]
    output = picture.numbers(f"y{q}")
    at = (rows.index(down), columns.index(across))
    assert output.shape == made.shape == (len(rows), len(columns))
    assert picture.lit(f"y{q}") == [at]
    assert output[at] == total
    done = at[0] * len(columns) + at[1] + 1
    np.testing.assert_array_equal(output.ravel()[:done], made.ravel()[:done])
    assert np.isnan(output.ravel()[done:]).all()


_POOLS = {
    "MaxPooling2D": lambda v: v.max(),
    "AveragePooling2D": lambda v: v.mean(),
    "LpPooling2D": lambda v: np.sqrt((v**2).sum()),
}


@given(
    st.sampled_from(sorted(_POOLS)),
    st.tuples(*[st.integers(1, 3)] * 2),
    st.tuples(*[st.integers(1, 3)] * 2),
    st.sampled_from(["valid", "same"]),
    st.tuples(*[st.integers(4, 7)] * 2, st.integers(1, 2)),
    st.integers(0, 99),
)
def test_a_frame_of_pooling_shows_numpy_s_numbers(
    name: str, k: tuple[int, int], s: tuple[int, int], padding: str, shape: tuple[int, ...], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 10, shape).astype("float64")
    animation = explain.animate(getattr(layers, name)(k, s, padding), x)
    pads = padding_of(padding, shape[:2], k, s, 1)
    rows, columns = (windows(i, p, n, m, 1) for i, p, n, m in zip(shape, pads, k, s))
    places = list(itertools.product(range(shape[-1]), rows, columns))
    assert len(animation.frames) == len(places)
    n = seed % len(places)
    q, down, across = places[n]
    picture = drawn(animation, n)
    around = np.pad(x[..., q], pads, constant_values=np.nan)
    under = around[np.ix_(down, across)]
    expected = _POOLS[name](under[~np.isnan(under)])
    at = rows.index(down), columns.index(across)
    missing = 0.0 if name == "LpPooling2D" else np.nan
    np.testing.assert_array_equal(picture.numbers(f"x{q}"), np.where(np.isnan(around), missing, around))
    assert picture.lit(f"x{q}") == list(itertools.product(down, across))
    np.testing.assert_array_equal(picture.numbers("p0"), np.where(np.isnan(under), missing, under))
    np.testing.assert_allclose(picture.numbers(f"y{q}")[at], expected, rtol=1e-5, atol=1e-6)
    assert picture.lit(f"y{q}") == [at]


@st.composite
def transposed(draw: Any) -> tuple[dict[str, Any], tuple[int, ...], int]:
    strides = draw(st.integers(1, 3))
    padding = draw(st.sampled_from(["valid", "same", 1]))
    low = {"valid": 1, "same": 1, 1: 2}[padding]
    arguments = {
        "filters": draw(st.integers(1, 2)),
        "kernel_size": draw(st.integers(low + 1, 4)),
        "strides": strides,
        "padding": padding,
        "output_padding": draw(st.sampled_from([None, *range(strides)])) if padding != "same" else None,
        "use_bias": draw(st.booleans()),
    }
    return arguments, (*draw(st.tuples(*[st.integers(2, 4)] * 2)), draw(st.integers(1, 2))), draw(st.integers(0, 99))


def stamped(x: np.ndarray, kernel: np.ndarray, s: int, until: int) -> np.ndarray:
    """The first `until` units, row by row, times the kernel, added up without any padding taken off."""
    k, (height, width, _) = kernel.shape[0], x.shape
    out = np.zeros(((height - 1) * s + k, (width - 1) * s + k, kernel.shape[2]))
    for r, c in list(itertools.product(range(height), range(width)))[:until]:
        out[r * s : r * s + k, c * s : c * s + k] += kernel @ x[r, c]
    return out


def cropped(full: np.ndarray, lo: int, shape: tuple[int, ...]) -> np.ndarray:
    """`shape` of it from `lo` on, with zeros where it ends."""
    padded = np.pad(full, [(0, max(shape[0], 1)), (0, max(shape[1], 1)), (0, 0)])
    return padded[lo : lo + shape[0], lo : lo + shape[1]]


@given(transposed())
def test_both_views_of_a_transposed_convolution_show_numpy_s_numbers(
    case: tuple[dict[str, Any], tuple[int, ...], int],
) -> None:
    arguments, shape, seed = case
    rng = np.random.default_rng(seed)
    layer = built(layers.Conv2DTranspose(**arguments), shape[-1], rng)
    x = rng.integers(-4, 5, shape).astype("float64")
    k, s, kernel = arguments["kernel_size"], arguments["strides"], np.asarray(layer.kernel, "float64")
    lo = {"valid": 0, "same": max(k - s, 0) // 2, 1: 1}[arguments["padding"]]
    y = np.asarray(layer(x[None].astype("float32")), "float64")[0]
    bias = np.asarray(layer.bias, "float64") if arguments["use_bias"] else np.zeros(y.shape[-1])
    np.testing.assert_array_equal(y, cropped(stamped(x, kernel, s, 99), lo, y.shape) + bias)
    check_scatter(layer, x, y, kernel, lo, seed)
    check_zeros(layer, x, y, kernel, lo, seed)


def check_scatter(layer: Any, x: np.ndarray, y: np.ndarray, kernel: np.ndarray, lo: int, seed: int) -> None:
    animation, s = explain.animate(layer, x, limit=999), layer.strides[0]
    units = list(itertools.product(range(y.shape[-1]), range(x.shape[0]), range(x.shape[1])))
    assert len(animation.frames) == len(units)
    n = seed % len(units)
    q, r, c = units[n]
    picture = drawn(animation, n)
    for channel in range(x.shape[-1]):
        np.testing.assert_array_equal(picture.numbers(f"x{channel}"), x[..., channel])
        assert picture.lit(f"x{channel}") == [(r, c)]
        np.testing.assert_array_equal(picture.numbers(f"p{channel}"), x[r, c, channel] * kernel[..., q, channel])
    reached = [
        [i * s - lo + t for t in range(kernel.shape[0]) if 0 <= i * s - lo + t < size]
        for i, size in zip((r, c), y.shape)
    ]
    assert picture.lit(f"y{q}") == list(itertools.product(*reached))
    so_far = cropped(stamped(x, kernel, s, n % (x.shape[0] * x.shape[1]) + 1), lo, y.shape)[..., q]
    last = (r, c) == (x.shape[0] - 1, x.shape[1] - 1)
    np.testing.assert_array_equal(picture.numbers(f"y{q}"), y[..., q] if last else so_far)
    assert picture.lit("cx0") == picture_windows(picture, "cx0", r, c, s, kernel.shape[0])
    assert picture.lit("cy0") == [(r, c)]


def picture_windows(picture: Planes, plane: str, r: int, c: int, s: int, k: int) -> list[tuple[int, ...]]:
    """The cells that the convolution reads for its unit (r, c), counted with its padding, as far as drawn."""
    rows, columns = picture.numbers(plane).shape
    cells = itertools.product(range(r * s, r * s + k), range(c * s, c * s + k))
    return [at for at in cells if at[0] < rows and at[1] < columns]


def check_zeros(layer: Any, x: np.ndarray, y: np.ndarray, kernel: np.ndarray, lo: int, seed: int) -> None:
    animation, s, k = explain.animate(layer, x, view="zeros", limit=999), layer.strides[0], kernel.shape[0]
    cells = list(itertools.product(range(y.shape[-1]), range(y.shape[0]), range(y.shape[1])))
    assert len(animation.frames) == len(cells)
    q, r, c = cells[seed % len(cells)]
    picture = drawn(animation, seed % len(cells))
    total = float(layer.bias[q]) if layer.use_bias else 0.0
    for channel in range(x.shape[-1]):
        spread = np.zeros((y.shape[0] + k - 1, y.shape[1] + k - 1))
        for i, j in itertools.product(range(x.shape[0]), range(x.shape[1])):
            at = (i * s + k - 1 - lo, j * s + k - 1 - lo)
            if at[0] < spread.shape[0] and at[1] < spread.shape[1]:
                spread[at] = x[i, j, channel]
        np.testing.assert_array_equal(picture.numbers(f"x{channel}"), spread)
        turned = kernel[::-1, ::-1, q, channel]
        np.testing.assert_array_equal(picture.numbers(f"k{channel}"), turned)
        products = spread[r : r + k, c : c + k] * turned
        np.testing.assert_array_equal(picture.numbers(f"p{channel}"), products)
        assert picture.lit(f"x{channel}") == list(itertools.product(range(r, r + k), range(c, c + k)))
        total += float(products.sum())
    assert picture.numbers(f"y{q}")[r, c] == total == y[r, c, q]


def test_the_convolution_beside_it_is_on_the_numbers_that_are_given() -> None:
    rng = np.random.default_rng(0)
    layer = built(layers.Conv2DTranspose(1, 3, strides=2, padding=1, output_padding=1, use_bias=False), 1, rng)
    x = rng.integers(0, 5, (4, 4)).astype("float64")
    around, kernel = np.pad(x, 1), np.asarray(layer.kernel)[..., 0, 0]
    y = np.array([[(around[r : r + 3, c : c + 3] * kernel).sum() for c in (0, 2)] for r in (0, 2)])
    for view in ("scatter", "zeros"):
        picture = drawn(explain.animate(layer, y, view=view, beside=x), 0)
        np.testing.assert_array_equal(picture.numbers("cx0")[1:5, 1:5], x)
        np.testing.assert_array_equal(picture.numbers("cy0"), y)
    alone = drawn(explain.animate(layer, y, beside=False), 0)
    assert "cx0" not in alone.cells
    with pytest.raises(ValueError, match=r"starts from the shape \(4, 4, 1\)"):
        explain.animate(layer, y, beside=np.ones((3, 3)))


# One and three axes, other layers -------------------------------------------------------------------------------------


def test_one_axis() -> None:
    rng = np.random.default_rng(1)
    layer = built(layers.Conv1D(1, 3, padding="causal", dilation_rate=2, use_bias=False), 2, rng)
    x = rng.integers(-4, 5, (6, 2)).astype("float64")
    picture = drawn(explain.animate(layer, x), 4)
    around, kernel = np.pad(x, [(4, 0), (0, 0)]), np.asarray(layer.kernel, "float64")[..., 0]
    np.testing.assert_array_equal(picture.numbers("x1"), around[None, :, 1])
    assert picture.lit("x1") == [(0, 4), (0, 6), (0, 8)]
    assert picture.numbers("y0")[0, 4] == (around[4:9:2] * kernel).sum()


def test_three_axes_slice_by_slice() -> None:
    rng = np.random.default_rng(2)
    layer = built(layers.Conv3D(1, 2, use_bias=False), 1, rng)
    x = rng.integers(-4, 5, (3, 4, 4, 1)).astype("float64")
    picture, kernel = drawn(explain.animate(layer, x), 9 + 4), np.asarray(layer.kernel, "float64")[..., 0, 0]
    under = x[1:3, 1:3, 1:3, 0]  # the second slice's fifth of nine windows
    assert not picture.lit("x0.0") and picture.lit("x0.1") == picture.lit("x0.2") == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for t in range(2):
        np.testing.assert_array_equal(picture.numbers(f"p0.{t}"), under[t] * kernel[t])
    assert picture.numbers("y0.1")[1, 1] == (under * kernel).sum()
    assert not np.isnan(picture.numbers("y0.0")).any()


def test_depthwise_reflected_global_adaptive_and_channels_first() -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(-4, 5, (5, 6, 2)).astype("float64")
    depthwise = built(layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False), 2, rng)
    picture = drawn(explain.animate(depthwise, x), 12 * 3)
    under = x[:3, :3, 1] * np.asarray(depthwise.kernel)[..., 1, 1]
    np.testing.assert_array_equal(picture.numbers("p1"), under)
    assert picture.numbers("y3")[0, 0] == under.sum() and not picture.lit("x0")
    mirrored = built(layers.Conv2D(1, 3, padding="same", padding_mode="reflect"), 2, rng)
    edges = drawn(explain.animate(mirrored, x), 0).numbers("x0")
    np.testing.assert_array_equal(edges, np.pad(x[..., 0], 1, mode="reflect"))
    assert drawn(explain.animate(layers.GlobalAveragePooling2D(), x), 1).numbers("y1") == pytest.approx(
        x[..., 1].mean()
    )
    adaptive = drawn(explain.animate(layers.AdaptiveMaxPooling2D(2), x[..., :1]), 0)
    assert adaptive.numbers("y0")[0, 0] == x[:3, :3, 0].max()
    first = built(layers.Conv2D(1, 3, use_bias=False), 2, rng)
    other = layers.Conv2D(1, 3, use_bias=False, data_format="channels_first")
    other.build((None, 2, None, None))
    other.set_weights(first.get_weights())
    moved = drawn(explain.animate(other, np.moveaxis(x, -1, 0)), 5)
    np.testing.assert_array_equal(moved.numbers("y0"), drawn(explain.animate(first, x), 5).numbers("y0"))


# The page -------------------------------------------------------------------------------------------------------------


def replayed(html: str, frame: int) -> dict[str, dict[int, str]]:
    """The texts of the planes at a frame, from the page's data alone."""
    data = json.loads(re.findall(r'<script type="application/json">(.*?)</script>', html, re.S)[0])
    texts = {name: {n: c[0] for n, c in enumerate(cells)} for name, cells in data["blank"].items()}
    for step in data["frames"][: frame + 1]:
        for name, index, cell in step["written"]:
            texts[name][index] = cell[0]
    for name, cells in data["frames"][frame]["planes"].items():
        texts[name] = {n: c[0] for n, c in enumerate(cells)}
    return texts


@given(convolutions())
def test_the_page_s_data_are_numpy_s(case: tuple[dict[str, Any], tuple[int, ...], int, int]) -> None:
    arguments, shape, _share, seed = case
    rng = np.random.default_rng(seed)
    layer = built(layers.Conv2D(**arguments), shape[-1], rng)
    x = rng.integers(-4, 5, shape).astype("float64")
    animation = explain.animate(layer, x)
    texts = replayed(animation._repr_html_(), len(animation) - 1)
    y = np.asarray(layer(x[None].astype("float32")))[0]
    for q in range(arguments["filters"]):
        found = [float(t.replace("−", "-")) for t in texts[f"y{q}"].values()]
        np.testing.assert_array_equal(found, y[..., q].ravel())


def test_the_words_are_the_sum() -> None:
    x = np.arange(9.0).reshape(3, 3)
    layer = layers.Conv2D(1, 2, activation="relu")
    layer.build((None, 3, 3, 1))
    layer.set_weights([np.array([[1, -2], [0, 3]], "float32")[..., None, None], np.array([-20], "float32")])
    html = re.sub(r"<[^>]+>", " ", explain.animate(layer, x).still(1).html)
    html = " ".join(html.split())
    assert "1·1 + 2·(−2) + 4·0 + 5·3 = 12;" in html and "with the bias −20: −8;" in html and "relu gives 0" in html
    assert "Output: row 1 of 2, column 2 of 2" in html and "o = floor((3 + 0 - 2)/1) + 1 = 2" in html
    pooled = explain.animate(layers.LpPooling2D(2), np.array([[3.0, 0], [4, 0]])).still(0).html
    assert "√(3² + 0² + 4² + 0²) = 5" in pooled


@pytest.mark.parametrize(
    ("name", "wrong", "strides", "dilation"),
    [
        ("_count", lambda i, p, k, s: -((i + p - k) // -s) + 1, (3, 2), 1),
        ("_halves", lambda p: (p - p // 2, p // 2), (1, 1), 1),
        ("effective_kernel", lambda k, d=1: k * d, (1, 1), 2),
        ("_span", lambda n, p, k, s, a=0: s * n + a + k - p, (3, 2), 1),
    ],
)
def test_a_wrong_window_formula_does_not_pass(
    monkeypatch: pytest.MonkeyPatch, name: str, wrong: Any, strides: tuple[int, int], dilation: int
) -> None:
    """These tests can fail: with a formula of `core.window` changed the picture is another, or none."""
    arguments = {"filters": 1, "kernel_size": (2, 4), "padding": "same", "groups": 1, "use_bias": False}
    arguments |= {"activation": None, "strides": strides, "dilation_rate": dilation}
    check_convolution(arguments, (10, 11, 1), 50, 0)
    monkeypatch.setattr(window, name, wrong)
    with pytest.raises((AssertionError, ValueError, RuntimeError, IndexError)):
        check_convolution(arguments, (11, 12, 1), 50, 0)


def test_a_span_that_is_off_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The products have to add up to what the layer gave."""
    span = window.Receptive.span
    monkeypatch.setattr(window.Receptive, "span", lambda self, n: tuple(p + 1 for p in span(self, n)))
    layer = built(layers.Conv2D(1, 3, padding="same"), 1, np.random.default_rng(0))
    with pytest.raises((RuntimeError, IndexError)):
        explain.animate(layer, np.arange(25.0).reshape(5, 5))
