"""A model cut into segments (see `trace.remat`), so that a step of training needs as little memory as possible.

With n layers of one size that are kept at once, segments of k, k - 1, ..., 1 layers (k (k + 1) / 2 = n) need k of them
at a time: what is kept between segments grows while what is computed again shrinks (after Chen et al. 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from striate.ir import Segment
from striate.trace import Node
from striate.trace.remat import segment

_TRIALS = 24


class Cut:
    """Calls the operations of a graph in their order, each in its segment.

    Args:
        nodes: of the layer graph, in order, inputs among them. Models among the operations cut themselves.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.parts = iter(parts([n for n in nodes if not n.is_input]))

    def __call__(self, operation: Any, args: Any, kwargs: Any) -> Any:
        part = next(self.parts, None)
        if operation._has_parts and operation._remat_mode is not None:
            return operation(*args, **kwargs)
        with segment(part):
            return operation(*args, **kwargs)


def parts(nodes: Sequence[Node]) -> list[Segment]:
    """The segment of each node. The last one is dissolved: the backward side begins there, so it is simply kept."""
    ends = best(_Sizes(nodes))
    found: list[Segment] = []
    for end in ends:
        made = Segment()
        made.dissolved = end == ends[-1]
        found += [made] * (end - len(found))
    return found


class _Sizes:
    """What each node makes, in elements per sample, and how long it is needed."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.own = [sum(map(_size, node.output_tensors)) for node in nodes]
        made = {id(t): i for i, node in enumerate(nodes) for t in node.output_tensors}
        last = {id(t): i for i, node in enumerate(nodes) for t in node.input_tensors}
        tensors = [t for node in nodes for t in node.output_tensors]
        self.spans = [(made[id(t)], last.get(id(t), made[id(t)]), _size(t)) for t in tensors]
        # What is kept if nodes before `end` and from `end` on are parted, for each end.
        self.across = [sum(s for a, b, s in self.spans if a < end <= b) for end in range(len(nodes) + 1)]

    def kept(self, ends: Sequence[int]) -> int:
        """What is kept for all of `ends`, each tensor once."""
        return sum(s for a, b, s in self.spans if any(a < end <= b for end in ends))


def _size(tensor: Any) -> int:
    return prod(n for n in tensor.shape[1:] if n is not None)


def best(sizes: _Sizes) -> list[int]:
    """The ends of the segments with the least peak, of those with an equal one the fewest."""
    total, largest = sum(sizes.own), max(sizes.own, default=0)
    limits = [largest + (total - largest) * (i / _TRIALS) ** 2 for i in range(_TRIALS + 1)]
    return min((_filled(sizes, limit) for limit in limits), key=lambda ends: (peak(sizes, ends), len(ends)))


def _filled(sizes: _Sizes, limit: float) -> list[int]:
    """Segments that are ended before they and what is kept before them exceed `limit`, where least has to be kept."""
    ends: list[int] = []
    start, kept, inside, i = 0, 0, 0, 0
    while i < len(sizes.own):
        if kept + inside + sizes.own[i] > limit and i > start:
            later = range(start + (i - start + 1) // 2, i + 1)
            start = i = min(reversed(later), key=sizes.across.__getitem__) if later[0] > start else i
            ends.append(i)
            kept, inside = sizes.kept(ends), 0
        inside += sizes.own[i]
        i += 1
    return [*ends, len(sizes.own)]


def peak(sizes: _Sizes, ends: Sequence[int]) -> int:
    """The most that is there at once: what is kept up to a segment, and the segment itself."""
    starts = [0, *ends[:-1]]
    return max(
        (sizes.kept(ends[:i]) + sum(sizes.own[a:b]) for i, (a, b) in enumerate(zip(starts, ends, strict=True))),
        default=0,
    )
