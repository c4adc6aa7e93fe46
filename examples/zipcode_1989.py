"""The network of LeCun et al., "Backpropagation Applied to Handwritten Zip Code Recognition", Neural Computation, 1989.

Every free parameter of the paper is here: H1 has 12 maps of 8x8 units that share 5x5 kernels at stride 2, but have a
bias each; H2 has 12 maps of 4x4 units, each fed by 8 of H1's maps; H3 30 units; 10 outputs; 9,760 in all. Units give
A tanh(2/3 a) with A = 1.7159; borders see the background, -1; targets are +1 and -1; the loss is the mean squared
error; patterns come one at a time. The paper's images cannot be had here, so scikit-learn's 8x8 digits are brought to
16x16. Which 8 maps feed which is not printed in the paper: here they follow one another. Its second-order step size is
a plain small learning rate here.

    python examples/zipcode_1989.py
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import striate as keras
from striate import layers, ops

A, SLOPE = 1.7159, 2 / 3
PAPER = {"parameters": 9760, "connections": 64660, "train error %": 0.14, "test error %": 5.0}


def scaled_tanh(x: object) -> object:
    """The paper's squashing function: steepest near 0, +1 and -1 at +1 and -1."""
    return A * ops.tanh(SLOPE * x)


def uniform(fan_in: int) -> keras.initializers.Initializer:
    """Initial weights of the paper: uniform in +-2.4 / fan-in."""
    return keras.initializers.RandomUniform(-2.4 / fan_in, 2.4 / fan_in)


class SharedMaps(layers.Layer):
    """Feature maps with shared 5x5 kernels at stride 2 and a bias per unit.

    Args:
        maps: the number of maps.
        inputs: how many of the input's maps feed each of them, one after another; None for all.
    """

    def __init__(self, maps: int, inputs: int | None = None, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.maps, self.inputs = maps, inputs

    def build(self, input_shape: tuple[int, ...]) -> None:
        _, rows, columns, channels = input_shape
        n = self.inputs or channels
        self.feeding = [(first + i) % channels for first in range(self.maps) for i in range(n)]
        self.kernel = self.add_weight((5, 5, n, self.maps), uniform(25 * n), name="kernel")
        self.bias = self.add_weight((rows // 2, columns // 2, self.maps), "zeros", name="bias")

    def call(self, x: object) -> object:
        if self.inputs:
            x = ops.take(x, self.feeding, axis=-1)
        x = ops.pad(x, ((0, 0), (2, 1), (2, 1), (0, 0)), constant_values=-1.0)
        maps = ops.conv(x, self.kernel, strides=2, padding="valid")  # in groups, where a kernel has fewer channels
        return scaled_tanh(maps + self.bias)


def network() -> keras.Model:
    """The network, 16x16x1 to 10 outputs between about -1 and 1."""
    return keras.Sequential(
        [
            layers.Input((16, 16, 1)),
            SharedMaps(12, name="H1"),
            SharedMaps(12, inputs=8, name="H2"),
            layers.Flatten(),
            layers.Dense(30, activation=scaled_tanh, kernel_initializer=uniform(192), name="H3"),
            layers.Dense(10, activation=scaled_tanh, kernel_initializer=uniform(30), name="output"),
        ],
        name="zipcode_1989",
    )


def connections(model: keras.Model) -> int:
    """How many connections there are, biases counted, the shared ones each time they are used."""
    units = {"H1": 768 * 26, "H2": 192 * (8 * 25 + 1)}
    return sum(units.values()) + sum(layer.count_params() for layer in model.layers if isinstance(layer, layers.Dense))


def data() -> tuple[np.ndarray, ...]:
    """scikit-learn's digits at 16x16 between -1 and 1, split as the paper's were: 7,291 to 2,007."""
    digits = load_digits()
    images = np.asarray(ops.image.resize(digits.images[..., None].astype("float32"), (16, 16))) / 8 - 1
    return tuple(train_test_split(images, digits.target, test_size=2007 / 9298, random_state=0, stratify=digits.target))


def error(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """The percentage of images whose largest output is the wrong one."""
    return 100 * float(np.mean(model.predict(images, verbose=0).argmax(-1) != labels))


def main() -> int:
    """Trains for 23 passes, as the paper did, and prints its numbers beside ours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=23)
    epochs = parser.parse_args().epochs
    keras.utils.set_random_seed(1989)
    train, test, train_labels, test_labels = data()
    model = network()
    model.summary()
    model.compile(keras.optimizers.SGD(0.02), "mse")
    targets = 2 * keras.utils.to_categorical(train_labels, 10) - 1
    begin = time.perf_counter()
    model.fit(train, targets, batch_size=1, epochs=epochs, verbose=2)
    seconds = time.perf_counter() - begin
    ours = {
        "parameters": model.count_params(),
        "connections": connections(model),
        "train error %": error(model, train, train_labels),
        "test error %": error(model, test, test_labels),
    }
    print(f"\n{'':16}{'1989':>10}{'here':>10}")
    for name, value in PAPER.items():
        print(f"{name:16}{value:>10}{round(ours[name], 2):>10}")
    print(f"\n{epochs * len(train)} patterns, one at a time, in {seconds:.0f} s; three days on a SUN-4/260 in 1989.")
    print("The images are others (and easier): compare the first two lines, not the last two.")
    return 0 if ours["parameters"] == 9760 and ours["test error %"] <= 5.0 else 1


if __name__ == "__main__":
    sys.exit(main())
