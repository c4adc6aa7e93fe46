"""The chapter's third and fourth parts: padding, strides, transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from ..formulas import floor, fraction, math
from .parts import Code, Options, Step, Text

_IMPORTS = "from keras.models import Model\nfrom keras.layers import Input, Conv2D, MaxPool2D, Flatten, Dense\n\n"

_BACK = """\
def back_and_forth(h, view, output_padding=None, **options):
    layer = convolution_with(square, **options)
    back = Conv2DTranspose(1, 3, use_bias=False, name='back',
                           output_padding=output_padding, **options)
    back.build((None, None, None, 1))
    back.set_weights(layer.get_weights())
    return explain.animate(back, layer(h[None]), beside=h, view=view)
"""

_ONE_MORE = """\
cnn = Sequential([
    Input(shape=(2, 2, 1)),
    Conv2DTranspose(1, (3, 3), strides=2, padding="SAME",
                    output_padding=1)
])
cnn.summary()"""


def padding(options: Options) -> Sequence[Step]:
    """Formulas (4) and (5)."""
    return (
        Text(
            "<p>A kernel of width <math><mi>k</mi></math> fits into a side of <math><mi>i</mi></math> pixels at "
            f"{math('o = i - k + 1')} places, formula&nbsp;(4). With <math><mi>p</mi></math> zeros added to the side "
            f"it is {math('o = i + p - k + 1')}, formula&nbsp;(5). No zeros is <code>VALID</code>:</p>"
        ),
        Code(
            """\
picture, wide = x[..., None], kernel
explain.animate(convolution_with(wide), picture).still(-1)""",
        ),
        Text(
            f"<p>Zeros enough to keep the size, {math('p = k - 1')}, is <code>SAME</code>; an odd one goes to the "
            "end:</p>"
        ),
        Code("explain.animate(convolution_with(wide, padding='same'), picture)"),
        Text(
            f"<p>And {math('p = 2 ( k - 1 )')}, so that every overlap counts, is <code>FULL</code>. Keras's layers "
            "lack it; striate's have it.</p>"
        ),
        Code("explain.animate(convolution_with(wide, padding='full'), picture)"),
        Text("<p>In a model:</p>"),
        Code(
            _IMPORTS + "inputs = Input(shape=(32, 32, 3))\n"
            "h = Conv2D(16, (3, 5), padding=\"VALID\", activation='relu')(inputs)\nh = MaxPool2D(2)(h)\n"
            "outputs = Conv2D(16, 3, padding=\"SAME\", activation='relu')(h)\n\n"
            "model = Model(inputs=inputs, outputs=outputs)\nmodel.summary()"
        ),
        Code("explain.arithmetic(model)"),
    )


def strides(options: Options) -> Sequence[Step]:
    """Formula (6)."""
    formula = math("o =", floor(fraction("i + p - k", "s")), "+ 1")
    return (
        Text(
            "<p>A stride <math><mi>s</mi></math> is the distance from one place of the kernel to the next; more "
            f"than 1 makes the output smaller: {formula}, formula&nbsp;(6). Here the stride is 2 and the kernel 3×3 "
            "with <code>SAME</code> padding.</p>"
        ),
        Code(
            """\
square = np.array([[1, 0, -1], [2, 1, -2], [1, 0, -1]],
                  dtype='float32')[:, :, None, None]
halving = convolution_with(square, padding='same', strides=2)
explain.animate(halving, picture)""",
        ),
        Text("<p>One column less and the padding adapts; what the stride can't divide is rounded down.</p>"),
        Code("explain.animate(halving, picture[:, :6])"),
        Code("explain.animate(halving, picture[:, :5])"),
        Text("<p>Where each number comes from, axis by axis:</p>"),
        Code("explain.arithmetic(halving, (7, 6, 1))"),
        Text(
            "<p>Different inputs, the same output size: that is why undoing a stride needs to be told the size, as "
            "the next part shows. First a model with strides of all kinds, and formula&nbsp;(6) beside each of its "
            "shapes:</p>"
        ),
        Code(
            _IMPORTS + "inputs = Input(shape=(128, 128, 3))\n"
            "h = Conv2D(16, (5, 5), padding=\"VALID\", strides=(2, 3),\n          activation='relu')(inputs)\n"
            "h = MaxPool2D(2)(h)\nh = Conv2D(16, 7, padding=\"SAME\", activation='relu')(h)\n"
            "h = MaxPool2D((2, 4), strides=(3, 2))(h)\n"
            "h = Conv2D(16, 3, padding=\"SAME\", strides=2, activation='relu')(h)\nh = Flatten()(h)\n"
            "h = Dense(16, activation='relu')(h)\noutputs = Dense(1, activation='sigmoid')(h)\n\n"
            "model = Model(inputs=inputs, outputs=outputs)\nmodel.summary()"
        ),
        Code("explain.arithmetic(model)"),
    )


def transposed(options: Options) -> Sequence[Step]:
    """The chapter's three cases, and its slips."""
    inverse = math("o' = s ( i' - 1 ) + a + k - p")
    return (
        Text(
            "<p>A transposed convolution goes the other way: it is what carries gradients back through a "
            "convolution, and so it turns the output's size into the input's. It equals an ordinary convolution "
            f"over its input with zeros put around and between: {inverse}. With stride 1 there are none between:</p>"
        ),
        Code(
            """\
from keras.models import Sequential
from keras.layers import Input, Conv2DTranspose

cnn = Sequential([
    Input(shape=(3, 3, 1)),
    Conv2DTranspose(1, (3, 3), padding="VALID")
])
cnn.summary()""",
        ),
        Text(
            "<p>A convolution of a 5×5 input, and beside it the transposed one with the same kernel, over what the "
            "first one gave. Where its window lies, exactly those units have numbers to give that had read the "
            "outlined cell:</p>"
        ),
        Code(_BACK + "\nback_and_forth(picture[:5, :5], view='zeros')"),
        Text(
            "<p>The same numbers in the other way of seeing it: each input number stamps the kernel into the output; "
            "where stamps overlap they add up. The window on the left and the stamp on the right are the same "
            "cells, which is why the values, not only the sizes, are those of the gradient.</p>"
        ),
        Code("back_and_forth(picture[:5, :5], view='scatter')"),
        Text(
            "<p>With stride 2 one zero stands between neighbours. The chapter's second case is the partner of a "
            f"3×3 input, where the stride divides and {math('a = 0')}. In Keras that {math('a')} is "
            "<code>output_padding</code>, and without it <code>SAME</code> gives the size times the stride:</p>"
        ),
        Code(
            """\
for output_padding in (None, 0):
    cnn = Sequential([
        Input(shape=(2, 2, 1)),
        Conv2DTranspose(1, (3, 3), strides=2, padding="SAME",
                        output_padding=output_padding)
    ])
    print(output_padding, cnn.output_shape)

halving = {'strides': 2, 'padding': 'same'}
back_and_forth(picture[:3, :3], 'zeros', 0, **halving)""",
        ),
        Code("back_and_forth(picture[:3, :3], 'scatter', 0, **halving)"),
        Text(
            "<p class='note'><strong>A slip of the chapter:</strong> its code for this case passes "
            "<code>output_padding=1</code>, and so it prints 4×4 where the text says 3×3:</p>"
        ),
        Code(_ONE_MORE),
        Text(
            "<p>The third case has the same code, and there it is right: the partner of a 4×4 input, where the stride "
            f"does not divide and {math('a = ( i + p - k ) mod s')} gives one zero more. With a padding of 1 on "
            "either side:</p>"
        ),
        Code(_ONE_MORE),
        Code("padded = {'strides': 2, 'padding': 1}\nback_and_forth(picture[:4, :4], 'zeros', 1, **padded)"),
        Text(
            "<p class='note'><strong>A second slip:</strong> the chapter calls this padding <code>SAME</code>, with "
            f"{math('p = 2')}. But on a 4×4 input Keras's <code>SAME</code> pads one zero, at the end, so that "
            f"{math('p = 1')} and {math('a = 0')}: the same sizes, and all windows shifted by one. The figure needs "
            "the explicit padding.</p>"
        ),
        Code(
            """\
from striate.core import window

print(window.pads('same', 4, 3, 2))
back_and_forth(picture[:4, :4], 'zeros', 1, **halving)""",
        ),
        Text(
            "<p class='note'><strong>And a third:</strong> the caption of this case writes "
            f"{math('a = ( i + p + k ) mod s')}, with a plus before {math('k')}. The two agree here, and wherever the "
            "stride divides twice the kernel, but not for other strides:</p>"
        ),
        Code(
            """\
i, k, s, p = 8, 5, 3, 4
print('a of the text:   ', (i + p - k) % s)
print('a of the caption:', (i + p + k) % s)

o = window.output_size(i, k, s, (2, 2))
for a in ((i + p - k) % s, (i + p + k) % s):
    print(i, '->', o, '->', window.transposed_size(o, k, s, (2, 2), 1, a))""",
        ),
    )
