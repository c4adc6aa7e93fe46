"""The ratios as a picture that reads on white and on black."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.figures import ratio
from benchmarks.settings import title_of
from benchmarks.workloads import RIVALS, VERSUS

FLOOR = 0.01  # smaller ratios are drawn here, as arrows
INK = "#7d8590"  # readable on both
COLOURS = dict(zip(RIVALS, ("#2f81f7", "#3fb950", "#d29922", "#db6d28", "#f85149", "#bc8cff", "#e3659b", "#39c5cf",
                            "#8fb339", "#c08457", "#6e8bd6")))  # fmt: skip


def points(report: dict[str, Any]) -> list[tuple[str, dict[str, float], list[float]]]:
    """For each row that has rivals: its title, each rival's ratio, the ratios aimed at."""
    found = []
    for row in report["rows"]:
        ratios = {name: ratio(row, VERSUS, name) for name in row["candidates"] if name in RIVALS and name != VERSUS}
        known = {name: value for name, value in ratios.items() if value is not None}
        if known:
            found.append((row["title"], known, [target["at_most"] for target in row["targets"] if target["rivals"]]))
    return found


def draw(report: dict[str, Any], path: Path) -> bool:
    """Writes the chart; False if there is nothing to draw."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = points(report)
    if not rows:
        return False
    figure, axes = plt.subplots(figsize=(10, 1.6 + 0.36 * len(rows)), layout="constrained")
    _dots(axes, rows)
    _dress(axes, [title for title, _, _ in rows])
    figure.savefig(path, transparent=True, dpi=160)
    plt.close(figure)
    return True


def _dots(axes: Any, rows: list[tuple[str, dict[str, float], list[float]]]) -> None:
    named: set[str] = set()
    for y, (_, ratios, aims) in enumerate(rows):
        for name, value in ratios.items():
            label = None if name in named else title_of(name)
            axes.plot(
                max(value, FLOOR),
                y,
                "o" if value > FLOOR else "<",
                color=COLOURS[name],
                markersize=6,
                alpha=0.85,
                label=label,
            )
            named.add(name)
        for aim in aims:
            label = None if "aim" in named else "aimed at"
            axes.plot([aim, aim], [y - 0.38, y + 0.38], color=INK, linewidth=1.6, label=label)
            named.add("aim")


def _dress(axes: Any, titles: list[str]) -> None:
    axes.set_yticks(range(len(titles)), titles)
    axes.invert_yaxis()
    axes.set_xscale("log")
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0]
    low, high = axes.get_xlim()
    kept = [t for t in ticks if low <= t <= max(high, 1.0)]
    axes.set_xticks(kept, [f"{t:g}" for t in kept], minor=False)
    axes.set_xticks([], minor=True)
    axes.axvline(1.0, color=INK, linewidth=1.0)
    axes.grid(axis="x", color=INK, alpha=0.25)
    axes.set_xlabel("striate over the rival (left of 1: striate is faster, or smaller)", color=INK)
    axes.tick_params(colors=INK, which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.figure.legend(loc="outside lower center", ncols=4, frameon=False, labelcolor=INK)
