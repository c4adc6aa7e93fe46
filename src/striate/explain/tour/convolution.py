"""The chapter's first part: convolution and pooling on numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ..formulas import math
from .parts import Code, Options, Step, Text

_TRUE_CONVOLUTION = math("( h ∗ k ) ( i , j ) = ∑ h ( m , n ) k ( i - m , j - n )")


def convolution(options: Options) -> Sequence[Step]:
    """One channel: cross-correlation and true convolution."""
    return (
        Text(
            "<p>A small picture, 7 pixels by 7, and a kernel of 3 by 4. The kernel is laid on the picture at every "
            "place where it fits; each number under it is multiplied by the kernel's number, and the products are "
            "added up. That is the <em>cross-correlation</em> of formula&nbsp;(1), which every deep learning "
            "library calls convolution. Press play, or step through it with the arrow keys:</p>"
        ),
        Code(
            """\
import numpy as np
import keras
from keras import ops
from keras.layers import Conv2D
from striate import explain

x = np.array([[0, 0, 1, 2, 1, 0, 0],
              [0, 1, 3, 4, 3, 1, 0],
              [1, 3, 5, 5, 5, 3, 1],
              [2, 4, 5, 6, 5, 4, 2],
              [1, 3, 5, 5, 5, 3, 1],
              [0, 1, 3, 4, 3, 1, 0],
              [0, 0, 1, 2, 1, 0, 0]], dtype='float32')
k = np.array([[1, 0, 0, -1],
              [2, 1, 0, -2],
              [1, 0, 0, -1]], dtype='float32')

def convolution_with(kernel, **options):
    layer = Conv2D(kernel.shape[3], kernel.shape[:2], use_bias=False,
                   name='example', **options)
    layer.build((None, None, None, kernel.shape[2]))
    layer.set_weights([kernel])
    return layer

image, kernel = x[None, :, :, None], k[:, :, None, None]
explain.animate(convolution_with(kernel), image)""",
        ),
        Text(
            "<p>In mathematics the kernel runs the other way: "
            f"{_TRUE_CONVOLUTION}. "
            "So the kernel is turned by half a turn before it is laid on. A network learns its kernels, and learns "
            "the turned one just as well.</p>"
        ),
        Code(
            """\
explain.animate(convolution_with(kernel[::-1, ::-1]), image)""",
        ),
        Text("<p>Both again, straight from their formulas with plain loops:</p>"),
        Code(
            """\
def by_formula(h, k, sign):
    rows, cols = k.shape
    out = np.zeros((h.shape[0] - rows + 1, h.shape[1] - cols + 1))
    for i, j in np.ndindex(out.shape):
        for m, n in np.ndindex(k.shape):
            tap = k[m, n] if sign > 0 else k[rows - 1 - m, cols - 1 - n]
            out[i, j] += h[i + m, j + n] * tap
    return out

correlation = ops.conv(image, kernel)
convolution = ops.true_conv(image, kernel)
print(np.array_equal(correlation[0, :, :, 0], by_formula(x, k, +1)))
print(np.array_equal(convolution[0, :, :, 0], by_formula(x, k, -1)))""",
        ),
        Text(
            "<p>Where the picture moves, the result moves with it: <em>equivariance</em>. Shifted one pixel to the "
            "right, columns that saw the same pixels are the same; zeros around it do not move with the picture.</p>"
        ),
        Code(
            """\
moved = explain.equivariance(convolution_with(kernel, padding='same'), image, shift=(0, 1))
print(moved.text)""",
        ),
    )


def channels(options: Options) -> Sequence[Step]:
    """Several channels in and out; bias and activation."""
    return (
        Text(
            "<p>A colour picture has three numbers per pixel, and the kernel a slice for each. The three results "
            "are added into one.</p>"
        ),
        Code(
            """\
rng = np.random.default_rng(4)
rgb = rng.integers(0, 4, (7, 7, 3)).astype('float32')
k = rng.integers(-1, 2, (3, 4, 3, 2)).astype('float32')

explain.animate(convolution_with(k[..., :1]), rgb)""",
        ),
        Text(
            "<p>Several such kernels, <em>filters</em>, give several output channels: the kernel is a tensor of "
            "<code>(3, 4, 3, 2)</code> numbers, height, width, channels in, channels out.</p>"
        ),
        Code(
            """\
y = ops.conv(rgb[None], k)
print(y.shape)
explain.animate(convolution_with(k), rgb)""",
        ),
        Text(
            "<p>A convolutional layer then adds one bias per filter and applies its activation, formulas&nbsp;(2) "
            "and (3).</p>"
        ),
        Code(
            """\
layer = Conv2D(2, (3, 4), activation='relu')
layer.build((None, 7, 7, 3))
layer.set_weights([k, np.array([1, -2], dtype='float32')])

by_hand = np.maximum(y + np.array([1, -2]), 0)
print(np.array_equal(layer(rgb[None]), by_hand))""",
        ),
    )


def pooling(options: Options) -> Sequence[Step]:
    """Max, average and l2-norm pooling."""
    return (
        Text(
            "<p>Pooling looks at windows that mostly don't overlap and keeps one number of each: the largest, the "
            "mean, or the <math><msup><mi>ℓ</mi><mn>2</mn></msup></math> norm, the root of the sum of squares. Each "
            "channel is pooled by itself; here 2×2 windows halve both sides.</p>"
        ),
        Code(
            """\
from keras.layers import AveragePooling2D, LpPooling2D, MaxPool2D

pixels = np.array([[3, 4, 0, 0],
                   [0, 0, 6, 8],
                   [1, 1, 2, 4],
                   [1, 1, 5, 6]], dtype='float32')

explain.animate(MaxPool2D(2, name='largest'), pixels)""",
        ),
        Code("explain.animate(AveragePooling2D(2), pixels)"),
        Code("explain.animate(LpPooling2D(2), pixels)"),
        Text("<p>A convolution and then a pooling make the pair of layers that most of these networks repeat:</p>"),
        Code(
            """\
from keras import Sequential
from keras.layers import Input

pair = Sequential([
    Input(shape=(7, 7, 1)),
    Conv2D(2, (3, 4), activation='relu'),
    MaxPool2D(2)
])
for layer in pair.layers:
    print(layer.name, layer.output.shape)""",
        ),
    )
