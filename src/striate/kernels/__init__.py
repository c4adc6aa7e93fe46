"""The compiled kernels: the only importer of the extension module.

Importing it gives the thread pool the number of threads that `core.config` says. The instruction set is the best one
that this processor runs, or the one that `STRIATE_ISA` names; one that it can't run is a ValueError at the first use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np

from striate.core import config
from striate.kernels import _native
from striate.kernels._native import Arena, Program, available_isas, idle_bytes, isa, set_isa

__all__ = [
    "Arena",
    "Program",
    "acquire",
    "activation_ids",
    "aligned_empty",
    "arena",
    "available_isas",
    "empty",
    "get_num_threads",
    "idle_bytes",
    "isa",
    "names",
    "place_arrays",
    "place_buffers",
    "release_memory",
    "run",
    "set_idle_bound",
    "set_isa",
    "set_num_threads",
    "together",
]

_ALIGNMENT = 64
_HUGE = 2 << 20  # bytes of a huge page, which NumPy asks for from twice as many on
_POOLED = 1 << 17  # bytes: smaller arrays stay with the allocator between calls
_KNOWN = frozenset({"float32", "float64", "int32", "int64", "uint8", "bool"})  # dtypes of kernels
_LARGEST = 1 << 62  # bytes: more is no number for C++

activation_ids = _native.activation_ids  # () -> {name: id}, the activations that kernels know
get_num_threads = _native.get_num_threads
set_num_threads = _native.set_num_threads
set_idle_bound = _native.set_idle_bound
place_arrays = _native.place_arrays  # (addresses: int64, {slot: dense array}): writes where the arrays lie
place_buffers = _native.place_buffers  # (addresses, slots, offsets, base), int64: writes base + offsets


def names() -> list[str]:
    """The names of the compiled kernels."""
    return sorted(_native.kernels())


def release_memory() -> None:
    """Gives the memory that lies idle between calls back to the system."""
    _native.release_idle()


def aligned_empty(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An uninitialised array that starts at a cache line."""
    wanted = np.dtype(dtype)
    return _aligned(prod(shape) * wanted.itemsize, _ALIGNMENT).view(wanted).reshape(shape)


def _aligned(nbytes: int, alignment: int) -> np.ndarray:
    raw = np.empty(nbytes + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + nbytes]


def empty(shape: Sequence[int], dtype: np.dtype[Any]) -> np.ndarray:
    """An uninitialised array for a result. A large one takes the memory of one that nobody refers to any more: the
    system clears new pages, which may take longer than computing what goes into them.
    """
    if prod(shape) * dtype.itemsize < _POOLED or dtype.name not in _KNOWN:
        return np.empty(shape, dtype)
    return _native.result_array(shape, dtype.name)


def together(kinds: Iterable[tuple[Sequence[int], np.dtype[Any]]]) -> list[np.ndarray]:
    """Uninitialised arrays of these shapes and dtypes side by side, each from a cache line on. What lies together can
    have huge pages, which single weights are too small for: a layer that walks through megabytes of them waits for
    their addresses too.
    """
    kinds = list(kinds)
    ends = list(accumulate(-(-prod(shape) * dtype.itemsize // _ALIGNMENT) * _ALIGNMENT for shape, dtype in kinds))
    total = ends[-1] if ends else 0
    memory = _aligned(total, _HUGE if total >= 2 * _HUGE else _ALIGNMENT)
    starts = [0, *ends]
    return [
        memory[start : start + prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
        for start, (shape, dtype) in zip(starts, kinds)
    ]


def acquire(nbytes: int) -> Arena:
    """Memory that goes back to the pool when nothing refers to it any more.

    Raises:
        MemoryError: there is not as much.
    """
    if nbytes > _LARGEST:
        raise MemoryError(f"the buffers of a model take {nbytes} bytes at once. Use smaller batches or images.")
    return Arena(nbytes)


@contextmanager
def arena(nbytes: int) -> Iterator[Arena]:
    """Memory for one running call (`.address`, `.view`), kept for the next one."""
    memory = acquire(max(nbytes, 1))
    try:
        yield memory
    finally:
        del memory


def run(
    kernel: str,
    inputs: Sequence[np.ndarray],
    outputs: Sequence[np.ndarray],
    ints: Sequence[int] = (),
    floats: Sequence[float] = (),
) -> None:
    """Runs one kernel on dense arrays, writing to `outputs`. See `striate.kernels.attributes` for `ints` and `floats`.

    Raises:
        KeyError: no such kernel.
        ValueError: an array that is not dense, a dtype that kernels don't know, or attributes that don't fit.
    """
    _native.run_kernel(kernel, [_raw(kernel, a) for a in inputs], [_raw(kernel, a) for a in outputs], ints, floats)


def _raw(kernel: str, array: np.ndarray) -> tuple[int, tuple[int, ...], str]:
    if not array.flags.c_contiguous:
        raise ValueError(f"kernel '{kernel}' needs dense arrays in C order. Use numpy.ascontiguousarray.")
    return array.ctypes.data, array.shape, str(array.dtype)


config.on_num_threads(set_num_threads)
