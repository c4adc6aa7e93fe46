"""`striate tour`."""

from __future__ import annotations

from pathlib import Path


def run_tour(image: Path | None, weights: Path | None, out: Path) -> None:
    """Writes the tour's page."""
