"""A network as papers draw it: a row of boxes, as high and deep as the maps, as long as there are channels."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from striate.core.errors import message
from striate.explain.diagram import COLOURS, text_width, what_it_does
from striate.explain.probe import channels_first, find
from striate.models.receptive import Call, calls
from striate.models.summary import kind

_HIGHEST, _LEAST, _GAP = 170.0, 5.0, 24.0
_SLANT = 0.42  # how far the depth leans to the right and up
_QUIET = ("activation", "normalization", "other")  # what changes no size is left out by default
_STANDALONE = (
    "<style>svg{color:#1f2328;background:#ffffff}@media(prefers-color-scheme:dark){"
    "svg{color:#e6e9ee;background:#14171c}}</style>"
)


class Volume(NamedTuple):
    """One layer's output: its name, kind, sizes of places (height, width), channels, and what makes it."""

    name: str
    title: str
    does: str
    places: tuple[int, ...]
    channels: int
    sources: tuple[int, ...]


def to_svg(model: Any, path: Any = None, input_shape: Any = None, layers: Any = None, names: bool = True) -> Volumes:
    """The volumes of a model's layers, as papers draw them.

    Each box is a layer's output: height and depth are those of its maps (their roots, so that small maps can still be
    seen), its length stands for the channels (their logarithm). The numbers are written beside it. Arcs go to merges
    from further back.

    Args:
        model: a functional or sequential model.
        path: where to write the SVG; nowhere by default.
        input_shape: `(batch, height, width, channels)`, where the model leaves sizes open.
        layers: which layers: names, indices, classes or a list; by default those that change a size or merge.
        names: whether the layers' names are written.

    Returns:
        `Volumes`: `.svg`, `.volumes`; shown by notebooks.

    Raises:
        ValueError: a model without a graph, or with open sizes and no `input_shape`.
    """
    listed = calls(model, input_shape)
    kept = None if layers is None else {id(f.layer) for f in find(model, layers, "to_svg")}
    made = Volumes(_volumes(listed, kept, model.name), model.name, names)
    if path is not None:
        Path(path).write_text(made.svg.replace("><g", f">{_STANDALONE}<g", 1), encoding="utf-8")
    return made


class Volumes:
    """A drawn row of volumes.

    Attributes:
        volumes: what is drawn, in order. svg: the picture.
    """

    def __init__(self, volumes: Sequence[Volume], name: str, names: bool = True) -> None:
        self.volumes, self.name = tuple(volumes), name
        self.svg = _svg(self.volumes, name, names)

    def _repr_html_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Volumes of {self.name}: {len(self.volumes)} layers>"


def _volumes(listed: Sequence[Call], kept: set[int] | None, model: str) -> list[Volume]:
    """The calls to draw; what was left out hands on where it came from."""
    found: list[Volume] = []
    standing: dict[int, tuple[int, ...]] = {}  # tensor -> the drawn volumes that it comes from
    sizes: dict[int, tuple[int, ...]] = {}
    for call in listed:
        sources = tuple(dict.fromkeys(n for x in call.inputs for n in standing.get(id(x), ())))
        places, channels = _sizes(call, model)
        layer = call.layer
        does = "input" if not call.inputs else what_it_does(layer)
        changed = not sources or sizes[sources[0]] != (*places, channels)
        drawn = not call.inputs or (id(layer) in kept if kept is not None else changed or does not in _QUIET)
        if drawn:
            sizes[len(found)] = (*places, channels)
            title = "Input" if not call.inputs else kind(layer)
            found.append(Volume(call.path, title, does, places, channels, sources))
            sources = (len(found) - 1,)
        standing.update({id(t): sources for t in call.outputs})
    return found


def _sizes(call: Call, model: str) -> tuple[tuple[int, ...], int]:
    shape = call.output_shape[1:]
    if None in shape:
        problem = f"the output of '{call.path}' is {call.output_shape}: its size is open"
        raise ValueError(message(f"to_svg of '{model}'", problem, "Give `input_shape`, such as (1, 224, 224, 3)"))
    if not shape:
        return (), 1
    if channels_first(call.layer) and len(shape) > 1:
        return tuple(shape[1:]), int(shape[0])
    return tuple(shape[:-1]), int(shape[-1])


# Drawing -------------------------------------------------------------------------------------------------------------


class _Solid(NamedTuple):
    """A box in the picture: front's left edge and middle, its length, height and depth."""

    x: float
    length: float
    height: float
    depth: float

    @property
    def lean(self) -> tuple[float, float]:
        """How far the back lies to the right and up."""
        return self.depth * _SLANT, self.depth * _SLANT * 0.8

    @property
    def right(self) -> float:
        return self.x + self.length + self.lean[0]

    @property
    def top(self) -> float:
        return -self.height / 2 - self.lean[1]


def _solids(volumes: Sequence[Volume], names: bool) -> list[_Solid]:
    largest = max((n for v in volumes for n in v.places), default=1)
    made: list[_Solid] = []
    right = 0.0
    for v in volumes:
        length, high, deep = _extent(v, largest)
        words = max(text_width(_numbers(v), 11), text_width(_short(v), 10.5) * 0.3 if names else 0)
        lean = deep * _SLANT
        start = max(right + _GAP, (made[-1].x + made[-1].length / 2 if made else 0) + words * 0.5 + 14)
        made.append(_Solid(start, length, high, deep))
        right = start + length + lean
    return made


def _extent(v: Volume, largest: int) -> tuple[float, float, float]:
    """Length, height, depth; without places the channels stand upright, as a dense layer is drawn."""
    amount = 4 + 5.2 * math.log2(1 + v.channels)
    if not v.places:
        return 9.0, 14 + 11 * math.log2(1 + v.channels), _LEAST
    scale = _HIGHEST / math.sqrt(largest)
    high, deep = (_LEAST + scale * math.sqrt(n) for n in (v.places[-2] if len(v.places) > 1 else 1, v.places[-1]))
    return amount, high, deep if len(v.places) > 1 else deep * 0.6


def _numbers(v: Volume) -> str:
    return "×".join(str(n) for n in (*v.places, v.channels))


def _svg(volumes: Sequence[Volume], name: str, names: bool) -> str:
    solids = _solids(volumes, names)
    tops = [s.top for s in solids]
    arcs, rise = _arcs(volumes, solids)
    left = min((_leftmost(v, s, names) for v, s in zip(volumes, solids, strict=True)), default=0) - 6
    right = max((s.right for s in solids), default=0) + 40
    foot = max((s.height / 2 for s in solids), default=0)
    top = min(tops, default=0) - rise - 22
    below = max((text_width(_short(v), 10.5) for v in volumes), default=0) * 0.64 + 44 if names else 34
    bottom = foot + below
    legend, wide = _legend(volumes, left + 6, bottom + 6)
    right, bottom = max(right, wide), bottom + 30
    body = "".join(_solid(v, s, foot, names) for v, s in zip(volumes, solids, strict=True))
    lines = "".join(_step(volumes, solids, n) for n in range(len(volumes)))
    w, h = right - left, bottom - top
    label = html.escape(f"The volumes of {name}'s layers", True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" '
        f'viewBox="{left:.0f} {top:.0f} {w:.0f} {h:.0f}" width="{w:.0f}" height="{h:.0f}" style="max-width:100%;'
        f'height:auto" font-family="ui-sans-serif,system-ui,sans-serif"><g fill="currentColor">{arcs}{lines}{body}'
        f"{legend}</g></svg>"
    )


def _solid(v: Volume, s: _Solid, foot: float, names: bool) -> str:
    dx, dy = s.lean
    x0, x1, y0, y1 = s.x, s.x + s.length, -s.height / 2, s.height / 2
    colour = COLOURS[v.does]
    faces = (
        ([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], 0.5),
        ([(x0, y0), (x0 + dx, y0 - dy), (x1 + dx, y0 - dy), (x1, y0)], 0.28),
        ([(x1, y0), (x1 + dx, y0 - dy), (x1 + dx, y1 - dy), (x1, y1)], 0.72),
    )
    drawn = "".join(
        f'<path d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in corners)}z" fill="{colour}" fill-opacity="{shade}" '
        f'stroke="{colour}" stroke-width="1" stroke-linejoin="round"/>'
        for corners, shade in faces
    )
    middle = (x0 + x1) / 2
    numbers = f'<text x="{middle:.1f}" y="{foot + 18:.1f}" font-size="11" text-anchor="middle">{_numbers(v)}</text>'
    title = f"<title>{html.escape(f'{v.title} {v.name}: {_numbers(v)}')}</title>"
    return f"<g>{title}{drawn}{numbers}{_name(v, middle, foot) if names else ''}</g>"


def _name(v: Volume, middle: float, foot: float) -> str:
    """The name, slanted, so that long ones find room."""
    x, y = middle + 4, foot + 32
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="10.5" fill-opacity=".75" text-anchor="end" '
        f'transform="rotate(-40 {x:.1f} {y:.1f})">{html.escape(_short(v))}</text>'
    )


def _leftmost(v: Volume, s: _Solid, names: bool) -> float:
    """How far the texts below a box go to the left."""
    slanted = text_width(_short(v), 10.5) * 0.77 if names else 0.0
    return s.x + s.length / 2 - max(slanted, text_width(_numbers(v), 11) / 2, s.length / 2)


def _short(v: Volume) -> str:
    return v.name.split("/")[-1]


def _step(volumes: Sequence[Volume], solids: Sequence[_Solid], n: int) -> str:
    """A short line from the box before, where this one is made of it."""
    if n == 0 or n - 1 not in volumes[n].sources:
        return ""
    start, end = solids[n - 1].right + 2, solids[n].x - 2
    if end - start < 5:
        return ""
    return (f'<path d="M{start:.1f} 0H{end:.1f}" stroke="currentColor" stroke-opacity=".5" stroke-width="1.2"/>'
            f'<path d="M{end - 5:.1f} -3L{end:.1f} 0L{end - 5:.1f} 3" fill="none" stroke="currentColor" '
            'stroke-opacity=".6" stroke-width="1.2"/>')  # fmt: skip


def _arcs(volumes: Sequence[Volume], solids: Sequence[_Solid]) -> tuple[str, float]:
    """Arcs over the row for what comes from further back, and how high they go."""
    found, rise = [], 0.0
    for n, v in enumerate(volumes):
        for m in (m for m in v.sources if m != n - 1):
            over = min(s.top for s in solids[m : n + 1]) - 14 - 5 * min(n - m, 8)
            a, b = solids[m], solids[n]
            x0, x1 = a.x + a.length / 2 + a.lean[0] / 2, b.x + b.length / 2 + b.lean[0] / 2
            y0, y1 = a.top + a.lean[1] / 2, b.top - 3 + b.lean[1] / 2
            found.append(
                f'<path d="M{x0:.1f} {y0:.1f}C{x0:.1f} {over:.1f} {x1:.1f} {over:.1f} {x1:.1f} {y1:.1f}" fill="none" '
                f'stroke="{COLOURS["merge"]}" stroke-width="1.5"/>'
            )
            rise = max(rise, min(s.top for s in solids) - over)
    return "".join(found), rise


def _legend(volumes: Sequence[Volume], x: float, y: float) -> tuple[str, float]:
    """A patch of colour for each kind that is there."""
    parts = []
    for does in dict.fromkeys(v.does for v in volumes):
        parts.append(
            f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="11" height="11" rx="2" fill="{COLOURS[does]}" '
            f'fill-opacity=".6"/><text x="{x + 16:.1f}" y="{y:.1f}" font-size="11" fill-opacity=".8">{does}</text>'
        )
        x += 16 + text_width(does, 11) + 18
    return "".join(parts), x
