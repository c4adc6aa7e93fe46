"""Residual networks (He et al., arXiv 1512.03385) and those with activations first (arXiv 1603.05027): one table, one
builder.

A stage is a row of bottlenecks: 1x1 to `channels`, 3x3, 1x1 to four times as many, added to a shortcut. In the first
family a stage's first block halves the image (but for the first stage) and has a convolution as its shortcut; in the
second one the last block does (but for the last stage), with 1x1 pooling as its shortcut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from striate.applications.classifier import Options, check, download, finished, image_input, pooled
from striate.applications.imagenet_utils import obtain_input_shape
from striate.core import config
from striate.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ZeroPadding2D,
)
from striate.models import Model

CHANNELS = (64, 128, 256, 512)


@dataclass(frozen=True)
class Variant:
    """One network: its blocks per stage, its family, and the MD5s of its files with and without top."""

    title: str
    counts: tuple[int, int, int, int]
    activations_first: bool
    md5_top: str
    md5_notop: str


VARIANTS = {
    variant.title: variant
    for variant in (
        Variant(
            "ResNet50", (3, 4, 6, 3), False, "2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"
        ),
        Variant(
            "ResNet101", (3, 4, 23, 3), False, "f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"
        ),
        Variant(
            "ResNet152", (3, 8, 36, 3), False, "100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c"
        ),
        Variant(
            "ResNet50V2", (3, 4, 6, 3), True, "3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917"
        ),
        Variant(
            "ResNet101V2", (3, 4, 23, 3), True, "6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5"
        ),
        Variant(
            "ResNet152V2", (3, 8, 36, 3), True, "a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33"
        ),
    )
}


def build(variant: Variant, options: Options) -> Model:
    """The model, with its weights."""
    where, layout = variant.title, config.image_data_format()
    check(where, options)
    shape = obtain_input_shape(options.input_shape, 224, 32, layout, options.include_top, options.weights, where)
    image = image_input(options, shape)
    outputs = _head(_features(_stem(image, variant), variant), options)
    return finished(image, outputs, options, options.name, partial(weight_file, variant, options.include_top))


def weight_file(variant: Variant, include_top: bool) -> str:
    """The official weight file's path in the cache, downloaded and checked by its MD5 when it is not there.

    Raises:
        OSError: it is not in the cache and cannot be downloaded.
    """
    ending, digest = ("", variant.md5_top) if include_top else ("_notop", variant.md5_notop)
    return download("resnet", f"{variant.title.lower()}_weights_tf_dim_ordering_tf_kernels{ending}.h5", digest)


def _stem(x: Any, variant: Variant) -> Any:
    x = ZeroPadding2D(((3, 3), (3, 3)), name="conv1_pad")(x)
    x = Conv2D(64, 7, strides=2, name="conv1_conv")(x)
    x = x if variant.activations_first else _norm_relu(x, "conv1_bn", "conv1_relu")
    x = ZeroPadding2D(((1, 1), (1, 1)), name="pool1_pad")(x)
    return MaxPooling2D(pool_size=3, strides=2, name="pool1_pool")(x)


def _features(x: Any, variant: Variant) -> Any:
    for stage, (channels, count) in enumerate(zip(CHANNELS, variant.counts, strict=True), start=2):
        for block in range(1, count + 1):
            name, first, last = f"conv{stage}_block{block}", block == 1, block == count
            if variant.activations_first:
                x = _block_v2(x, channels, 2 if last and stage < 5 else 1, first, name)
            else:
                x = _block(x, channels, 2 if first and stage > 2 else 1, first, name)
    return _norm_relu(x, "post_bn", "post_relu") if variant.activations_first else x


def _head(x: Any, options: Options) -> Any:
    if not options.include_top:
        return pooled(x, options.pooling, "avg_pool", "max_pool")
    x = GlobalAveragePooling2D(name="avg_pool")(x)
    return Dense(options.classes, activation=options.classifier_activation, name="predictions")(x)


def _block(x: Any, channels: int, stride: int, first: bool, name: str) -> Any:
    """A bottleneck with its activations after the convolutions."""
    shortcut = x
    if first:
        shortcut = _norm(Conv2D(4 * channels, 1, strides=stride, name=f"{name}_0_conv")(x), f"{name}_0_bn")
    x = Conv2D(channels, 1, strides=stride, name=f"{name}_1_conv")(x)
    x = _norm_relu(x, f"{name}_1_bn", f"{name}_1_relu")
    x = Conv2D(channels, 3, padding="same", name=f"{name}_2_conv")(x)
    x = _norm_relu(x, f"{name}_2_bn", f"{name}_2_relu")
    x = _norm(Conv2D(4 * channels, 1, name=f"{name}_3_conv")(x), f"{name}_3_bn")
    return Activation("relu", name=f"{name}_out")(Add(name=f"{name}_add")([shortcut, x]))


def _block_v2(x: Any, channels: int, stride: int, first: bool, name: str) -> Any:
    """A bottleneck with its activations before the convolutions."""
    before = _norm_relu(x, f"{name}_preact_bn", f"{name}_preact_relu")
    if first:
        shortcut = Conv2D(4 * channels, 1, strides=stride, name=f"{name}_0_conv")(before)
    else:
        shortcut = MaxPooling2D(pool_size=1, strides=stride)(x) if stride > 1 else x
    y = Conv2D(channels, 1, use_bias=False, name=f"{name}_1_conv")(before)
    y = _norm_relu(y, f"{name}_1_bn", f"{name}_1_relu")
    y = ZeroPadding2D(((1, 1), (1, 1)), name=f"{name}_2_pad")(y)
    y = Conv2D(channels, 3, strides=stride, use_bias=False, name=f"{name}_2_conv")(y)
    y = _norm_relu(y, f"{name}_2_bn", f"{name}_2_relu")
    y = Conv2D(4 * channels, 1, name=f"{name}_3_conv")(y)
    return Add(name=f"{name}_out")([shortcut, y])


def _norm(x: Any, name: str) -> Any:
    axis = 3 if config.image_data_format() == "channels_last" else 1
    return BatchNormalization(axis=axis, epsilon=1.001e-5, name=name)(x)


def _norm_relu(x: Any, norm: str, relu: str) -> Any:
    return Activation("relu", name=relu)(_norm(x, norm))
