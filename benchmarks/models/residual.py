"""ResNet-18 (He et al., arXiv 1512.03385, table 1)."""

from __future__ import annotations

from typing import Any

STAGES = (64, 128, 256, 512)  # channels; two blocks each


def resnet18(k: Any, input_shape: tuple[int, ...] = (64, 64, 3), classes: int = 10, stem: str = "imagenet") -> Any:
    """`stem` 'imagenet' (default, at any size): the paper's 7x7 convolution with stride 2 and 3x3 max-pooling with
    stride 2, so that 64x64 becomes 16x16. 'cifar': one 3x3 convolution with stride 1.

    Padding is even on both sides, as PyTorch has it. ValueError for another stem.
    """
    if stem not in ("imagenet", "cifar"):
        raise ValueError(f"stem must be 'imagenet' or 'cifar', received {stem!r}")
    image = k.Input(input_shape)
    x = _conv(k, image, 64, 7, 2) if stem == "imagenet" else _conv(k, image, 64, 3, 1)
    if stem == "imagenet":
        x = k.layers.MaxPooling2D(3, strides=2)(k.layers.ZeroPadding2D(1)(x))  # after a ReLU 0 is as good as -inf
    for stage, channels in enumerate(STAGES):
        for block in range(2):
            x = _block(k, x, channels, 2 if stage and not block else 1)
    x = k.layers.GlobalAveragePooling2D()(x)
    return k.Model(image, k.layers.Dense(classes)(x), name="resnet18")


def _block(k: Any, x: Any, channels: int, stride: int) -> Any:
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""
    changes = stride > 1 or x.shape[-1] != channels
    shortcut = _conv(k, x, channels, 1, stride, relu=False) if changes else x
    y = _conv(k, _conv(k, x, channels, 3, stride), channels, 3, 1, relu=False)
    return k.layers.ReLU()(k.layers.Add()([shortcut, y]))


def _conv(k: Any, x: Any, channels: int, size: int, stride: int, relu: bool = True) -> Any:
    if stride > 1 and size > 1:
        x = k.layers.ZeroPadding2D(size // 2)(x)
    padding = "valid" if stride > 1 else "same"
    x = k.layers.Conv2D(channels, size, strides=stride, padding=padding, use_bias=False)(x)
    x = k.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return k.layers.ReLU()(x) if relu else x
