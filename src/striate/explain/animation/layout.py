"""Where planes, signs and titles stand in a still or a frame of a film, in CSS pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .scene import Group, Look, Plane, Sign

GAP, SIGN, TITLE, LINE, MARGIN = 16.0, 26.0, 22.0, 20.0, 16.0
_APART = 48.0  # between groups that have titles
_CELL, _LONG, _SMALL, _WIDE = 30.0, 38.0, 25.0, 260.0  # a cell; for long numbers; one of many; a picture of many cells
HEADING = "\x02"  # in front of a title that stands over a whole group
READABLE = 20.0  # from which side on cells show numbers


@dataclass(frozen=True)
class Placed:
    """A plane, a sign or a title with its top left corner and its size; `cell` is the side of a plane's cells."""

    item: Plane | Sign | str
    x: float
    y: float
    width: float
    height: float
    cell: float = 0.0


@dataclass(frozen=True)
class Sheet:
    """A whole picture: what stands where, and where the words begin."""

    width: float
    height: float
    placed: tuple[Placed, ...]
    words: float


@dataclass(frozen=True)
class _Measured:
    """What belongs together, with its size."""

    width: float
    height: float
    placed: list[Placed]


def cell_size(plane: Plane, side: float) -> float:
    """The side of a plane's cells: room for numbers, or the plane in a fixed width."""
    most = max(plane.shape)
    return max(4.0, min(_WIDE // most, READABLE - 2)) if plane.pixels else side


def side_for(scene: Group, looks: Sequence[Look]) -> float:
    """The side of cells with numbers: larger for long ones, smaller where there are many planes."""
    texts = [c.text for p in scene.planes() for c in p.cells]
    texts += [c.text for look in looks for p in look.planes.values() for c in p]
    texts += [c.text for look in looks for _, _, c in look.written]
    if max(map(len, texts), default=0) >= 5:
        return _LONG
    return _SMALL if sum(p.shape[0] > 1 for p in scene.planes()) > 6 else _CELL


def sheet(scene: Group, side: float, lines: int, tall: bool = False) -> Sheet:
    """Lays a scene out; `lines` of words are below it, `tall` puts its parts below each other."""
    outer = Group(scene.items, True, scene.title) if tall else scene
    found = _measured(outer, side, tall)
    width, words = max(found.width + 2 * MARGIN, 360.0), found.height + 2 * MARGIN
    return Sheet(width, words + lines * LINE + MARGIN / 2, tuple(_moved(found.placed, MARGIN, MARGIN)), words)


def _measured(item: Any, side: float, tall: bool = False) -> _Measured:
    """What is inside, from (0, 0) on."""
    if isinstance(item, Sign):
        return _Measured(SIGN, SIGN, [Placed(item, 0, 0, SIGN, SIGN)])
    if isinstance(item, Plane):
        cell = cell_size(item, side)
        width, height = item.shape[1] * cell, item.shape[0] * cell
        wide = max(width, 6.2 * len(item.title))
        title = Placed(item.title, 0, 0, wide, TITLE)
        return _Measured(wide, height + TITLE, [title, Placed(item, (wide - width) / 2, TITLE, width, height, cell)])
    return _group(item, side, tall)


def _group(group: Group, side: float, tall: bool) -> _Measured:
    parts = [_measured(i, side, tall and isinstance(i, Group) and bool(i.title)) for i in group.items]
    gap = _APART if any(isinstance(i, Group) and i.title for i in group.items) else GAP
    breadth = max((p.width if group.down else p.height for p in parts), default=0.0)
    at, placed = 0.0, []
    for part in parts:
        length, across = (part.height, part.width) if group.down else (part.width, part.height)
        off = (breadth - across) / 2
        placed += _moved(part.placed, *((off, at) if group.down else (at, off)))
        at += length + gap
    whole = max(at - gap, 0.0)
    return _titled(group, *((breadth, whole) if group.down else (whole, breadth)), placed)


def _moved(placed: Sequence[Placed], x: float, y: float) -> list[Placed]:
    return [replace(p, x=p.x + x, y=p.y + y) for p in placed]


def _titled(group: Group, width: float, height: float, placed: list[Placed]) -> _Measured:
    if not group.title:
        return _Measured(width, height, placed)
    wide, step = max(width, 7.5 * len(group.title)), TITLE + 6
    title = Placed(HEADING + group.title, 0, 0, wide, TITLE)
    return _Measured(wide, height + step, [title, *_moved(placed, (wide - width) / 2, step)])


def wrapped(lines: tuple[str, ...], width: float, size: float = 13.0) -> list[str]:
    """Lines broken at spaces, so that they fit."""
    most, found = max(int((width - 2 * MARGIN) / (0.56 * size)), 20), []
    for line in lines:
        current = ""
        for word in line.split(" "):
            if current and len(current) + 1 + len(word) > most:
                found.append(current)
                current = word
            else:
                current = f"{current} {word}" if current else word
        found.append(current)
    return found
