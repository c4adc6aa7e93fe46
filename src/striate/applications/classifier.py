"""What the builders of all networks share: their arguments and the checks of them, the input, the end, the weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from striate.core.errors import message
from striate.layers import GlobalAveragePooling2D, GlobalMaxPooling2D, Input
from striate.models import Model
from striate.models.graph import producer
from striate.trace import KerasTensor
from striate.utils.files import get_file

WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
CLASSES = 1000


@dataclass(frozen=True)
class Options:
    """The arguments that all networks take."""

    include_top: bool
    weights: Any
    input_tensor: Any
    input_shape: Any
    pooling: str | None
    classes: int
    classifier_activation: Any
    name: str | None

    @property
    def official(self) -> bool:
        """Whether the published weights are asked for."""
        return isinstance(self.weights, str) and self.weights == "imagenet"


# ---------------------------------------------------------------------------------------------------------- the checks


def check(where: str, options: Options) -> None:
    """ValueError, before anything is built, for arguments that do not go together."""
    weights = options.weights
    if not (options.official or weights is None or _is_file(weights)):
        problem = f"weights must be None, 'imagenet' or the path of a file that exists, received {weights!r}"
        raise ValueError(message(where, problem))
    if options.official and options.include_top and options.classes != CLASSES:
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


# ---------------------------------------------------------------------------------------------- the two ends of a model


def image_input(options: Options, shape: tuple[int | None, ...]) -> Any:
    """The tensor to build upon: the caller's, or a new input."""
    tensor = options.input_tensor
    if tensor is None:
        return Input(shape=shape)
    return tensor if isinstance(tensor, KerasTensor) else Input(tensor=tensor, shape=shape)


def pooled(x: Any, pooling: str | None, average: str | None = None, maximum: str | None = None) -> Any:
    """What stands in place of the top; `average` and `maximum` are the layers' names (default: automatic ones)."""
    if pooling == "avg":
        return GlobalAveragePooling2D(name=average)(x)
    return GlobalMaxPooling2D(name=maximum)(x) if pooling == "max" else x


def finished(image: Any, outputs: Any, options: Options, name: str | None, official_file: Callable[[], str]) -> Model:
    """The model, with its weights. `official_file` gives the published file's path."""
    inputs = image if options.input_tensor is None else _sources(image)
    model = Model(inputs, outputs, name=name)
    if options.weights is not None:
        model.load_weights(official_file() if options.official else options.weights)
    return model


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


def download(folder: str, file: str, digest: str | None = None) -> str:
    """The path of a published weight file in the cache; downloaded, and checked by its MD5, when it is not there.

    Raises:
        OSError: it is not in the cache and cannot be downloaded.
    """
    return get_file(file, f"{WEIGHTS_URL}/{folder}/{file}", cache_subdir="models", file_hash=digest)
