"""The table of `striate bench`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from striate.ir.where import GRADIENT

if TYPE_CHECKING:
    from striate.explain.profiling import LayerProfile, Profile

_MB = 1e6
_NUMBERS = {"ms": 8, "%": 3, "GFLOP/s": 7, "peak": 5}
_ALGORITHM, _TRAFFIC = 13, {"read": 6, "written": 7}
_LEAST = 12


def show(found: Profile, title: str, batch: int) -> None:
    """Prints the profile to standard output; in a narrow terminal the names of layers are cut."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"{title}, batch {batch}, {found.threads} threads, {found.isa}, median of {found.rounds} runs")
    console.print(_table([_row(layer, found) for layer in found.layers], _total(found), console.width))
    console.print(_summary(found))


def _table(rows: list[list[str]], total: list[str], width: int) -> Any:
    from rich.table import Table

    columns = {**_NUMBERS, "algorithm": _ALGORITHM, **_TRAFFIC}
    room = width - sum(n + 1 for n in columns.values())
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", collapse_padding=True)
    longest = max(len(row[0]) for row in (*rows, total))
    table.add_column("layer", overflow="ellipsis", no_wrap=True, width=max(_LEAST, min(longest, room)))
    for name, size in columns.items():
        justify: Any = "left" if name == "algorithm" else "right"
        table.add_column(name, justify=justify, overflow="ellipsis", no_wrap=True, width=size)
    for row in rows:
        table.add_row(*row)
    table.add_row(*total, style="bold")
    return table


def _row(layer: LayerProfile, found: Profile) -> list[str]:
    fused = [name.rpartition("/")[2] for name in layer.fused if not name.endswith(GRADIENT)]
    more = len({s.algorithm for s in layer.steps} - {layer.algorithm, "pack"})
    return [
        " + ".join([layer.name, *fused]),
        f"{layer.seconds * 1e3:.2f}",
        f"{100 * layer.seconds / found.seconds:.0f}" if found.seconds else "",
        *_speed(layer.flops, layer.gflops, found.peak_gflops),
        _plain(layer.algorithm) + (f" +{more}" if more else ""),
        *(f"{n / _MB:.1f}" for n in (layer.read, layer.written)),
    ]


def _plain(algorithm: str) -> str:
    """Without what the layer's name says: that it is a gradient."""
    return re.sub(r"^(kernel|input)_grad(_|$)", "", algorithm) or "direct"


def _speed(flops: int, gflops: float, peak: float) -> list[str]:
    return [f"{gflops:.0f}", f"{100 * gflops / peak:.0f}%"] if flops else ["", ""]


def _total(found: Profile) -> list[str]:
    gflops = found.flops / found.seconds / 1e9 if found.seconds else 0.0
    traffic = (sum(x.read for x in found.layers), sum(x.written for x in found.layers))
    speed = _speed(found.flops, gflops, found.peak_gflops)
    return ["total", f"{found.seconds * 1e3:.2f}", "100", *speed, "", *(f"{n / _MB:.0f}" for n in traffic)]


def _summary(found: Profile) -> str:
    return (
        f"One call takes {found.call_seconds * 1e3:.2f} ms for {found.flops / 1e9:.2f} GFLOP; the machine's peak is "
        f"{found.peak_gflops:.0f} GFLOP/s. Memory: an arena of {found.arena_bytes / _MB:.1f} MB, and "
        f"{found.kept_bytes / _MB:.1f} MB kept between calls (packed weights; the weights themselves come on top).\n"
        "GFLOP/s count what the definition of convolution multiplies and adds, so algorithms that save some of it go "
        "beyond the peak. read, written: MB."
    )
