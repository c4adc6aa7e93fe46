"""Networks for signals (one axis) and for clips (three)."""

from __future__ import annotations

from typing import Any


def ecg(k: Any, input_shape: tuple[int, ...] = (5000, 12), classes: int = 5) -> Any:
    """A classifier of 12-lead electrocardiograms, 10 s at 500 Hz: `(time, leads)`.

    A convolution with kernel 15, then five with kernel 7, each with batch normalization, ReLU and pooling by 2; 32 to
    256 channels; global average pooling, a dense layer.
    """
    image = x = k.Input(input_shape)
    for channels, size in ((32, 15), (64, 7), (128, 7), (128, 7), (256, 7), (256, 7)):
        x = k.layers.Conv1D(channels, size, padding="same", use_bias=False)(x)
        x = k.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
        x = k.layers.MaxPooling1D(2)(k.layers.ReLU()(x))
    return k.Model(image, k.layers.Dense(classes)(k.layers.GlobalAveragePooling1D()(x)), name="ecg")


def clips(k: Any, input_shape: tuple[int, ...] = (16, 64, 64, 3), classes: int = 10) -> Any:
    """A classifier of short clips, `(frames, height, width, channels)`.

    3x3x3 convolutions with ReLU, 32 to 256 channels. The first pooling keeps the frames (as C3D, Tran et al.,
    arXiv 1412.0767), the others halve all three axes.
    """
    image = x = k.Input(input_shape)
    for block, (channels, count) in enumerate(((32, 1), (64, 1), (128, 2), (256, 2))):
        for _ in range(count):
            x = k.layers.Conv3D(channels, 3, padding="same", activation="relu")(x)
        x = k.layers.MaxPooling3D(2 if block else (1, 2, 2))(x)
    return k.Model(image, k.layers.Dense(classes)(k.layers.GlobalAveragePooling3D()(x)), name="clips")
