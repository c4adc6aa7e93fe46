"""Networks without branches, for images."""

from __future__ import annotations

from typing import Any

VGG_SMALL = (64, 64, "P", 128, 128, "P", 256, 256, "P")


def lenet(k: Any, input_shape: tuple[int, ...] = (28, 28, 1), classes: int = 10) -> Any:
    """LeNet-5 (LeCun et al., 1998) with ReLU and max-pooling: 6 and 16 channels of 5x5, then 120, 84, `classes`."""
    return k.Sequential(
        [
            k.Input(input_shape),
            k.layers.Conv2D(6, 5, padding="same", activation="relu"),
            k.layers.MaxPooling2D(2),
            k.layers.Conv2D(16, 5, activation="relu"),
            k.layers.MaxPooling2D(2),
            k.layers.Flatten(),
            k.layers.Dense(120, activation="relu"),
            k.layers.Dense(84, activation="relu"),
            k.layers.Dense(classes),
        ],
        name="lenet",
    )


def vgg_small(k: Any, input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> Any:
    """64-64-P-128-128-P-256-256-P-256-`classes`: 3x3 convolutions with ReLU, 2x2 pooling, a dense layer of 256."""
    row = [
        k.layers.MaxPooling2D(2) if c == "P" else k.layers.Conv2D(c, 3, padding="same", activation="relu")
        for c in VGG_SMALL
    ]
    top = [k.layers.Flatten(), k.layers.Dense(256, activation="relu"), k.layers.Dense(classes)]
    return k.Sequential([k.Input(input_shape), *row, *top], name="vgg_small")


def tiny(k: Any, input_shape: tuple[int, ...] = (8, 8, 3), classes: int = 10) -> Any:
    """So little work that only the way there and back is measured: a convolution, global pooling, a dense layer."""
    return k.Sequential(
        [
            k.Input(input_shape),
            k.layers.Conv2D(8, 3, activation="relu"),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(classes),
        ],
        name="tiny",
    )
