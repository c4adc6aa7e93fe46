"""The smallest changes that would make shapes fit, for errors: with the numbers filled in."""

from __future__ import annotations

import math
from typing import Any

_PER_RANK = {3: "1D", 4: "2D", 5: "3D"}


def mend_shapes(a: Any, b: Any) -> str:
    """What makes two inputs of a merging layer fit (shapes without the batch axis, channels last): padding or cropping
    for places, a 1x1 convolution for channels."""
    rule = "Sizes must be equal, or 1"
    rank = _PER_RANK.get(len(a) + 1)
    if rank is None or len(a) != len(b) or None in (*a, *b):
        return rule
    ways = []
    if a[:-1] != b[:-1]:
        ways.append(_mend_places(a[:-1], b[:-1], rank))
    if a[-1] != b[-1] and 1 not in (a[-1], b[-1]):
        ways.append(f"Conv{rank}({a[-1]}, 1) on the second gives it {a[-1]} channels")
    return f"{rule}. {'; '.join(ways)}" if ways else rule


def mend_places(a: Any, b: Any) -> str:
    """Likewise for concatenation along the channels (shapes with the batch axis)."""
    rank = _PER_RANK.get(len(a))
    if rank is None or None in (*a[1:], *b[1:]) or a[1:-1] == b[1:-1]:
        return "Sizes must be equal on all other axes"
    return _mend_places(a[1:-1], b[1:-1], rank)


def _mend_places(a: Any, b: Any, rank: str) -> str:
    """Zeros around the smaller one, or cells cut off the larger one; where neither is larger, on each."""
    more = [max(m - n, 0) for m, n in zip(a, b, strict=True)]
    less = [max(n - m, 0) for m, n in zip(a, b, strict=True)]
    if any(more) and any(less):
        return f"Bring both to {'x'.join(str(min(m, n)) for m, n in zip(a, b, strict=True))} with Cropping{rank}"
    name, other, gaps = ("second", "first", more) if any(more) else ("first", "second", less)
    pad = f"ZeroPadding{rank}({_pairs(gaps)}) on the {name}"
    crop = f"Cropping{rank}({_pairs(gaps)}) on the {other}"
    why = " (a size that a stride does not divide is rounded down, and doubling does not bring it back)"
    return f"{pad}, or {crop}{why if max(gaps) == 1 else ''}"


def _pairs(gaps: list[int]) -> str:
    pairs = ", ".join(f"({n // 2}, {n - n // 2})" for n in gaps)
    return pairs if len(gaps) == 1 else f"({pairs})"


def flattened_from(layer: Any, features: int, received: int) -> str | None:
    """Why a dense layer behind a Flatten gets another number of features, if that is where it stands."""
    source = _flatten_before(layer)
    if source is None:
        return None
    shape = [n for n in source.input.shape[1:]]
    if None in shape or math.prod(shape) != features:
        return None
    made = "·".join(map(str, shape))
    return (
        f"Its kernel has a row for each number that '{source.name}' made of an input of {_cross(shape)}: "
        f"{made} = {features}, and now there are {received}. Give the model inputs of the size that it was built for, "
        f"or put {_pooled(len(shape))} in the place of '{source.name}': its output has {shape[-1]} numbers for any size"
    )


def _flatten_before(layer: Any) -> Any:
    """The Flatten layer that the layer was first called on."""
    nodes = getattr(layer, "_inbound_nodes", None)
    history = nodes[0].input_tensors[0]._keras_history if nodes and nodes[0].input_tensors else None
    found = history.operation if history is not None else None
    return found if type(found).__name__ == "Flatten" else None


def _pooled(axes: int) -> str:
    return f"GlobalAveragePooling{_PER_RANK.get(axes + 1, '2D')}"


def _cross(shape: Any) -> str:
    return "x".join(map(str, shape))


def weight_difference(name: str, wanted: Any, found: Any) -> str:
    """In what two shapes of a weight differ, in words: `the layer has 3 input channels, the file 1`."""
    if len(wanted) != len(found):
        return f"The layer's has {len(wanted)} axes, the file's {len(found)}: another kind of layer"
    labels = _axis_names(name, len(wanted))
    told = [
        f"{label}: {m} in the layer, {n} in the file"
        for label, m, n in zip(labels, wanted, found, strict=True)
        if m != n
    ]
    return "; ".join(told)


def _axis_names(name: str, rank: int) -> list[str]:
    if "kernel" in name and rank == 2:
        return ["features (they follow from the size of the input where a Flatten stands before)", "units"]
    if "kernel" in name and rank > 2:
        return [*(f"kernel size along axis {n}" for n in range(1, rank - 1)), "input channels", "filters"]
    return ["units or filters"] if rank == 1 else [f"axis {n}" for n in range(rank)]
