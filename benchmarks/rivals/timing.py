"""The choice between ways that one runtime offers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def fastest(runs: dict[str, Callable[[], Any]], times: int = 3) -> str:
    """The name of the run with the smallest time of some, each warmed up once."""
    best: dict[str, float] = {}
    for name, run in runs.items():
        run()
        best[name] = min(seconds(run) for _ in range(times))
    return min(best, key=best.__getitem__)


def seconds(run: Callable[[], Any]) -> float:
    """Of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
