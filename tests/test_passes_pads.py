"""Zeros around a tensor go into the convolution that reads them; results stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import striate
from striate import layers
from striate.ir import Graph
from striate.passes.pads import merge_pads
from striate.passes.pipeline import optimize
from striate.primitives.activations import relu, relu_grad, sigmoid
from striate.primitives.conv import conv, conv_input_grad, conv_kernel_grad
from striate.primitives.elementwise import add, sub
from striate.primitives.pad import pad
from striate.primitives.pool import max_pool, max_pool_grad
from striate.primitives.structural import slice_
from test_passes import assert_same, graph_of, ops

PLAIN = {"strides": (2, 2), "padding": ((0, 1), (1, 0)), "dilation": (1, 1), "groups": 1}
POOL = {"window": (3, 3), "strides": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
WIDTHS = ((0, 0), (1, 1), (0, 1), (0, 0))


def padded(x: Any, widths: Any = WIDTHS, **kwargs: Any) -> Any:
    return pad(x, widths=widths, **kwargs)


def merged(fn: Any, *shapes: tuple[int, ...]) -> Graph:
    """The graph after the pass, which computes the same."""
    graph = graph_of(fn, *shapes)
    found = merge_pads(graph)
    assert_same(graph, found)
    return found


X, W, POOLED = (2, 7, 6, 4), (3, 3, 4, 5), (2, 4, 3, 4)


def test_convolutions_pad_by_themselves() -> None:
    graph = merged(lambda x, w: conv(padded(x), w, **PLAIN), X, W)
    assert ops(graph) == ["conv"]
    assert graph.nodes[0].params["padding"] == ((1, 2), (1, 1))


def test_depthwise_and_dilated_ones() -> None:
    params = {**PLAIN, "groups": 4, "strides": (1, 1), "dilation": (2, 1)}
    assert ops(merged(lambda x, w: conv(padded(x), w, **params), X, (3, 3, 1, 8))) == ["conv"]


def test_gradients_of_kernels() -> None:
    params = {**PLAIN, "padding": ((0, 0), (0, 0))}
    made = merged(lambda x, g: conv_kernel_grad(padded(x), g, kernel_shape=W, **params), X, (2, 4, 3, 5))
    assert ops(made) == ["conv_kernel_grad"]


def test_gradients_of_inputs_compute_no_padding() -> None:
    params = {**PLAIN, "padding": ((0, 0), (0, 0))}

    def gradient(g: Any, w: Any) -> Any:
        whole = conv_input_grad(g, w, input_shape=(2, 9, 7, 4), **params)
        return slice_(whole, starts=(0, 1, 0, 0), stops=(2, 8, 6, 4), steps=(1, 1, 1, 1))

    made = merged(gradient, (2, 4, 3, 5), W)
    assert ops(made) == ["conv_input_grad"]
    assert made.nodes[0].params["padding"] == ((1, 1), (0, 1))


def test_maxima_of_what_is_never_negative() -> None:
    assert ops(merged(lambda x: max_pool(padded(relu(x)), **POOL), X)) == ["relu", "max_pool"]


def maxima_and_gradient(x: Any, g: Any, rectify: Any = relu, other: Any = None) -> Any:
    y = rectify(sub(x, 1.0))  # mostly zeros
    around = padded(y)
    whole = max_pool_grad(around, g, **POOL)
    n, h, w, c = x.shape
    part = slice_(whole, starts=(0, 1, 0, 0), stops=(n, h + 1, w, c), steps=(1, 1, 1, 1))
    return max_pool(around, **POOL), relu_grad(y, part), *([] if other is None else [other(around, whole, part)])


def test_gradients_of_maxima_compute_no_padding() -> None:
    """Windows of zeros alone are there: their gradient goes to the padding before, to a zero of the image after."""
    made = merged(maxima_and_gradient, X, POOLED)
    assert ops(made) == ["sub", "relu", "max_pool_grad", "max_pool", "relu_grad"]


@pytest.mark.parametrize("other", [lambda a, w, p: add(a, 1.0), lambda a, w, p: w, lambda a, w, p: add(p, 1.0)])
def test_maxima_whose_padding_is_seen_stay(other: Any) -> None:
    made = merged(lambda x, g: maxima_and_gradient(x, g, other=other), X, POOLED)
    assert {"pad", "slice"} & set(ops(made))


def test_maxima_of_what_has_a_gradient_at_zero_stay() -> None:
    made = merged(lambda x, g: maxima_and_gradient(x, g, sigmoid), X, POOLED)
    assert {"pad", "slice"} <= set(ops(made))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, w: conv(padded(x, value=1.0), w, **PLAIN),
        lambda x, w: conv(padded(x, mode="reflect"), w, **PLAIN),
        lambda x, w: conv(padded(x, ((0, 0), (3, 0), (0, 0), (0, 0))), w, **PLAIN),  # a row of windows in the padding
        lambda x, w: conv(padded(x, ((1, 0), (1, 1), (0, 0), (0, 0))), w, **PLAIN),
        lambda x, w: max_pool(padded(sub(x, 9.0)), **POOL),  # the zeros are the largest
        lambda x, w: max_pool(padded(relu(x)), **{**POOL, "dilation": (2, 2)}),
        lambda x, w: max_pool(padded(relu(x), ((0, 0), (3, 0), (0, 0), (0, 0))), **POOL),
    ],
)
def test_what_stays(fn: Any) -> None:
    assert "pad" in ops(merged(fn, X, W))


def test_a_cut_that_others_see_whole_stays() -> None:
    def both(g: Any, w: Any) -> Any:
        whole = conv_input_grad(g, w, input_shape=(2, 9, 7, 4), **{**PLAIN, "padding": ((0, 0), (0, 0))})
        part = slice_(whole, starts=(0, 1, 0, 0), stops=(2, 8, 6, 4), steps=(1, 1, 1, 1))
        return add(part, slice_(whole, starts=(0, 0, 1, 0), stops=(2, 7, 7, 4), steps=(1, 1, 1, 1)))

    assert "slice" in ops(merged(both, (2, 4, 3, 5), W))


def test_no_copy_is_left_in_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_VERIFY", "1")

    def stem(x: Any, w: Any) -> Any:
        y = relu(conv(padded(x), w, **{**PLAIN, "padding": ((0, 0), (0, 0))}))
        return max_pool(padded(y), **POOL)

    assert "pad" not in str(ops(optimize(graph_of(stem, X, W), frozenset({1}))))


def network(k: Any) -> Any:
    x = image = k.Input((11, 10, 3))
    for channels, padding in ((6, 1), (8, ((0, 1), (1, 0)))):
        x = k.layers.ZeroPadding2D(padding)(x)
        x = k.layers.Conv2D(channels, 3, strides=2, activation="relu")(x)
    x = k.layers.DepthwiseConv2D(3, strides=2)(k.layers.ZeroPadding2D(1)(x))
    return k.Model(image, k.layers.Dense(2)(k.layers.Flatten()(x)))


def test_training_through_padding_is_keras(real_keras: Any) -> None:
    """Both gradients of each convolution, in compiled steps."""
    ours, theirs = network(striate), network(real_keras)
    ours.set_weights(theirs.get_weights())
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 11, 10, 3)).astype("float32"), rng.normal(size=(8, 2)).astype("float32")
    for model, k in ((ours, striate), (theirs, real_keras)):
        model.compile(k.optimizers.SGD(0.1), "mse")
        model.fit(x, y, epochs=3, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert isinstance(ours.layers[1], layers.ZeroPadding2D)
