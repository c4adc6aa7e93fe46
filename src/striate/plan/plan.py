"""A plan: frozen data that says which steps run in which order on which memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import prod
from typing import Any

import numpy as np

from striate.core import dtypes


class Place(Enum):
    """Where a buffer's memory comes from."""

    INPUT = "input"  # the caller's array
    CONSTANT = "constant"  # kept with the plan
    KEPT = "kept"  # computed once per version of the weights
    ARENA = "arena"  # shared memory of the running call
    OUTPUT = "output"  # a new array for the caller


@dataclass(frozen=True)
class Buffer:
    """Memory for one array. `index`: its position among the inputs or outputs, or its offset in the arena in bytes."""

    shape: tuple[int, ...]
    dtype: str
    place: Place
    index: int = 0
    data: np.ndarray | None = field(default=None, compare=False)

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * dtypes.as_numpy(self.dtype).itemsize


@dataclass(frozen=True)
class Operand:
    """A buffer as a step sees it: a reshape is only another shape of the same memory."""

    slot: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Origin:
    """What a step is for.

    Attributes:
        op: the primitive's name; of several that run as one the first one's.
        where: the paths of the layers, the main one first; none for what stands outside all layers.
        flops: multiplications and additions of convolutions and products, counted as the definition has them (two per
            tap), whatever the algorithm saves. Elementwise work, which memory bounds, counts nothing.
    """

    op: str
    where: tuple[str, ...]
    flops: int


@dataclass(frozen=True)
class Step:
    """One kernel's run (`kernel` names it), or, with `primitive`, one NumPy step with `params`; `origin`: what for."""

    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    kernel: str | None = None
    ints: tuple[int, ...] = ()
    floats: tuple[float, ...] = ()
    primitive: str | None = None
    params: dict[str, Any] = field(default_factory=dict, compare=False)
    origin: Origin | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Plan:
    """Steps over buffers.

    Attributes:
        once: steps that depend on weights and constants alone, run once per version of the weights.
        steps: the steps of each call.
        buffers: by slot.
        outputs: what the caller gets, in order.
        arena_bytes: the size of the shared memory that a running call needs.
    """

    once: tuple[Step, ...]
    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]
    outputs: tuple[Operand, ...]
    arena_bytes: int

    def __str__(self) -> str:
        lines = [f"plan: {len(self.buffers)} buffers, {self.arena_bytes / 2**20:.2f} MB of arena"]
        lines += [f"  once  {_describe(s)}" for s in self.once]
        lines += [f"  {_describe(s)}" for s in self.steps]
        return "\n".join(lines)


def _describe(step: Step) -> str:
    ins = ", ".join(f"#{o.slot}{list(o.shape)}" for o in step.inputs)
    outs = ", ".join(f"#{o.slot}{list(o.shape)}" for o in step.outputs)
    return f"{outs} = {step.kernel or 'numpy ' + str(step.primitive)}({ins})"
