"""ResNet-50, -101 and -152 with activations first, under the names of `keras.applications.resnet_v2`."""

from __future__ import annotations

from typing import Any

from striate.applications import imagenet_utils
from striate.applications.classifier import Options
from striate.applications.residual import VARIANTS, build
from striate.core.registry import export
from striate.models import Model


@export("keras.applications.ResNet50V2", "keras.applications.resnet_v2.ResNet50V2")
def ResNet50V2(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet50v2",
) -> Model:
    """The ResNet-50 V2 network. Give it images that went through `resnet_v2.preprocess_input`.

    Args:
        include_top: with average pooling and the dense layer that classifies (default True).
        weights: 'imagenet' (default) for the official file, from Keras's cache or downloaded; None for random ones; or
            the path of a weight file.
        input_tensor: a symbolic tensor to build upon; None (default) makes an input.
        input_shape: `(height, width, 3)`, at least 32x32; None (default) for 224x224 with the top, else any size.
        pooling: without the top: None (default) for the feature maps, 'avg' or 'max' for one number per channel.
        classes: number of classes of the top (default 1000, needed for the official weights).
        classifier_activation: of the last layer (default 'softmax'); None for logits.
        name: the model's name, default 'resnet50v2'.

    Raises:
        ValueError: arguments that do not go together. OSError: the weights are neither cached nor downloadable.
    """
    options = Options(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return build(VARIANTS["ResNet50V2"], options)


@export("keras.applications.ResNet101V2", "keras.applications.resnet_v2.ResNet101V2")
def ResNet101V2(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet101v2",
) -> Model:
    """The ResNet-101 V2 network: as `ResNet50V2`, with 23 blocks in its third stage."""
    options = Options(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return build(VARIANTS["ResNet101V2"], options)


@export("keras.applications.ResNet152V2", "keras.applications.resnet_v2.ResNet152V2")
def ResNet152V2(
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet152v2",
) -> Model:
    """The ResNet-152 V2 network: as `ResNet50V2`, with 8 and 36 blocks in its second and third stages."""
    options = Options(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return build(VARIANTS["ResNet152V2"], options)


@export("keras.applications.resnet_v2.preprocess_input")
def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Images with values from 0 to 255, in RGB, to what these networks were trained on: -1 to 1.

    Args and errors: as `imagenet_utils.preprocess_input` with mode='tf'; an array of floats is written over.
    """
    return imagenet_utils.preprocess_input(x, data_format=data_format, mode="tf")


@export("keras.applications.resnet_v2.decode_predictions")
def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, Any]]]:
    """The best classes of each prediction: as `imagenet_utils.decode_predictions`."""
    return imagenet_utils.decode_predictions(preds, top=top)
