"""How inverted residual blocks meet their kernel, `conv_block`: expansion, depthwise convolution and projection as one
step.

Its inputs: `x (N, H, W, C)`; the expansion's weights, packed as for the algorithm "direct", and its bias; the depthwise
weights, packed as for "depthwise", and their bias; the projection's weights ("direct"), its bias and what is added at
the end. All but the depthwise weights may be missing. Everything is float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from striate.kernels.attributes import Attributes
from striate.kernels.conv import DEPTHWISE_BLOCK, ConvSpec

KERNEL = "conv_block"
# In the order of the inputs (native/src/kernels/conv/block.cpp).
FLAGS = {"expand": 1, "expand_bias": 2, "depth_bias": 4, "project": 8, "project_bias": 16, "residual": 32}

_KERNELS = ((3, 3), (5, 5))
_STRIDES = ((1, 1), (2, 2))
_LARGEST_WINDOW = 11
_FEW = 4  # channels of a picture: more than that, and copying lines of it costs what fusing saves
_AREA = 28 * 28  # pixels of the tensor in the middle: below, lines that are computed twice cost more than is saved


@dataclass(frozen=True)
class Stage:
    """What stands behind one of the three convolutions. `floats`: the activation's parameters."""

    activation: int = 0
    floats: tuple[float, ...] = ()


def is_pointwise(spec: ConvSpec) -> bool:
    """Whether a planar convolution is a product with the channels of each pixel."""
    plain = spec.w_shape[:-2] == (1, 1) and spec.strides == (1, 1) and spec.groups == 1
    return plain and all(pair == (0, 0) for pair in spec.pads)


def is_first(spec: ConvSpec) -> bool:
    """Whether a planar convolution is one over pictures, whose lines are copied before they are read."""
    square = spec.w_shape[0] == spec.w_shape[1] <= _LARGEST_WINDOW and spec.strides[0] == spec.strides[1]
    plain = spec.dilation == (1, 1) and spec.groups == 1 and all(lo >= 0 <= hi for lo, hi in spec.pads)
    return square and plain and spec.cin <= _FEW


def is_depthwise(spec: ConvSpec) -> bool:
    """Whether the kernel knows the depthwise convolution."""
    window = spec.w_shape[:-2] in _KERNELS and spec.strides in _STRIDES and spec.dilation == (1, 1)
    pads = all(0 <= lo < spec.w_shape[0] and hi >= 0 for lo, hi in spec.pads)
    return window and pads and spec.groups == spec.cin == spec.cout and spec.cin % DEPTHWISE_BLOCK == 0


def projects_at_once(depthwise: ConvSpec) -> bool:
    """Whether it pays to project each line as soon as it is there."""
    _, height, width, _ = depthwise.x_shape
    return height * width >= _AREA


def encode(
    depthwise: ConvSpec, flags: Sequence[str], stages: Sequence[Stage], expansion: ConvSpec | None = None
) -> Attributes:
    """The attributes of a block around one depthwise convolution.

    Args:
        expansion: the first convolution, if it is there and has a window.
        flags: names of `FLAGS`.
        stages: of the expansion, the depthwise convolution and the projection; those that are missing do nothing.
    """
    (top, _), (left, _) = depthwise.pads
    window = (depthwise.w_shape[0], depthwise.strides[0], top, left, depthwise.cin)
    first = (1, 1, 0, 0)
    if expansion is not None:
        first = (expansion.w_shape[0], expansion.strides[0], expansion.pads[0][0], expansion.pads[1][0])
    ends = (*(s.activation for s in stages), *(len(s.floats) for s in stages))
    ints = (*window, sum(FLAGS[f] for f in flags), *ends, *first, *depthwise.x_shape[1:3])
    return ints, tuple(v for s in stages for v in s.floats)
