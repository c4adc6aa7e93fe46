"""Window arithmetic against brute force, against the chapter's printed sizes, and against real Keras."""

from __future__ import annotations

import doctest
import random
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate import engines, layers
from striate.core import window

sizes = st.integers(1, 20)
kernels = st.integers(1, 6)
strides = st.integers(1, 5)
dilations = st.integers(1, 3)
names = st.sampled_from(["valid", "same", "full", "causal"])
pairs = st.tuples(st.integers(0, 4), st.integers(0, 4))


def positions(i: int, k: int, s: int, lo: int, hi: int, d: int) -> list[list[int]]:
    """By walking: the input positions under each place of the kernel on an input padded by lo and hi."""
    found = []
    first = -lo
    while first + (k - 1) * d <= i - 1 + hi:
        found.append([first + t * d for t in range(k)])
        first += s
    return found


# Forward sizes --------------------------------------------------------------------------------------------------------


@given(sizes, kernels, strides, pairs, dilations)
def test_size_counts_the_places_of_the_kernel(i: int, k: int, s: int, pair: tuple[int, int], d: int) -> None:
    assert max(window.output_size(i, k, s, pair, d), 0) == len(positions(i, k, s, *pair, d)) or (
        window.output_size(i, k, s, pair, d) < 1 and not positions(i, k, s, *pair, d)
    )


@given(sizes, kernels, strides, names, dilations)
def test_names_are_pairs(i: int, k: int, s: int, name: str, d: int) -> None:
    pair = window.pads(name, i, k, s, d)
    assert window.output_size(i, k, s, name, d) == window.output_size(i, k, s, pair, d)
    assert min(pair) >= 0


@given(sizes, kernels, strides, dilations)
def test_same_is_the_least_padding_for_a_window_at_every_stride(i: int, k: int, s: int, d: int) -> None:
    lo, hi = window.pads("same", i, k, s, d)
    starts = len(range(0, i, s))
    assert window.output_size(i, k, s, "same", d) == starts
    assert hi - lo in (0, 1)
    if lo + hi:
        assert len(positions(i, k, s, 0, lo + hi - 1, d)) < starts


@given(sizes, kernels, strides, dilations)
def test_full_touches_the_input_with_every_window_and_causal_never_looks_ahead(i: int, k: int, s: int, d: int) -> None:
    full = positions(i, k, 1, *window.pads("full", i, k, 1, d), d)
    assert full[0][-1] == 0 and full[-1][0] == i - 1
    causal = positions(i, k, s, *window.pads("causal", i, k, s, d), d)
    assert [place[-1] for place in causal] == list(range(0, i, s))


# Sizes that the chapter prints, or derives: (i, k, s, padding, o).
CHAPTER = [
    (32, 3, 1, "valid", 30), (32, 5, 1, "valid", 28), (30, 2, 2, "valid", 15), (13, 2, 2, "valid", 6),
    (7, 3, 1, "valid", 5),
    (7, 3, 1, "same", 7), (7, 4, 1, "same", 7), (7, 3, 2, "same", 4), (6, 3, 2, "same", 3), (5, 3, 2, "same", 3),
    (128, 5, 2, "valid", 62), (128, 5, 3, "valid", 42), (62, 2, 2, "valid", 31), (31, 2, 3, "valid", 10),
    (21, 4, 2, "valid", 9),
    (10, 3, 2, "same", 5), (9, 3, 2, "same", 5), (5, 3, 1, "full", 7), (3, 3, 2, (1, 1), 2), (4, 3, 2, (1, 1), 2),
]  # fmt: skip


@pytest.mark.parametrize(("i", "k", "s", "padding", "o"), CHAPTER)
def test_the_chapters_sizes(i: int, k: int, s: int, padding: Any, o: int) -> None:
    assert window.output_size(i, k, s, padding) == o


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_sizes_are_kerass(real_keras: ModuleType, padding: str) -> None:
    draw = random.Random(1)
    for _ in range(300):
        i, k, s, d = draw.randint(1, 30), draw.randint(1, 6), draw.randint(1, 5), draw.randint(1, 3)
        if s > 1 and d > 1:
            continue
        ours = window.output_size(i, k, s, padding, d)
        layer = real_keras.layers.Conv1D(1, k, strides=s, padding=padding, dilation_rate=d)
        if ours < 1:
            with pytest.raises(ValueError):
                layer.compute_output_shape((1, i, 1))
        else:
            assert layer.compute_output_shape((1, i, 1))[1] == ours


def test_unknown_sizes_stay_unknown() -> None:
    assert window.output_size(None, 3, 2, "same") is None
    assert window.output_shape((None, 7), (3, 3), (1, 2), "valid", (1, 1)) == (None, 3)
    assert window.transposed_size(None, 3, 2, "same") is None
    assert window.transposed_shape((None, 2), (3, 3), (2, 2), "same", (1, 1)) == (None, 4)
    assert window.resolve_pads((None, 7), (3, 3), (2, 2), "same", (1, 1)) == (None, (1, 1))
    assert window.pads("same", None, 4, 1, 1) == (1, 2)  # at stride 1 the size does not matter
    assert window.pads("full", None, 3, 2, 2) == (4, 4)


def test_an_unknown_name_of_padding() -> None:
    with pytest.raises(ValueError, match="'sane'"):
        window.pads("sane", 5, 3)


@given(st.integers(1, 30), st.integers(1, 12))
def test_adaptive_windows_cover_the_input_evenly(i: int, o: int) -> None:
    windows = window.adaptive_windows(i, o)
    assert len(windows) == o and windows[0][0] == 0 and windows[-1][1] == i
    assert all(start < end for start, end in windows)
    assert {n for start, end in windows for n in range(start, end)} == set(range(i))
    if i % o == 0:
        assert windows == tuple((n * (i // o), (n + 1) * (i // o)) for n in range(o))


# Transposed convolutions ----------------------------------------------------------------------------------------------


@given(sizes, kernels, strides, st.one_of(names, pairs), dilations)
def test_the_associated_transpose_gives_the_input_size_back(i: int, k: int, s: int, padding: Any, d: int) -> None:
    o = window.output_size(i, k, s, padding, d)
    if o < 1:
        return
    lo, hi = window.pads(padding, i, k, s, d)
    kernel, stride, p, a = window.associated_transpose(i, k, s, padding, d)
    spread = s * (o - 1) + 1  # the input with s - 1 zeros between its units
    assert window.output_size(spread, kernel, stride, (0, p), d) == i
    assert window.transposed_size(o, k, s, (lo, hi), d, a) == i
    assert 0 <= a < s
    assert window.transposed_pads(o, k, s, (lo, hi), d, a) == (lo, hi)


@given(sizes, kernels, strides, st.sampled_from(["valid", "same"]), dilations, st.data())
def test_the_forward_convolution_of_a_transposed_one_brings_the_size_back(
    i: int, k: int, s: int, padding: str, d: int, data: st.DataObject
) -> None:
    extra = data.draw(st.one_of(st.none(), st.integers(0, 2 * s)))
    size = window.transposed_size(i, k, s, padding, d, extra)
    pair = window.transposed_pads(i, k, s, padding, d, extra)
    assert window.output_size(size, k, s, pair, d) == i
    if extra is None or extra < s:
        assert min(pair) >= 0


def test_the_chapters_transposed_sizes() -> None:
    assert window.transposed_size(3, 3) == 5
    assert window.transposed_size(2, 3, 2, (1, 1)) == 3
    assert window.transposed_size(2, 3, 2, (1, 1), 1, 1) == 4
    assert window.transposed_size(2, 3, 2, "same", 1, 1) == 4
    assert window.associated_transpose(5, 3) == (3, 1, 4, 0)
    assert window.associated_transpose(3, 3, 2, (1, 1)) == (3, 1, 2, 0)
    assert window.associated_transpose(4, 3, 2, (1, 1)) == (3, 1, 3, 1)


def configurations(n: int, seed: int) -> list[tuple[int, int, int, str, int, int | None]]:
    """Transposed convolutions that Keras accepts: no stride together with dilation, output_padding below the stride."""
    draw, made = random.Random(seed), []
    while len(made) < n:
        i, k, s, d = draw.randint(1, 7), draw.randint(1, 7), draw.randint(1, 5), draw.choice([1, 1, 2, 3])
        if s == 1 or d == 1:
            extra = draw.choice([None, *range(s)])
            made.append((i, k, s, draw.choice(["valid", "same"]), d, extra))
    return made


def test_transposed_sizes_are_kerass(real_keras: ModuleType) -> None:
    for i, k, s, padding, d, extra in configurations(3000, 2):
        layer = real_keras.layers.Conv1DTranspose(
            1, k, strides=s, padding=padding, dilation_rate=d, output_padding=extra
        )
        ours = window.transposed_size(i, k, s, padding, d, extra)
        assert layer.compute_output_shape((1, i, 1))[1] == ours, (i, k, s, padding, d, extra)


def scatter(x: np.ndarray, w: np.ndarray, s: int, d: int, lo: int, size: int) -> np.ndarray:
    """y[o] = sum of x[j] w[t] over all j, t with o = j s + t d - lo."""
    y = np.zeros(size)
    for j, xj in enumerate(x):
        for t, wt in enumerate(w):
            o = j * s + t * d - lo
            if 0 <= o < size:
                y[o] += xj * wt
    return y


def test_transposed_values_are_kerass(real_keras: ModuleType) -> None:
    rng = np.random.default_rng(3)
    for i, k, s, padding, d, extra in configurations(250, 4):
        x, w = rng.normal(size=i).astype("float32"), rng.normal(size=k).astype("float32")
        size = window.transposed_size(i, k, s, padding, d, extra)
        if size < 1:
            continue
        lo, _ = window.transposed_pads(i, k, s, padding, d, extra)
        theirs = real_keras.ops.conv_transpose(
            x[None, :, None], w[:, None, None], s, padding, extra, "channels_last", d
        )
        case = str((i, k, s, padding, d, extra))
        np.testing.assert_allclose(np.ravel(theirs), scatter(x, w, s, d, lo, size), atol=1e-5, err_msg=case)


@given(sizes, kernels, strides, st.one_of(names, pairs), dilations)
def test_a_wanted_size_is_reached_or_refused(i: int, k: int, s: int, padding: Any, d: int) -> None:
    for size in range(1, s * i + k * d + 6):
        if window.output_size(size, k, s, padding, d) == i:
            extra = window.output_padding_for(size, i, k, s, padding, d)
            assert window.transposed_size(i, k, s, padding, d, extra) == size
        else:
            with pytest.raises(ValueError, match="cannot come from"):
                window.output_padding_for(size, i, k, s, padding, d)


def test_a_transposed_convolution_without_output() -> None:
    with pytest.raises(ValueError, match=r"Conv1DTranspose 't'.*o' = 1\(2 - 1\) \+ 0 \+ 3 - 4 = 0"):
        window.transposed_shape((2,), (3,), (1,), ((2, 2),), (1,), where="Conv1DTranspose 't'")


def test_transposed_pads_per_axis() -> None:
    assert window.resolve_transposed_pads((2, 4), (3, 5), (2, 1), "same", (1, 1)) == ((0, 1), (2, 2))
    assert window.resolve_transposed_pads((2, 4), (3, 3), (2, 2), "same", (1, 1), (1, 0)) == ((0, 1), (1, 1))


# Receptive fields -----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), pairs, dilations), max_size=4), st.integers(0, 3))
def test_receptive_field_is_what_a_trace_of_dependencies_finds(layers: list[Any], n: int) -> None:
    seen, field = {n}, window.Receptive()
    for k, s, (lo, _), d in reversed(layers):
        seen = {o * s - lo + t * d for o in seen for t in range(k)}
    for k, s, pair, d in layers:
        field = field.then(k, s, pair, d)
    assert field.span(n) == (min(seen), max(seen))
    assert field.size == max(seen) - min(seen) + 1


def test_receptive_field_of_vgg() -> None:
    field = window.Receptive()
    for convs in (2, 2, 4, 4, 4):
        for _ in range(convs):
            field = field.then(3, 1, (1, 1))
        field = field.then(2, 2)
    assert field == (268, 32, -118)  # block5_pool of VGG-19: 5 blocks of 3x3 convolutions and 2x2 pools
    assert window.Receptive().then(3, 2, None) == (3, 2, None)
    assert window.Receptive().then(3, 2, None).span(0) is None


# What callers pass, and errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "rank", "expected"),
    [
        ("VALID", 2, "valid"), ("Same", 1, "same"), (1, 2, ((1, 1), (1, 1))), ((1, 2), 2, ((1, 1), (2, 2))),
        ((1, 2), 1, ((1, 2),)), ([[1, 2]], 1, ((1, 2),)), ((3,), 1, ((3, 3),)), ([[0, 1], 2], 2, ((0, 1), (2, 2))),
        (np.int64(2), 1, ((2, 2),)), (np.array([[1, 2], [3, 4]]), 2, ((1, 2), (3, 4))),
    ],
)  # fmt: skip
def test_padding_in_every_form(given_: Any, rank: int, expected: Any) -> None:
    found = window.normalize_padding(given_, rank)
    assert found == expected
    assert window.normalize_padding(found, rank) == found


@pytest.mark.parametrize(
    "wrong",
    ["causal", "", None, -1, 1.5, True, (1, 2, 3), ((1, 2, 3), 1), (1, "a"), (1, (0, -1)),
     {}, {1, 2}, object(), (None, 1)],
)  # fmt: skip
def test_wrong_padding(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^Conv2D 'c': .*padding"):
        window.normalize_padding(wrong, 2, where="Conv2D 'c'")


def test_names_of_padding_are_the_callers() -> None:
    assert window.normalize_padding("CAUSAL", 1, allowed=("valid", "causal")) == "causal"
    with pytest.raises(ValueError, match="'full'"):
        window.normalize_padding("full", 1, allowed=("valid", "same"))


def test_tuples() -> None:
    assert window.normalize_tuple(3, 2, "kernel_size") == (3, 3)
    assert window.normalize_tuple([1, np.int32(2)], 2, "strides") == (1, 2)
    assert window.normalize_tuple((0, 1), 2, "output_padding", allow_zero=True) == (0, 1)


@pytest.mark.parametrize("wrong", [(1, 0), -1, (1,), (1, 2, 3), "33", None, 2.0, (1, None), True, {1, 2}])
def test_wrong_tuples(real_keras: ModuleType, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^Conv2D 'c': The `kernel_size` argument must be a tuple of 2 integers"):
        window.normalize_tuple(wrong, 2, "kernel_size", where="Conv2D 'c'")


def test_wrong_tuples_say_what_kerass_tests_look_for() -> None:
    with pytest.raises(
        ValueError, match=r"kernel_size=\(1, 0\), including values \{0\} that do not satisfy `value > 0`"
    ):
        window.normalize_tuple((1, 0), 2, "kernel_size")
    with pytest.raises(ValueError, match=r"including values \{-1\} that do not satisfy `value >= 0`"):
        window.normalize_tuple(-1, 2, "output_padding", allow_zero=True)


def test_output_padding_stays_below_the_stride(real_keras: ModuleType) -> None:
    assert window.normalize_output_padding(None, 2, (2, 2)) is None
    assert window.normalize_output_padding(1, 2, (2, 3)) == (1, 1)
    assert window.normalize_output_padding((0, 2), 2, (1, 3)) == (0, 2)
    rule = "`output_padding` must be strictly less than `strides`"
    with pytest.raises(ValueError, match=rf"^Conv2DTranspose 'c': {rule}.*output_padding=\(1, 2\)"):
        window.normalize_output_padding((1, 3), 2, (2, 3), where="Conv2DTranspose 'c'")
    with pytest.raises(ValueError, match=rule):
        real_keras.layers.Conv2DTranspose(1, 3, strides=(2, 3), output_padding=(1, 3))
    with pytest.raises(ValueError, match="output_padding"):
        window.normalize_output_padding(-1, 1, (2,))


def refusal(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(ValueError) as caught:
        window.output_shape(*args, **kwargs)
    return str(caught.value)


def test_the_error_of_a_kernel_that_does_not_fit() -> None:
    assert refusal((3, 7), (5, 5), (1, 1), "valid", (1, 1), where="Conv2D 'conv2d_3'") == (
        "Conv2D 'conv2d_3': a 5x5 kernel does not fit a 3x7 input with padding='valid' (o = floor((3 + 0 - 5)/1) + 1 "
        "= -1). Computed output size would be zero or negative. "
        "Use padding='same', a kernel of at most 3, or an input of at least 5x5."
    )
    assert refusal((3,), (5,), (2,), "valid", (1,), what="pooling window") == (
        "a pooling window of 5 does not fit an input of 3 with padding='valid' (o = floor((3 + 0 - 5)/2) + 1 = 0). "
        "Computed output size would be zero or negative. "
        "Use padding='same', a pooling window of at most 3, or an input of at least 5."
    )
    assert "with dilation 3x1 does not fit a Nonex2 input" in refusal((None, 2), (3, 3), (1, 1), "valid", (3, 1))
    assert refusal((0, 4), (3, 3), (1, 1), "same", (1, 1)).endswith("Use an input of at least 1x1.")


@given(
    st.lists(st.tuples(st.integers(1, 6), kernels, strides, pairs, dilations), min_size=1, max_size=3), st.booleans()
)
def test_the_advice_of_the_error_works(axes: list[Any], plain: bool) -> None:
    spatial, kernel, stride, padding, dilation = zip(*axes, strict=True)
    pad = "valid" if plain else padding
    try:
        window.output_shape(spatial, kernel, stride, pad, dilation)
    except ValueError as error:
        advice = str(error).split("Use ")[1]
    else:
        return
    assert min(window.output_shape(spatial, kernel, stride, "same", dilation)) >= 1
    at_least = tuple(int(n) for n in advice.split("at least ")[1].rstrip(".").split("x"))
    assert min(window.output_shape(at_least, kernel, stride, pad, dilation)) >= 1
    largest = int(advice.split("at most ")[1].split(",")[0])
    smaller = tuple(min(k, largest) for k in kernel)
    assert min(window.output_shape(spatial, smaller, stride, pad, dilation)) >= 1
    shrunk = tuple(n - 1 for n in at_least)
    for axis, n in zip(range(len(shrunk)), shrunk, strict=True):
        smaller_input = (*at_least[:axis], n, *at_least[axis + 1 :])
        if n >= 1:
            with pytest.raises(ValueError):
                window.output_shape(smaller_input, kernel, stride, pad, dilation)


def test_one_formula_decides_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def everything() -> list[Any]:
        return [window.output_size(9, 3, 2, name) for name in ("valid", "same", "full", "causal", (1, 1))] + [
            window.output_shape((9, 8), (3, 2), (1, 1), "same", (1, 1)),
            window.formula(9, 3),
        ]

    before, count = everything(), window._count
    monkeypatch.setattr(window, "_count", lambda *args: count(*args) + 1)
    assert all(now != then for now, then in zip(everything(), before, strict=True))


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_kernels_follow_the_formula(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    """Rounded up, as some frameworks do: shapes and values are those of an input with zeros behind it."""
    x = np.random.default_rng(0).normal(size=(1, 8, 9, 2)).astype("float32") ** 2
    longer = np.pad(x, [(0, 0), (0, 1), (0, 0), (0, 0)])
    conv, pool = layers.Conv2D(3, 3, strides=2), layers.MaxPooling2D(3, 2)
    with engines.use(engine):
        expected = [np.asarray(layer(longer)) for layer in (conv, pool)]
        monkeypatch.setattr(window, "_count", lambda i, p, k, s: -((k - i - p) // s) + 1)
        for layer, values in zip((conv, pool), expected, strict=True):
            assert layer.compute_output_shape(x.shape) == values.shape == (1, 4, 4, values.shape[-1])
            np.testing.assert_allclose(np.asarray(layer(x)), values, atol=1e-5)


def test_one_inverse_decides_every_transposed_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def everything() -> list[Any]:
        return [window.transposed_size(4, 3, 2, name) for name in ("valid", "same", "full", "causal", (1, 1))]

    before, span = everything(), window._span
    monkeypatch.setattr(window, "_span", lambda *args: span(*args) + 1)
    assert all(now == then + 1 for now, then in zip(everything(), before, strict=True))


def test_docstring_examples() -> None:
    assert doctest.testmod(window).failed == 0
