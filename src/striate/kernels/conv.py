"""How convolutions and matrix products meet the compiled kernels.

One table, `ALGORITHMS`, names every way to compute an operation: the kernel that runs, the kernel that packs its
constant operand, the packed operand's size, and the integers that the kernel reads. A plan builder asks, in this order:

    name = choose(spec)                                   # or choose_input_grad / choose_kernel_grad / choose_matmul
    size = packed_shape(name, spec)                       # None: the operand goes in as it is
    pack = ALGORITHMS[name].pack_kernel, encode_pack(name, spec)
    ints = encode(name, spec, activation_id, ("bias", "residual"))

Inputs of a kernel, in order: the first tensor, the (packed) second one, then what the flags name: the bias, the
residual, the mask (the result is kept where it is positive), the positions to which the values of an unpooled source
belong. Shapes are Keras's, channels last: tensors `(N, spatial..., C)` with one to three spatial axes, kernels
`(k..., Cin / groups, Cout)`. All but the positions is float32. Packed operands don't depend on the instruction set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from striate.core import config
from striate.kernels._native import isa

PANEL = 32  # output channels that stand together in a packed operand (native/src/kernels/gemm/tile.h)
DEPTHWISE_BLOCK = 16  # channels that stand together in packed depthwise weights (native/src/kernels/conv/depthwise.h)
MOST_SUMMED = 4  # source channels of a group with one target
MOST_GROUPED = 8  # target channels of a group, for vectors that hold several groups
WINOGRAD_BLOCK = 16  # channels that stand together in transformed inputs (native/src/kernels/conv/winograd.cpp)
MOST_FOR_6 = 256  # channels: tiles of 6x6 lose digits with the length of the sums
MOST_FEW = 8  # target channels, for vectors of pixels instead of channels (native/src/kernels/conv/few.cpp)
MOST_FEW_WEIGHTS = 4096  # each has a vector of sums
MOST_OF_MAXIMA = 8192  # floats of an image that stay in the nearest cache for gradients of maxima, and of weights
MERGE_CHANNELS = 16  # source channels up to which the taps of a line are one run (native/src/kernels/conv/direct.cpp)
MAX_SPATIAL = 3

# What is fused with a kernel (native/src/kernels/conv/geometry.h); the order is that of the additional inputs.
FLAGS = {"bias": 1, "residual": 2, "mask": 4, "pool": 8, "positions": 16, "unpool": 32}


@dataclass(frozen=True)
class ConvSpec:
    """A convolution's shapes; its two gradients are described by the same forward convolution.

    `x_shape` is the forward input's shape, `out_shape` the forward output's; `pads` has one (lo, hi) per spatial axis.
    """

    x_shape: tuple[int, ...]
    w_shape: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    out_shape: tuple[int, ...]

    @property
    def taps(self) -> int:
        return math.prod(self.w_shape[:-2])

    @property
    def cin(self) -> int:
        return self.x_shape[-1]

    @property
    def cout(self) -> int:
        return self.w_shape[-1]


@dataclass(frozen=True)
class MatmulSpec:
    """`(batch, m, k) @ (batch, k, n)`.

    With `transpose_a` (`transpose_b`) that operand is stored with its last axes swapped. Either operand may have a
    batch of 1, which is then used for every product.
    """

    m: int
    k: int
    n: int
    batch: int = 1
    transpose_a: bool = False
    transpose_b: bool = False


Spec = ConvSpec | MatmulSpec


@dataclass(frozen=True)
class Algorithm:
    """One way to compute one operation."""

    kernel: str
    pack_kernel: str | None
    supports: Callable[..., bool]
    packed_size: Callable[..., int] | None
    encode: Callable[..., tuple[int, ...]]
    encode_pack: Callable[..., tuple[int, ...]]


def choose(spec: ConvSpec) -> str:
    """The algorithm for the forward convolution; depends on shapes, `conv_precision` and the instruction set, never on
    the number of threads."""
    return _fast(spec, "") or _first(("few", "depthwise", "grouped", "direct"), spec)


def choose_input_grad(spec: ConvSpec) -> str:
    """The algorithm for the gradient with respect to the input, which is also the transposed convolution."""
    names = ("input_grad_few", "input_grad_depthwise", "input_grad_grouped", "input_grad")
    return _fast(spec, "input_grad_") or _first(names, spec)


def choose_kernel_grad(spec: ConvSpec) -> str:
    """The algorithm for the gradient with respect to the kernel."""
    names = ("kernel_grad_few", "kernel_grad_depthwise", "kernel_grad_grouped", "kernel_grad")
    return _fast_kernel_grad(spec) or _first(names, spec)


def choose_maxima(op: str, spec: ConvSpec, otherwise: str) -> str:
    """The algorithm for a gradient (`op`: "input_grad" or "kernel_grad") of a convolution whose 2x2 maxima alone were
    kept; `otherwise`: the one that its shapes get."""
    fits = "winograd" not in otherwise and ALGORITHMS[f"{op}_maxima"].supports(spec)
    return f"{op}_maxima" if fits else otherwise


def choose_matmul(spec: MatmulSpec, constant_b: bool = False) -> str:
    """`constant_b`: the right operand is a weight that may be packed once (`batch` is then 1)."""
    return "matmul_packed" if constant_b and ALGORITHMS["matmul_packed"].supports(spec) else "matmul"


def packed_shape(algorithm: str, spec: Spec) -> tuple[int] | None:
    """Shape of the packed float32 operand, or None where the algorithm takes the operand as it is."""
    size = ALGORITHMS[algorithm].packed_size
    return None if size is None else (size(spec),)


def encode(algorithm: str, spec: Spec, activation_id: int = 0, fused: Collection[str] = ()) -> tuple[int, ...]:
    """The integers that the algorithm's kernel reads. `fused`: names of `FLAGS`; an activation's parameters are the
    step's floats.
    """
    return ALGORITHMS[algorithm].encode(spec, activation_id, sum(FLAGS[name] for name in fused))


def takes(algorithm: str, what: str) -> bool:
    """Whether an algorithm's kernel knows the flag `what`."""
    if what in ("bias", "residual"):
        return True
    if what == "mask":
        return not algorithm.endswith(("depthwise", "grouped", "matmul", "matmul_packed"))
    return "winograd" in algorithm or algorithm.endswith(("few", "maxima"))


def encode_pack(algorithm: str, spec: Spec) -> tuple[int, ...]:
    """The integers that the algorithm's packing kernel reads (input: the raw operand; output: the packed one)."""
    return ALGORITHMS[algorithm].encode_pack(spec)


def _first(names: Sequence[str], spec: Spec) -> str:
    return next(name for name in names if ALGORITHMS[name].supports(spec))


_LEAST = 2 << 20  # multiplications: below, one direct kernel is done before two parallel regions have begun
_TRANSFORM = 40  # what the transform of one value costs, in multiplications
_TRANSFORM_LINE = 15  # of one in a line
_ROWS = 24  # products of fewer rows wait for their weights
# From so many channels and tiles on a matrix unit multiplies; from more channels on in any case, else where so many
# transformed values stay in the caches (native/src/kernels/conv/winograd_unit.h).
_UNIT_CHANNELS, _UNIT_TILES, _UNIT_MANY_CHANNELS, _UNIT_CACHED = 128, 96, 256, 5 << 19
_UNIT_SHARE = 0.5  # it takes so much of the time,
_UNIT_WEIGHT = 12  # and what else it costs to bring a transformed weight from memory
_IMAGES = 7  # so many images are computed pixel by pixel (native/src/kernels/conv/gather.h)


_SPLIT = 14  # what it costs to bring a value from a pixel's channels to a plane or back, in multiplications
_LANES, _PER_PIXEL = 16, 1000  # of the kernels that hold channels in vectors


def _fast(spec: ConvSpec, prefix: str) -> str | None:
    """Winograd's algorithm with the tiles that cost least, None where the direct one does (or the last digits count).

    The costs are those of two cores with AVX-512, in multiplications; what counts is their order.
    """
    if config.conv_precision() == "exact" or not (_fits_winograd(spec) or _fits_line(spec)):
        return None
    target = spec.x_shape if prefix else spec.out_shape
    best, algorithm = _direct_cost(spec, target), None
    if best < _LEAST:
        return None
    if _fits_line(spec):
        return f"{prefix}winograd_line" if _line_cost(spec, target) < 0.9 * best else None
    for size in (2, 4, 6) if max(spec.cin, spec.cout) <= MOST_FOR_6 else (2, 4):
        cost = _winograd_cost(spec, target, size)
        if cost < 0.9 * best:  # larger tiles need more memory for weights, so they must pay
            best, algorithm = cost, f"{prefix}winograd{size}"
    return algorithm


def _fast_kernel_grad(spec: ConvSpec) -> str | None:
    direct = _direct_cost(spec, spec.out_shape)
    if config.conv_precision() == "exact" or not _fits_winograd_kernel_grad(spec) or direct < _LEAST:
        return None
    sums = 36 * _ROWS * spec.cin * spec.cout  # the points' sums are read and written again for each block of tiles
    return "kernel_grad_winograd4" if _winograd_cost(spec, spec.out_shape, 4) + sums < 0.9 * direct else None


def _direct_cost(spec: ConvSpec, target: tuple[int, ...]) -> int:
    rows, inside = math.prod(target[:-1]), _inside(spec)
    taps = spec.taps * rows
    if target[0] >= _IMAGES and 5 * target[0] * inside < 4 * taps:
        taps = target[0] * inside  # taps outside the images are dropped
    return spec.cin * spec.cout * max(taps, spec.taps * _ROWS)


def _inside(spec: ConvSpec) -> int:
    """How many pairs of pixels of an input and an output image a tap connects, for kernels without strides."""
    axes = zip(spec.x_shape[1:-1], spec.out_shape[1:-1], spec.pads, spec.w_shape[:-2], strict=True)
    return math.prod(sum(max(min(o, i + lo - t) - max(lo - t, 0), 0) for t in range(k)) for i, o, (lo, _), k in axes)


def _winograd_cost(spec: ConvSpec, target: tuple[int, ...], size: int) -> int:
    tiles = math.prod(target[:-3]) * -(-target[-3] // size) * -(-target[-2] // size)
    rows: float = max(tiles, _ROWS)
    if isa() == "amx":
        values = (size + 2) ** 2 * tiles * (spec.cin + spec.cout - target[-1])
        rows = (_UNIT_SHARE * rows if _fits_unit(spec, tiles, values) else rows) + _UNIT_WEIGHT
    product = spec.taps // 9 * spec.cin * spec.cout * rows
    return (size + 2) ** 2 * int(product + _TRANSFORM * tiles * (spec.cin + spec.cout))


def _fits_unit(spec: ConvSpec, tiles: int, values: int) -> bool:
    """`values`: of the transformed input."""
    least = min(spec.cin, spec.cout)
    cached = least >= _UNIT_MANY_CHANNELS or values <= _UNIT_CACHED
    return spec.taps == 9 and least >= _UNIT_CHANNELS and tiles >= _UNIT_TILES and cached


def _line_cost(spec: ConvSpec, target: tuple[int, ...]) -> int:
    tiles = target[0] * -(-target[1] // 4)
    product = _segments(spec) * spec.cin * spec.cout * max(tiles, _ROWS)
    return 7 * (product + _TRANSFORM_LINE * tiles * (spec.cin + spec.cout))


def _segments(spec: ConvSpec) -> int:
    """Of four taps each (native/src/kernels/conv/winograd_line.cpp)."""
    return -(-spec.taps // 4)


def _panels(channels: int) -> int:
    return -(-channels // PANEL) * PANEL


def _lead(values: Sequence[int], fill: int) -> list[int]:
    return [fill] * (MAX_SPATIAL - len(values)) + list(values)


def _encode_conv(spec: ConvSpec, activation_id: int, flags: int) -> tuple[int, ...]:
    # Read by native/src/kernels/conv/geometry.h, in this order.
    pads = [(0, 0)] * (MAX_SPATIAL - len(spec.pads)) + list(spec.pads)
    kernel = _lead(spec.w_shape[:-2], 1)
    window = [*_lead(spec.strides, 1), *(p for pair in pads for p in pair), *_lead(spec.dilation, 1), *kernel]
    return (*window, spec.groups, activation_id, flags)


def _encode_groups(spec: ConvSpec) -> tuple[int, ...]:
    return (spec.groups,)


def _encode_input_grad_pack(spec: ConvSpec) -> tuple[int, ...]:
    # Taps of a line of few channels are one run of products, from the other end (native/src/kernels/conv/direct.cpp).
    plain = spec.groups == 1 and spec.strides[-1] == 1 and spec.dilation[-1] == 1 and spec.w_shape[-3] > 1
    return (spec.groups, int(plain and spec.cout <= MERGE_CHANNELS))


def _any_conv(spec: ConvSpec) -> bool:
    return 1 <= len(spec.strides) <= MAX_SPATIAL


def _fits_few(spec: ConvSpec, target: tuple[int, ...], channels: int) -> bool:
    """Whether vectors of pixels cost less than vectors of channels, most of which would be empty."""
    if not _any_conv(spec) or spec.groups > 1 or not 1 <= target[-1] <= MOST_FEW:
        return False
    width = target[-2]
    around = width + (spec.w_shape[-3] - 1) * spec.dilation[-1]  # the zeros between lines are multiplied too
    strides = (1,) if target is spec.out_shape else spec.strides
    terms = spec.taps * channels // math.prod(strides)
    planes = _SPLIT * (channels / math.prod(strides[-2:]) + target[-1])
    return around * (terms * target[-1] + planes) < width * (_LANES * terms + _PER_PIXEL)


def _is_few(spec: ConvSpec) -> bool:
    return _fits_few(spec, spec.out_shape, spec.cin)


def _is_few_input_grad(spec: ConvSpec) -> bool:
    return _fits_few(spec, spec.x_shape, spec.cout)


def _is_few_kernel_grad(spec: ConvSpec) -> bool:
    return _is_few(spec) and spec.taps * spec.cin * spec.cout <= MOST_FEW_WEIGHTS


def _fits_maxima(spec: ConvSpec) -> bool:
    """Whether an image of the input, with the zeros around it, stays in the nearest cache."""
    if len(spec.strides) != 2 or spec.groups > 1 or spec.dilation[-1] > 1:
        return False
    return math.prod(x + max(lo, 0) + max(hi, 0) for x, (lo, hi) in _padded(spec)) * spec.cin <= MOST_OF_MAXIMA


def _padded(spec: ConvSpec) -> zip[tuple[int, tuple[int, int]]]:
    return zip(spec.x_shape[1:-1], spec.pads, strict=True)


def _fits_maxima_input_grad(spec: ConvSpec) -> bool:
    plain = _fits_maxima(spec) and set(spec.strides) == set(spec.dilation) == {1}
    window = math.prod(k + 1 for k in spec.w_shape[:-2]) * spec.cin
    return plain and window * spec.cout <= MOST_OF_MAXIMA


def _fits_maxima_kernel_grad(spec: ConvSpec) -> bool:
    return _fits_maxima(spec) and spec.taps * spec.cin * spec.cout <= MOST_OF_MAXIMA


def _is_depthwise(spec: ConvSpec) -> bool:
    return _any_conv(spec) and spec.groups == spec.cin and spec.groups > 1


def _has_small_groups(spec: ConvSpec) -> bool:
    """Groups that a vector of channels holds several of; panels of 32 columns would mostly multiply padding."""
    return _fills_vectors(spec, spec.w_shape[-2], spec.cout // max(spec.groups, 1))


def _has_small_groups_back(spec: ConvSpec) -> bool:
    return _fills_vectors(spec, spec.cout // max(spec.groups, 1), spec.w_shape[-2])


def _fills_vectors(spec: ConvSpec, source: int, target: int) -> bool:
    """Whether the source channels of a vector of target channels fit into one vector, or are summed lane by lane."""
    if not _any_conv(spec) or spec.groups < 2 or not 1 <= target <= MOST_GROUPED or not source:
        return False
    if target == 1:
        return source <= MOST_SUMMED
    groups = (DEPTHWISE_BLOCK + (target - 2 if DEPTHWISE_BLOCK % target else 0)) // target
    return (groups + (DEPTHWISE_BLOCK % target > 0)) * source <= DEPTHWISE_BLOCK


def _direct_size(spec: ConvSpec) -> int:
    return spec.groups * spec.taps * spec.w_shape[-2] * _panels(spec.cout // spec.groups)


def _input_grad_size(spec: ConvSpec) -> int:
    return spec.groups * spec.taps * (spec.cout // spec.groups) * _panels(spec.w_shape[-2])


def _block(channels: int) -> int:
    return -(-channels // DEPTHWISE_BLOCK) * DEPTHWISE_BLOCK


def _depthwise_size(spec: ConvSpec) -> int:
    return spec.taps * spec.w_shape[-2] * _block(spec.cout)


def _input_grad_depthwise_size(spec: ConvSpec) -> int:
    return spec.taps * (spec.cout // spec.groups) * _block(spec.cin)


def _encode_matmul(spec: MatmulSpec, activation_id: int, flags: int) -> tuple[int, ...]:
    return (int(spec.transpose_a), int(spec.transpose_b), activation_id, flags)


def _encode_matmul_pack(spec: MatmulSpec) -> tuple[int, ...]:
    return (int(spec.transpose_b),)


def _any_matmul(spec: MatmulSpec) -> bool:
    return True


def _one_product(spec: MatmulSpec) -> bool:
    return spec.batch == 1 and not spec.transpose_a


def _matmul_size(spec: MatmulSpec) -> int:
    return spec.k * _panels(spec.n)


def _fits_winograd(spec: ConvSpec) -> bool:
    kernel = spec.w_shape[:-2]
    planar = len(kernel) in (2, 3) and kernel[-2:] == (3, 3)
    plain = set(spec.strides) == {1} and set(spec.dilation) == {1} and spec.groups == 1
    pads = all(0 <= p < k for k, pair in zip(kernel, spec.pads, strict=True) for p in pair)
    return planar and plain and pads and spec.cin % WINOGRAD_BLOCK == 0 and spec.cout % WINOGRAD_BLOCK == 0


def _fits_line(spec: ConvSpec) -> bool:
    plain = len(spec.strides) == 1 and spec.strides == spec.dilation == (1,) and spec.groups == 1
    pads = plain and all(0 <= p < spec.taps for p in spec.pads[0])
    return pads and spec.cin % WINOGRAD_BLOCK == 0 and spec.cout % WINOGRAD_BLOCK == 0


def _fits_winograd_kernel_grad(spec: ConvSpec) -> bool:
    return _fits_winograd(spec) and len(spec.strides) == 2


def _winograd(size: int) -> dict[str, Algorithm]:
    """F(size x size, 3 x 3), forward and for the input's gradient."""
    points, name = (size + 2) ** 2, f"winograd{size}"

    def algorithm(kernel: str, depth: Callable[[ConvSpec], int], channels: Callable[[ConvSpec], int]) -> Algorithm:
        size_of = lambda spec: spec.taps // 9 * points * depth(spec) * _panels(channels(spec))  # noqa: E731
        return Algorithm(kernel, f"{kernel}_pack", _fits_winograd, size_of, _encode_conv, _encode_groups)

    return {
        name: algorithm(f"conv_{name}", lambda s: s.cin, lambda s: s.cout),
        f"input_grad_{name}": algorithm(f"conv_{name}_input_grad", lambda s: s.cout, lambda s: s.cin),
    }


def _line() -> dict[str, Algorithm]:
    """F(4, 4) along a single axis, forward and for the input's gradient."""

    def algorithm(kernel: str, depth: Callable[[ConvSpec], int], channels: Callable[[ConvSpec], int]) -> Algorithm:
        size_of = lambda spec: 7 * _segments(spec) * depth(spec) * _panels(channels(spec))  # noqa: E731
        return Algorithm(kernel, f"{kernel}_pack", _fits_line, size_of, _encode_conv, _encode_groups)

    return {
        "winograd_line": algorithm("conv_winograd_line", lambda s: s.cin, lambda s: s.cout),
        "input_grad_winograd_line": algorithm("conv_winograd_line_input_grad", lambda s: s.cout, lambda s: s.cin),
    }


ALGORITHMS: dict[str, Algorithm] = {
    **_line(),
    **_winograd(2),
    **_winograd(4),
    **_winograd(6),
    "direct": Algorithm("conv_direct", "conv_pack", _any_conv, _direct_size, _encode_conv, _encode_groups),
    "few": Algorithm("conv_few", None, _is_few, None, _encode_conv, _encode_groups),
    "input_grad_few": Algorithm("conv_few_input_grad", None, _is_few_input_grad, None, _encode_conv, _encode_groups),
    "kernel_grad_few": Algorithm("conv_few_kernel_grad", None, _is_few_kernel_grad, None, _encode_conv, _encode_groups),
    "input_grad_maxima": Algorithm(
        "conv_maxima_input_grad", None, _fits_maxima_input_grad, None, _encode_conv, _encode_groups
    ),
    "kernel_grad_maxima": Algorithm(
        "conv_maxima_kernel_grad", None, _fits_maxima_kernel_grad, None, _encode_conv, _encode_groups
    ),
    "depthwise": Algorithm(
        "conv_depthwise", "conv_depthwise_pack", _is_depthwise, _depthwise_size, _encode_conv, _encode_groups
    ),
    "grouped": Algorithm(
        "conv_depthwise", "conv_depthwise_pack", _has_small_groups, _depthwise_size, _encode_conv, _encode_groups
    ),
    "input_grad": Algorithm(
        "conv_input_grad", "conv_input_grad_pack", _any_conv, _input_grad_size, _encode_conv, _encode_input_grad_pack
    ),
    "input_grad_depthwise": Algorithm(
        "conv_depthwise_input_grad",
        "conv_depthwise_input_grad_pack",
        _is_depthwise,
        _input_grad_depthwise_size,
        _encode_conv,
        _encode_groups,
    ),
    "input_grad_grouped": Algorithm(
        "conv_depthwise_input_grad",
        "conv_depthwise_input_grad_pack",
        _has_small_groups_back,
        _input_grad_depthwise_size,
        _encode_conv,
        _encode_groups,
    ),
    "kernel_grad_winograd4": Algorithm(
        "conv_winograd4_kernel_grad", None, _fits_winograd_kernel_grad, None, _encode_conv, _encode_groups
    ),
    "kernel_grad": Algorithm("conv_kernel_grad", None, _any_conv, None, _encode_conv, _encode_groups),
    "kernel_grad_depthwise": Algorithm(
        "conv_depthwise_kernel_grad", None, _is_depthwise, None, _encode_conv, _encode_groups
    ),
    "kernel_grad_grouped": Algorithm(
        "conv_depthwise_kernel_grad", None, _has_small_groups, None, _encode_conv, _encode_groups
    ),
    "matmul": Algorithm("matmul", None, _any_matmul, None, _encode_matmul, _encode_matmul_pack),
    "matmul_packed": Algorithm(
        "matmul_packed", "matmul_pack", _one_product, _matmul_size, _encode_matmul, _encode_matmul_pack
    ),
}
