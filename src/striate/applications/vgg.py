"""VGG-16 and VGG-19 (Simonyan and Zisserman, arXiv 1409.1556): one table, one builder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from striate.applications.imagenet_utils import obtain_input_shape
from striate.core import config
from striate.core.errors import message
from striate.layers import Conv2D, Dense, Flatten, GlobalAveragePooling2D, GlobalMaxPooling2D, Input, MaxPooling2D
from striate.models import Model
from striate.models.graph import producer
from striate.trace import KerasTensor
from striate.utils.files import get_file

WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
CLASSES = 1000


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


@dataclass(frozen=True)
class Options:
    """The arguments that VGG16 and VGG19 take."""

    include_top: bool
    weights: Any
    input_tensor: Any
    input_shape: Any
    pooling: str | None
    classes: int
    classifier_activation: Any
    name: str


def build(variant: Variant, options: Options) -> Model:
    """The model, with its weights."""
    check(variant, options)
    where = variant.name.upper()
    layout = config.image_data_format()
    shape = obtain_input_shape(options.input_shape, 224, 32, layout, options.include_top, options.weights, where)
    image = _input(options.input_tensor, shape)
    outputs = _head(_features(image, variant), options)
    inputs = image if options.input_tensor is None else _sources(image)
    model = Model(inputs, outputs, name=options.name)
    if options.weights is not None:
        official = isinstance(options.weights, str) and options.weights == "imagenet"
        model.load_weights(weight_file(variant, options.include_top) if official else options.weights)
    return model


def _input(tensor: Any, shape: tuple[int | None, ...]) -> Any:
    if tensor is None:
        return Input(shape=shape)
    return tensor if isinstance(tensor, KerasTensor) else Input(tensor=tensor, shape=shape)


def _sources(tensor: Any) -> list[Any]:
    """The inputs that `tensor` was computed from, so that what stands before it becomes part of the model."""
    pending, found = [producer(tensor)], []
    seen: set[int] = set()
    while pending:
        node = pending.pop()
        if id(node) not in seen:
            seen.add(id(node))
            found += node.output_tensors if node.is_input else []
            pending += reversed(node.parent_nodes)
    return found


def _features(x: Any, variant: Variant) -> Any:
    for block, (count, channels) in enumerate(variant.blocks, start=1):
        for conv in range(1, count + 1):
            x = Conv2D(channels, (3, 3), activation="relu", padding="same", name=f"block{block}_conv{conv}")(x)
        x = MaxPooling2D(pool_size=(2, 2), strides=(2, 2), name=f"block{block}_pool")(x)
    return x


def _head(x: Any, options: Options) -> Any:
    if options.include_top:
        x = Flatten(name="flatten")(x)
        x = Dense(4096, activation="relu", name="fc1")(x)
        x = Dense(4096, activation="relu", name="fc2")(x)
        return Dense(options.classes, activation=options.classifier_activation, name="predictions")(x)
    if options.pooling == "avg":
        return GlobalAveragePooling2D()(x)
    return GlobalMaxPooling2D()(x) if options.pooling == "max" else x


def weight_file(variant: Variant, include_top: bool) -> str:
    """The official weight file's path in the cache, downloaded and checked by its MD5 when it is not there.

    Raises:
        OSError: it is not in the cache and cannot be downloaded.
    """
    ending, digest = ("", variant.md5_top) if include_top else ("_notop", variant.md5_notop)
    file = f"{variant.name}_weights_tf_dim_ordering_tf_kernels{ending}.h5"
    return get_file(file, f"{WEIGHTS_URL}/{variant.name}/{file}", cache_subdir="models", file_hash=digest)


# ---------------------------------------------------------------------------------------------------------- the checks


def check(variant: Variant, options: Options) -> None:
    """ValueError, before anything is built, for arguments that do not go together."""
    where, weights = variant.name.upper(), options.weights
    official = isinstance(weights, str) and weights == "imagenet"
    if not (official or weights is None or _is_file(weights)):
        problem = f"weights must be None, 'imagenet' or the path of a file that exists, received {weights!r}"
        raise ValueError(message(where, problem))
    if official and options.include_top and options.classes != CLASSES:
        problem = f"weights='imagenet' with include_top=True has {CLASSES} classes, received classes={options.classes}"
        raise ValueError(message(where, problem, "Pass include_top=False and add a classifier of your own"))
    if options.pooling not in (None, "avg", "max"):
        raise ValueError(message(where, f"pooling must be None, 'avg' or 'max', received {options.pooling!r}"))
    if options.include_top and weights is not None:
        _check_activation(options.classifier_activation, where)


def _is_file(weights: Any) -> bool:
    return isinstance(weights, str | os.PathLike) and os.path.exists(weights)


def _check_activation(activation: Any, where: str) -> None:
    name = activation if isinstance(activation, str) or activation is None else getattr(activation, "__name__", "?")
    if name not in (None, "softmax", "linear"):
        problem = f"with weights, classifier_activation must be None or 'softmax', received {activation!r}"
        raise ValueError(message(where, problem))
