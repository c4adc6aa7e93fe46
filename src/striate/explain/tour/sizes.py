"""The chapter's third and fourth parts: padding, strides, transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from ..formulas import floor, fraction, math
from .parts import Code, Options, Step, Text

_IMPORTS = "from keras.models import Model\nfrom keras.layers import Input, Conv2D, MaxPool2D, Flatten, Dense\n\n"

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
        Code("explain.show_window(size=(7, 7), kernel=(3, 4), padding='valid')"),
        Text(
            f"<p>Zeros enough to keep the size, {math('p = k - 1')}, is <code>SAME</code>; an odd one goes to the "
            "end:</p>"
        ),
        Code("explain.show_window(size=(7, 7), kernel=(3, 4), padding='same')"),
        Text(
            f"<p>And {math('p = 2 ( k - 1 )')}, so that every overlap counts, is <code>FULL</code>. Keras's layers "
            "lack it; striate's have it.</p>"
        ),
        Code("explain.show_window(size=(7, 7), kernel=(3, 4), padding='full')"),
        Text("<p>In a model:</p>"),
        Code(
            _IMPORTS + "inputs = Input(shape=(32, 32, 3))\n"
            "h = Conv2D(16, (3, 5), padding=\"VALID\", activation='relu')(inputs)\nh = MaxPool2D(2)(h)\n"
            "outputs = Conv2D(16, 3, padding=\"SAME\", activation='relu')(h)\n\n"
            "model = Model(inputs=inputs, outputs=outputs)\nmodel.summary()"
        ),
        Code("explain.show_layers(model)"),
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
        Code("explain.show_window(size=(7, 7), kernel=3, strides=2, padding='same')"),
        Text("<p>One column less and the padding adapts; what the stride can't divide is rounded down.</p>"),
        Code("explain.show_window(size=(7, 6), kernel=3, strides=2, padding='same')"),
        Code("explain.show_window(size=(7, 5), kernel=3, strides=2, padding='same')"),
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
        Code("explain.show_layers(model)"),
    )


def transposed(options: Options) -> Sequence[Step]:
    """The chapter's three cases, and its two slips."""
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
cnn.summary()
explain.show_transposed(cnn.layers[0])""",
        ),
        Text(
            "<p>The values, not only the sizes, are those of the gradient: each input number stamps the kernel, all "
            "ones here, into the output; where stamps overlap they add up.</p>"
        ),
        Code(
            """\
stamp = Conv2DTranspose(1, (3, 3), strides=2, use_bias=False,
                        kernel_initializer='ones')
y = np.array([[1, 2], [3, 4]], dtype='float32')
print(stamp(y[None, :, :, None])[0, :, :, 0])""",
        ),
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
explain.show_transposed(cnn.layers[0])""",
        ),
        Text(
            "<p class='note'><strong>A slip of the chapter:</strong> its code for this case passes "
            "<code>output_padding=1</code>, and so it prints 4×4 where the text says 3×3:</p>"
        ),
        Code(_ONE_MORE),
        Text(
            "<p>The third case has the same code, and there it is right: the partner of a 4×4 input, where the stride "
            f"does not divide and {math('a = ( i + p - k ) mod s')} gives one zero more.</p>"
        ),
        Code(_ONE_MORE + "\nexplain.show_transposed(cnn.layers[0])"),
        Text(
            "<p class='note'><strong>And another slip:</strong> the caption of this case writes "
            f"{math('a = ( i + p + k ) mod s')}, with a plus before {math('k')}. The two agree here, and wherever the "
            "stride divides twice the kernel, but not for other strides:</p>"
        ),
        Code(
            """\
from striate.core import window

i, k, s, p = 8, 5, 3, 4
print('a of the text:   ', (i + p - k) % s)
print('a of the caption:', (i + p + k) % s)

o = window.output_size(i, k, s, (2, 2))
for a in ((i + p - k) % s, (i + p + k) % s):
    print(i, '->', o, '->', window.transposed_size(o, k, s, (2, 2), 1, a))""",
        ),
    )
