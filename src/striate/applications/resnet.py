"""ResNet-50, -101 and -152, under the names of `keras.applications.resnet`."""

from __future__ import annotations

from typing import Any

from striate.applications import imagenet_utils
from striate.applications.classifier import Options
from striate.applications.residual import VARIANTS, build
from striate.core.registry import export
from striate.models import Model


@export("keras.applications.ResNet50", "keras.applications.resnet.ResNet50", "keras.applications.resnet50.ResNet50")
def ResNet50(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet50",
) -> Model:
    """The ResNet-50 network. Give it images that went through `resnet.preprocess_input`.

    Args:
        include_top: with average pooling and the dense layer that classifies (default True).
        weights: 'imagenet' (default) for the official file, from Keras's cache or downloaded; None for random ones; or
            the path of a weight file.
        input_tensor: a symbolic tensor to build upon; None (default) makes an input.
        input_shape: `(height, width, 3)`, at least 32x32; None (default) for 224x224 with the top, else any size.
        pooling: without the top: None (default) for the feature maps, 'avg' or 'max' for one number per channel.
        classes: number of classes of the top (default 1000, needed for the official weights).
        classifier_activation: of the last layer (default 'softmax'); None for logits.
        name: the model's name, default 'resnet50'.

    Raises:
        ValueError: arguments that do not go together. OSError: the weights are neither cached nor downloadable.
    """
    options = Options(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return build(VARIANTS["ResNet50"], options)


@export("keras.applications.ResNet101", "keras.applications.resnet.ResNet101")
def ResNet101(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet101",
) -> Model:
    """The ResNet-101 network: as `ResNet50`, with 23 blocks in its third stage."""
    options = Options(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return build(VARIANTS["ResNet101"], options)


@export("keras.applications.ResNet152", "keras.applications.resnet.ResNet152")
def ResNet152(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet152",
) -> Model:
    """The ResNet-152 network: as `ResNet50`, with 8 and 36 blocks in its second and third stages."""
    options = Options(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return build(VARIANTS["ResNet152"], options)


@export("keras.applications.resnet.preprocess_input", "keras.applications.resnet50.preprocess_input")
def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Images with values from 0 to 255, in RGB, to what these networks were trained on: BGR, less each channel's mean.

    Args and errors: as `imagenet_utils.preprocess_input` with mode='caffe'; an array of floats is written over.
    """
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="caffe")


@export("keras.applications.resnet.decode_predictions", "keras.applications.resnet50.decode_predictions")
def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, Any]]]:
    """The best classes of each prediction: as `imagenet_utils.decode_predictions`."""
    return imagenet_utils.decode_predictions(preds, top=top)
