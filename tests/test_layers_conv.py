"""Convolution layers: like real Keras where Keras has them, like the definition beyond."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import striate
import windowtruth as truth
from layer_parity import close, data, pair, same, same_symbolically
from striate import layers

few = settings(max_examples=8)
NAMES = {1: "Conv1D", 2: "Conv2D", 3: "Conv3D"}


@st.composite
def geometry(draw: Any, rank: int, paddings: tuple[str, ...] = ("valid", "same", "VALID", "Same")) -> dict[str, Any]:
    """Window arguments that fit an input of at least 5 along each axis; either strides or dilation exceed 1."""
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    spread = draw(st.booleans())
    numbers = tuple(draw(st.integers(1, 2)) for _ in range(rank))
    ones = (1,) * rank
    return {
        "kernel_size": kernel, "strides": ones if spread else numbers, "dilation_rate": numbers if spread else ones,
        "padding": draw(st.sampled_from(paddings)),
        "data_format": draw(st.sampled_from(["channels_last", "channels_first"])),
    }  # fmt: skip


def image(rank: int, channels: int, data_format: str, batch: int = 2) -> np.ndarray:
    spatial = (5, 6, 5)[:rank]
    shape = (batch, *spatial, channels) if data_format == "channels_last" else (batch, channels, *spatial)
    return data(shape)


@pytest.mark.parametrize("rank", [1, 2, 3])
@few
@given(st.data())
def test_convolutions_like_keras(real_keras, rank: int, draws: Any) -> None:
    window = draws.draw(geometry(rank, ("valid", "same", "causal") if rank == 1 else ("valid", "same", "VALID")))
    groups = draws.draw(st.sampled_from([1, 3]))
    activation, bias = draws.draw(st.sampled_from([None, "relu", "gelu"])), draws.draw(st.booleans())
    x = image(rank, 3, window["data_format"])
    same(real_keras, NAMES[rank], x, 3 * draws.draw(st.integers(1, 2)), groups=groups, activation=activation,
         use_bias=bias, **window)  # fmt: skip


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("kind", ["Depthwise", "Separable"])
@few
@given(st.data())
def test_depthwise_and_separable_convolutions_like_keras(real_keras, kind: str, rank: int, draws: Any) -> None:
    window = draws.draw(geometry(rank))
    step = window["strides"][0]  # Keras wants one stride for all axes here
    window |= {"strides": (step,) * rank, "depth_multiplier": draws.draw(st.integers(1, 3))}
    filters = () if kind == "Depthwise" else (5,)
    x = image(rank, 3, window["data_format"])
    same(
        real_keras, f"{kind}Conv{rank}D", x, *filters, activation=draws.draw(st.sampled_from([None, "tanh"])), **window
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
@few
@given(st.data())
def test_transposed_convolutions_like_keras(real_keras, rank: int, draws: Any) -> None:
    window = draws.draw(geometry(rank))
    extra = draws.draw(st.sampled_from([None, "some"]))
    if extra:
        extra = tuple(draws.draw(st.integers(0, s - 1)) for s in window["strides"])
    x = image(rank, 3, window["data_format"])[:, :4]
    x = x if window["data_format"] == "channels_last" else image(rank, 3, "channels_first")
    same(real_keras, f"Conv{rank}DTranspose", x, 2, output_padding=extra, **window)


CONFIGS = [
    ("Conv2D", (4, 3), {"kernel_initializer": "he_normal", "kernel_regularizer": "l2", "bias_constraint": "non_neg"}),
    ("Conv1D", (4, (3,)), {"padding": "CAUSAL", "dilation_rate": 2, "trainable": False}),
    ("Conv3D", (4, 2), {"activation": "relu6", "dtype": "float64"}),
    ("Conv2DTranspose", (4, 3), {"strides": 2, "output_padding": 1, "activity_regularizer": "l2"}),
    ("DepthwiseConv2D", (3,), {"depthwise_regularizer": "l2", "depthwise_constraint": "unit_norm"}),
    ("DepthwiseConv1D", (3,), {"depthwise_initializer": "he_uniform"}),
    ("SeparableConv2D", (4, 3), {"pointwise_initializer": "zeros", "pointwise_regularizer": "l2"}),
    ("SeparableConv1D", (4, 3), {"pointwise_constraint": "max_norm"}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), CONFIGS)
def test_configs_like_keras(real_keras, name: str, args: Any, kwargs: Any) -> None:
    ours, theirs = pair(real_keras, name, *args, **kwargs)
    mine, other = ours.get_config(), theirs.get_config()
    assert mine == other
    theirs_again = type(theirs).from_config(mine)  # Keras opens ours
    assert type(ours).from_config(other).get_config() == theirs_again.get_config()


SIZES = [(None, None, 3), (8, 7, 3), (1, 1, 1), (None, 5, 2)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose"])
def test_symbolic_shapes_like_keras(real_keras, name: str, size: Any) -> None:
    args = (3,) if name == "DepthwiseConv2D" else (4, 3)
    for padding, strides in product(("same", "valid"), (1, 2)):
        if padding == "valid" and 1 in size[:2] and name != "Conv2DTranspose":
            continue
        shapes = [
            getattr(k.layers, name)(*args, padding=padding, strides=strides).compute_output_shape((None, *size))
            for k in (striate, real_keras)
        ]
        assert shapes[0] == tuple(shapes[1])


INPUTS = {
    "float64": lambda x: x.astype("float64"),
    "float16": lambda x: x.astype("float16"),
    "not contiguous": lambda x: np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2)[:, ::-1],
    "fortran": np.asfortranarray,
    "big-endian": lambda x: x.astype(">f4"),
    "a batch of none": lambda x: x[:0],
    "read-only": lambda x: np.frombuffer(x.tobytes(), "float32").reshape(x.shape),
}


@pytest.mark.parametrize("made", INPUTS)
@pytest.mark.parametrize("name", ["Conv2D", "Conv2DTranspose", "DepthwiseConv2D"])
def test_any_array_is_taken(name: str, made: str) -> None:
    args = (3,) if name == "DepthwiseConv2D" else (4, 3)
    layer, x = getattr(layers, name)(*args, padding="same"), data((2, 5, 6, 3))
    given_array = INPUTS[made](x)
    plain = np.ascontiguousarray(given_array).astype("float32")
    result = layer(given_array)
    assert result.dtype == "float32" and result.shape == layer(plain).shape
    np.testing.assert_allclose(result, layer(plain), rtol=1e-6, atol=1e-6)


def test_mixed_precision_like_keras(real_keras) -> None:
    for name, args in (("Conv2D", (4, 3)), ("Conv2DTranspose", (4, 3)), ("SeparableConv2D", (4, 3))):
        same(real_keras, name, data((1, 6, 6, 3)), *args, activation="relu", dtype="mixed_float16", rtol=4e-3)


# Beyond Keras ---------------------------------------------------------------------------------------------------------

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
AMOUNTS = [1, (0, 2), ((1, 0), (2, 1)), "full", "same"]


def pairs_of(padding: Any, kernel: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """What a padding means, per axis, for strides of 1; by its definition."""
    if padding == "full":
        return tuple((k - 1, k - 1) for k in kernel)
    if padding == "same":
        return tuple(((k - 1) // 2, k // 2) for k in kernel)
    each = (padding,) * len(kernel) if isinstance(padding, int) else padding
    return tuple((p, p) if isinstance(p, int) else p for p in each)


@pytest.mark.parametrize("padding", AMOUNTS, ids=str)
@pytest.mark.parametrize("mode", ["zeros", *MODES])
def test_any_padding_in_any_mode(padding: Any, mode: str) -> None:
    x, kernel = data((2, 4, 5, 3)), (2, 3)
    layer = layers.Conv2D(4, kernel, padding=padding, padding_mode=mode, use_bias=False)
    pads = pairs_of(padding, kernel)
    result = layer(x)
    around = ((0, 0), *pads, (0, 0))
    padded = np.pad(x.astype("float64"), around, **({"mode": MODES[mode]} if mode in MODES else {}))
    wanted = truth.conv(padded, layer.kernel.numpy().astype("float64"), strides=(1, 1), padding=((0, 0),) * 2,
                        dilation=(1, 1), groups=1)  # fmt: skip
    np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-5)
    assert layer.compute_output_shape((None, 4, 5, 3)) == (None, *wanted.shape[1:])
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    first = layers.Conv2D(4, kernel, padding=padding, padding_mode=mode, use_bias=False, data_format="channels_first")
    first.build((None, 3, 4, 5))
    first.set_weights(layer.get_weights())
    np.testing.assert_allclose(first(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", [None, "zeros"])
def test_the_padding_mode_is_in_the_config_only_where_keras_would_not_know_it(mode: str | None) -> None:
    kwargs = {} if mode is None else {"padding_mode": mode}
    assert "padding_mode" not in layers.Conv2D(4, 3, **kwargs).get_config()
    assert layers.Conv2D(4, 3, padding_mode="reflect").get_config()["padding_mode"] == "reflect"


@pytest.mark.parametrize("kind", ["Depthwise", "Separable"])
def test_full_padding_of_depthwise_convolutions(kind: str) -> None:
    x = data((1, 4, 5, 2))
    layer = getattr(layers, f"{kind}Conv2D")(*((3,) if kind == "Depthwise" else (4, 3)), padding="full", use_bias=False)
    result = layer(x)
    kernels = [w.numpy().astype("float64") for w in layer.weights]
    wanted = truth.conv(x.astype("float64"), kernels[0].swapaxes(2, 3).reshape(3, 3, 1, 2), strides=(1, 1),
                        padding=((2, 2),) * 2, dilation=(1, 1), groups=2)  # fmt: skip
    wanted = wanted @ kernels[1][0, 0] if kind == "Separable" else wanted
    np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-5)


def test_a_transposed_convolution_is_the_input_gradient_and_takes_the_output_shape() -> None:
    y, forward = data((2, 3, 3, 4)), {"strides": (2, 2), "padding": ((1, 1),) * 2, "dilation": (1, 1), "groups": 1}
    for size in ((5, 5), (6, 5), (6, 6)):
        layer = layers.Conv2DTranspose(3, 3, strides=2, padding=1, output_shape=size, use_bias=False)
        result = layer(y)
        kernel = layer.kernel.numpy().astype("float64")
        wanted = truth.conv_input_grad(y.astype("float64"), kernel, input_shape=(2, *size, 3), **forward)
        np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-5)
        assert layer.compute_output_shape((None, 3, 3, 4)) == (None, *size, 3)
        assert type(layer).from_config(layer.get_config()).get_config()["output_shape"] == size


def test_strings_in_capitals_and_an_input_of_one_cell(real_keras) -> None:
    ours, theirs = pair(real_keras, "Conv2D", 2, 1, padding="VALID")
    x = data((1, 1, 1, 1))
    for layer in (ours, theirs):
        layer.build(x.shape)
    theirs.set_weights(ours.get_weights())
    close(ours(x), theirs(x))
    same_symbolically(real_keras, x, ours, theirs)
