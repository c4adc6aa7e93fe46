"""Planes of an operation, and what each frame shows on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .captions import caption
from .frames import Frame
from .operation import Operation
from .scene import EMPTY, Box, Cell, Group, Look, Plane, Shades, Sign

_NUMBERS = 16  # columns up to which cells have room for numbers
_PLANES = 6  # of a kind, as many as can be taken in


def times(sizes: Iterable[int]) -> str:
    """Sizes with crosses between them."""
    return "×".join(map(str, sizes))


class Picture:
    """The planes of one operation.

    Args:
        op: the operation.
        filters: the output channels that are shown.
        pixels: input and output as greys; None: where numbers have no room.
        prefix: of the planes' names, where a scene holds two operations.
        titles: in the place of `input`, `kernel`, `products`, `output`.
    """

    def __init__(
        self, op: Operation, filters: Sequence[int], pixels: bool | None = None, prefix: str = "",
        titles: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.op, self.filters, self.prefix = op, tuple(filters)[:_PLANES], prefix
        widest = max(op.field.shape[2], op.y.shape[2])
        self.pixels = widest > _NUMBERS if pixels is None else pixels
        self.titles = {"input": "input", "kernel": "kernel", "products": "products", "output": "output"}
        self.titles |= titles or {}
        read = [c for q in filters for c in op.read_by(q)]
        self.channels = tuple(sorted(dict.fromkeys(read)))[:_PLANES]
        self._shades()

    def _shades(self) -> None:
        op, own = self.op, self.op.field[self.op.known]
        self.in_shades, self.out_shades = Shades(own, self.pixels), Shades(op.y, self.pixels)
        kernel = np.ones(1) if op.kernel is None else op.kernel
        self.kernel_shades = Shades(kernel, kind="kernel")
        self.product_shades = Shades([self.in_shades.top * self.kernel_shades.top])
        if op.kernel is None:
            self.product_shades = Shades(own)

    # Planes -----------------------------------------------------------------------------------------------------------

    def name(self, role: str, channel: int, depth: int = 0) -> str:
        """A plane's name, such as `x0` or `k1.2`: role, channel, slice."""
        return f"{self.prefix}{role}{channel}" + (f".{depth}" if self.op.rank == 3 else "")

    def _plane(self, role: str, kind: str, channel: int, depth: int, shape: Any, cells: Sequence[Cell]) -> Plane:
        title = self.titles[kind] + self._size(role, shape) + self._which(role, channel)
        title += f", slice {depth + 1}" if self.op.rank == 3 else ""
        return Plane(self.name(role, channel, depth), title, shape, tuple(cells), self.pixels and role in "xy")

    def _which(self, role: str, channel: int) -> str:
        """The channel or filter, where there are several."""
        pooled, last = self.op.kernel is None, role == "y"
        if (self.op.filters if last else self.op.channels) == 1 or (pooled and role == "p"):
            return ""
        return f", {'filter' if last and not pooled else 'channel'} {channel + 1}"

    def _size(self, role: str, shape: tuple[int, int]) -> str:
        """The size, without the padding."""
        before = self.op.pads[1:] if role == "x" else ((0, 0), (0, 0))
        own = [n - max(lo, 0) - max(hi, 0) for n, (lo, hi) in zip(shape, before, strict=True)]
        return f" of {own[1]}" if self.op.rank == 1 else f" {times(own)}"

    def inputs(self, channel: int) -> list[Plane]:
        """The channel's planes, one per slice, with the padding around them."""
        planes = []
        for depth in range(self.op.field.shape[0]):
            cells = [self._input_cell(depth, r, c, channel) for r, c in np.ndindex(*self.op.field.shape[1:3])]
            planes.append(self._plane("x", "input", channel, depth, self.op.field.shape[1:3], cells))
        return planes

    def _input_cell(self, *at: int) -> Cell:
        op, value = self.op, float(self.op.field[at])
        if not op.known[at[:3]]:
            return Cell("", "pad", 0.0) if op.kind in ("max", "average") else self.in_shades.cell(value, "pad")
        return self.in_shades.cell(value, "gap" if op.gaps is not None and op.gaps[at[:3]] else "")

    @property
    def under(self) -> tuple[int, int, int]:
        """The most cells that a window has per axis."""
        d, h, w = (max(map(len, axis)) for axis in self.op.places)
        return d, h, w

    def kernels(self, channel: int) -> list[Plane]:
        """The kernel's slices for a channel; their numbers depend on the frame's filter."""
        return [self._blank("k", "kernel", channel, t) for t in range(self.under[0])]

    def products(self, channel: int) -> list[Plane]:
        """What is under the window, times the kernel."""
        return [self._blank("p", "products", channel, t) for t in range(self.under[0])]

    def _blank(self, role: str, kind: str, channel: int, depth: int) -> Plane:
        shape = self.under[1:]
        return self._plane(role, kind, channel, depth, shape, [EMPTY] * (shape[0] * shape[1]))

    def outputs(self, q: int) -> list[Plane]:
        """A filter's output, empty at first."""
        shape = self.op.y.shape[1:3]
        blank = [EMPTY] * (shape[0] * shape[1])
        return [self._plane("y", "output", q, z, shape, blank) for z in range(self.op.y.shape[0])]

    # Arrangement ------------------------------------------------------------------------------------------------------

    def group(self) -> Group:
        """All planes: those of a channel in a row, the outputs beside them; with one or three axes, kind by kind."""
        outputs = Group(tuple(p for q in self.filters for p in self.outputs(q)), self.op.rank < 3)
        if self.op.kernel is None:
            return self._pooling(outputs)
        if self.op.rank != 2:
            return self._by_kind(outputs)
        times_sign = "·" if self.op.kind == "scatter" else "∗"
        rows = [
            Group((*self.inputs(c), Sign(times_sign), *self.kernels(c), Sign("="), *self.products(c)))
            for c in self.channels
        ]
        sign = Sign("→" if len(rows) == 1 else "Σ")
        return Group((Group(tuple(rows), True), sign, outputs))

    def _pooling(self, outputs: Group) -> Group:
        inputs = Group(tuple(p for c in self.channels for p in self.inputs(c)), self.op.rank < 3)
        window = Group(tuple(self.products(0)))
        if self.op.rank == 2:
            return Group((inputs, Sign("→"), window, Sign("→"), outputs))
        return Group((inputs, window, outputs), True)

    def _by_kind(self, outputs: Group) -> Group:
        flat = self.op.rank == 1
        made = [
            Group(tuple(p for c in self.channels for p in part(c)), flat)
            for part in (self.inputs, self.kernels, self.products)
        ]
        middle = Group((made[1], Sign("="), made[2]))
        return Group((made[0], middle, outputs), True)

    # Frames -----------------------------------------------------------------------------------------------------------

    def look(self, frame: Frame, fresh: Sequence[tuple[int, tuple[int, int, int]]]) -> Look:
        """What a frame shows; `fresh` are the filters and cells that have been finished since the one before."""
        scattered = self.op.kind == "scatter"
        over, unit = ("y", "x") if scattered else ("x", "y")
        read = [c for c in frame.channels if c in self.channels]
        window = self._marks(frame, over, [frame.filter] if scattered else read)
        single = self._unit(unit, frame.at, read if scattered else [frame.filter])
        planes = {p: c for part in ("k", "p") for p, c in self._contents(frame, part)}
        written = self._sums(frame) if scattered else self._results(fresh)
        look = Look(*window, planes, written, caption(self.op, frame))
        return look.and_also(Look(*single)).and_also(self._framed(read))

    def _framed(self, read: Sequence[int]) -> Look:
        """The kernel and the products have the window's outline, for they are what lies under it."""
        box = (0, 0, self.under[1], self.under[2])
        shown = read if self.op.kernel is not None else [0]
        return Look({self.name(r, c, t): box for r in "kp" for c in shown for t in range(self.under[0])})

    def _offset(self, role: str) -> tuple[int, ...]:
        return tuple(max(lo, 0) for lo, _ in self.op.pads) if role == "x" else (0, 0, 0)

    def _shape(self, role: str) -> tuple[int, ...]:
        return (self.op.field if role == "x" else self.op.y).shape[:3]

    def marks(self, role: str, window: Any, channels: Iterable[int]) -> tuple[dict[str, Box], dict[str, Any]]:
        """Outline and lit cells of a window on the planes of a role."""
        offset, shape = self._offset(role), self._shape(role)
        depths, rows, columns = (
            [p + o for p in axis if 0 <= p + o < n] for axis, o, n in zip(window, offset, shape, strict=True)
        )
        if not (depths and rows and columns):
            return {}, {}
        box = (rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)
        cells = tuple(r * shape[2] + c for r in rows for c in columns)
        names = [self.name(role, c, z) for c in channels for z in depths]
        return dict.fromkeys(names, box), dict.fromkeys(names, cells)

    def _marks(self, frame: Frame, role: str, channels: Iterable[int]) -> tuple[dict[str, Box], dict[str, Any]]:
        return self.marks(role, frame.window, channels)

    def _unit(self, role: str, at: Any, channels: Iterable[int]) -> tuple[dict[str, Box], dict[str, Any]]:
        return self.marks(role, tuple((n,) for n in at), channels)

    def _contents(self, frame: Frame, role: str) -> Iterable[tuple[str, tuple[Cell, ...]]]:
        if self.op.kernel is None:
            return self._pooled(frame) if role == "p" else ()
        values, shades = (frame.weights, self.kernel_shades) if role == "k" else (frame.products, self.product_shades)
        found = []
        for channel in self.channels:
            for t in range(self.under[0]):
                cells: tuple[Cell, ...] = (EMPTY,) * (self.under[1] * self.under[2])
                if channel in frame.channels and values is not None:
                    plane = values[frame.channels.index(channel), t]
                    cells = tuple(shades.cell(float(v)) for v in plane.ravel())
                found.append((self.name(role, channel, t), cells))
        return found

    def _pooled(self, frame: Frame) -> Iterable[tuple[str, tuple[Cell, ...]]]:
        """The numbers under the window; the largest is set off in max pooling, padding that doesn't count is empty."""
        _, height, width = self.under
        for t in range(self.under[0]):
            cells = [EMPTY] * (height * width)
            if t < frame.values.shape[1]:
                for r, c in np.ndindex(*frame.values.shape[2:]):
                    cells[r * width + c] = self._counted(frame, (0, t, r, c))
            yield self.name("p", 0, t), tuple(cells)

    def _counted(self, frame: Frame, at: tuple[int, ...]) -> Cell:
        value = float(frame.values[at])
        if not frame.counts[at]:
            return Cell("", "pad", 0.0)
        if self.op.kind == "max" and value != frame.total:
            return Cell(self.product_shades.cell(value).text, "value", 0.0, value)
        return self.product_shades.cell(value)

    def _results(self, fresh: Sequence[tuple[int, tuple[int, int, int]]]) -> tuple[tuple[str, int, Cell], ...]:
        shown = [(q, at) for q, at in fresh if q in self.filters]
        return tuple(self._written(q, at, float(self.op.y[(*at, q)])) for q, at in shown)

    def _written(self, q: int, at: Sequence[int], value: float) -> tuple[str, int, Cell]:
        return self.name("y", q, at[0]), at[1] * self.op.y.shape[2] + at[2], self.out_shades.cell(value)

    def _sums(self, frame: Frame) -> tuple[tuple[str, int, Cell], ...]:
        """The sums so far in all cells of the output; after the last input cell what the layer gave."""
        q, ends = frame.filter, [len(axis) - 1 for axis in self.op.places]
        values = self.op.y if list(frame.at) == ends else frame.result
        cells = np.ndindex(*self.op.y.shape[:3])
        return tuple(self._written(q, at, float(values[(*at, q)])) for at in cells)

    def whole(self) -> Group:
        """Inputs and outputs alone, the outputs filled: a convolution shown beside the one that it belongs to."""
        outputs = []
        for q in self.filters:
            for z, plane in enumerate(self.outputs(q)):
                cells = [self.out_shades.cell(float(v)) for v in self.op.y[z, ..., q].ravel()]
                outputs.append(Plane(plane.name, plane.title, plane.shape, tuple(cells), plane.pixels))
        inputs = [p for c in self.channels for p in self.inputs(c)]
        down = self.op.rank != 2
        return Group((Group(tuple(inputs), True), Sign("↓" if down else "→"), Group(tuple(outputs), True)), down)
