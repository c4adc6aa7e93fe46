"""VGG-16 and VGG-19 (Simonyan and Zisserman, arXiv 1409.1556): one table, one builder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from striate.applications.classifier import WEIGHTS_URL, Options, check, download, finished, image_input, pooled
from striate.applications.imagenet_utils import obtain_input_shape
from striate.core import config
from striate.layers import Conv2D, Dense, Flatten, MaxPooling2D
from striate.models import Model

__all__ = ["VGG16_TABLE", "VGG19_TABLE", "WEIGHTS_URL", "Variant", "build", "weight_file"]


@dataclass(frozen=True)
class Variant:
    """One network: its blocks as (number of convolutions, channels), and the MD5s of its files with and without top."""

    name: str
    blocks: tuple[tuple[int, int], ...]
    md5_top: str
    md5_notop: str


VGG16_TABLE = Variant(
    "vgg16",
    ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)),
    "64373286793e3c8b2b4e3219cbf3544b",
    "6d6bbae143d832006294945121d1f1fc",
)
VGG19_TABLE = Variant(
    "vgg19",
    ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)),
    "cbe5617147190e668d6c5d5026f83318",
    "253f8cb515780f3b799900260a226db6",
)


def build(variant: Variant, options: Options) -> Model:
    """The model, with its weights."""
    where = variant.name.upper()
    check(where, options)
    layout = config.image_data_format()
    shape = obtain_input_shape(options.input_shape, 224, 32, layout, options.include_top, options.weights, where)
    image = image_input(options, shape)
    outputs = _head(_features(image, variant), options)
    return finished(image, outputs, options, options.name, partial(weight_file, variant, options.include_top))


def _features(x: Any, variant: Variant) -> Any:
    for block, (count, channels) in enumerate(variant.blocks, start=1):
        for conv in range(1, count + 1):
            x = Conv2D(channels, (3, 3), activation="relu", padding="same", name=f"block{block}_conv{conv}")(x)
        x = MaxPooling2D(pool_size=(2, 2), strides=(2, 2), name=f"block{block}_pool")(x)
    return x


def _head(x: Any, options: Options) -> Any:
    if not options.include_top:
        return pooled(x, options.pooling)
    x = Flatten(name="flatten")(x)
    x = Dense(4096, activation="relu", name="fc1")(x)
    x = Dense(4096, activation="relu", name="fc2")(x)
    return Dense(options.classes, activation=options.classifier_activation, name="predictions")(x)


def weight_file(variant: Variant, include_top: bool) -> str:
    """The official weight file's path in the cache, downloaded and checked by its MD5 when it is not there.

    Raises:
        OSError: it is not in the cache and cannot be downloaded.
    """
    ending, digest = ("", variant.md5_top) if include_top else ("_notop", variant.md5_notop)
    return download(variant.name, f"{variant.name}_weights_tf_dim_ordering_tf_kernels{ending}.h5", digest)
