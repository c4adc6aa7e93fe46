"""Layers that prepare data: image augmentation, cropping, normalization, categories."""

from striate.layers.preprocessing.base import BaseImagePreprocessingLayer
from striate.layers.preprocessing.categories import CategoryEncoding, Discretization
from striate.layers.preprocessing.colour import (
    RandomBrightness,
    RandomColorJitter,
    RandomContrast,
    RandomGrayscale,
    RandomHue,
    RandomInvert,
    RandomSaturation,
    Solarization,
)
from striate.layers.preprocessing.cropping import CenterCrop, RandomCrop
from striate.layers.preprocessing.effects import (
    AutoContrast,
    RandomColorDegeneration,
    RandomErasing,
    RandomGaussianBlur,
    RandomPosterization,
    RandomSharpness,
)
from striate.layers.preprocessing.geometric import (
    RandomFlip,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from striate.layers.preprocessing.normalization import Normalization
from striate.layers.preprocessing.pipeline import Pipeline
from striate.layers.preprocessing.resizing import Resizing

__all__ = [
    "AutoContrast",
    "BaseImagePreprocessingLayer",
    "CategoryEncoding",
    "CenterCrop",
    "Discretization",
    "Normalization",
    "Pipeline",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "Resizing",
    "Solarization",
]
