"""The parts of the tour in the chapter's order."""

from __future__ import annotations

from . import convolution, features, learning, sizes
from .parts import Part

PARTS = (
    Part("convolution", "One convolution", convolution.convolution),
    Part("channels", "Channels and filters", convolution.channels),
    Part("pooling", "Pooling", convolution.pooling),
    Part("model", "Layers in a model", features.model),
    Part("edges", "Edges by a kernel made by hand", features.edges),
    Part("vgg", "What VGG-19 sees", features.vgg),
    Part("padding", "Padding", sizes.padding),
    Part("strides", "Strides", sizes.strides),
    Part("transposed", "Transposed convolutions", sizes.transposed),
    Part("learning", "Learning the kernels", learning.learning),  # beyond the chapter
)
