"""What is computed once from weights, such as packed kernels, and shared by all plans that compute the same of them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from striate import kernels
from striate.core import dtypes
from striate.plan import Operand, Place, Plan, Step

_MOST_CONSTANT = 1 << 16  # bytes; what larger constants go into is not shared, for they would have to be read through
_SHARED: WeakValueDictionary[bytes, np.ndarray] = WeakValueDictionary()  # alive as long as some plan keeps it
_LOCK = threading.Lock()


class Kept:
    """The steps of a plan that depend on weights and constants alone, and which of their results it keeps.

    Args:
        plan: whose `once` they are.
        stable: the inputs (weights) that are the same as long as their versions are.
    """

    def __init__(self, plan: Plan, stable: Iterable[int]) -> None:
        self.plan = plan
        position = {index: i for i, index in enumerate(sorted(stable))}
        self._position = {
            slot: position[b.index]
            for slot, b in enumerate(plan.buffers)
            if b.place is Place.INPUT and b.index in position
        }
        kept = {slot for slot, b in enumerate(plan.buffers) if b.place is Place.KEPT}
        self.slots = kept & {o.slot for s in plan.steps for o in s.inputs}
        self._constants = {slot: _digest(b.data) for slot, b in enumerate(plan.buffers) if b.data is not None}

    @property
    def nbytes(self) -> int:
        """Of the results."""
        return sum(self.plan.buffers[slot].nbytes for slot in self.slots)

    def found(self, versions: Sequence[int] | None) -> tuple[dict[int, bytes], dict[int, np.ndarray]]:
        """The names of results that others may have too, and those that others have, by slot."""
        names = self._names(versions) if versions is not None else {}
        with _LOCK:
            there = {slot: _SHARED.get(name) for slot, name in names.items()}
        return names, {slot: array for slot, array in there.items() if array is not None}

    def share(self, names: Mapping[int, bytes], arrays: dict[int, np.ndarray]) -> None:
        """Offers `arrays` to other plans. Where another thread was faster, what it made takes the place in `arrays`."""
        with _LOCK:
            for slot in names.keys() & arrays.keys():
                arrays[slot] = _SHARED.setdefault(names[slot], arrays[slot])

    def steps(self, missing: Iterable[int]) -> list[Step]:
        """What has to run for the results `missing`."""
        wanted, chosen = set(missing), []
        for step in reversed(self.plan.once):
            if any(o.slot in wanted for o in step.outputs):
                chosen.append(step)
                wanted.update(o.slot for o in step.inputs)
        return chosen[::-1]

    def room(self, steps: Iterable[Step], missing: Collection[int]) -> dict[int, np.ndarray]:
        """Memory for what `steps` compute: what is `missing`, side by side, and what they need only in between."""
        slots = dict.fromkeys(o.slot for step in steps for o in step.outputs)
        staying = [slot for slot in slots if slot in missing]
        arrays = dict(zip(staying, kernels.together(map(self._kind, staying))))
        return arrays | {slot: kernels.aligned_empty(*self._kind(slot)) for slot in slots if slot not in missing}

    def _kind(self, slot: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
        buffer = self.plan.buffers[slot]
        return buffer.shape, dtypes.as_numpy(buffer.dtype)

    def _names(self, versions: Sequence[int]) -> dict[int, bytes]:
        """Of each result that is the same wherever the same kernels meet the same weights: its digest."""
        names: dict[int, bytes | None] = dict(self._constants)
        names.update((slot, b"weight %d" % versions[i]) for slot, i in self._position.items())
        for step in self.plan.once:
            name = self._name(step, names)
            for i, o in enumerate(step.outputs):  # one slot written by two steps is no step's result alone
                names[o.slot] = (
                    blake2b(b"%d" % i + name, digest_size=20).digest() if name and o.slot not in names else None
                )
        return {slot: name for slot in self.slots if (name := names.get(slot)) is not None}

    def _name(self, step: Step, names: Mapping[int, bytes | None]) -> bytes | None:
        given = [names.get(o.slot) for o in step.inputs]
        if step.kernel is None or None in given:
            return None
        shapes = [_seen(o) for o in (*step.inputs, *step.outputs)]
        return repr((kernels.isa(), step.kernel, step.ints, step.floats, given, shapes)).encode()


def _seen(operand: Operand) -> tuple[tuple[int, ...], str]:
    return operand.shape, operand.dtype


def _digest(data: np.ndarray) -> bytes | None:
    """The name of a constant, or None for a large one."""
    if data.nbytes > _MOST_CONSTANT:
        return None
    return blake2b(repr((data.shape, str(data.dtype))).encode() + data.tobytes(), digest_size=20).digest()
