"""ResNet-50, under the names of `keras.applications.resnet50`."""

from striate.applications.resnet import ResNet50, decode_predictions, preprocess_input

__all__ = ["ResNet50", "decode_predictions", "preprocess_input"]
