"""An axis as a row of cells with the windows below it: one picture for any number of axes."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, NamedTuple

from striate.core import window
from striate.models.windows import Axis

from .drawing import FILL, INK, LINE, MARK, Drawing

_CELL, _ROW, _LEFT = 26, 15, 58
_MOST_CELLS, _HEAD, _MOST_HEAD = 40, 18, 60  # longer axes show their two ends, with two windows at least if they can
_MOST_WINDOWS = 12
_LARGEST = 100_000


class Strip(NamedTuple):
    """What is drawn: positions `first` to `last` with a kind each (`value`, `pad`, `gap`, `left`), and the windows.

    A window is its output, its first position, and the distances of its taps.
    """

    first: int
    kinds: tuple[str, ...]
    windows: tuple[tuple[int, int, tuple[int, ...]], ...]
    step: int = 1  # between the units of a spread input, for their numbers

    @property
    def last(self) -> int:
        """The last position."""
        return self.first + len(self.kinds) - 1


def draw_axes(axes: Sequence[Axis], steps: Sequence[Any], alt: str) -> Drawing:
    """Each axis of a layer as a strip, under its formula; equal axes are drawn once."""
    made: list[tuple[list[str], Axis, Any]] = []
    for axis, step in zip(axes, steps, strict=True):
        if made and made[-1][1] == axis:
            made[-1][0].append(step.axis)
        else:
            made.append(([step.axis], axis, step))
    figures = "".join(_figure(" and ".join(names), axis, step) for names, axis, step in made)
    return Drawing(f'<div class="striate-drawing" style="display:grid;gap:1.2rem">{figures}</div>', alt)


def _figure(name: str, axis: Axis, step: Any) -> str:
    strip = strip_of(axis)
    caption = html.escape(f"{name}: {step.formula.split(' = ')[0]} = {step.numbers}" if step.numbers else name)
    picture = (
        "<p>The size of this axis is not known: give numbers to see its windows.</p>" if strip is None else svg(strip)
    )
    style = "margin:0;max-width:100%;overflow-x:auto"
    return f'<figure class="striate-strip" style="{style}"><figcaption>{caption}</figcaption>{picture}</figure>'


def strip_of(axis: Axis) -> Strip | None:
    """The strip of an axis; None where its size is not known, or too large to be a picture at all."""
    if axis.i is None or axis.i > _LARGEST:
        return None
    return _STRIPS.get(axis.kind, _plain_strip)(axis)


def _window_strip(axis: Axis) -> Strip:
    (lo, hi), i, o = axis.pads or (0, 0), axis.i or 0, axis.o or 0
    left = window.leftover(i, axis.k, axis.s, (lo, hi), axis.d) or 0
    kinds = ["pad"] * lo + ["value"] * i + ["pad"] * hi
    kinds[len(kinds) - left :] = [f"left {kind}" for kind in kinds[len(kinds) - left :]]
    taps = tuple(t * axis.d for t in range(axis.k))
    return Strip(-lo, tuple(kinds), tuple((n, n * axis.s - lo, taps) for n in _shown_windows(o)))


def _transposed_strip(axis: Axis) -> Strip:
    before, after = window.spread_pads(axis.k, axis.s, axis.padding, axis.d, axis.extra)
    spread = ["gap" if n % axis.s else "value" for n in range(axis.s * ((axis.i or 1) - 1) + 1)]
    kinds = ["pad"] * max(before, 0) + spread + ["pad"] * max(after, 0)
    taps = tuple(t * axis.d for t in range(axis.k))
    windows = tuple((n, n - before, taps) for n in _shown_windows(axis.o or 0))
    return Strip(-max(before, 0), tuple(kinds), windows, axis.s)


def _adaptive_strip(axis: Axis) -> Strip:
    pairs = window.adaptive_windows(axis.i or 0, axis.o or 1)
    windows = tuple((n, pairs[n][0], tuple(range(pairs[n][1] - pairs[n][0]))) for n in _shown_windows(len(pairs)))
    return Strip(0, ("value",) * (axis.i or 0), windows)


def _plain_strip(axis: Axis) -> Strip:
    lo, hi = axis.pads if axis.kind == "shift" and axis.pads else (0, 0)
    kinds = ("pad",) * max(lo, 0) + ("value",) * (axis.i or 0) + ("pad",) * max(hi, 0)
    whole = ((0, 0, tuple(range(axis.i or 0))),) if axis.kind == "global" else ()
    return Strip(-max(lo, 0), kinds, whole)


_STRIPS = {"window": _window_strip, "transposed": _transposed_strip, "adaptive": _adaptive_strip}


def _shown_windows(count: int) -> list[int]:
    """All outputs, or the first and the last ones."""
    if count <= _MOST_WINDOWS:
        return list(range(count))
    half = _MOST_WINDOWS // 2
    return [*range(half), *range(count - half, count)]


def svg(strip: Strip) -> str:
    """The strip as SVG: cells with their positions, a row for each window, its taps filled."""
    places = _places(strip)
    windows = [w for w in strip.windows if all(w[1] + t in places for t in w[2])]
    cells = "".join(_cell(strip, n, x) for n, x in places.items())
    rows = "".join(_window_row(w, n, places) for n, w in enumerate(windows))
    width, height = _LEFT + max(places.values()) + _CELL + 4, _CELL + 10 + _ROW * len(windows) + 4
    label = f"{len(strip.kinds)} cells, windows of {len(windows)} outputs"
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'style="max-width:100%;height:auto;min-width:{min(width, 420)}px;font:11px ui-sans-serif,sans-serif">'
        f"{cells}{_gap(strip, places)}{rows}</svg>"
    )


def _places(strip: Strip) -> dict[int, int]:
    """Where each shown position is drawn."""
    positions, head = range(strip.first, strip.last + 1), _head(strip)
    if len(strip.kinds) <= max(_MOST_CELLS, 2 * head):
        return {n: (n - strip.first) * _CELL for n in positions}
    found = {n: (n - strip.first) * _CELL for n in positions[:head]}
    return found | {n: (k + head + 2) * _CELL for k, n in enumerate(positions[-head:])}


def _head(strip: Strip) -> int:
    """How many cells of either end are shown of a long axis."""
    two = [first + taps[-1] - strip.first + 1 for _, first, taps in strip.windows[:2] if taps]
    return min(max([_HEAD, *two]), _MOST_HEAD)


def _gap(strip: Strip, places: dict[int, int]) -> str:
    if len(places) == len(strip.kinds):
        return ""
    x = _LEFT + (_head(strip) + 1) * _CELL
    return f'<text x="{x}" y="{_CELL / 2 + 4}" text-anchor="middle" style="fill:{INK}">…</text>'


def _cell(strip: Strip, position: int, x: int) -> str:
    kind = strip.kinds[position - strip.first]
    base = kind.split()[-1]
    fill = FILL["value"] if base == "value" else "none"
    stroke = f"stroke:{LINE}{'' if base == 'value' else ';stroke-dasharray:3 3'}"
    text = "0" if base != "value" else str(position // strip.step)
    cross = "" if not kind.startswith("left") else _cross(x)
    square = (
        f'<rect x="{_LEFT + x}" y="1" width="{_CELL}" height="{_CELL}" style="fill:{fill};fill-opacity:.3;{stroke}"/>'
    )
    faint = "" if base == "value" else ";opacity:.6"
    label = f'<text x="{_LEFT + x + _CELL / 2}" y="18" text-anchor="middle" style="fill:{INK}{faint}">{text}</text>'
    return f'<g data-kind="{kind}" data-position="{position}">{square}{cross}{label}</g>'


def _cross(x: int) -> str:
    """A cell that no window reaches is struck out."""
    return f'<path d="M{_LEFT + x + 3} {_CELL - 2}L{_LEFT + x + _CELL - 3} 4" style="stroke:{MARK};stroke-width:2"/>'


def _window_row(made: tuple[int, int, tuple[int, ...]], row: int, places: dict[int, int]) -> str:
    output, first, taps = made
    y = _CELL + 10 + row * _ROW
    start, end = _LEFT + places[first], _LEFT + places[first + taps[-1]] + _CELL
    line = f'<path d="M{start + 3} {y + 5}H{end - 3}" style="stroke:{MARK};stroke-width:1.5"/>'
    left = [_LEFT + places[first + t] + 3 for t in taps]
    size = f'width="{_CELL - 6}" height="10" rx="2"'
    dots = "".join(f'<rect x="{x}" y="{y}" {size} style="fill:{MARK}"/>' for x in left)
    label = f'<text x="0" y="{y + 9}" style="fill:{INK}">output {output}</text>'
    return f'<g data-output="{output}" data-first="{first}" data-last="{first + taps[-1]}">{label}{line}{dots}</g>'
