"""The compiled kernels: the only importer of the extension module.

Importing it picks the best instruction set that this processor runs, or the one that `STRIATE_ISA` names, and gives the
thread pool the number of threads that `core.config` says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from striate.core import config
from striate.kernels import _native
from striate.kernels._native import Block, Program, available_isas, idle_bytes, isa, release_memory, set_isa

__all__ = [
    "Block",
    "Program",
    "activation_ids",
    "aligned_empty",
    "arena",
    "available_isas",
    "idle_bytes",
    "isa",
    "names",
    "release_memory",
    "run",
    "set_isa",
]

_ALIGNMENT = 64


def names() -> list[str]:
    """The names of the compiled kernels."""
    return sorted(_native.kernels())


def activation_ids() -> dict[str, int]:
    """The activations that kernels know, by name."""
    return {name: number for number, name in enumerate(_native.activations())}


def aligned_empty(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An uninitialised array that starts at a cache line."""
    wanted = np.dtype(dtype)
    nbytes = int(np.prod(shape, dtype=np.int64)) * wanted.itemsize
    raw = np.empty(nbytes + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + nbytes].view(wanted).reshape(shape)


@contextmanager
def arena(nbytes: int) -> Iterator[Block]:
    """Memory for one running call, kept for the next one."""
    block = Block(max(nbytes, 1))
    try:
        yield block
    finally:
        del block


def run(
    kernel: str,
    inputs: Sequence[np.ndarray],
    outputs: Sequence[np.ndarray],
    ints: Sequence[int] = (),
    floats: Sequence[float] = (),
) -> None:
    """Runs one kernel on dense arrays, writing to `outputs`.

    Raises:
        KeyError: no such kernel.
        ValueError: an array that is not dense, or a dtype that kernels don't know.
    """
    arrays = [*inputs, *outputs]
    for array in arrays:
        if not array.flags.c_contiguous:
            raise ValueError(f"kernel '{kernel}' needs dense arrays in C order. Use numpy.ascontiguousarray.")
    operands = [(i, a.shape, str(a.dtype)) for i, a in enumerate(arrays)]
    program = Program([(kernel, operands[: len(inputs)], operands[len(inputs) :], ints, floats)], len(arrays))
    program.run(np.array([a.ctypes.data for a in arrays], np.int64))


def _start() -> None:
    wanted = os.environ.get("STRIATE_ISA")
    if wanted:
        set_isa(wanted)
    config.on_num_threads(_native.set_threads)


_start()
