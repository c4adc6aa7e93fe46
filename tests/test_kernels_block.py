"""Inverted residual blocks as one step: the kernel against three float64 convolutions, and the pass that finds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel_runner import close, each_level, run, same_bits
from striate import engines, kernels
from striate.ir import Aval
from striate.kernels import blocks
from striate.kernels.conv import ConvSpec
from striate.passes.pipeline import optimize
from striate.plan import build
from striate.primitives.activations import relu6, sigmoid
from striate.primitives.conv import conv as conv_op
from striate.primitives.elementwise import add, mul
from striate.primitives.reduce import reduce_sum
from striate.trace import trace
from test_kernels_conv import arrays, forward, packed, spec_of

ACTIVATIONS = {
    "linear": lambda v: v,
    "relu": lambda v: np.maximum(v, 0),
    "relu6": lambda v: np.clip(v, 0, 6),
    "silu": lambda v: v / (1 + np.exp(-v)),
}


@dataclass(frozen=True)
class Case:
    """One block; `present`: names of `blocks.FLAGS`."""

    depthwise: ConvSpec
    cin: int
    cout: int
    present: tuple[str, ...]
    activations: tuple[str, str, str]
    first: ConvSpec | None = None  # the expansion, where it has a window

    def shapes(self):
        hidden = self.depthwise.cin
        x = (*self.depthwise.x_shape[:-1], self.cin) if self.first is None else self.first.x_shape
        weights = (
            (1, 1, self.cin, hidden) if self.first is None else self.first.w_shape,
            self.depthwise.w_shape,
            (1, 1, hidden, self.cout),
        )
        return x, weights, (*self.depthwise.out_shape[:-1], self.cout)


def pointwise(x_shape, cout) -> ConvSpec:
    return spec_of(x_shape, (1, 1), cout, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)


@st.composite
def cases(draw):
    kernel, stride = draw(st.sampled_from([3, 3, 5])), draw(st.integers(1, 2))
    pads = [(draw(st.integers(0, kernel - 1)), draw(st.integers(0, kernel + 1))) for _ in range(2)]
    spatial = [draw(st.integers(max(1, kernel - sum(p)), 33)) for p in pads]
    hidden = 16 * draw(st.integers(1, 5))
    depthwise = spec_of(
        (draw(st.integers(1, 2)), *spatial, hidden), (kernel, kernel), hidden, (stride, stride), pads, (1, 1), hidden
    )
    present = {name for name in blocks.FLAGS if draw(st.booleans())}
    if "expand" not in present:
        present -= {"expand_bias"}
    if "project" not in present:
        present -= {"project_bias", "residual"}
    cin = draw(st.integers(1, 40)) if "expand" in present else hidden
    cout = draw(st.integers(1, 70)) if "project" in present else hidden
    names = [draw(st.sampled_from(list(ACTIVATIONS))) for _ in range(3)]
    acts = (names[0] if "expand" in present else "linear", names[1], names[2] if "project" in present else "linear")
    return Case(depthwise, cin, cout, tuple(f for f in blocks.FLAGS if f in present), acts)


def expected(case: Case, x, weights, biases, residual) -> np.ndarray:
    value = x.astype(np.float64)
    for i, name in enumerate(("expand", "depth", "project")):
        if name != "depth" and name not in case.present:
            continue
        spec = case.depthwise if name == "depth" else pointwise(value.shape, weights[i].shape[-1])
        spec = case.first if name == "expand" and case.first is not None else spec
        value = forward(value, weights[i], spec)
        value = value + biases[i] if f"{name}_bias" in case.present else value
        value = value + residual if name == "project" and "residual" in case.present else value
        value = ACTIVATIONS[case.activations[i]](value)
    return value


def operands(case: Case, x, weights, biases, residual):
    made = [x]
    for i, name in enumerate(("expand", "depth", "project")):
        shape = x.shape if i == 0 else case.depthwise.out_shape
        if name == "depth":
            made.append(packed("depthwise", weights[i], case.depthwise))
        elif name == "expand" and case.first is not None:
            made.append(packed("direct", weights[i], case.first))
        elif name in case.present:
            made.append(packed("direct", weights[i], pointwise(shape, weights[i].shape[-1])))
        made += [biases[i]] if f"{name}_bias" in case.present else []
    return made + ([residual] if "residual" in case.present else [])


def draw_arrays(case: Case, seed: int):
    """Weights scaled so that each stage keeps the size of its values, times three: some are cut off at 6."""
    x_shape, w_shapes, out_shape = case.shapes()
    x, *weights = arrays(seed, x_shape, *w_shapes)
    weights = [w * np.float32(3 / np.prod(w.shape[:-1]) ** 0.5) for w in weights]
    *biases, residual = arrays(seed + 1, *((w[-1],) for w in w_shapes), out_shape)
    return x, weights, biases, residual


def computed(case: Case, data) -> np.ndarray:
    out = np.full(case.shapes()[2], np.nan, np.float32)
    stages = [blocks.Stage(kernels.activation_ids()[name]) for name in case.activations]
    ints, floats = blocks.encode(case.depthwise, case.present, stages, case.first)
    run(blocks.KERNEL, operands(case, *data), [out], ints, floats)
    return out


def mobile(size, hidden, kernel=3, stride=1, batch=1) -> Case:
    pads = [(kernel // 2, kernel // 2)] * 2
    spec = spec_of((batch, size, size, hidden), (kernel, kernel), hidden, (stride, stride), pads, (1, 1), hidden)
    every = tuple(blocks.FLAGS) if stride == 1 else tuple(f for f in blocks.FLAGS if f != "residual")
    return Case(spec, 24, 24, every, ("relu6", "relu6", "linear"))


@st.composite
def first_layers(draw):
    """A convolution over a picture, a depthwise one, and perhaps a projection."""
    kernel, stride, cin = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    pads = [(draw(st.integers(0, 4)), draw(st.integers(0, 4))) for _ in range(2)]
    spatial = [draw(st.integers(max(1, kernel - sum(p)), 60)) for p in pads]
    shape, hidden = (draw(st.integers(1, 2)), *spatial, cin), 16 * draw(st.integers(1, 3))
    first = spec_of(shape, (kernel, kernel), hidden, (stride, stride), pads, (1, 1), 1)
    step, around = draw(st.integers(1, 2)), [(1, 1), (draw(st.integers(0, 2)), 2)]
    depthwise = spec_of(first.out_shape, (3, 3), hidden, (step, step), around, (1, 1), hidden)
    projects = draw(st.booleans())
    present = ("expand", "expand_bias", "depth_bias", *(["project", "project_bias"] if projects else []))
    cout = draw(st.integers(1, 40)) if projects else hidden
    return Case(depthwise, cin, cout, present, ("relu6", "relu6", "linear"), first)


@settings(max_examples=50, deadline=None)
@given(case=first_layers(), seed=st.integers(0, 99))
def test_a_block_after_a_picture(case, seed):
    data = draw_arrays(case, seed)
    wanted = expected(case, *data)
    for _ in each_level():
        close(computed(case, data), wanted, 2e-6, terms=9 * case.depthwise.cin)


@settings(max_examples=80, deadline=None)
@given(case=cases(), seed=st.integers(0, 99))
@example(case=mobile(30, 144), seed=0)
@example(case=mobile(31, 96, 5, 2, batch=3), seed=0)
def test_a_block_is_its_three_convolutions(case, seed):
    data = draw_arrays(case, seed)
    wanted = expected(case, *data)
    for _ in each_level():
        close(computed(case, data), wanted, 2e-6)


def test_the_number_of_threads_changes_nothing():
    case = mobile(57, 80)
    data = draw_arrays(case, 3)
    for _ in each_level():
        same_bits(lambda: computed(case, data))


def test_a_nan_stays_in_its_window():
    case = mobile(20, 32)
    x, *rest = draw_arrays(case, 4)
    x[0, 10, 3] = np.nan
    for _ in each_level():
        bad = np.isnan(computed(case, (x, *rest))).any(-1)[0]
        assert {tuple(map(int, i)) for i in np.argwhere(bad)} == {(r, c) for r in (9, 10, 11) for c in (2, 3, 4)}


@pytest.mark.parametrize(
    "position, value", [(0, 4), (1, 3), (2, 3), (4, 24), (5, 64), (6, 999), (9, 1), (12, 3), (13, 0), (16, -1)]
)
def test_wrong_attributes_are_refused(position, value):
    case = mobile(9, 32)
    data = draw_arrays(case, 5)
    ints, floats = blocks.encode(case.depthwise, case.present, [blocks.Stage()] * 3)
    ints = (*ints[:position], value, *ints[position + 1 :])
    with pytest.raises(ValueError):
        run(blocks.KERNEL, operands(case, *data), [np.zeros(case.shapes()[2], np.float32)], ints, floats)


# The pass.

SAME = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}
PLAIN = SAME | {"padding": ((0, 0), (0, 0)), "groups": 1}


def inverted(x, w1, b1, wd, w3, b3):
    hidden = relu6(add(conv_op(x, w1, **PLAIN), b1))
    hidden = relu6(conv_op(hidden, wd, **SAME, groups=wd.shape[-1]))
    return add(add(conv_op(hidden, w3, **PLAIN), b3), x), hidden


def avals(size, channels=12, hidden=32):
    shapes = [(1, size, size, channels), (1, 1, channels, hidden), (hidden,), (3, 3, 1, hidden)]
    return [Aval(s, "float32") for s in [*shapes, (1, 1, hidden, channels), (channels,)]]


def plan_and_error(fn, args):
    """The kernels that run at each call, after the graph's own float64 result has been met."""
    graph = trace(fn, args).graph
    data = arrays(0, *(a.shape for a in args))
    stable = frozenset(range(1, len(args)))
    wanted = engines.get("float64").compile(graph)(data)
    for got, want in zip(engines.get("native").compile(graph, stable)(data), wanted, strict=True):
        close(got, want, 3e-6)
    return [step.kernel for step in build(optimize(graph, stable), stable).steps]


def test_a_whole_block_is_one_step():
    steps = plan_and_error(lambda *a: inverted(*a)[0], avals(28))
    assert steps == ["conv_block"]


def test_on_small_images_the_projection_follows():
    steps = plan_and_error(lambda *a: inverted(*a)[0], avals(7))
    assert steps == ["conv_block", "conv_direct"]


def test_what_is_needed_elsewhere_is_computed():
    steps = plan_and_error(inverted, avals(28))
    assert steps == ["conv_block", "conv_direct"]


def test_squeeze_and_excite_stands_between():
    def fn(x, w1, b1, wd, w3, b3):
        hidden = inverted(x, w1, b1, wd, w3, b3)[1]
        scale = sigmoid(conv_op(reduce_sum(hidden, axes=(1, 2), keepdims=True), w1_of_scale, **PLAIN))
        return add(conv_op(mul(hidden, scale), w3, **PLAIN), b3)

    w1_of_scale = arrays(1, (1, 1, 32, 32))[0]
    steps = plan_and_error(fn, avals(28))
    assert steps[0] == "conv_block" and steps.count("conv_direct") == 2


@pytest.mark.parametrize("change", ["channels", "dilation", "kernel"])
def test_other_shapes_keep_their_own_kernels(change):
    def fn(x, w1, b1, wd, w3, b3):
        window = SAME | ({"dilation": (2, 2), "padding": ((2, 2), (2, 2))} if change == "dilation" else {})
        hidden = conv_op(relu6(add(conv_op(x, w1, **PLAIN), b1)), wd, **window, groups=wd.shape[-1])
        return add(conv_op(hidden, w3, **PLAIN), b3)

    shapes = avals(28, hidden=24 if change == "channels" else 32)
    if change == "kernel":
        shapes[3] = Aval((4, 4, 1, 32), "float32")
    assert plan_and_error(fn, shapes) == ["conv_direct", "conv_depthwise", "conv_direct"]


def test_the_first_convolution_belongs_to_the_first_block():
    def fn(x, w1, b1, wd, w3, b3):
        hidden = relu6(add(conv_op(x, w1, **SAME | {"strides": (2, 2), "padding": ((0, 1), (0, 1))}, groups=1), b1))
        return add(conv_op(relu6(conv_op(hidden, wd, **SAME, groups=wd.shape[-1])), w3, **PLAIN), b3)

    shapes = avals(64, channels=3)
    shapes[1], shapes[4], shapes[5] = (Aval(s, "float32") for s in [(3, 3, 3, 32), (1, 1, 32, 16), (16,)])
    assert plan_and_error(fn, shapes) == ["conv_block"]
