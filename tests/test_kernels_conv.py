"""The convolution kernels against a float64 loop over taps, over drawn shapes, at every instruction set."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel_runner import close, each_level, run, same_bits
from striate import config, kernels
from striate.kernels import conv
from striate.kernels.conv import ConvSpec

RELU = kernels.activation_ids()["relu"]


def spec_of(x_shape, kernel, cout, strides, pads, dilation, groups) -> ConvSpec:
    """A spec whose output size follows from the window: floor((i + p - k_eff) / s) + 1, at least 0."""
    rows = zip(x_shape[1:-1], kernel, strides, pads, dilation, strict=True)
    out = [max((i + sum(p) - (k - 1) * d - 1) // s + 1, 0) for i, k, s, p, d in rows]
    w_shape = (*kernel, x_shape[-1] // groups, cout)
    return ConvSpec(
        tuple(x_shape), w_shape, tuple(strides), tuple(pads), tuple(dilation), groups, (x_shape[0], *out, cout)
    )


def taps(spec: ConvSpec):
    """For each tap: its index, and the slice of the padded input that it reads."""
    for tap in itertools.product(*(range(k) for k in spec.w_shape[:-2])):
        rows = zip(tap, spec.dilation, spec.strides, spec.out_shape[1:-1], strict=True)
        yield tap, (slice(None), *(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, s, o in rows))


def grouped(a: np.ndarray, groups: int) -> np.ndarray:
    return a.reshape(*a.shape[:-1], groups, a.shape[-1] // groups)


def padded(x: np.ndarray, spec: ConvSpec) -> np.ndarray:
    return np.pad(x.astype(np.float64), [(0, 0), *spec.pads, (0, 0)])


def forward(x, w, spec: ConvSpec) -> np.ndarray:
    y = np.zeros((*spec.out_shape[:-1], spec.groups, spec.cout // spec.groups))
    xp = padded(x, spec)
    for tap, where in taps(spec) if y.size else ():
        y += np.einsum("...gc,cgo->...go", grouped(xp[where], spec.groups), grouped(w[tap].astype(float), spec.groups))
    return y.reshape(spec.out_shape)


def input_grad(dy, w, spec: ConvSpec) -> np.ndarray:
    dx = padded(np.zeros(spec.x_shape), spec)
    for tap, where in taps(spec) if dy.size else ():
        part = np.einsum(
            "...go,cgo->...gc", grouped(dy.astype(float), spec.groups), grouped(w[tap].astype(float), spec.groups)
        )
        dx[where] += part.reshape(*part.shape[:-2], -1)
    inner = (slice(lo, lo + i) for (lo, _), i in zip(spec.pads, spec.x_shape[1:-1], strict=True))
    return dx[(slice(None), *inner)]


def kernel_grad(x, dy, spec: ConvSpec) -> np.ndarray:
    dw = np.zeros(spec.w_shape)
    xp = padded(x, spec)
    for tap, where in taps(spec) if dy.size else ():
        gx, gy = grouped(xp[where], spec.groups), grouped(dy.astype(float), spec.groups)
        pixels = int(np.prod(spec.out_shape[:-1]))
        gx, gy = gx.reshape(pixels, *gx.shape[-2:]), gy.reshape(pixels, *gy.shape[-2:])
        dw[tap] = np.einsum("pgc,pgo->cgo", gx, gy).reshape(dw[tap].shape)
    return dw


def arrays(seed: int, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def packed(algorithm: str, w: np.ndarray, spec: ConvSpec) -> np.ndarray:
    """The packed weights; the kernel must fill exactly the size that Python computes."""
    if conv.packed_shape(algorithm, spec) is None:
        return w
    (size,) = conv.packed_shape(algorithm, spec)
    memory = np.full(size + 64, np.nan, np.float32)
    run(conv.ALGORITHMS[algorithm].pack_kernel, [w], [memory[:size]], conv.encode_pack(algorithm, spec))
    assert np.isfinite(memory[:size]).all() and np.isnan(memory[size:]).all()
    return memory[:size]


def run_with_weights(algorithm, source, w, spec, out_shape, *extra, activation=0) -> np.ndarray:
    out = np.full(out_shape, np.nan, np.float32)
    ints = conv.encode(algorithm, spec, activation, ("bias", "residual")[: len(extra)])
    run(conv.ALGORITHMS[algorithm].kernel, [source, packed(algorithm, w, spec), *extra], [out], ints)
    return out


def run_kernel_grad(algorithm, x, dy, spec) -> np.ndarray:
    out = np.full(spec.w_shape, np.nan, np.float32)
    run(conv.ALGORITHMS[algorithm].kernel, [x, dy], [out], conv.encode(algorithm, spec))
    return out


@st.composite
def windows(draw, rank: int):
    """kernel, strides, pads, dilation."""
    each = lambda lo, hi: draw(st.lists(st.integers(lo, hi), min_size=rank, max_size=rank))  # noqa: E731
    return each(1, 4), each(1, 3), list(zip(each(0, 3), each(0, 3), strict=True)), each(1, 3)


@st.composite
def images(draw, window, largest):
    """Batch and spatial sizes: mostly such that the output is not empty, sometimes any, zero included."""
    size = st.integers(0, largest)
    rows = zip(*window, strict=True)
    if draw(st.integers(0, 9)) == 0:
        return draw(st.integers(0, 2)), [draw(size) for _ in rows]
    sizes = [max((draw(size) - 1) * s + (k - 1) * d + 1 - sum(p) + draw(st.integers(0, s)), 1) for k, s, p, d in rows]
    return draw(st.integers(1, 3)), sizes


@pytest.fixture
def exactly():
    """Convolutions without Winograd's algorithm."""
    config.set_conv_precision("exact")
    yield
    config.set_conv_precision("fast")


LARGEST = {1: 40, 2: 9, 3: 4}
channels = st.integers(1, 5) | st.integers(1, 70)


@st.composite
def specs(draw):
    rank = draw(st.integers(1, 3))
    window = draw(windows(rank))
    batch, spatial = draw(images(window, LARGEST[rank]))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 5]))
    cin, cout = groups * draw(channels), groups * draw(channels)
    return spec_of((batch, *spatial, cin), window[0], cout, *window[1:], groups)


@st.composite
def depthwise_specs(draw):
    rank = draw(st.integers(1, 3))
    window = draw(windows(rank))
    batch, spatial = draw(images(window, LARGEST[rank]))
    cin = draw(st.integers(2, 70))
    cout = cin * draw(st.sampled_from([1, 1, 2, 3, 5, 9]))
    return spec_of((batch, *spatial, cin), window[0], cout, *window[1:], cin)


def conv2d(n, size, cin, cout, k, s=1, p=0, d=1, groups=1) -> ConvSpec:
    return spec_of((n, size, size, cin), (k, k), cout, (s, s), ((p, p), (p, p)), (d, d), groups)


def conv3d(n, sizes, cin, cout) -> ConvSpec:
    return spec_of((n, *sizes, cin), (3, 3, 3), cout, (1, 1, 1), ((1, 1),) * 3, (1, 1, 1), 1)


BANDS = conv3d(1, (20, 61, 60), 16, 16)  # tiles go through the stages some rows at a time
SMALL_CLIPS = conv3d(5, (4, 8, 8), 64, 96)  # several images go through them together, but not all
FIRST_LAYER = conv2d(1, 33, 3, 40, 7, s=2, p=3)
WIDE = conv2d(1, 9, 160, 96, 3, p=1)
ODD_HALVES = conv2d(1, 7, 20, 56, 1)  # a panel of one and a half vectors, 49 rows
LONG = spec_of((1, 1000, 20), (5,), 33, (1,), ((4, 0),), (1,), 1)
LONG_DEPTHWISE = spec_of((1, 1000, 20), (9,), 20, (1,), ((4, 4),), (1,), 20)
many = settings(max_examples=100, deadline=None)


@st.composite
def crowds(draw):
    """Many small images, whose windows reach far outside."""
    rank = draw(st.integers(1, 3))
    kernel, strides, _, dilation = draw(windows(rank))
    pads = [(draw(st.integers(0, (k - 1) * d)), (k - 1) * d) for k, d in zip(kernel, dilation, strict=True)]
    sizes = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    groups = draw(st.sampled_from([1, 1, 2]))
    cin, cout = groups * draw(st.integers(17, 40)), groups * draw(st.integers(9, 70))
    return spec_of((draw(st.integers(6, 40)), *sizes, cin), kernel, cout, strides, pads, dilation, groups)


@settings(max_examples=40, deadline=None)
@given(spec=crowds(), seed=st.integers(0, 99))
@example(spec=conv2d(32, 2, 32, 40, 3, p=1), seed=0)
@example(spec=conv2d(8, 3, 256, 512, 5, p=2), seed=0)  # several blocks of panels
def test_many_small_images(spec, seed):
    x, w, bias, dy, residual = arrays(seed, spec.x_shape, spec.w_shape, (spec.cout,), spec.out_shape, spec.out_shape)
    y, dx = forward(x, w, spec) + bias + residual, input_grad(dy, w, spec)
    for _ in each_level():
        got = run_with_weights("direct", x, w, spec, spec.out_shape, bias, residual, activation=RELU)
        close(got, np.maximum(y, 0), terms=spec.taps * spec.cin)
        close(run_with_weights("input_grad", dy, w, spec, spec.x_shape), dx, terms=spec.taps * spec.cout)


@many
@given(spec=specs(), seed=st.integers(0, 99))
@example(spec=FIRST_LAYER, seed=0)
@example(spec=WIDE, seed=0)
@example(spec=ODD_HALVES, seed=0)
def test_direct(spec, seed):
    terms = spec.taps * spec.w_shape[-2]
    x, w, bias, residual = arrays(seed, spec.x_shape, spec.w_shape, (spec.cout,), spec.out_shape)
    expected = forward(x, w, spec)
    for _ in each_level():
        close(run_with_weights("direct", x, w, spec, spec.out_shape), expected, terms=terms)
        fused = run_with_weights("direct", x, w, spec, spec.out_shape, bias, residual, activation=RELU)
        close(fused, np.maximum(expected + bias + residual, 0), terms=terms)


@many
@given(spec=specs(), seed=st.integers(0, 99))
@example(spec=conv2d(2, 9, 40, 70, 3, s=2, p=1), seed=0)
@example(spec=conv2d(1, 11, 5, 6, 1, s=3), seed=0)
@example(spec=conv2d(2, 21, 35, 6, 5, p=2), seed=0)
@example(spec=conv2d(2, 12, 40, 24, 5, d=2), seed=0)  # line by line: most lines that its taps read are outside
@example(spec=conv2d(1, 11, 26, 12, 1, s=3, groups=2), seed=0)
@example(spec=conv2d(5, 5, 40, 24, 5), seed=0)  # pixel by pixel
def test_input_grad(spec, seed):
    dy, w, bias = arrays(seed, spec.out_shape, spec.w_shape, (spec.cin,))
    expected, terms = input_grad(dy, w, spec), spec.taps * spec.cout // spec.groups
    for _ in each_level():
        close(run_with_weights("input_grad", dy, w, spec, spec.x_shape), expected, terms=terms)
        close(
            run_with_weights("input_grad", dy, w, spec, spec.x_shape, bias, activation=RELU),
            np.maximum(expected + bias, 0),
            terms=terms,
        )


@many
@given(spec=specs(), seed=st.integers(0, 99))
@example(spec=FIRST_LAYER, seed=0)
@example(spec=WIDE, seed=0)
@example(spec=LONG, seed=0)
def test_kernel_grad(spec, seed):
    x, dy = arrays(seed, spec.x_shape, spec.out_shape)
    expected, pixels = kernel_grad(x, dy, spec), math.prod(spec.out_shape[:-1])
    for _ in each_level():
        close(run_kernel_grad("kernel_grad", x, dy, spec), expected, terms=pixels)


@many
@given(spec=depthwise_specs(), seed=st.integers(0, 99))
@example(spec=conv2d(2, 15, 48, 48, 3, p=1, groups=48), seed=0)
@example(spec=LONG_DEPTHWISE, seed=0)
@example(spec=conv2d(1, 40, 208, 416, 1, groups=208), seed=0)
def test_depthwise(spec, seed):
    x, w, dy, bias = arrays(seed, spec.x_shape, spec.w_shape, spec.out_shape, (spec.cout,))
    assert conv.choose(spec) == "depthwise"
    assert conv.choose_input_grad(spec) == "input_grad_depthwise"
    y, dx, dw = forward(x, w, spec), input_grad(dy, w, spec), kernel_grad(x, dy, spec)
    fused, shifted = np.maximum(y + bias + dy, 0), dx + bias[: spec.cin]
    terms, pixels = spec.taps, math.prod(spec.out_shape[:-1])
    for _ in each_level():
        close(run_with_weights("depthwise", x, w, spec, spec.out_shape), y, terms=terms)
        close(run_with_weights("depthwise", x, w, spec, spec.out_shape, bias, dy, activation=RELU), fused, terms=terms)
        close(run_with_weights("input_grad_depthwise", dy, w, spec, spec.x_shape), dx, terms=terms)
        got = run_with_weights("input_grad_depthwise", dy, w, spec, spec.x_shape, bias[: spec.cin])
        close(got, shifted, terms=terms)
        close(run_kernel_grad("kernel_grad_depthwise", x, dy, spec), dw, terms=pixels)


@st.composite
def small_group_specs(draw):
    rank = draw(st.integers(1, 3))
    window = draw(windows(rank))
    batch, spatial = draw(images(window, LARGEST[rank]))
    groups = draw(st.integers(2, 11))
    cin, cout = groups * draw(st.integers(2, 8)), groups * draw(st.integers(1, 8))
    return spec_of((batch, *spatial, cin), window[0], cout, *window[1:], groups)


@many
@given(spec=small_group_specs(), seed=st.integers(0, 99))
@example(spec=conv2d(2, 15, 64, 64, 3, p=1, groups=16), seed=0)
def test_small_groups(spec, seed):
    x, w, dy, bias = arrays(seed, spec.x_shape, spec.w_shape, spec.out_shape, (spec.cout,))
    y, dx, dw = forward(x, w, spec), input_grad(dy, w, spec), kernel_grad(x, dy, spec)
    terms = spec.taps * max(spec.cin, spec.cout) // spec.groups
    for _ in each_level():
        close(run_with_weights("grouped", x, w, spec, spec.out_shape), y, terms=terms)
        got = run_with_weights("grouped", x, w, spec, spec.out_shape, bias, activation=RELU)
        close(got, np.maximum(y + bias, 0), terms=terms)
        close(run_with_weights("input_grad_grouped", dy, w, spec, spec.x_shape), dx, terms=terms)
        close(run_kernel_grad("kernel_grad_grouped", x, dy, spec), dw, terms=math.prod(spec.out_shape[:-1]))


@pytest.mark.parametrize("cout", [32, 24, 7])
def test_long_sums_lose_no_digits(cout):
    """4,608 products in one float32 sum would be off by 1.2e-6."""
    spec = conv2d(1, 7, 512, cout, 3, p=1)
    x, w, bias = arrays(0, spec.x_shape, spec.w_shape, (cout,))
    for _ in each_level():
        close(run_with_weights("direct", x, w, spec, spec.out_shape, bias), forward(x, w, spec) + bias, 5e-7)


# The bounds that `set_conv_precision` documents, relative L2: larger tiles sum larger numbers of both signs.
WINOGRAD_ERRORS = {2: 1e-6, 4: 3e-6, 6: 8e-6}


@st.composite
def winograd_specs(draw):
    kernel = draw(st.sampled_from([(3, 3), (3, 3, 3), (1, 3, 3), (2, 3, 3), (5, 3, 3)]))
    pads = [(draw(st.integers(0, min(k - 1, 2))), draw(st.integers(0, k - 1))) for k in kernel]
    largest = (17, 17) if len(kernel) == 2 else (6, 11, 11)
    sizes = [draw(st.integers(max(k - sum(p), 1), n)) for k, p, n in zip(kernel, pads, largest, strict=True)]
    cin, cout = (16 * draw(st.integers(1, 4)) for _ in range(2))
    one = (1,) * len(kernel)
    return spec_of((draw(st.integers(0, 3)), *sizes, cin), kernel, cout, one, pads, one, 1)


@settings(max_examples=40, deadline=None)
@given(spec=winograd_specs(), seed=st.integers(0, 99))
@example(spec=conv2d(3, 40, 16, 48, 3, p=1), seed=0)  # more tiles than are transformed together
@example(spec=conv2d(1, 12, 512, 32, 3, p=1), seed=0)
@example(spec=BANDS, seed=0)
@example(spec=SMALL_CLIPS, seed=0)
def test_winograd(spec, seed):
    x, w, dy, bias, residual = arrays(seed, spec.x_shape, spec.w_shape, spec.out_shape, (spec.cout,), spec.out_shape)
    y, dx = forward(x, w, spec), input_grad(dy, w, spec)
    for size, bound in WINOGRAD_ERRORS.items():
        if size == 6 and max(spec.cin, spec.cout) > conv.MOST_FOR_6:
            continue
        for _ in each_level():
            name, back, of = f"winograd{size}", f"input_grad_winograd{size}", {"tolerance": bound}
            close(run_with_weights(name, x, w, spec, spec.out_shape), y, terms=spec.taps * spec.cin, **of)
            close(run_with_weights(back, dy, w, spec, spec.x_shape), dx, terms=spec.taps * spec.cout, **of)
            fused = run_with_weights(name, x, w, spec, spec.out_shape, bias, residual, activation=RELU)
            close(fused, np.maximum(y + bias + residual, 0), terms=spec.taps * spec.cin, **of)
            if size == 4 and len(spec.strides) == 2:
                dw, pixels = kernel_grad(x, dy, spec), math.prod(spec.out_shape[:-1])
                close(run_kernel_grad("kernel_grad_winograd4", x, dy, spec), dw, terms=pixels, **of)
            tanh = run_with_weights(name, x, w, spec, spec.out_shape, bias, activation=kernels.activation_ids()["tanh"])
            assert np.abs(tanh - np.tanh(y + bias)).max(initial=0) < 40 * bound * np.sqrt(spec.taps * spec.cin)


@st.composite
def line_specs(draw):
    kernel = draw(st.integers(1, 17))
    pads = (draw(st.integers(0, kernel - 1)), draw(st.integers(0, kernel - 1)))
    length = draw(st.integers(max(kernel - sum(pads), 1), 90))
    cin, cout = (16 * draw(st.integers(1, 4)) for _ in range(2))
    return spec_of((draw(st.integers(0, 3)), length, cin), (kernel,), cout, (1,), (pads,), (1,), 1)


LINE = spec_of((2, 1000, 64), (7,), 48, (1,), ((3, 3),), (1,), 1)


@settings(max_examples=40, deadline=None)
@given(spec=line_specs(), seed=st.integers(0, 99))
@example(spec=LINE, seed=0)
def test_winograd_along_a_line(spec, seed):
    x, w, dy, bias, residual = arrays(seed, spec.x_shape, spec.w_shape, spec.out_shape, (spec.cout,), spec.out_shape)
    y, dx = forward(x, w, spec), input_grad(dy, w, spec)
    for _ in each_level():
        got = run_with_weights("winograd_line", x, w, spec, spec.out_shape, bias, residual, activation=RELU)
        close(got, np.maximum(y + bias + residual, 0), 2e-6, terms=spec.taps * spec.cin)
        tanh = kernels.activation_ids()["tanh"]
        got = run_with_weights("winograd_line", x, w, spec, spec.out_shape, bias, activation=tanh)
        assert np.abs(got - np.tanh(y + bias)).max(initial=0) < 8e-5 * np.sqrt(spec.taps * spec.cin)
        got = run_with_weights("input_grad_winograd_line", dy, w, spec, spec.x_shape)
        close(got, dx, 2e-6, terms=spec.taps * spec.cout)


def test_winograd_is_chosen_where_it_pays_and_not_for_exact_results(exactly):
    large, small = conv2d(1, 56, 256, 256, 3, p=1), conv2d(1, 4, 16, 16, 3, p=1)
    assert conv.choose(large) == "direct" and conv.choose_input_grad(large) == "input_grad"
    assert conv.choose_kernel_grad(large) == "kernel_grad"
    config.set_conv_precision("fast")
    assert conv.choose(large).startswith("winograd")
    assert conv.choose_input_grad(large).startswith("input_grad_winograd")
    assert conv.choose_kernel_grad(large) == "kernel_grad_winograd4"
    assert conv.choose(conv2d(1, 112, 64, 64, 3, p=1)) == "winograd6"
    assert conv.choose(conv2d(1, 56, 512, 512, 3, p=1)) == "winograd4"
    assert (conv.choose(LINE), conv.choose_input_grad(LINE)) == ("winograd_line", "input_grad_winograd_line")
    assert conv.choose_kernel_grad(LINE) == "kernel_grad"
    assert conv.choose(SMALL_CLIPS) == "winograd4" and conv.choose_kernel_grad(SMALL_CLIPS) == "kernel_grad"
    assert conv.choose(conv2d(32, 2, 512, 512, 3, p=1)) == "direct"  # five of nine taps lie outside
    for other in (
        small,
        conv2d(1, 56, 256, 256, 3, s=2, p=1),
        conv2d(1, 56, 256, 250, 3, p=1),
        conv2d(1, 56, 64, 64, 1),
    ):
        assert conv.choose(other) == "direct"
    with pytest.raises(ValueError, match="'fast' or 'exact'"):
        config.set_conv_precision("best")


SHAPES = [
    SMALL_CLIPS,
    LINE,
    conv2d(4, 30, 64, 64, 3, p=1),
    conv2d(1, 8, 64, 512, 3, p=1),
    conv2d(2, 28, 64, 96, 3, p=1),
    conv2d(1, 56, 64, 40, 1),
    conv2d(20, 3, 64, 96, 3, p=1),
    FIRST_LAYER,
    conv2d(1, 14, 36, 36, 3, s=2, p=1, groups=36),
    conv2d(2, 20, 24, 36, 3, p=1, groups=12),
    conv2d(4, 12, 64, 48, 5, d=2),
    conv2d(2, 20, 36, 12, 3, p=1, groups=12),
]


def check_same_bits(spec: ConvSpec) -> None:
    """All three passes, whatever the number of threads."""
    x, w, dy = arrays(7, spec.x_shape, spec.w_shape, spec.out_shape)
    for _ in each_level():
        same_bits(lambda: run_with_weights(conv.choose(spec), x, w, spec, spec.out_shape))
        same_bits(lambda: run_with_weights(conv.choose_input_grad(spec), dy, w, spec, spec.x_shape))
        same_bits(lambda: run_kernel_grad(conv.choose_kernel_grad(spec), x, dy, spec))


@pytest.mark.parametrize("spec", SHAPES)
def test_same_bits_for_any_number_of_threads(spec):
    check_same_bits(spec)


@pytest.mark.parametrize("spec", SHAPES)
def test_an_infinity_stays_inside_its_window(spec, exactly):
    x, w = arrays(3, spec.x_shape, spec.w_shape)
    x[(0, *(n // 2 for n in spec.x_shape[1:-1]), 1)] = np.inf
    with np.errstate(invalid="ignore"):
        expected = forward(x, w, spec)
    for _ in each_level():
        got = run_with_weights(conv.choose(spec), x, w, spec, spec.out_shape)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))


def test_a_nan_is_not_hidden_by_relu():
    spec = conv2d(1, 6, 3, 4, 3)
    x, w = arrays(3, spec.x_shape, spec.w_shape)
    x[0, 2, 2, 0] = np.nan
    for _ in each_level():
        got = run_with_weights("direct", x, w, spec, spec.out_shape, np.zeros(4, np.float32), activation=RELU)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(forward(x, w, spec)))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu6"])
@pytest.mark.parametrize("spec", [conv2d(1, 9, 6, 45, 3, p=1), conv2d(1, 9, 21, 21, 3, p=1, groups=21)])
def test_other_activations_are_fused(spec, activation):
    truths = {"sigmoid": lambda v: 1 / (1 + np.exp(-v)), "tanh": np.tanh, "relu6": lambda v: np.clip(v, 0, 6)}
    x, w, bias = arrays(3, spec.x_shape, spec.w_shape, (spec.cout,))
    number = kernels.activation_ids()[activation]
    for _ in each_level():
        got = run_with_weights(conv.choose(spec), x, w, spec, spec.out_shape, bias, activation=number)
        close(got, truths[activation](forward(x, w, spec) + bias))


def test_positions_that_no_tap_reaches_get_the_bias():
    spec = conv2d(1, 9, 2, 3, 1, s=4)
    dy, w, bias = arrays(1, spec.out_shape, spec.w_shape, (2,))
    for _ in each_level():
        dx = run_with_weights("input_grad", dy, w, spec, spec.x_shape, bias)
        np.testing.assert_array_equal(dx[0, 1], np.broadcast_to(bias, (9, 2)))


def test_depthwise_is_chosen_only_where_it_fits():
    assert conv.choose(conv2d(1, 8, 8, 16, 3, groups=8)) == "depthwise"
    assert conv.choose(conv2d(1, 8, 8, 16, 3, groups=4)) == "grouped"
    assert conv.choose_input_grad(conv2d(1, 8, 16, 8, 3, groups=4)) == "input_grad_grouped"
    assert conv.choose(conv2d(1, 8, 16, 8, 3, groups=4)) == "direct"  # a vector of targets reads two of sources
    assert conv.choose(conv2d(1, 8, 9, 15, 3, groups=3)) == "grouped"
    assert conv.choose(conv2d(1, 8, 9, 3, 3, groups=3)) == "grouped"
    assert conv.choose_kernel_grad(conv2d(1, 8, 9, 3, 3, groups=3)) == "kernel_grad_grouped"
    assert conv.choose(conv2d(1, 8, 15, 15, 3, groups=3)) == "direct"
    assert conv.choose(conv2d(1, 8, 16, 16, 3, groups=4)) == "grouped"
    assert conv.choose(conv2d(1, 8, 32, 32, 3, groups=2)) == "direct"
    assert conv.choose(conv2d(1, 8, 1, 16, 3)) == "direct"
