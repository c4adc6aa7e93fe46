"""What the tests of the kernels share: running one at every instruction set, and comparing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from striate import kernels
from striate.core import config

run = kernels.run


def each_level() -> Iterator[str]:
    """Puts each instruction set that this machine runs in force, one after the other."""
    before = kernels.isa()
    try:
        for level in kernels.available_isas():
            kernels.set_isa(level)
            yield level
    finally:
        kernels.set_isa(before)


def close(got: np.ndarray, want: np.ndarray, terms: int = 1) -> None:
    """Relative L2 error at most 1e-6; `terms`: how many products of about 1 were added, which bounds what cancellation
    may leave of a result."""
    assert got.shape == want.shape
    if got.size == 0:
        return
    error = np.linalg.norm((got.astype(np.float64) - want).ravel())
    scale = max(np.linalg.norm(np.asarray(want).ravel()), np.sqrt(terms * got.size))
    assert error <= 1e-6 * scale, f"relative error {error / scale:.2e} at {kernels.isa()}"


def same_bits(compute: Callable[[], np.ndarray]) -> None:
    before = config.num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            config.set_num_threads(threads)
            results.append(compute().tobytes())
    finally:
        config.set_num_threads(before)
    assert results[0] == results[1] == results[2]
