"""The kernels that multiply bfloat16 pieces of float32 values on a matrix unit, over shapes that reach it. On machines
without one the same shapes go through the other kernels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel_runner import close, each_level, run
from striate import kernels
from striate.kernels import conv
from test_kernels_conv import (
    RELU,
    WINOGRAD_ERRORS,
    arrays,
    check_same_bits,
    conv2d,
    forward,
    input_grad,
    kernel_grad,
    packed,
    run_kernel_grad,
    run_with_weights,
    spec_of,
    windows,
)

POINTWISE = conv2d(3, 13, 128, 130, 1)
STRIDED = conv2d(2, 23, 144, 136, 1, s=2)
WINDOWS = conv2d(2, 9, 160, 136, 3, p=1)
LONG = conv2d(2, 7, 1040, 160, 1)  # 65 blocks of 16 terms: more than are split at a time, and half a step at the end
TALL = conv2d(1, 40, 128, 128, 1)  # several blocks of rows for each thread
PLANAR = conv2d(2, 29, 128, 144, 3, p=1)
LONG_WINDOWS = conv2d(2, 7, 512, 136, 3, p=1)
EXACT = conv2d(1, 16, 128, 128, 1)


@st.composite
def wide_specs(draw):
    """One group of at least 128 channels in sixteens, and a last panel that is not full."""
    rank = draw(st.integers(1, 3))
    kernel, strides, pads, dilation = draw(windows(rank))
    kernel = [min(k, 3) for k in kernel] if rank < 3 else [min(k, 2) for k in kernel]
    pads = [(min(a, (k - 1) * d), min(b, (k - 1) * d)) for (a, b), k, d in zip(pads, kernel, dilation, strict=True)]
    most = {1: 60, 2: 9, 3: 4}[rank]
    sizes = [
        max(draw(st.integers(2, most)) * s + (k - 1) * d + 1 - s - sum(p), 1)
        for s, k, d, p in zip(strides, kernel, dilation, pads, strict=True)
    ]
    cin, cout = 16 * draw(st.integers(8, 10)), draw(st.integers(128, 165))
    return spec_of((draw(st.integers(1, 6)), *sizes, cin), kernel, cout, strides, pads, dilation, 1)


@settings(max_examples=40, deadline=None)
@given(spec=wide_specs(), seed=st.integers(0, 99))
@example(spec=POINTWISE, seed=0)
@example(spec=STRIDED, seed=0)
@example(spec=WINDOWS, seed=0)
@example(spec=LONG, seed=0)
@example(spec=TALL, seed=0)
def test_direct(spec, seed):
    x, w, bias, dy, residual = arrays(seed, spec.x_shape, spec.w_shape, (spec.cout,), spec.out_shape, spec.out_shape)
    y, dx, tanh = forward(x, w, spec), input_grad(dy, w, spec), kernels.activation_ids()["tanh"]
    for _ in each_level():
        close(run_with_weights("direct", x, w, spec, spec.out_shape), y, terms=spec.taps * spec.cin)
        fused = run_with_weights("direct", x, w, spec, spec.out_shape, bias, residual, activation=RELU)
        close(fused, np.maximum(y + bias + residual, 0), terms=spec.taps * spec.cin)
        curved = run_with_weights("direct", x, w, spec, spec.out_shape, bias, activation=tanh)
        assert np.abs(curved - np.tanh(y + bias)).max(initial=0) < 1e-4
        close(run_with_weights("input_grad", dy, w, spec, spec.x_shape), dx, terms=spec.taps * spec.cout)


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.tuples(st.integers(20, 30), st.integers(20, 30)),
    pads=st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2),
    channels=st.tuples(st.integers(8, 10), st.integers(8, 10)),
    batch=st.integers(2, 4),
    seed=st.integers(0, 99),
)
def test_winograd(sizes, pads, channels, batch, seed):
    cin, cout = (16 * c for c in channels)
    spec = spec_of((batch, *sizes, cin), (3, 3), cout, (1, 1), pads, (1, 1), 1)
    x, w, dy, bias, residual = arrays(seed, spec.x_shape, spec.w_shape, spec.out_shape, (cout,), spec.out_shape)
    y, dx, dw = forward(x, w, spec), input_grad(dy, w, spec), kernel_grad(x, dy, spec)
    for _ in each_level():
        got = run_kernel_grad("kernel_grad_winograd4", x, dy, spec)
        close(got, dw, WINOGRAD_ERRORS[4], terms=math.prod(spec.out_shape[:-1]))
    for size, bound in WINOGRAD_ERRORS.items():
        for _ in each_level():
            fused = run_with_weights(f"winograd{size}", x, w, spec, spec.out_shape, bias, residual, activation=RELU)
            close(fused, np.maximum(y + bias + residual, 0), bound, terms=9 * cin)
            close(run_with_weights(f"input_grad_winograd{size}", dy, w, spec, spec.x_shape), dx, bound, terms=9 * cout)


@pytest.mark.parametrize("spec", [POINTWISE, STRIDED, WINDOWS, LONG, TALL, PLANAR, LONG_WINDOWS])
def test_same_bits_for_any_number_of_threads(spec):
    check_same_bits(spec)


@pytest.mark.skipif("amx" not in kernels.available_isas(), reason="this machine has no matrix unit")
@pytest.mark.parametrize("spec", [POINTWISE, STRIDED, WINDOWS, LONG, TALL, LONG_WINDOWS, EXACT])
def test_these_shapes_reach_the_unit(spec):
    """Which sums in another order than the vectors do."""
    x, w = arrays(7, spec.x_shape, spec.w_shape)
    got = {level: run_with_weights("direct", x, w, spec, spec.out_shape).tobytes() for level in each_level()}
    assert got["amx"] != got["avx512"]


def test_a_mask_after_the_residual():
    dy, w, mask, residual = arrays(3, WINDOWS.out_shape, WINDOWS.w_shape, WINDOWS.x_shape, WINDOWS.x_shape)
    wanted = np.where(mask > 0, input_grad(dy, w, WINDOWS) + residual, 0)
    for _ in each_level():
        dx = np.full(WINDOWS.x_shape, np.nan, np.float32)
        ints = conv.encode("input_grad", WINDOWS, 0, ("residual", "mask"))
        run("conv_input_grad", [dy, packed("input_grad", w, WINDOWS), residual, mask], [dx], ints)
        close(dx, wanted, terms=9 * WINDOWS.cout)


@pytest.mark.parametrize("spec", [POINTWISE, WINDOWS])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_inside_its_window(spec, value):
    x, w = arrays(3, spec.x_shape, spec.w_shape)
    x[(0, *(n // 2 for n in spec.x_shape[1:-1]), 1)] = value
    with np.errstate(invalid="ignore"):
        expected = forward(x, w, spec)
    for _ in each_level():
        got = run_with_weights("direct", x, w, spec, spec.out_shape)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))


@pytest.mark.parametrize("exponent", [-60, -30, 0, 30, 60])
def test_digits_do_not_depend_on_the_size_of_values(exponent):
    """All 24 bits of both operands count, whatever their exponents are; bfloat16 alone has 8."""
    spec = conv2d(2, 9, 256, 160, 1)
    x, w = arrays(5, spec.x_shape, spec.w_shape)
    x, w = np.ldexp(x, exponent), np.ldexp(w, -exponent // 2)
    y = forward(x, w, spec)
    for _ in each_level():
        got = run_with_weights("direct", x, w, spec, spec.out_shape)
        assert np.linalg.norm(got - y) < 6e-7 * np.linalg.norm(y), kernels.isa()


@pytest.mark.parametrize(("left", "right"), [(12, 12), (24, 1), (1, 24)])
def test_exact_products_are_exact(left, right):
    """One term a row, with so many bits on both sides: 24 take all three pieces."""
    rng = np.random.default_rng(0)
    x, w = np.zeros(EXACT.x_shape, np.float32), np.zeros(EXACT.w_shape, np.float32)
    pixels = x.reshape(256, 128)
    pixels[np.arange(256), np.arange(256) % 128] = rng.integers(2 ** (left - 1), 2**left, 256)
    w[0, 0] = rng.integers(2 ** (right - 1), 2**right, (128, 128)) * 2.0**-6
    expected = forward(x, w, EXACT)
    for _ in each_level():
        np.testing.assert_array_equal(run_with_weights("direct", x, w, EXACT, EXACT.out_shape), expected)


def test_long_sums_lose_no_digits():
    """4,608 products are added up in parts."""
    spec = LONG_WINDOWS
    x, w, bias = arrays(0, spec.x_shape, spec.w_shape, (136,))
    back = conv2d(2, 7, 136, 512, 3, p=1)
    w_back = np.random.default_rng(1).standard_normal(back.w_shape).astype(np.float32)
    (dy,) = arrays(2, back.out_shape)
    for _ in each_level():
        close(run_with_weights("direct", x, w, spec, spec.out_shape, bias), forward(x, w, spec) + bias, 4e-7)
        close(run_with_weights("input_grad", dy, w_back, back, back.x_shape), input_grad(dy, w_back, back), 4e-7)
