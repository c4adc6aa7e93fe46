"""Ready-made networks with published weights."""

from striate.applications import imagenet_utils, vgg16, vgg19
from striate.applications.vgg16 import VGG16
from striate.applications.vgg19 import VGG19

__all__ = ["VGG16", "VGG19", "imagenet_utils", "vgg16", "vgg19"]
