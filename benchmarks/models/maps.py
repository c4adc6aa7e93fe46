"""U-Net (Ronneberger et al., arXiv 1505.04597): from an image to a map."""

from __future__ import annotations

from typing import Any

CHANNELS = (64, 128, 256, 512, 1024)


def unet(k: Any, input_shape: tuple[int, ...] = (256, 256, 3), classes: int = 2) -> Any:
    """Two 3x3 convolutions with ReLU per level, padded, so that the map has the image's size; 2x2 pooling down, 2x2
    transposed convolutions with stride 2 up, concatenated with what was there before; 1x1 to `classes` logits.

    Height and width are multiples of 16.
    """
    image = x = k.Input(input_shape)
    passed = []
    for channels in CHANNELS[:-1]:
        x = _twice(k, x, channels)
        passed.append(x)
        x = k.layers.MaxPooling2D(2)(x)
    x = _twice(k, x, CHANNELS[-1])
    for channels, beside in zip(CHANNELS[-2::-1], passed[::-1], strict=True):
        x = k.layers.Conv2DTranspose(channels, 2, strides=2)(x)
        x = _twice(k, k.layers.Concatenate()([beside, x]), channels)
    return k.Model(image, k.layers.Conv2D(classes, 1)(x), name="unet")


def _twice(k: Any, x: Any, channels: int) -> Any:
    for _ in range(2):
        x = k.layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
    return x
