"""`transposed_of`, `explain.equivalence` and `explain.overlap`, against the layers themselves (float32, compiled),
adjoint identities, and counts by running layers of ones."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import numpy as np
import pytest

import striate
from striate import explain, layers
from striate.core import window


def drawn(rng: random.Random, rank: int) -> tuple[dict[str, Any], tuple[int, ...]]:
    kernel = tuple(rng.randint(1, 4) for _ in range(rank))
    dilated = rng.random() < 0.25
    strides = tuple(1 if dilated else rng.randint(1, 3) for _ in range(rank))
    padding: Any = rng.choice(["valid", "same", "full", "pairs"])
    if padding == "pairs":
        padding = tuple((rng.randint(0, 2), rng.randint(0, 2)) for _ in range(rank))
    dilation = tuple(rng.randint(1, 2) if dilated else 1 for _ in range(rank))
    sizes = tuple(rng.randint(7, 10) for _ in range(rank))
    settings = {"kernel_size": kernel, "strides": strides, "padding": padding, "dilation_rate": dilation}
    return settings | {"filters": rng.randint(1, 3), "use_bias": False}, (*sizes, rng.randint(1, 3))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_the_transposed_layer_is_the_adjoint(seed: int, rank: int) -> None:
    """It gives the size back, and <conv(x), y> = <x, transposed(y)> on the compiled layers."""
    settings, shape = drawn(random.Random(10 * seed + rank), rank)
    layer = getattr(layers, f"Conv{rank}D")(**settings)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1, *shape)).astype("float32")
    image = np.asarray(layer(x))
    back = striate.transposed_of(layer, shape)
    assert type(back).__name__ == f"Conv{rank}DTranspose"
    assert back.compute_output_shape(image.shape) == x.shape
    y = rng.normal(size=image.shape).astype("float32")
    np.testing.assert_allclose((image * y).sum(), (x * np.asarray(back(y))).sum(), rtol=1e-3, atol=1e-3)


def test_the_chapters_cases() -> None:
    """3x3 over 5x5; stride 2 with p = 2 over 3x3 (a = 0) and over 4x4 (a = 1)."""
    found = [
        striate.transposed_of(layers.Conv2D(1, 3), (5, 5, 1)),
        striate.transposed_of(layers.Conv2D(1, 3, strides=2, padding=1), (3, 3, 1)),
        striate.transposed_of(layers.Conv2D(1, 3, strides=2, padding=1), (4, 4, 1)),
    ]
    steps = [
        explain.arithmetic(layer, shape).steps[0]
        for layer, shape in zip(found, [(3, 3, 1), (2, 2, 1), (2, 2, 1)], strict=True)
    ]
    assert [(s.o, s.a, s.spread_before + s.spread_after) for s in steps] == [(5, 0, 4), (3, 0, 2), (4, 1, 3)]
    assert found[0].padding == "valid" and found[0].output_padding is None  # Keras can open it


def test_names_where_keras_has_them() -> None:
    back = striate.transposed_of(layers.Conv2D(4, 3, strides=2, padding="same"), (8, 8, 2))
    assert (back.padding, back.output_padding, back.filters) == ("same", None, 2)


def test_the_convolution_of_a_transposed_layer() -> None:
    layer = layers.Conv2DTranspose(2, 3, strides=2, padding="same", use_bias=False)
    y = np.random.default_rng(0).normal(size=(1, 4, 5, 3)).astype("float32")
    x = np.asarray(layer(y))
    forth = striate.transposed_of(layer, (4, 5, 3))
    assert type(forth).__name__ == "Conv2D" and forth.compute_output_shape(x.shape) == y.shape
    probe = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    np.testing.assert_allclose((x * probe).sum(), (y * np.asarray(forth(probe))).sum(), rtol=1e-4, atol=1e-4)


WRONG = [
    (lambda: striate.transposed_of(layers.DepthwiseConv2D(3), (5, 5, 1)), "no groups"),
    (lambda: striate.transposed_of(layers.Conv2D(4, 3, groups=2), (5, 5, 2)), "no groups"),
    (lambda: striate.transposed_of(layers.Conv2D(1, 3), (None, 5, 1)), "Give all sizes"),
    (lambda: striate.transposed_of(layers.Conv2D(1, 3, padding=1, padding_mode="reflect"), (5, 5, 1)), "reflect"),
    (lambda: explain.equivalence(layers.Dense(3), np.ones((3, 3))), "expected a convolution"),
    (lambda: explain.equivalence(layers.Conv2D(1, 3), np.ones((3,))), "3 or 4 axes"),
    (lambda: explain.equivalence(layers.Conv2D(9, 3), np.ones((99, 99, 3))), "smaller x"),
    (lambda: explain.equivalence(layers.Conv2D(1, 3), np.ones((20, 20, 1))).draw(), "too large to draw"),
    (lambda: explain.overlap(layers.Flatten(), (5, 5, 1)), "no kernel"),
    (lambda: explain.overlap(layers.Conv2D(1, 3), (None, 5, 1)), "must be known"),
    (lambda: explain.overlap(layers.Conv2D(1, 9), (5, 5, 1)), "does not fit"),
]  # fmt: skip


@pytest.mark.parametrize(("use", "words"), WRONG)
def test_wrong_uses(use: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        use()


# Equivalences ---------------------------------------------------------------------------------------------------------

CASES = [
    (layers.Conv2D, (1, 3), {}, (5, 5, 1)),
    (layers.Conv2D, (2, 3), {"strides": 2, "padding": "same"}, (6, 5, 2)),
    (layers.Conv2D, (2, (2, 3)), {"strides": (1, 2), "data_format": "channels_first"}, (2, 5, 6)),
    (layers.Conv1D, (2, 3), {"dilation_rate": 2, "padding": "causal"}, (9, 2)),
    (layers.Conv3D, (1, 2), {"strides": 2}, (4, 5, 4, 1)),
    (layers.Conv2D, (4, 3), {"groups": 2}, (5, 5, 4)),
    (layers.DepthwiseConv2D, (3,), {"depth_multiplier": 2}, (5, 5, 2)),
]


@pytest.mark.parametrize(("kind", "args", "settings", "shape"), CASES, ids=lambda v: str(v)[:40])
def test_the_matrix_is_what_the_compiled_layer_does_to_unit_vectors(
    kind: Any, args: Any, settings: Any, shape: Any
) -> None:
    layer = kind(*args, use_bias=False, **settings)
    found = explain.equivalence(layer, np.random.default_rng(0).normal(size=shape))
    assert found.holds and max(found.differences.values()) < 1e-6
    units = np.eye(int(np.prod(shape)), dtype="float32").reshape(-1, *shape)
    columns = np.asarray(layer(units))
    first = settings.get("data_format") == "channels_first"
    order = np.moveaxis(np.arange(len(units)).reshape(shape), 0, -1).ravel() if first else slice(None)
    columns = np.moveaxis(columns, 1, -1) if first else columns
    np.testing.assert_allclose(columns.reshape(len(units), -1)[order].T, found.matrix, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"strides": 2, "padding": "same"}, {"strides": 3, "output_padding": 1}])
def test_a_transposed_layer_is_the_transposed_matrix(settings: Any) -> None:
    layer = layers.Conv2DTranspose(2, 3, use_bias=False, **settings)
    y = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype("float32")
    found = explain.equivalence(layer, y)
    assert found.holds and len(found.differences) == 4
    np.testing.assert_allclose(np.asarray(layer(y)).ravel(), found.matrix.T @ y.ravel(), atol=1e-5)


def test_a_wrong_formula_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    right = window.spread_pads
    monkeypatch.setattr(window, "spread_pads", lambda *a: (right(*a)[0] - 1, right(*a)[1] + 1))
    found = explain.equivalence(layers.Conv2D(1, 3), np.random.default_rng(0).normal(size=(5, 5, 1)))
    assert not found.holds
    assert "NOT all below" in str(found)


def test_the_drawn_matrix() -> None:
    """Squares and numbers read out of the SVG."""
    layer = layers.Conv1D(1, 2, use_bias=False)
    layer.build((None, 4, 1))
    layer.set_weights([np.array([3.0, -2.0]).reshape(2, 1, 1)])
    html = explain.equivalence(layer, np.ones((4, 1))).draw().html
    first = html[: html.index("</svg>")]
    entries = re.findall(r'<rect x="(\d+)" y="(\d+)".*?>([^<]+)</text>', first)
    drawn_ = np.zeros((3, 4))
    for x, y, text in entries:
        drawn_[int(y) // 28, int(x) // 28] = float(text.replace("−", "-"))
    np.testing.assert_array_equal(drawn_, [[3, -2, 0, 0], [0, 3, -2, 0], [0, 0, 3, -2]])


# Overlap --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_counts_are_what_ones_give(seed: int) -> None:
    """A transposed layer of ones over ones counts its windows; of a convolution, so does the gradient's layer."""
    rng = random.Random(seed)
    settings = {"strides": rng.randint(1, 3), "padding": rng.choice(["valid", "same"]), "use_bias": False}
    k, sizes = rng.randint(1, 5), (rng.randint(5, 9), rng.randint(5, 9))
    back = layers.Conv2DTranspose(1, k, kernel_initializer="ones", **settings)
    y = np.asarray(back(np.ones((1, *sizes, 1), "float32")))[0, :, :, 0]
    np.testing.assert_array_equal(explain.overlap(back, (*sizes, 1)).counts, y.round())
    forth = layers.Conv2D(1, k, kernel_initializer="ones", **settings)
    image = np.asarray(forth(np.ones((1, *sizes, 1), "float32")))
    seen = np.asarray(striate.transposed_of(forth, (*sizes, 1))(np.ones_like(image)))[0, :, :, 0]
    np.testing.assert_array_equal(explain.overlap(forth, (*sizes, 1)).counts, seen.round())


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("s", [1, 2, 3])
@pytest.mark.parametrize("k", range(1, 7))
def test_even_is_what_the_middle_of_a_long_output_is(k: int, s: int, d: int) -> None:
    if s > 1 and d > 1:
        return
    found = explain.overlap(layers.Conv1DTranspose(1, k, strides=s, dilation_rate=d), (60, 1))
    middle = found.steps[0].counts[20:-20]
    assert found.even == (len(set(middle)) == 1)
    for better in found.even_kernels[0]:
        again = explain.overlap(layers.Conv1DTranspose(1, better, strides=s, dilation_rate=d), (60, 1))
        assert len(set(again.steps[0].counts[20:-20])) == 1
    for better in found.even_strides[0]:
        again = explain.overlap(layers.Conv1DTranspose(1, k, strides=better), (60, 1)) if d == 1 else found
        assert again.even or d > 1


def test_aliasing_is_what_noise_shows() -> None:
    """The share of the energy beyond the kept frequencies, measured on filtered noise."""
    layer = layers.Conv1D(1, 3, strides=2, padding="same", use_bias=False)
    layer.build((None, 64, 1))
    layer.set_weights([np.array([0.25, 0.5, 0.25]).reshape(3, 1, 1)])
    noise = np.random.default_rng(0).normal(size=(4000, 64))
    spectrum = np.abs(np.fft.fft(np.array([np.convolve(row, [0.25, 0.5, 0.25], "same") for row in noise]))) ** 2
    mean = spectrum.mean(0)
    measured = 1 - mean[np.abs(np.fft.fftfreq(64)) <= 0.25].sum() / mean.sum()
    assert explain.overlap(layer, (64, 1)).aliased == pytest.approx(measured, abs=0.01)
    assert explain.overlap(layers.Conv2D(1, 3, strides=2), (9, 9, 1)).aliased == pytest.approx(0.75, abs=0.03)
    assert explain.overlap(layers.Conv2D(1, 3), (9, 9, 1)).aliased is None


def test_the_overlap_is_told() -> None:
    found = explain.overlap(layers.Conv2DTranspose(1, 3, strides=2), (6, 6, 1))
    assert "a checkerboard" in str(found) and "kernels of 2 or 4 at stride 2" in str(found)
    cells = [int(t) for t in re.findall(r"<text[^>]*>(\d+)</text>", found.draw().html)]
    np.testing.assert_array_equal(cells, found.counts.ravel())
    assert json.loads(json.dumps(found.to_dict()))["even"] is False
    assert "never reached" in str(explain.overlap(layers.Conv1D(1, 2, strides=3), (11, 1)))
