"""A small convolutional network on scikit-learn's handwritten digits: trained, saved, loaded, looked at.

python examples/digits.py [--figure digits.png]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import striate as keras
from striate import layers


def data() -> tuple[np.ndarray, ...]:
    """The images, `(samples, 8, 8, 1)` between 0 and 1, and their labels; a fifth is held out."""
    digits = load_digits()
    images = (digits.images[..., None] / 16).astype("float32")
    return tuple(train_test_split(images, digits.target, test_size=0.2, random_state=0, stratify=digits.target))


def network() -> keras.Model:
    """8x8 images to 10 probabilities. The shifts make up for how few images there are."""
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.RandomTranslation(0.1, 0.1, fill_mode="constant"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="first"),
            layers.BatchNormalization(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(10, activation="softmax"),
        ],
        name="digits",
    )


def train(model: keras.Model, x: np.ndarray, y: np.ndarray, epochs: int = 60) -> keras.callbacks.History:
    """Adam with a learning rate that falls to 0; an eighth of the images watches over the rest."""
    steps = epochs * -(-len(x) * 7 // 8 // 32)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model.fit(x, y, batch_size=32, epochs=epochs, verbose=2, validation_split=1 / 8)


def hardest(model: keras.Model, x: np.ndarray, y: np.ndarray, count: int = 8) -> list[tuple[int, int, float]]:
    """The images whose right answer it finds least probable: position, its answer, that probability."""
    p = model.predict(x, verbose=0)
    right = p[np.arange(len(y)), y]
    return [(int(i), int(p[i].argmax()), float(right[i])) for i in right.argsort()[:count]]


def figure(path: str, history: keras.callbacks.History, model: keras.Model, x: np.ndarray, y: np.ndarray) -> None:
    """Curves, mistakes (or what came closest) and the kernels of the first layer."""
    import matplotlib.pyplot as plt

    made = plt.figure(figsize=(9, 6), layout="constrained")
    top, bottom = made.subfigures(2, 1)
    curves = top.subplots(1, 2)
    for axis, name in zip(curves, ("loss", "accuracy"), strict=True):
        axis.plot(history.history[name], label="training")
        axis.plot(history.history[f"val_{name}"], label="validation")
        axis.set(title=name, xlabel="epoch")
        axis.legend()
    kernels = model.get_layer("first").kernel.numpy()
    grid = bottom.subplots(2, 8, squeeze=False)
    for axis in grid.flat:
        axis.axis("off")
    for axis, (i, answer, sure) in zip(grid[0], hardest(model, x, y), strict=False):
        axis.imshow(x[i, ..., 0], cmap="gray_r")
        wrong = f"{y[i]} taken for {answer}" if answer != y[i] else f"{y[i]}, found"
        axis.set_title(f"{wrong}\n({sure:.0%} for {y[i]})", fontsize=8)
    for axis, kernel in zip(grid[1], np.moveaxis(kernels[:, :, 0], -1, 0), strict=False):
        axis.imshow(kernel, cmap="RdBu", vmin=-abs(kernels).max(), vmax=abs(kernels).max())
    made.savefig(path, dpi=150)
    plt.close(made)


def main() -> int:
    """Trains, saves, loads and evaluates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", help="where to draw curves, the hardest images and kernels")
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    x, x_test, y, y_test = data()
    model = network()
    model.summary()
    begin = time.perf_counter()
    history = train(model, x, y, options.epochs)
    seconds = time.perf_counter() - begin
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "digits.keras"
        model.save(file)
        loaded = keras.models.load_model(file)
    loss, accuracy = loaded.evaluate(x_test, y_test, verbose=0)
    print(f"\n{seconds:.1f} s of training. Held out: accuracy {accuracy:.2%}, loss {loss:.4f}")
    for i, answer, sure in hardest(loaded, x_test, y_test):
        said = f"taken for a {answer}" if answer != y_test[i] else "found"
        print(f"  image {i}: a {y_test[i]}, {said} (probability of {y_test[i]}: {sure:.0%})")
    if options.figure:
        figure(options.figure, history, loaded, x_test, y_test)
    return 0 if accuracy >= 0.985 else 1


if __name__ == "__main__":
    sys.exit(main())
