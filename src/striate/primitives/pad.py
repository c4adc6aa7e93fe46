"""Padding: a constant value, or the input continued by reflection, its edge, or around.

The modes are NumPy's names. Continuing the input is a `take` per axis, so its gradient is `scatter_add`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.ir import Aval
from striate.primitives.base import Array, Primitive, aval_of, register
from striate.primitives.gather import scatter_add
from striate.primitives.structural import slice_

Widths = tuple[tuple[int, int], ...]

MODES = ("constant", "reflect", "symmetric", "edge", "wrap")


def _infer(x: Aval, *, widths: Widths, mode: str = "constant", value: float = 0) -> Aval:
    if mode not in MODES:
        raise ValueError(f"pad: unknown mode {mode!r}. Use one of {', '.join(MODES)}.")
    if len(widths) != len(x.shape) or any(lo < 0 or hi < 0 for lo, hi in widths):
        raise ValueError(
            f"pad: expected a pair of sizes >= 0 for each of the {len(x.shape)} axes of {x.shape}, got {widths}."
        )
    if mode != "constant" and any(n == 0 and lo + hi for n, (lo, hi) in zip(x.shape, widths, strict=True)):
        raise ValueError(f"pad: an axis of size 0 of shape {x.shape} has nothing to continue with mode {mode!r}.")
    return Aval(tuple(n + lo + hi for n, (lo, hi) in zip(x.shape, widths, strict=True)), x.dtype)


def _pad(x: np.ndarray, *, widths: Widths, mode: str = "constant", value: float = 0) -> np.ndarray:
    if not widths:
        return x
    settings: Any = {"constant_values": value} if mode == "constant" else {}
    return np.pad(x, widths, mode=mode, **settings)  # type: ignore[call-overload]


def _vjp(g: Array, y: Array, x: Array, *, widths: Widths, mode: str = "constant", value: float = 0) -> tuple[Array]:
    shape = aval_of(x).shape
    if mode == "constant":
        stops = tuple(lo + n for n, (lo, _) in zip(shape, widths, strict=True))
        return (slice_(g, starts=tuple(lo for lo, _ in widths), stops=stops, steps=(1,) * len(shape)),)
    for axis, (n, pair) in enumerate(zip(shape, widths, strict=True)):
        if any(pair):
            g = scatter_add(g, source(n, pair, mode), axis=axis, size=n)
    return (g,)


def source(size: int, pair: tuple[int, int], mode: str) -> np.ndarray:
    """For each cell of a padded axis the cell of the input that it copies."""
    return np.pad(np.arange(size, dtype=np.int32), pair, mode=mode)  # type: ignore[call-overload]


pad: Primitive = register(Primitive("pad", _infer, _pad, _vjp, "pad"))
