"""The memory plan: buffers whose lives don't overlap share the arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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
    placed = _Placed(len(lives))
    offsets = {}
    for life in sorted(lives, key=lambda item: (-item.nbytes, item.first)):
        offsets[life.slot] = placed.add(life.first, life.last, _aligned(life.nbytes))
    return offsets, placed.size


class _Placed:
    """Buffers with their offsets, as columns: when they live, and where they start and end."""

    def __init__(self, most: int) -> None:
        self.first, self.last, self.start, self.end = np.zeros((4, most), np.int64)
        self.count = self.size = 0

    def add(self, first: int, last: int, nbytes: int) -> int:
        """Places a buffer in the lowest gap between those that live at the same time; its offset."""
        n, offset = self.count, self._gap(first, last, nbytes)
        self.first[n], self.last[n], self.start[n], self.end[n] = first, last, offset, offset + nbytes
        self.count, self.size = n + 1, max(self.size, offset + nbytes)
        return offset

    def _gap(self, first: int, last: int, nbytes: int) -> int:
        n = self.count
        at_once = np.flatnonzero((self.first[:n] <= last) & (self.last[:n] >= first))
        if not len(at_once):
            return 0
        busy = at_once[np.argsort(self.start[at_once])]
        free = np.maximum.accumulate(np.concatenate(([0], self.end[busy])))  # from where on, before each and at last
        fits = np.flatnonzero(free[:-1] + nbytes <= self.start[busy])
        return int(free[fits[0] if len(fits) else -1])


def _aligned(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
