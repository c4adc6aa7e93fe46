"""What all ImageNet models share: preparing images, reading predictions, and the rules for a model's input shape."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np

from striate import ops
from striate.core import config
from striate.core.errors import listed, message
from striate.core.registry import export
from striate.utils.files import get_file

CLASS_INDEX_NAME = "imagenet_class_index.json"
CLASS_INDEX_URL = f"https://storage.googleapis.com/download.tensorflow.org/data/{CLASS_INDEX_NAME}"
CLASS_INDEX_MD5 = "c2c37ea517e94d9795004a39431a14cb"
CLASSES = 1000

# mode: (divided by, then each channel's mean taken away, then divided by each channel's deviation). The means of
# 'caffe' are in the order blue, green, red, to which it turns the channels first.
MODES: dict[str, tuple[float | None, tuple[float, ...] | None, tuple[float, ...] | None]] = {
    "caffe": (None, (103.939, 116.779, 123.68), None),
    "tf": (127.5, (1.0, 1.0, 1.0), None),
    "torch": (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

_class_index: dict[str, list[str]] = {}


# ------------------------------------------------------------------------------------------------------- preprocessing


@export("keras.applications.imagenet_utils.preprocess_input")
def preprocess_input(x: Any, data_format: str | None = None, mode: str = "caffe") -> Any:
    """Turn images with values from 0 to 255 into what a network was trained on.

    Args:
        x: RGB images `(..., height, width, 3)`, or channels first; an array or a symbolic tensor. An array of floats
            is written over (as Keras does; pass `x.copy()` to keep it), unless it is read-only; integers are not.
        data_format: 'channels_last', 'channels_first' or None (default) for the global setting.
        mode: 'caffe' (default): to BGR, less the channels' means 103.939, 116.779 and 123.68; 'tf': scaled to -1 .. 1;
            'torch': scaled to 0 .. 1, less the means 0.485, 0.456, 0.406, divided by 0.229, 0.224, 0.225.

    Returns:
        The images, in the shape of x; integers become `floatx`, floats keep their dtype.

    Raises:
        ValueError: unknown mode or data_format, or not three channels.
    """
    if mode not in MODES:
        raise ValueError(message("preprocess_input", f"mode must be {listed(MODES)}, received mode={mode!r}"))
    if data_format not in (None, "channels_first", "channels_last"):
        problem = f"data_format must be 'channels_last' or 'channels_first', received data_format={data_format!r}"
        raise ValueError(message("preprocess_input", problem))
    x = x if hasattr(x, "shape") and hasattr(x, "dtype") else np.asarray(x)
    axis = _channel_axis(x, data_format or config.image_data_format(), mode)
    return _preprocess_array(x, axis, mode) if isinstance(x, np.ndarray) else _preprocess_symbol(x, axis, mode)


def _channel_axis(x: Any, data_format: str, mode: str) -> int:
    rank = len(x.shape)
    axis = rank - 1 if data_format == "channels_last" else 0 if rank == 3 else 1
    if mode == "tf":
        return axis
    if not 0 <= axis < rank or x.shape[axis] not in (3, None):
        problem = f"mode={mode!r} needs three channels in the layout {data_format}, received shape {tuple(x.shape)}"
        raise ValueError(message("preprocess_input", problem, "Load the image with color_mode='rgb'"))
    return axis


def _preprocess_array(x: np.ndarray, axis: int, mode: str) -> np.ndarray:
    scale, mean, deviation = MODES[mode]
    if not np.issubdtype(x.dtype, np.floating):
        x = x.astype(config.floatx())
    elif not x.flags.writeable:
        x = x.copy()
    if scale is not None:
        x /= scale
    if mode == "caffe":
        x = np.flip(x, axis)
    x -= 1.0 if mode == "tf" else _along(axis, x.ndim, mean, x.dtype)
    if deviation is not None:
        x /= _along(axis, x.ndim, deviation, x.dtype)
    return x


def _along(axis: int, rank: int, values: Any, dtype: Any) -> np.ndarray:
    return np.asarray(values, dtype).reshape([3 if i == axis else 1 for i in range(rank)])


def _preprocess_symbol(x: Any, axis: int, mode: str) -> Any:
    scale, mean, deviation = MODES[mode]
    if "float" not in str(x.dtype):
        x = ops.cast(x, config.floatx())
    if scale is not None:
        x = x / scale
    if mode == "tf":
        return x - 1.0
    if mode == "caffe":
        x = ops.flip(x, axis=axis)
    rank, dtype = len(x.shape), str(x.dtype)
    x = x - ops.convert_to_tensor(_along(axis, rank, mean, "float32"), dtype=dtype)
    return x if deviation is None else x / ops.convert_to_tensor(_along(axis, rank, deviation, "float32"), dtype=dtype)


# --------------------------------------------------------------------------------------------------------- predictions


@export("keras.applications.imagenet_utils.decode_predictions")
def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, Any]]]:
    """The best classes of each prediction, with their names.

    Args:
        preds: an array `(samples, 1000)`.
        top: how many per sample, default 5.

    Returns:
        For each sample a list of `(WordNet id, name, score)`, the best first.

    Raises:
        ValueError: another shape, or top < 1. OSError: the class names are not in the cache and cannot be downloaded.
    """
    scores = np.asarray(preds)
    if scores.ndim != 2 or scores.shape[1] != CLASSES:
        problem = f"expected a batch of predictions of shape (samples, {CLASSES}), received {scores.shape}"
        raise ValueError(message("decode_predictions", problem, "Only a model with include_top=True predicts classes"))
    if top < 1:
        raise ValueError(message("decode_predictions", f"top must be at least 1, received {top}"))
    names = _class_names()
    return [_best(row, names, top) for row in scores]


def _best(row: np.ndarray, names: dict[str, list[str]], top: int) -> list[tuple[str, str, Any]]:
    best = row.argsort()[-top:][::-1]
    found = [(names[str(i)][0], names[str(i)][1], row[i]) for i in best]
    return sorted(found, key=lambda entry: entry[2], reverse=True)


def _class_names() -> dict[str, list[str]]:
    if not _class_index:
        path = get_file(CLASS_INDEX_NAME, CLASS_INDEX_URL, cache_subdir="models", file_hash=CLASS_INDEX_MD5)
        with open(path, encoding="utf-8") as file:
            _class_index.update(json.load(file))
    return _class_index


# --------------------------------------------------------------------------------------------------------- input shapes


def obtain_input_shape(
    input_shape: tuple[int | None, ...] | None,
    default_size: int,
    min_size: int,
    data_format: str,
    require_flatten: bool,
    weights: Any = None,
    where: str = "",
) -> tuple[int | None, ...]:
    """The shape of a model's input, from the one asked for and what the weights and the top need.

    Raises:
        ValueError: not three sizes, too small, not three channels for 'imagenet', or unknown sizes below a Dense top.
    """
    first = data_format == "channels_first"
    shape = None if input_shape is None else tuple(input_shape)
    if shape is not None and len(shape) != 3:
        raise ValueError(message(where, f"input_shape must be a tuple of three integers, received {shape}"))
    if shape and weights != "imagenet":
        _warn_about_channels(shape[0 if first else -1], where)
    default = _layout(default_size, 3, first)
    if weights == "imagenet" and require_flatten:
        if shape not in (None, default):
            problem = f"with include_top=True and weights='imagenet' input_shape must be {default}, received {shape}"
            raise ValueError(message(where, problem, "Pass include_top=False, or weights=None"))
        return default
    if not shape:
        return default if require_flatten else _layout(None, 3, first)
    _check_sizes(shape, first, min_size, weights, where)
    if require_flatten and None in shape:
        problem = f"with include_top=True all sizes of input_shape must be known, received {shape}"
        raise ValueError(message(where, problem, "Pass include_top=False, or sizes for all three"))
    return shape


def _layout(size: int | None, channels: int, first: bool) -> tuple[int | None, ...]:
    return (channels, size, size) if first else (size, size, channels)


def _warn_about_channels(channels: int | None, where: str) -> None:
    if channels not in (1, 3):
        text = f"this model usually has 1 or 3 input channels, received an input_shape with {channels}"
        warnings.warn(message(where, text), stacklevel=5)


def _check_sizes(shape: tuple[int | None, ...], first: bool, least: int, weights: Any, where: str) -> None:
    channels, sizes = (shape[0], shape[1:]) if first else (shape[-1], shape[:-1])
    if channels != 3 and weights == "imagenet":
        raise ValueError(message(where, f"the ImageNet weights need 3 input channels, received input_shape={shape}"))
    if any(size is not None and size < least for size in sizes):
        problem = f"the input size must be at least {least}x{least}, received input_shape={shape}"
        raise ValueError(message(where, problem, f"Each of the pooling layers halves it; resize to {least} or more"))
