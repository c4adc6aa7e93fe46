"""Runs compiled kernels directly, at every instruction set and with several numbers of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from striate import kernels

run = kernels.run


def each_level() -> Iterator[str]:
    """Puts each instruction set that this machine runs in force, the one in force before at the end."""
    before = kernels.isa()
    try:
        for level in kernels.available_isas():
            kernels.set_isa(level)
            yield level
    finally:
        kernels.set_isa(before)


def close(got: np.ndarray, expected: np.ndarray, tolerance: float = 1e-6, terms: int = 0) -> None:
    """Fails unless the relative L2 error against `expected`, in float64, is within the tolerance.

    `terms`: how many products of about 1 each value sums; where they cancel, the error is relative to what they come to
    without.
    """
    assert got.shape == expected.shape, f"{kernels.isa()}: shape {got.shape}, expected {expected.shape}"
    wanted = np.asarray(expected, np.float64)
    with np.errstate(invalid="ignore"):
        error = np.linalg.norm((got - wanted).ravel())
    size = max(np.linalg.norm(wanted.ravel()), float(np.sqrt(terms * got.size)))
    assert error <= tolerance * size, f"{kernels.isa()}: relative error {error / size if size else error:.2e}"


def same_bits(compute: Callable[[], np.ndarray]) -> None:
    """Fails unless 1, 2 and 3 threads give the same bits."""
    before = kernels.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            kernels.set_num_threads(count)
            results.append(compute().tobytes())
    finally:
        kernels.set_num_threads(before)
    assert results[0] == results[1] == results[2], f"{kernels.isa()}: results differ between numbers of threads"
