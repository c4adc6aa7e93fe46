"""Figures from samples: medians, quartiles, ratios, and whether a target is met. Works on plain dictionaries (JSON)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Result = dict[str, Any]  # a row's: {"name", "title", "unit", "candidates": {name: {...}}, "targets": [...]}


def summary(samples: Sequence[float]) -> dict[str, Any]:
    """Median and quartiles."""
    low, middle, high = np.percentile(samples, [25, 50, 75])
    return {"median": float(middle), "low": float(low), "high": float(high), "samples": [float(s) for s in samples]}


def median(result: Result, name: str) -> float | None:
    """A candidate's; None if it has none."""
    return result["candidates"].get(name, {}).get("median")


def best(result: Result, names: Sequence[str]) -> str | None:
    """The candidate of `names` with the smallest median."""
    found = {name: m for name in names if (m := median(result, name)) is not None}
    return min(found, key=found.__getitem__) if found else None


def ratio(result: Result, subject: str, rival: str | None) -> float | None:
    """Of the medians; None where one is missing."""
    ours, theirs = median(result, subject), median(result, rival) if rival else None
    return None if ours is None or not theirs else ours / theirs


def judged(result: Result, target: dict[str, Any], subject: str) -> dict[str, Any]:
    """A target with the rival that counts, the value and whether it is met (None: not measured)."""
    rival = best(result, target["rivals"])
    value = ratio(result, subject, rival) if target["rivals"] else median(result, subject)
    return {**target, "best": rival, "value": value, "met": None if value is None else value <= target["at_most"]}


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """||found - expected|| / ||expected||, in float64; infinite for other shapes or values that are not finite."""
    if found.shape != expected.shape:
        return float("inf")
    a, b = found.astype(np.float64), expected.astype(np.float64)
    error = float(np.linalg.norm(a - b) / max(np.linalg.norm(b), np.finfo(np.float64).tiny))
    return error if np.isfinite(error) else float("inf")
