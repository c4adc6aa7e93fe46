"""The attributes of every kernel but the convolutions and products (those: `striate.kernels.conv`).

A kernel reads dense arrays, a list of integers and a list of floats. Each function here gives the `(ints, floats)` of
one kernel; the table says which arrays go in and come out. Tensors are channels last, `(batch, *spatial, channels)`.

| kernel | inputs | output | attributes from |
| --- | --- | --- | --- |
| elementwise | up to 16, float32 or bool, that broadcast to the output | float32 or bool | `elementwise` |
| chain_sum | as elementwise, to the largest of them | float32, its last axes: sums over the others | `elementwise` |
| reduce | x float32 | float32, the kept axes (size-1 axes may stay) | `reduce` |
| softmax | x float32 | float32, as x | `softmax` |
| max_pool, avg_pool, lp_pool | x float32 | float32 | `pool` |
| max_pool_grad | x, g float32 | as x: each g at the first maximum of its window | `pool` |
| max_pool_gather | x, v float32 | as g: v where x has its first maximum | `pool` |
| avg_pool_grad | g float32 | as x | `pool` |
| pad | x of any dtype | of the same dtype | `pad` |
| concat | up to 64 of one dtype | of the same dtype | `concat` |
| transpose | x of any dtype | of the same dtype | `transpose` |
| broadcast | x of any dtype | of the same dtype; x broadcasts to it | none |
| slice | x of any dtype | of the same dtype | `slice_` |
| unslice | g of any dtype | zeros with g written to the slice | `slice_` |
| gather | x of any dtype, indices int32 or int64 | x's axes, those of the indices in the place of `axis` | `gather` |
| resize | x float32 `(n, h, w, c)` | float32 `(n, h2, w2, c)`, half-pixel centres | `resize` |
| cast | x of any dtype | any dtype; any shape of the same size | none |
| one_hot | indices int32, int64 or uint8 | float32 `(*indices, depth)`; zeros for an index out of range | none |
| add_integers | two of int32, or two of int64 | their sums, which wrap around | none |

"Any dtype" is float32, float64, int32, int64, uint8 or bool. Every array may have up to 8 axes, and sizes may be 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from striate.kernels import _native

Attributes = tuple[tuple[int, ...], tuple[float, ...]]

MAX_OPERANDS = 16  # of an elementwise chain
MAX_INSTRUCTIONS = 64
MAX_POOL_SPATIAL = 3
_LEAST_COLUMNS = 16  # fewer fill no vector
_INT64 = 2**63 - 1

# Operations of elementwise chains, by the names of the primitives; activations are among them.
ELEMENTWISE_OPS: dict[str, int] = _native.elementwise_ops()
ACTIVATION_IDS: dict[str, int] = _native.activation_ids()

REDUCTIONS = {"sum": 0, "mean": 1, "max": 2, "min": 3, "prod": 4, "sum_squares": 5}
PAD_MODES = {"constant": 0, "reflect": 1, "symmetric": 2, "edge": 3, "wrap": 4}
RESIZE_METHODS = {"nearest": 0, "bilinear": 1}

# The parameters of activations that have some, in the order in which kernels take them (alphabetical), with defaults.
_ACTIVATION_PARAMS: dict[str, dict[str, float]] = {
    "leaky_relu": {"negative_slope": 0.2},
    "elu": {"alpha": 1.0},
    "celu": {"alpha": 1.0},
    "gelu": {"approximate": 1.0},
    "relu_general": {"max_value": math.inf, "negative_slope": 0.0, "threshold": 0.0},
    "hard_shrink": {"threshold": 0.5},
    "soft_shrink": {"threshold": 0.5},
    "threshold": {"default_value": 0.0, "threshold": 0.0},
    "squareplus": {"b": 4.0},
}


def activation_floats(name: str, params: Mapping[str, Any]) -> tuple[float, ...]:
    """The floats of an activation, for the end of a convolution or product and for a chain; None means the default."""
    known = _ACTIVATION_PARAMS.get(name, {})
    unknown = set(params) - set(known)
    if unknown:
        raise ValueError(f"activation '{name}' has the parameters {sorted(known)}, received {sorted(unknown)}")
    given = {key: value for key, value in params.items() if value is not None}
    return tuple(float(given.get(key, default)) for key, default in known.items())


def elementwise(
    n_inputs: int, instructions: Sequence[tuple[str, Sequence[int], Sequence[float]]], exits: Sequence[int] = ()
) -> Attributes:
    """A chain of operations: `(name, operands, parameters)` each.

    Operand `i < n_inputs` is input i, operand `n_inputs + j` the result of instruction j. The last result is the last
    output; those of the instructions `exits` are outputs before it. `("constant", (), (value,))` is a number;
    activations take the parameters of `activation_floats`; other operations have none. Comparisons give 1 or 0, and
    whatever is not 0 counts as true; bool inputs are read as 1 or 0, and a bool output (the only one) says where the
    result is not 0.

    ints: per instruction its code and three operands (0 where it has fewer), then the exits; floats: per instruction
    three parameters.
    """
    ints: list[int] = []
    floats: list[float] = []
    for name, operands, params in instructions:
        ints += [ELEMENTWISE_OPS[name], *operands, *[0] * (3 - len(operands))]
        floats += [*map(float, params), *[0.0] * (3 - len(params))]
    return (*ints, *exits), tuple(floats)


def sums_chains(shape: Sequence[int], axes: Sequence[int]) -> bool:
    """Whether `chain_sum` adds up an array of `shape` along `axes`: all but the last axes, enough of which remain."""
    columns = math.prod(shape[len(axes) :])
    return sorted(axes) == list(range(len(axes))) and columns >= _LEAST_COLUMNS


def reduce(op: str, axes: Sequence[int]) -> Attributes:
    """`op`: a key of `REDUCTIONS`; `axes` >= 0 and distinct. The output has as many elements as the kept axes.

    Sums are added in blocks in double precision, in an order that follows from the shape alone. A NaN spreads. Without
    any element a sum is 0, a product 1, a mean NaN, a maximum -infinity and a minimum infinity.

    ints: op, axes.
    """
    return (REDUCTIONS[op], *map(int, axes)), ()


def softmax(axis: int, log: bool = False) -> Attributes:
    """Softmax, or its logarithm, along `axis` >= 0. ints: axis, log."""
    return (int(axis), int(log)), ()


def pool(
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    *,
    count_include_pad: bool = False,
    p: float = 2.0,
) -> Attributes:
    """Pooling over one to three spatial axes; the same attributes for the gradients.

    Cells of the padding take no part, except that `avg_pool` divides by the whole window with `count_include_pad`. A
    window of padding only gives -infinity (max) or 0. A NaN counts as the maximum. `p`: the exponent of `lp_pool`, > 0.

    ints: number of spatial axes r, window[r], strides[r], low padding[r], high padding[r], dilation[r],
    count_include_pad; floats: p.
    """
    lows, highs = [lo for lo, _ in padding], [hi for _, hi in padding]
    return (len(window), *window, *strides, *lows, *highs, *dilation, int(count_include_pad)), (float(p),)


def pad(mode: str, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Attributes:
    """`mode`: a key of `PAD_MODES`, as NumPy names them; a (low, high) pair >= 0 for each axis of x.

    ints: mode, then low and high of each axis; floats: the value of mode constant.
    """
    return (PAD_MODES[mode], *(size for pair in widths for size in pair)), (float(value),)


def concat(axis: int) -> Attributes:
    """Joins along `axis` >= 0. ints: axis."""
    return (int(axis),), ()


def transpose(axes: Sequence[int]) -> Attributes:
    """Output axis i is input axis `axes[i]`. ints: axes."""
    return tuple(map(int, axes)), ()


def slice_(starts: Sequence[int], steps: Sequence[int]) -> Attributes:
    """Element i along an axis of the slice is element `start + i * step` of the whole; steps may be negative.

    The sizes are those of the slice's array: the output of `slice`, the input of `unslice`. ints: starts, steps.
    """
    # A step beyond an int64 can only belong to a slice of one element or none.
    bounded = (max(-_INT64, min(int(step), _INT64)) for step in steps)
    return (*map(int, starts), *bounded), ()


def gather(axis: int) -> Attributes:
    """Takes along `axis` >= 0. Negative indices count from the end; those still out of range take the nearest element.

    ints: axis.
    """
    return (int(axis),), ()


def resize(method: str) -> Attributes:
    """`method`: a key of `RESIZE_METHODS`; cell i samples at `(i + 1/2) n / m - 1/2`. No antialiasing. ints: method."""
    return (RESIZE_METHODS[method],), ()
