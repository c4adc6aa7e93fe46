"""Convolutions with few channels, in planes: against float64 loops over taps, at every instruction set."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import windowtruth as wt
from kernel_runner import close, each_level, run, same_bits
from striate import kernels
from striate.kernels import conv
from test_kernels_conv import RELU, arrays, conv2d, forward, images, input_grad, kernel_grad, spec_of, windows

TANH = kernels.activation_ids()["tanh"]
POOL = {"window": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
LARGEST = {1: 60, 2: 20, 3: 5}


@st.composite
def few_specs(draw, back: bool = False):
    """One to eight target channels: the output's, or (back) the input's."""
    rank = draw(st.integers(1, 3))
    window = draw(windows(rank))
    batch, spatial = draw(images(window, LARGEST[rank]))
    few, many = draw(st.integers(1, conv.MOST_FEW)), draw(st.integers(1, 20))
    cin, cout = (few, many) if back else (many, few)
    return spec_of((batch, *spatial, cin), window[0], cout, *window[1:], 1)


def compute(name, inputs, shape, spec, activation=0, flags=(), more=()) -> np.ndarray:
    out = np.full(shape, np.nan, np.float32)
    run(conv.ALGORITHMS[name].kernel, inputs, [out, *more], conv.encode(name, spec, activation, flags))
    return out


def pooled_shape(shape):
    return (shape[0], shape[1] // 2, shape[2] // 2, shape[3])


def pooled_gradient(seed, shape):
    """A gradient of 2x2 maxima, their positions, and both spread out."""
    small = pooled_shape(shape)
    (g,) = arrays(seed, small)
    at = np.random.default_rng(seed).integers(0, 4, small).astype(np.uint8)
    return g, at, wt.unpool(at, g.astype(np.float64), input_shape=shape, **POOL)


def cells_of(full: np.ndarray) -> np.ndarray:
    n, h, w, c = pooled_shape(full.shape)
    whole = full[:, : 2 * h, : 2 * w].reshape(n, h, 2, w, 2, c)
    return whole.transpose(0, 1, 3, 2, 4, 5).reshape(n, h, w, 4, c)


DIGITS = conv2d(2, 28, 1, 6, 5, p=2)
STRIDED = conv2d(1, 21, 3, 7, 7, s=2, p=3)
LINE = spec_of((2, 187, 1), (7,), 5, (2,), ((3, 3),), (1,), 1)
BANDS = conv2d(1, 90, 5, 8, 3, p=1)
MANY = conv2d(70, 7, 2, 3, 3)  # more images than sums of their own
CROPPED = spec_of((1, 9, 9, 2), (1, 1), 5, (1, 1), ((2, 2), (3, 1)), (1, 1), 1)  # dy is larger than what is read of it
few_many = settings(max_examples=60, deadline=None)


@few_many
@given(spec=few_specs(), seed=st.integers(0, 99))
@example(spec=DIGITS, seed=0)
@example(spec=STRIDED, seed=0)
@example(spec=LINE, seed=0)
@example(spec=BANDS, seed=0)
def test_forward(spec, seed):
    x, w, bias, residual = arrays(seed, spec.x_shape, spec.w_shape, (spec.cout,), spec.out_shape)
    y, of = forward(x, w, spec), {"terms": spec.taps * spec.cin}
    for _ in each_level():
        close(compute("few", [x, w], spec.out_shape, spec), y, **of)
        close(compute("few", [x, w, bias], spec.out_shape, spec, RELU, ("bias",)), np.maximum(y + bias, 0), **of)
        got = compute("few", [x, w, bias, residual], spec.out_shape, spec, TANH, ("bias", "residual"))
        close(got, np.tanh(y + bias + residual), **of)


@few_many
@given(spec=few_specs().filter(lambda s: len(s.x_shape) == 4), seed=st.integers(0, 99), rectified=st.booleans())
@example(spec=DIGITS, seed=0, rectified=True)
@example(spec=BANDS, seed=0, rectified=False)
def test_maxima(spec, seed, rectified):
    x, w, bias, residual = arrays(seed, spec.x_shape, spec.w_shape, (spec.cout,), spec.out_shape)
    full = forward(x, w, spec) + bias + residual
    cells, small = cells_of(np.maximum(full, 0) if rectified else full), pooled_shape(spec.out_shape)
    flags, inputs = ("bias", "residual", "pool", "positions"), [x, w, bias, residual]
    for _ in each_level():
        at = np.full(small, 99, np.uint8)
        y = compute("few", inputs, small, spec, RELU if rectified else 0, flags, [at])
        close(y, cells.max(3), terms=spec.taps * spec.cin)
        if y.size:  # the cell that it names holds the maximum, as far as rounding tells
            chosen = np.take_along_axis(cells, at.astype(int)[:, :, :, None], 3)[:, :, :, 0]
            np.testing.assert_allclose(chosen, cells.max(3), rtol=1e-3, atol=1e-3)
        close(compute("few", inputs, small, spec, RELU if rectified else 0, flags[:3]), cells.max(3), terms=99)


def test_the_first_of_equal_maxima_and_a_nan_count():
    spec = conv2d(1, 12, 1, 3, 1)
    x, w = np.zeros(spec.x_shape, np.float32), np.ones(spec.w_shape, np.float32)
    x[0, 2, 3], x[0, 5, 4], x[0, 7, 7] = np.nan, 2, -1
    for _ in each_level():
        at = np.full((1, 6, 6, 3), 99, np.uint8)
        y = compute("few", [x, w], at.shape, spec, RELU, ("pool", "positions"), [at])
        wanted = np.zeros((6, 6), int)
        wanted[1, 1], wanted[2, 2] = 1, 2
        np.testing.assert_array_equal(at[0], np.repeat(wanted[:, :, None], 3, 2))
        assert np.isnan(y[0, 1, 1]).all() and (y[0, 2, 2] == 2).all() and np.isnan(y).sum() == 3


@few_many
@given(spec=few_specs(back=True), seed=st.integers(0, 99))
@example(spec=conv2d(2, 14, 6, 16, 5), seed=0)
@example(spec=conv2d(1, 33, 3, 10, 4, s=2, p=1), seed=0)
@example(spec=CROPPED, seed=0)
def test_input_gradient(spec, seed):
    dy, w, bias, mask = arrays(seed, spec.out_shape, spec.w_shape, (spec.cin,), spec.x_shape)
    dx, of, shape = input_grad(dy, w, spec), {"terms": spec.taps * spec.cout}, spec.x_shape
    for _ in each_level():
        close(compute("input_grad_few", [dy, w], shape, spec), dx, **of)
        got = compute("input_grad_few", [dy, w, bias, mask], shape, spec, 0, ("bias", "mask"))
        close(got, np.where(mask > 0, dx + bias, 0), **of)
    if len(shape) == 4:
        g, at, full = pooled_gradient(seed, spec.out_shape)
        wanted = np.where(mask > 0, input_grad(full, w, spec), 0)
        for _ in each_level():
            got = compute("input_grad_few", [g, w, mask, at], shape, spec, 0, ("mask", "unpool"))
            close(got, wanted, **of)


@few_many
@given(spec=few_specs(), seed=st.integers(0, 99))
@example(spec=DIGITS, seed=0)
@example(spec=STRIDED, seed=0)
@example(spec=LINE, seed=0)
@example(spec=BANDS, seed=0)
@example(spec=MANY, seed=0)
def test_kernel_gradient(spec, seed):
    x, dy = arrays(seed, spec.x_shape, spec.out_shape)
    dw, of = kernel_grad(x, dy, spec), {"terms": math.prod(spec.out_shape[:-1])}
    for _ in each_level():
        close(compute("kernel_grad_few", [x, dy], spec.w_shape, spec), dw, **of)
    if len(spec.x_shape) == 4:
        g, at, full = pooled_gradient(seed, spec.out_shape)
        dw = kernel_grad(x, full, spec)
        for _ in each_level():
            close(compute("kernel_grad_few", [x, g, at], spec.w_shape, spec, 0, ("unpool",)), dw, **of)


@pytest.mark.parametrize("spec", [DIGITS, STRIDED, LINE, BANDS, conv2d(32, 28, 1, 6, 5, p=2), conv2d(9, 20, 6, 6, 3)])
def test_same_bits_for_any_number_of_threads(spec):
    x, w, dy = arrays(7, spec.x_shape, spec.w_shape, spec.out_shape)
    for _ in each_level():
        same_bits(lambda: compute("few", [x, w], spec.out_shape, spec))
        same_bits(lambda: compute("kernel_grad_few", [x, dy], spec.w_shape, spec))
        if spec.cin <= conv.MOST_FEW:
            same_bits(lambda: compute("input_grad_few", [dy, w], spec.x_shape, spec))


def test_an_infinity_stays_inside_its_window():
    (x, w), spec = arrays(3, DIGITS.x_shape, DIGITS.w_shape), DIGITS
    x[0, 5, 27, 0] = np.inf
    with np.errstate(invalid="ignore"):
        expected = forward(x, w, spec)
    for _ in each_level():
        got = compute("few", [x, w], spec.out_shape, spec)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))


def test_few_channels_are_computed_in_planes():
    small, digits = conv2d(1, 28, 6, 16, 5), conv2d(1, 28, 1, 6, 5, p=2)
    assert (conv.choose(digits), conv.choose_kernel_grad(digits)) == ("few", "kernel_grad_few")
    assert (conv.choose(small), conv.choose_input_grad(small)) == ("direct", "input_grad_few")
    assert conv.choose(conv2d(1, 28, 6, 6, 3, groups=2)) == "direct"
    assert conv.choose_kernel_grad(conv2d(1, 28, 99, 6, 5)) == "kernel_grad"  # a vector of sums for each weight
    assert all(
        conv.takes(name, "pool") and conv.packed_shape(name, digits) is None for name in ("few", "kernel_grad_few")
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"w": (5, 5, 1, 9)}, "few channels"),
        ({"w": (5, 5, 2, 6)}, "the kernel has another size"),
        ({"flags": ("pool",)}, "expected the 2x2 maxima"),
        ({"flags": ("bias",)}, "expected two inputs"),
        ({"flags": ("unpool",)}, "expected a byte for each maximum|flags that this kernel|2x2 maxima"),
    ],
)
def test_wrong_operands_are_refused(change, problem):
    w = np.zeros(change.get("w", DIGITS.w_shape), np.float32)
    shape = (*DIGITS.out_shape[:-1], w.shape[-1])
    with pytest.raises(ValueError, match=problem):
        compute("few", [np.zeros(DIGITS.x_shape, np.float32), w], shape, DIGITS, 0, change.get("flags", ()))
