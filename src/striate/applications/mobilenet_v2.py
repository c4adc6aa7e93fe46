"""MobileNetV2 (Sandler et al., arXiv 1801.04381), under the names of `keras.applications.mobilenet_v2`."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

from striate.applications import imagenet_utils
from striate.applications.classifier import Options, check, download, finished, image_input, pooled
from striate.core import config
from striate.core.errors import listed, message
from striate.core.registry import export
from striate.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    ReLU,
    ZeroPadding2D,
)
from striate.models import Model
from striate.trace import KerasTensor

# Rows of blocks: channels at alpha 1, how many, the first one's stride (the paper's table 2). All but the very first
# block expand their channels sixfold.
ROWS = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
EXPANSION = 6
LAST_CHANNELS = 1280
PUBLISHED_SIZES = (96, 128, 160, 192, 224)
PUBLISHED_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)


@export("keras.applications.MobileNetV2", "keras.applications.mobilenet_v2.MobileNetV2")
def MobileNetV2(
    input_shape: Any = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Model:
    """The MobileNetV2 network. Give it images that went through `mobilenet_v2.preprocess_input`.

    Args:
        input_shape: `(height, width, 3)`, at least 32x32; None (default) for 224x224 with the top, else any size.
        alpha: the width: numbers of channels are multiplied by it and rounded to multiples of 8 (default 1.0). The
            official weights exist for 0.35, 0.5, 0.75, 1.0, 1.3 and 1.4.
        include_top: with average pooling and the dense layer that classifies (default True).
        weights: 'imagenet' (default) for the official file, from Keras's cache or downloaded, made for 96, 128, 160,
            192 or 224 pixels (whichever input_shape says, else 224); None for random ones; or the path of a file.
        input_tensor: a symbolic tensor to build upon; None (default) makes an input.
        pooling: without the top: None (default) for the feature maps, 'avg' or 'max' for one number per channel.
        classes: number of classes of the top (default 1000, needed for the official weights).
        classifier_activation: of the last layer (default 'softmax'); None for logits.
        name: the model's name; None (default) for one of alpha and height, such as 'mobilenetv2_1.00_224'.

    Raises:
        ValueError: arguments that do not go together. OSError: the weights are neither cached nor downloadable.
    """
    options = Options(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _build(alpha, options)


@export("keras.applications.mobilenet_v2.preprocess_input")
def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Images with values from 0 to 255, in RGB, to what MobileNetV2 was trained on: -1 to 1.

    Args and errors: as `imagenet_utils.preprocess_input` with mode='tf'; an array of floats is written over.
    """
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="tf")


@export("keras.applications.mobilenet_v2.decode_predictions")
def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, Any]]]:
    """The best classes of each prediction: as `imagenet_utils.decode_predictions`."""
    return imagenet_utils.decode_predictions(preds, top=top)


def _build(alpha: float, options: Options) -> Model:
    check("MobileNetV2", options)
    _check_tensor(options)
    shape = imagenet_utils.obtain_input_shape(
        options.input_shape, _default_size(options), 32, config.image_data_format(), options.include_top,
        options.weights, "MobileNetV2",
    )  # fmt: skip
    size = _published_size(alpha, shape) if options.official else _spatial(shape)[0]
    image = image_input(options, shape)
    outputs = _head(_features(image, alpha), options)
    name = f"mobilenetv2_{alpha:0.2f}_{size}" if options.name is None else options.name
    return finished(image, outputs, options, name, partial(weight_file, alpha, size or 0, options.include_top))


def weight_file(alpha: float, size: int, include_top: bool) -> str:
    """The official weight file's path in the cache, downloaded when it is not there.

    Raises:
        OSError: it is not in the cache and cannot be downloaded.
    """
    ending = "" if include_top else "_no_top"
    file = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{size}{ending}.h5"
    return download("mobilenet_v2", file)


# --------------------------------------------------------------------------------------------------- sizes and channels


def _spatial(shape: Any) -> tuple[int | None, ...]:
    """(height, width) of (height, width, channels), or of channels first."""
    return tuple(shape[1:]) if config.image_data_format() == "channels_first" else tuple(shape[:-1])


def _check_tensor(options: Options) -> None:
    """An input_tensor beside an input_shape is symbolic and has its width."""
    tensor, shape = options.input_tensor, options.input_shape
    if tensor is None or shape is None:
        return
    if not isinstance(tensor, KerasTensor):
        problem = f"beside input_shape, input_tensor must be a symbolic tensor, received {type(tensor).__name__}"
        raise ValueError(message("MobileNetV2", problem, "Pass keras.Input(...), or input_shape alone"))
    if len(shape) == 3 and _spatial(tensor.shape[1:])[1] != _spatial(shape)[1]:
        problem = f"input_tensor has shape {tuple(tensor.shape)}, which does not fit input_shape={tuple(shape)}"
        raise ValueError(message("MobileNetV2", problem, "Pass one of them, or the same width in both"))


def _default_size(options: Options) -> int:
    """The size that weights are published for, if the input has one, else 224."""
    shape = options.input_shape
    if shape is None and isinstance(options.input_tensor, KerasTensor):
        shape = options.input_tensor.shape[1:]
    sizes = _spatial(shape) if shape is not None and len(shape) == 3 else ()
    return sizes[0] if sizes and sizes[0] == sizes[1] and sizes[0] in PUBLISHED_SIZES else 224


def _published_size(alpha: float, shape: tuple[int | None, ...]) -> int:
    """ValueError for an alpha without weights; a warning where those of 224 pixels stand in for others."""
    if alpha not in PUBLISHED_ALPHAS:
        problem = f"with weights='imagenet' alpha must be {listed(PUBLISHED_ALPHAS)}, received alpha={alpha!r}"
        raise ValueError(message("MobileNetV2", problem, "Pass one of these, or weights=None"))
    height, width = _spatial(shape)
    if height is not None and height == width and height in PUBLISHED_SIZES:
        return height
    text = f"there are no weights of its own for input_shape={shape}; those for 224x224 are loaded"
    warnings.warn(message("MobileNetV2", text), stacklevel=4)
    return 224


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, at least 8, and not below nine tenths of `channels`."""
    found = max(8, int(channels + 4) // 8 * 8)
    return found + 8 if found < 0.9 * channels else found


# --------------------------------------------------------------------------------------------------------------- layers


def _features(x: Any, alpha: float) -> Any:
    x = Conv2D(_rounded(32 * alpha), 3, strides=(2, 2), padding="same", use_bias=False, name="Conv1")(x)
    x = _norm_relu(x, "bn_Conv1", "Conv1_relu")
    block = 0
    for channels, count, stride in ROWS:
        for i in range(count):
            x = _block(x, _rounded(int(channels * alpha)), 1 if i else stride, block)
            block += 1
    x = Conv2D(_rounded(LAST_CHANNELS * max(alpha, 1.0)), 1, use_bias=False, name="Conv_1")(x)
    return _norm_relu(x, "Conv_1_bn", "out_relu")


def _block(x: Any, channels: int, stride: int, number: int) -> Any:
    """An inverted residual: expanded by 1x1, filtered 3x3 channel by channel, projected by 1x1 without activation."""
    before, name = x, f"block_{number}_" if number else "expanded_conv_"
    inside = x.shape[_channel_axis()]
    if number:
        x = Conv2D(EXPANSION * inside, 1, padding="same", use_bias=False, name=f"{name}expand")(x)
        x = _norm_relu(x, f"{name}expand_BN", f"{name}expand_relu")
    if stride == 2:
        x = ZeroPadding2D(_padding(x), name=f"{name}pad")(x)
    padding = "same" if stride == 1 else "valid"
    x = DepthwiseConv2D(3, strides=stride, use_bias=False, padding=padding, name=f"{name}depthwise")(x)
    x = _norm_relu(x, f"{name}depthwise_BN", f"{name}depthwise_relu")
    x = Conv2D(channels, 1, padding="same", use_bias=False, name=f"{name}project")(x)
    x = _norm(x, f"{name}project_BN")
    return Add(name=f"{name}add")([before, x]) if inside == channels and stride == 1 else x


def _padding(x: Any) -> tuple[tuple[int, int], ...]:
    """For a 3x3 window with stride 2: (0, 1) at an even or unknown size, (1, 1) at an odd one."""
    height, width = _spatial(x.shape[1:])
    odd = (0, 0) if height is None else (height % 2, (width or 0) % 2)
    return tuple((o, 1) for o in odd)


def _channel_axis() -> int:
    return 1 if config.image_data_format() == "channels_first" else -1


def _norm(x: Any, name: str) -> Any:
    return BatchNormalization(axis=_channel_axis(), epsilon=1e-3, momentum=0.999, name=name)(x)


def _norm_relu(x: Any, norm: str, relu: str) -> Any:
    return ReLU(6.0, name=relu)(_norm(x, norm))


def _head(x: Any, options: Options) -> Any:
    if not options.include_top:
        return pooled(x, options.pooling)
    x = GlobalAveragePooling2D()(x)
    return Dense(options.classes, activation=options.classifier_activation, name="predictions")(x)
