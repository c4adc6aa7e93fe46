"""Training: a small network on handwritten digits, its curves, what it learned to look for."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from .parts import Code, Options, Step, Text

_MISSING = (
    "<p>This part trains on scikit-learn's handwritten digits, and scikit-learn is not installed: "
    "<code>pip install 'striate[viz,data]'</code>.</p>"
)

_DATA = """\
from sklearn.datasets import load_digits

digits = load_digits()
x = (digits.images[..., None] / 16).astype('float32')
y = digits.target
x_train, y_train = x[:1400], y[:1400]
x_test, y_test = x[1400:], y[1400:]
print(x_train.shape, x_test.shape)"""

_NETWORK = """\
from keras import layers

keras.utils.set_random_seed(0)

digits_model = Sequential([
    Input(shape=(8, 8, 1)),
    layers.Conv2D(24, 3, padding='same', activation='relu', name='first'),
    layers.BatchNormalization(),
    layers.Conv2D(32, 3, padding='same', activation='relu', name='second'),
    layers.MaxPooling2D(),
    layers.Dropout(0.25),
    layers.Flatten(),
    layers.Dense(64, activation='relu'),
    layers.Dropout(0.5),
    layers.Dense(10, activation='softmax')
])

digits_model.compile(optimizer='adam', metrics=['accuracy'],
                     loss='sparse_categorical_crossentropy')
history = digits_model.fit(x_train, y_train, epochs=20, verbose=0,
                           validation_data=(x_test, y_test))
loss, accuracy = digits_model.evaluate(x_test, y_test, verbose=0)
print(f'{accuracy:.1%} of {len(x_test)} digits that it has never seen')"""

_CURVES = """\
fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout='constrained')
for axis, name in zip(axes, ('loss', 'accuracy')):
    axis.plot(history.history[name], label='training')
    axis.plot(history.history['val_' + name], label='held out')
    axis.set_title(name)
    axis.set_xlabel('epoch')
    axis.legend()
plt.show()"""

_KERNELS = """\
kernels = ops.convert_to_numpy(digits_model.get_layer('first').kernel)
largest = abs(kernels).max()
fig, axes = plt.subplots(2, 12, figsize=(11, 2.2), layout='constrained')
for i, axis in enumerate(axes.flat):
    axis.imshow(kernels[:, :, 0, i], cmap='RdBu', vmin=-largest, vmax=largest)
    axis.set(xticks=[], yticks=[])
plt.show()"""

_MAPS = """\
seen = Model(digits_model.inputs, [digits_model.get_layer('first').output,
                                   digits_model.get_layer('second').output])
maps = seen.predict(x_test[:1], verbose=0)

fig, axes = plt.subplots(2, 9, figsize=(11, 2.8), layout='constrained')
for row, feature_map in enumerate(maps):
    axes[row, 0].imshow(x_test[0, ..., 0], cmap='gray_r')
    strongest = feature_map[0].sum((0, 1)).argsort()[::-1]
    for axis, channel in zip(axes[row, 1:], strongest):
        axis.imshow(feature_map[0, ..., channel])
for axis in axes.flat:
    axis.axis('off')
plt.show()"""

_MISTAKES = """\
p = digits_model.predict(x_test, verbose=0)
wrong = (p.argmax(-1) != y_test).nonzero()[0]
wrong = wrong[p.max(-1)[wrong].argsort()[::-1]][:8]
fig, axes = plt.subplots(1, 8, figsize=(11, 2), layout='constrained')
for axis in axes:
    axis.axis('off')
for axis, i in zip(axes, wrong):
    axis.imshow(x_test[i, ..., 0], cmap='gray_r')
    axis.set_title(f'{y_test[i]} → {p[i].argmax()}', fontsize=14)
plt.show()"""


def learning(options: Options) -> Sequence[Step]:
    """The digits: data, network, training, curves, kernels, feature maps, mistakes."""
    if importlib.util.find_spec("sklearn") is None:
        return (Text(_MISSING),)
    return (
        Text(
            "<p>Nobody draws kernels by hand. They start as random numbers and follow the gradient of the loss. Here "
            "are 1,797 handwritten digits of 8×8 pixels; the last 397 are held out.</p>"
        ),
        Code(_DATA),
        Code(_NETWORK),
        Text("<p>The loss falls on what the network sees, and, which matters more, on what it does not see:</p>"),
        Code(_CURVES, "Two curves over the epochs: the loss falls and the accuracy rises, in training and held out"),
        Text(
            "<p>What the first layer has learned to look for: its kernels, blue where they are positive, red where "
            "negative.</p>"
        ),
        Code(_KERNELS, "The 24 learned kernels of the first layer"),
        Text("<p>One digit, and the feature maps that answer most strongly to it, of both convolutions:</p>"),
        Code(_MAPS, "A digit and eight feature maps from each of the two convolutions"),
        Text("<p>And the mistakes of which it is most sure, each with what it is and what it was taken for:</p>"),
        Code(_MISTAKES, "Digits that the network takes for others"),
    )
