"""Gradients of convolutions of which the 2x2 maxima were kept: against float64 loops over taps, at every instruction
set."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel_runner import close, each_level, same_bits
from striate.kernels import conv
from test_kernels_conv import arrays, conv2d, images, input_grad, kernel_grad, spec_of, windows
from test_kernels_few import compute, pooled_gradient

DIGITS, SECOND = conv2d(3, 28, 1, 6, 5, p=2), conv2d(2, 14, 6, 16, 5)
TALL = spec_of((2, 13, 9, 3), (7, 2), 5, (1, 1), ((3, 2), (1, 0)), (1, 1), 1)
WIDE = spec_of((1, 9, 9, 2), (2, 3), 4, (1, 1), ((4, 0), (3, 6)), (1, 1), 1)  # windows that see zeros alone
STRIDED = spec_of((18, 15, 16, 5), (3, 4), 3, (2, 3), ((1, 1), (0, 2)), (2, 1), 1)
many = settings(max_examples=60, deadline=None)


@st.composite
def specs(draw, plain: bool = False):
    kernel, strides, pads, dilation = draw(windows(2))
    dilation = (dilation[0], 1)
    if plain:
        strides, dilation = (1, 1), (1, 1)
    batch, spatial = draw(images((kernel, strides, pads, dilation), 20))
    cin, cout = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    return spec_of((batch, *spatial, cin), kernel, cout, strides, pads, dilation, 1)


@many
@given(spec=specs(), seed=st.integers(0, 99))
@example(spec=DIGITS, seed=0)
@example(spec=SECOND, seed=0)
@example(spec=TALL, seed=0)
@example(spec=WIDE, seed=0)
@example(spec=STRIDED, seed=0)
def test_kernel_gradient(spec, seed):
    (x,) = arrays(seed, spec.x_shape)
    g, at, full = pooled_gradient(seed, spec.out_shape)
    dw, terms = kernel_grad(x, full, spec), math.prod(spec.out_shape[:-1])
    for _ in each_level():
        close(compute("kernel_grad_maxima", [x, g, at], spec.w_shape, spec, 0, ("unpool",)), dw, terms=terms)


@many
@given(spec=specs(plain=True), seed=st.integers(0, 99))
@example(spec=DIGITS, seed=0)
@example(spec=SECOND, seed=0)
@example(spec=TALL, seed=0)
@example(spec=WIDE, seed=0)
def test_input_gradient(spec, seed):
    w, mask = arrays(seed, spec.w_shape, spec.x_shape)
    g, at, full = pooled_gradient(seed, spec.out_shape)
    dx, of = input_grad(full, w, spec), {"terms": spec.taps * spec.cout}
    for _ in each_level():
        close(compute("input_grad_maxima", [g, w, at], spec.x_shape, spec, 0, ("unpool",)), dx, **of)
        got = compute("input_grad_maxima", [g, w, mask, at], spec.x_shape, spec, 0, ("mask", "unpool"))
        close(got, np.where(mask > 0, dx, 0), **of)


@pytest.mark.parametrize("spec", [conv2d(35, 28, 1, 6, 5, p=2), conv2d(33, 14, 6, 16, 5)])
def test_same_bits_for_any_number_of_threads(spec):
    x, w = arrays(7, spec.x_shape, spec.w_shape)
    g, at, _ = pooled_gradient(7, spec.out_shape)
    for _ in each_level():
        same_bits(lambda: compute("kernel_grad_maxima", [x, g, at], spec.w_shape, spec, 0, ("unpool",)))
        same_bits(lambda: compute("input_grad_maxima", [g, w, at], spec.x_shape, spec, 0, ("unpool",)))


def test_small_images_take_it_unless_winograd_is_cheaper():
    for spec, kernel, back in (
        (DIGITS, True, True),
        (SECOND, True, True),
        (STRIDED, True, False),
        (conv2d(2, 99, 3, 6, 5), False, False),  # an image that leaves the nearest cache
        (conv2d(2, 14, 6, 16, 5, groups=2), False, False),
        (spec_of((2, 9, 9, 3), (3, 3), 4, (1, 1), ((0, 0), (0, 0)), (1, 2), 1), False, False),
    ):
        assert (conv.choose_maxima("kernel_grad", spec, "few") == "kernel_grad_maxima") is kernel, spec
        assert (conv.choose_maxima("input_grad", spec, "few") == "input_grad_maxima") is back, spec
    assert conv.choose_maxima("kernel_grad", DIGITS, "kernel_grad_winograd4") == "kernel_grad_winograd4"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"flags": ()}, "three inputs|maxima's gradient|and their positions"),
        ({"strides": (2, 2)}, "neither strides nor dilation"),
        ({"dilation": (1, 2)}, "no dilation along lines"),
        ({"w": (5, 5, 2, 16)}, "the kernel has another size"),
        ({"activation": 3}, "no activation"),
    ],
)
def test_wrong_operands_are_refused(change, problem):
    strides, dilation = change.get("strides", (1, 1)), change.get("dilation", (1, 1))
    spec = spec_of(SECOND.x_shape, (5, 5), 16, strides, ((0, 0), (0, 0)), dilation, 1)
    g, at, _ = pooled_gradient(0, spec.out_shape)
    w = np.zeros(change.get("w", spec.w_shape), np.float32)
    with pytest.raises(ValueError, match=problem):
        flags = change.get("flags", ("unpool",))
        compute("input_grad_maxima", [g, w, at], spec.x_shape, spec, change.get("activation", 0), flags)
