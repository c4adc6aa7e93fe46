"""Ready-made networks with published weights."""

from striate.applications import imagenet_utils, mobilenet_v2, resnet, resnet50, resnet_v2, vgg16, vgg19
from striate.applications.mobilenet_v2 import MobileNetV2
from striate.applications.resnet import ResNet50, ResNet101, ResNet152
from striate.applications.resnet_v2 import ResNet50V2, ResNet101V2, ResNet152V2
from striate.applications.vgg16 import VGG16
from striate.applications.vgg19 import VGG19

__all__ = [
    "MobileNetV2", "ResNet101", "ResNet101V2", "ResNet152", "ResNet152V2", "ResNet50", "ResNet50V2", "VGG16", "VGG19",
    "imagenet_utils", "mobilenet_v2", "resnet", "resnet50", "resnet_v2", "vgg16", "vgg19",
]  # fmt: skip
