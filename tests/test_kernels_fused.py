"""What convolution kernels do besides: masks, 2x2 maxima and their positions, gradients still in their pooled form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import windowtruth as wt
from kernel_runner import close, each_level, run, same_bits
from striate import engines, kernels
from striate.ir import Aval
from striate.kernels import conv
from striate.passes.pipeline import optimize
from striate.plan import build
from striate.primitives.activations import relu, relu_grad
from striate.primitives.conv import conv as conv_op
from striate.primitives.conv import conv_input_grad, conv_kernel_grad
from striate.primitives.elementwise import add
from striate.primitives.pool import max_pool, max_pool_grad
from striate.primitives.reduce import reduce_sum
from striate.trace import trace
from test_kernels_conv import arrays, forward, input_grad, kernel_grad, packed, spec_of

WIDE = spec_of((3, 25, 26, 128), (3, 3), 144, (1, 1), ((1, 1),) * 2, (1, 1), 1)  # on a matrix unit, where there is one
POOL = {"window": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}


@st.composite
def planar(draw):
    """A 3x3 convolution that Winograd's algorithm takes, with an output of at least one pixel."""
    pads = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(2)]
    spatial = [draw(st.integers(max(1, 3 - sum(p)), 14)) for p in pads]
    cin, cout = (16 * draw(st.integers(1, 3)) for _ in range(2))
    return spec_of((draw(st.integers(1, 3)), *spatial, cin), (3, 3), cout, (1, 1), pads, (1, 1), 1)


def pooled_shape(shape):
    return (shape[0], shape[1] // 2, shape[2] // 2, shape[3])


def spread(positions, g, shape):
    return wt.unpool(positions, g.astype(np.float64), input_shape=shape, **POOL)


@given(planar(), st.sampled_from([2, 4, 6]), st.booleans(), st.booleans(), st.integers(0, 99))
@example(WIDE, 4, True, True, 0)
@settings(deadline=None, max_examples=25)
def test_maxima_of_a_convolution(spec, tile, rectified, residual, seed):
    x, w, bias, other = arrays(seed, spec.x_shape, spec.w_shape, (spec.cout,), spec.out_shape)
    name, small = f"winograd{tile}", pooled_shape(spec.out_shape)
    extra = [bias, other] if residual else [bias]
    flags = ("bias", *(["residual"] if residual else []), "pool", "positions")
    full = forward(x, w, spec) + bias + (other if residual else 0)
    full = np.maximum(full, 0) if rectified else full
    wanted = full[:, : 2 * small[1], : 2 * small[2]].reshape(small[0], small[1], 2, small[2], 2, small[3])
    for _ in each_level():
        y, at = np.full(small, np.nan, np.float32), np.full(small, 99, np.uint8)
        ints = conv.encode(name, spec, kernels.activation_ids()["relu"] if rectified else 0, flags)
        run(f"conv_{name}", [x, packed(name, w, spec), *extra], [y, at], ints)
        close(y, wanted.max((2, 4)), 2e-5, terms=9 * spec.cin)
        cells = wanted.transpose(0, 1, 3, 2, 4, 5).reshape(*small[:3], 4, small[3]) if y.size else None
        if cells is not None:  # the cell that it names holds the maximum, as far as rounding tells
            chosen = np.take_along_axis(cells, at.astype(int)[:, :, :, None], 3)[:, :, :, 0]
            np.testing.assert_allclose(chosen, wanted.max((2, 4)), rtol=1e-3, atol=1e-3)


@given(planar(), st.sampled_from([2, 4, 6]), st.booleans(), st.integers(0, 99))
@example(WIDE, 4, True, 0)
@settings(deadline=None, max_examples=25)
def test_input_gradient_from_pooled_gradients(spec, tile, masked, seed):
    small = pooled_shape(spec.out_shape)
    g, w, mask = arrays(seed, small, spec.w_shape, spec.x_shape)
    at = np.random.default_rng(seed).integers(0, 4, small).astype(np.uint8)
    wanted = input_grad(spread(at, g, spec.out_shape), w, spec)
    wanted = np.where(mask > 0, wanted, 0) if masked else wanted
    name = f"input_grad_winograd{tile}"
    ints = conv.encode(name, spec, 0, (*(["mask"] if masked else []), "unpool"))
    for _ in each_level():
        dx = np.full(spec.x_shape, np.nan, np.float32)
        inputs = [g, packed(name, w, spec), *([mask] if masked else []), at]
        run(conv.ALGORITHMS[name].kernel, inputs, [dx], ints)
        close(dx, wanted, 2e-5, terms=9 * spec.cout)


@given(planar(), st.integers(0, 99))
@example(WIDE, 0)
@settings(deadline=None, max_examples=20)
def test_kernel_gradient_from_pooled_gradients(spec, seed):
    small = pooled_shape(spec.out_shape)
    x, g = arrays(seed, spec.x_shape, small)
    at = np.random.default_rng(seed).integers(0, 4, small).astype(np.uint8)
    wanted = kernel_grad(x, spread(at, g, spec.out_shape), spec)
    name = "kernel_grad_winograd4"
    for _ in each_level():
        dw = np.full(spec.w_shape, np.nan, np.float32)
        run(conv.ALGORITHMS[name].kernel, [x, g, at], [dw], conv.encode(name, spec, 0, ("unpool",)))
        close(dw, wanted, 2e-5, terms=spec.out_shape[0] * spec.out_shape[1] * spec.out_shape[2])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 2), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_masks_of_direct_kernels(cin, cout, stride, seed):
    spec = spec_of((2, 5, 6, cin), (3, 2), cout, (stride, stride), [(1, 1), (0, 1)], (1, 1), 1)
    dy, w, mask, residual = arrays(seed, spec.out_shape, spec.w_shape, spec.x_shape, spec.x_shape)
    wanted = np.where(mask > 0, input_grad(dy, w, spec) + residual, 0)
    for _ in each_level():
        dx = np.full(spec.x_shape, np.nan, np.float32)
        ints = conv.encode("input_grad", spec, 0, ("residual", "mask"))
        run("conv_input_grad", [dy, packed("input_grad", w, spec), residual, mask], [dx], ints)
        close(dx, wanted, 1e-6, terms=6 * cout)


WINDOW = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}


def training_graph(x_shape, channels, groups=1):
    """conv-relu-conv-relu-pool with the gradients of its sum, weighted."""

    def fn(x, w1, b1, w2, b2, g):
        window = WINDOW | {"groups": groups}
        a = relu(add(conv_op(x, w1, **WINDOW), b1))
        b = relu(add(conv_op(a, w2, **window), b2))
        y = max_pool(b, **POOL)
        gb = relu_grad(b, max_pool_grad(b, g, **POOL))
        ga = relu_grad(a, conv_input_grad(gb, w2, input_shape=a.shape, **window))
        spatial = {"axes": (0, 1, 2), "keepdims": False}
        return (
            y, conv_kernel_grad(a, gb, kernel_shape=w2.shape, **window), reduce_sum(gb, **spatial),
            conv_kernel_grad(x, ga, kernel_shape=w1.shape, **WINDOW), reduce_sum(ga, **spatial),
        )  # fmt: skip

    cin = x_shape[-1]
    out = (x_shape[0], x_shape[1] // 2, x_shape[2] // 2, channels)
    shapes = [x_shape, (3, 3, cin, channels), (channels,), (3, 3, channels // groups, channels), (channels,), out]
    return trace(fn, [Aval(s, "float32") for s in shapes]).graph


@pytest.mark.parametrize(
    ("x_shape", "channels", "groups", "kernels_expected"),
    [
        ((2, 16, 16, 3), 64, 1, {"conv_winograd4", "conv_winograd4_input_grad", "conv_winograd4_kernel_grad"}),
        ((2, 16, 17, 16), 64, 64, {"unpool", "max_pool_positions"}),
        ((1, 46, 46, 9), 9, 1, {"unpool", "max_pool_positions"}),
        ((2, 12, 9, 1), 7, 1, {"conv_few", "conv_maxima_input_grad", "conv_maxima_kernel_grad"}),
        ((1, 50, 50, 4), 7, 1, {"conv_few", "conv_few_input_grad", "conv_few_kernel_grad"}),
        ((1, 12, 12, 3), 12, 1, {"max_pool_positions", "conv_maxima_input_grad", "conv_maxima_kernel_grad"}),
    ],
)
def test_a_training_step_never_stores_what_is_pooled(x_shape, channels, groups, kernels_expected):
    graph = training_graph(x_shape, channels, groups)
    steps = [s.kernel for s in build(optimize(graph, frozenset()), frozenset()).steps]
    assert kernels_expected <= set(steps), steps
    assert "max_pool_grad" not in steps and None not in steps
    assert "max_pool" not in steps
    assert all((name in steps) == (name in kernels_expected) for name in ("unpool", "max_pool_positions"))
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=v.shape).astype(np.float32) for v in graph.inputs]
    wanted = reference(inputs, groups)
    run_it = engines.get("native").compile(graph)
    for _ in each_level():
        for found, expected in zip(run_it(inputs), wanted, strict=True):
            close(found, expected, 2e-5)
    same_bits(lambda: np.concatenate([a.ravel() for a in run_it(inputs)]))


def reference(inputs, groups):
    x, w1, b1, w2, b2, g = (a.astype(np.float64) for a in inputs)
    first = spec_of(x.shape, (3, 3), w1.shape[-1], (1, 1), [(1, 1)] * 2, (1, 1), 1)
    a = np.maximum(forward(x, w1, first) + b1, 0)
    second = spec_of(a.shape, (3, 3), w2.shape[-1], (1, 1), [(1, 1)] * 2, (1, 1), groups)
    b = np.maximum(forward(a, w2, second) + b2, 0)
    gb = np.where(b > 0, wt.max_pool_grad(b, g, **POOL), 0)
    ga = np.where(a > 0, input_grad(gb, w2, second), 0)
    return (
        wt.max_pool(b, **POOL), kernel_grad(a, gb, second), gb.sum((0, 1, 2)), kernel_grad(x, ga, first),
        ga.sum((0, 1, 2)),
    )  # fmt: skip
