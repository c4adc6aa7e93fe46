"""A convolutional autoencoder: strided convolutions down, transposed ones up again, on scikit-learn's digits.

The middle has 16 numbers for the 64 of an image. The transposed layers are the ones that belong to the convolutions
(same kernel, stride and padding), so the sizes come back: 8 -> 4 -> 2 and 2 -> 4 -> 8.

    python examples/autoencoder.py [--figure autoencoder.png]
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from sklearn.datasets import load_digits

import striate as keras
from striate import layers


def autoencoder(code: int = 16) -> tuple[keras.Model, keras.Model]:
    """The whole model and the encoder alone."""
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(x)
    middle = layers.Dense(code, name="code")(layers.Flatten()(x))
    x = layers.Dense(2 * 2 * 64, activation="relu")(middle)
    x = layers.Reshape((2, 2, 64))(x)
    x = layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu")(x)
    restored = layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="sigmoid")(x)
    return keras.Model(image, restored, name="autoencoder"), keras.Model(image, middle, name="encoder")


def principal_components(train: np.ndarray, test: np.ndarray, code: int) -> float:
    """The mean squared error of the best linear code of that size, to compare with."""
    flat, mean = train.reshape(len(train), -1), train.reshape(len(train), -1).mean(0)
    axes = np.linalg.svd(flat - mean, full_matrices=False)[2][:code]
    centred = test.reshape(len(test), -1) - mean
    return float(np.mean((centred - centred @ axes.T @ axes) ** 2))


def main() -> int:
    """Trains and compares with principal components; draws pairs of images if a figure is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", help="where to draw originals and restored images")
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    images = (load_digits().images[..., None] / 16).astype("float32")
    train, test = images[:1437], images[1437:]
    model, _ = autoencoder()
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, options.epochs * 23)), "mse")
    model.fit(train, train, batch_size=64, epochs=options.epochs, verbose=2, validation_data=(test, test))
    ours = float(model.evaluate(test, test, verbose=0))
    linear = principal_components(train, test, 16)
    print(f"\nmean squared error on unseen digits: {ours:.4f}; 16 principal components: {linear:.4f}")
    if options.figure:
        figure(options.figure, test[:8], model.predict(test[:8], verbose=0))
    return 0 if ours < linear else 1


def figure(path: str, originals: np.ndarray, restored: np.ndarray) -> None:
    """Two rows of images."""
    import matplotlib.pyplot as plt

    made, axes = plt.subplots(2, len(originals), figsize=(len(originals), 2.4))
    for column, pair in enumerate(zip(originals, restored, strict=True)):
        for row, image in enumerate(pair):
            axes[row][column].imshow(image[..., 0], cmap="gray_r", vmin=0, vmax=1)
            axes[row][column].axis("off")
    made.suptitle("digits, and what 16 numbers keep of them")
    made.savefig(path, dpi=150)
    plt.close(made)


if __name__ == "__main__":
    sys.exit(main())
