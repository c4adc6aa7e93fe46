"""How the calls of tests/ops_cases.py are written down, and how their arrays are drawn: from a fixed seed."""

from __future__ import annotations

from typing import Any

import numpy as np

RNG = np.random.default_rng(7)


def f(*shape: int) -> np.ndarray:
    """Floats around 0, a few of them whole."""
    made = RNG.normal(size=shape).astype("float32") * 2
    return np.where(RNG.uniform(size=shape) < 0.1, np.round(made), made).astype("float32")


def p(*shape: int) -> np.ndarray:
    """Floats in (0.05, 0.95)."""
    return RNG.uniform(0.05, 0.95, size=shape).astype("float32")


def i(*shape: int, low: int = -5, high: int = 6, dtype: str = "int32") -> np.ndarray:
    return RNG.integers(low, high, size=shape).astype(dtype)


def b(*shape: int) -> np.ndarray:
    return RNG.uniform(size=shape) < 0.5


def with_nan(*shape: int) -> np.ndarray:
    made = f(*shape)
    made.flat[:: max(made.size // 3, 1)] = np.nan
    return made


Case = tuple[str, tuple[Any, ...], dict[str, Any]]
CASES: list[Case] = []
IMAGE_CASES: list[Case] = []  # compared with a wider tolerance


def case(name: str, *args: Any, **kwargs: Any) -> None:
    CASES.append((name, args, kwargs))


def image(name: str, *args: Any, **kwargs: Any) -> None:
    IMAGE_CASES.append((name, args, kwargs))
