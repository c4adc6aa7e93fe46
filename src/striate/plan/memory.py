"""The memory plan: buffers whose lives don't overlap share the arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALIGNMENT = 64  # a cache line, and the widest vector


@dataclass(frozen=True)
class Life:
    """A buffer that is needed from step `first` to step `last`, both included."""

    slot: int
    nbytes: int
    first: int
    last: int


def assign_offsets(lives: Sequence[Life]) -> tuple[Mapping[int, int], int]:
    """The offset of each slot in bytes, and the size of the arena: largest buffers first, each in the lowest gap."""
    placed: list[tuple[int, int, Life]] = []
    for life in sorted(lives, key=lambda item: (-item.nbytes, item.first)):
        offset = _lowest_gap(life, placed)
        placed.append((offset, offset + _aligned(life.nbytes), life))
    return {life.slot: start for start, _, life in placed}, max((end for _, end, _ in placed), default=0)


def _lowest_gap(life: Life, placed: Sequence[tuple[int, int, Life]]) -> int:
    busy = sorted((a, b) for a, b, other in placed if other.first <= life.last and life.first <= other.last)
    offset = 0
    for start, end in busy:
        if offset + _aligned(life.nbytes) <= start:
            break
        offset = max(offset, end)
    return offset


def _aligned(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
