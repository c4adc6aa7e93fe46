"""An animation as HTML that plays by itself: no network, as many on a page as one likes."""

from __future__ import annotations

import html
import importlib.resources
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from .layout import cell_size, side_for
from .scene import Cell, Group, Look, Plane, Sign
from .svg import cells, grey, outline
from .themes import style
from .view import View

_SCOPE = ".striate-player"
_ICONS = {
    "back": '<path d="M17 4v16L6 12zM4 4h2v16H4z"/>',
    "play": '<path class="striate-play" d="M6 3l15 9-15 9z"/>'
    '<path class="striate-pause" d="M5 4h5v16H5zM14 4h5v16h-5z"/>',
    "forward": '<path d="M7 4v16l11-8zM18 4h2v16h-2z"/>',
}


@cache
def _file(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def player(
    scene: Group, looks: Sequence[Look], words: str, notes: Sequence[str] = (), seconds: float = 0.7,
    theme: str | None = None, autoplay: bool = False, start: int = 0,
) -> str:  # fmt: skip
    """The figure with its style, script and data.

    Args:
        scene: the planes as they are before the first frame.
        looks: what each frame shows.
        words: what is to be seen, for those who can't.
        notes: formulas below, as HTML.
        seconds: per frame.
        theme: None for the reader's preference.
        autoplay: starts by itself, unless the reader wants less motion.
        start: the frame that is shown first.
    """
    view, side = View(scene), side_for(scene, looks)
    data = _data(scene, looks, side) | {"seconds": seconds, "autoplay": autoplay, "start": start}
    look = view.then(looks[0]).look
    spans = "".join(f"<span>{html.escape(line)}</span>" for line in look.caption)
    listed = "".join(f"<li>{note}</li>" for note in notes)
    return (
        f'<figure class="striate-player" role="group" aria-label="{html.escape(words, quote=True)}" data-frame="0">'
        f"<style>{_file('player.css')}{style(_SCOPE, theme)}{_scheme(theme)}</style>"
        f'<div class="striate-stage">{_item(scene, view, side)}</div>'
        f'<p class="striate-words" aria-live="polite">{spans}</p>{_controls(len(looks))}'
        f"{f'<ul class=striate-notes>{listed}</ul>' if listed else ''}"
        f'<script type="application/json">{_json(data)}</script><script>{_file("player.js")}</script></figure>'
    )


def _scheme(theme: str | None) -> str:
    return f"{_SCOPE}{{color-scheme:{theme or 'light dark'}}}"


def document(figure: str, title: str, theme: str | None) -> str:
    """A page of its own."""
    body = "body{margin:0;padding:12px;min-height:100vh;box-sizing:border-box}"
    colours = style("body", theme).split("body .paper")[0] if theme else style("body")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{html.escape(title)}</title>'
        f"<style>{body}{colours}</style></head><body>{figure}</body></html>\n"
    )


def _item(item: Any, view: View, side: float) -> str:
    if isinstance(item, Sign):
        return f'<span class="striate-sign" aria-hidden="true">{html.escape(item.text)}</span>'
    if isinstance(item, Plane):
        return _plane(item, view, cell_size(item, side))
    inner = _paired([(isinstance(i, Sign), _item(i, view, side)) for i in item.items])
    group = f'<div class="striate-group{" striate-down" if item.down else ""}">{inner}</div>'
    if not item.title:
        return group
    return f'<div class="striate-group striate-titled"><strong>{html.escape(item.title)}</strong>{group}</div>'


def _paired(items: Sequence[tuple[bool, str]]) -> str:
    """A sign stays in one line with what follows it."""
    found, sign = [], ""
    for is_sign, text in items:
        found.append(f'<div class="striate-pair">{sign}{text}</div>' if sign else "" if is_sign else text)
        sign = text if is_sign else ""
    return "".join(found)


def _plane(plane: Plane, view: View, side: float) -> str:
    height, width = plane.shape[0] * side + 4, plane.shape[1] * side + 4
    inner = cells(plane, view.cells(plane), view.look.lit.get(plane.name, ()), side)
    box = outline(view.look.outlines.get(plane.name), side)
    sparse = ' class="sparse"' if view.look.sparse(plane.name) else ""
    title = html.escape(plane.title, quote=True)
    return (
        f'<div class="striate-plane" style="--width:{width:g}px"><div class="striate-title">{title}</div>'
        f'<svg{sparse} role="img" aria-label="{title}" data-plane="{html.escape(plane.name, quote=True)}" '
        f'viewBox="-2 -2 {width:g} {height:g}" width="{width:g}" height="{height:g}">{inner}{box}</svg></div>'
    )


def _controls(count: int) -> str:
    def button(name: str, label: str) -> str:
        icon = f'<svg viewBox="0 0 24 24" aria-hidden="true">{_ICONS[name]}</svg>'
        return f'<button type="button" aria-label="{label}">{icon}</button>'

    return (
        '<div class="striate-controls" hidden>'
        f"{button('back', 'Step back')}{button('play', 'Play')}{button('forward', 'Step forward')}"
        f'<input type="range" min="0" max="{count - 1}" value="0" aria-label="Frame">'
        f"<output>1 / {count}</output></div>"
    )


def _data(scene: Group, looks: Sequence[Look], side: float) -> dict[str, Any]:
    """What the script needs: per frame what changes, and the cells that a frame writes as they are at first."""
    view, frames = View(scene), []
    for look in looks:
        written = [(name, index, _packed(cell)) for name, index, cell in view.changed(look)]
        view.then(look)
        planes = {name: [_packed(c) for c in new] for name, new in look.planes.items()}
        frames.append(
            {"written": written, "planes": planes, "lit": look.lit, "outlines": look.outlines, "caption": look.caption}
        )
    ever = {name for look in looks for name, _, _ in look.written}
    blank = {p.name: [_packed(c) for c in p.cells] for p in scene.planes() if p.name in ever}
    return {"frames": frames, "blank": blank, "side": {p.name: cell_size(p, side) for p in scene.planes()}}


def _packed(cell: Cell) -> list[Any]:
    value = None if cell.value is None else float(f"{cell.value:.6g}")
    known = None if value is None or value != value or value in (float("inf"), -float("inf")) else value
    if cell.kind == "pixel":
        return [cell.text, cell.kind, 1, known, grey(cell.shade)]
    return [cell.text, cell.kind, 1 if cell.kind == "gap" else cell.shade, known]


def _json(data: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
