"""Equivariance: does the output move as the input moves, and where does it not?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from striate.core import tree
from striate.core.errors import message
from striate.core.window import Receptive
from striate.explain import figures
from striate.explain.probe import Compiled, Inputs, channels_last, find, watching
from striate.models.receptive import Reach, calls, field_of
from striate.models.windows import axes_of
from striate.trace import KerasTensor

_AXES = {1: ("time",), 2: ("height", "width"), 3: ("depth", "height", "width")}


@dataclass(frozen=True)
class Equivariance:
    """Moved first and then computed, against computed first and then moved.

    Attributes:
        x, moved: the input and the input moved. y: the output for x. first: the output for the moved input. then: y
            moved (NaN where nothing moved in). All `(batch, ..., channels)`.
        shift: of the input, per axis. output_shift: of the output, rounded where the strides do not divide.
        error: the largest difference over the channels, `(batch, ...)`; NaN where there is nothing to compare.
        interior: which places see neither padding nor edges, `(...)`; None if that is not known.
        reasons: what breaks the equivariance, in words; empty if nothing does.
    """

    x: np.ndarray
    moved: np.ndarray
    y: np.ndarray
    first: np.ndarray
    then: np.ndarray
    shift: tuple[int, ...]
    output_shift: tuple[int, ...]
    error: np.ndarray
    interior: np.ndarray | None
    reasons: tuple[str, ...]

    @property
    def largest(self) -> float:
        """The largest error."""
        return _largest(self.error)

    @property
    def inside(self) -> float | None:
        """The largest error in the interior; None if there is no interior, or it is not known."""
        if self.interior is None or not self.interior.any():
            return None
        return _largest(self.error[:, self.interior])

    @property
    def text(self) -> str:
        """The findings in words."""
        scale = float(np.abs(self.y).max())
        lines = [f"The input moved by {_pixels(self.shift)}, the output by {_pixels(self.output_shift)}."]
        if self.inside is not None:
            lines.append(f"Inside, the error is at most {self.inside:.2g} (the output goes up to {scale:.3g}).")
        lines.append(f"Over all places it is at most {self.largest:.2g}.")
        return "\n".join([*lines, *(self.reasons or ("Nothing breaks the equivariance here.",))])

    def figure(self, sample: int = 0, channel: int | None = None, theme: str = "light") -> Any:
        """Both ways and the error map, as a matplotlib `Figure`; a line around the interior.

        Args:
            sample: which one of the batch.
            channel: of the output; by default the one that varies most.
            theme: `"light"`, `"dark"` or `"auto"`.
        """
        planes = self.y[sample].reshape(-1, self.y.shape[-1])
        channel = int(planes.std(0).argmax()) if channel is None else channel
        figure = figures.new_figure(9.4, 6.3, theme)
        axes = figure.subplots(2, 3)
        ends = (float(np.min(self.y[sample, ..., channel])), float(np.max(self.y[sample, ..., channel])))
        parts = [
            (figures.picture(self.x[sample], self.x.ndim - 2), "input", "gray", None),
            (self.y[sample, ..., channel], "computed", "viridis", ends),
            (self.then[sample, ..., channel], f"computed, then moved by {_pixels(self.output_shift)}", "viridis", ends),
            (figures.picture(self.moved[sample], self.x.ndim - 2), f"moved by {_pixels(self.shift)}", "gray", None),
            (self.first[sample, ..., channel], "moved, then computed", "viridis", ends),
        ]
        for place, (values, title, cmap, limits) in zip(axes.flat, parts, strict=False):
            figures.show(place, values, cmap, limits, cmap == "gray")
            figures.panel(place, title, theme, 10)
        self._errors(figure, axes[1, 2], sample, theme)
        return figure

    def _errors(self, figure: Any, axes: Any, sample: int, theme: str) -> None:
        drawn = figures.show(axes, self.error[sample], "magma", (0.0, self.largest or 1.0))
        note = "" if self.inside is None else f"inside the line at most {self.inside:.2g}"
        figures.panel(axes, f"error, at most {self.largest:.2g}", theme, 10, note)
        axes.set_facecolor(figures.theme_of(theme).faint + "30" if theme != "auto" else "none")
        figures.colour_bar(figure, drawn, axes, theme)
        if self.interior is not None and self.interior.any() and self.interior.ndim == 2:
            rows, columns = (np.flatnonzero(self.interior.any(a)) for a in (1, 0))
            ys, xs = (rows[0] - 0.5, rows[-1] + 0.5), (columns[0] - 0.5, columns[-1] + 0.5)
            around = ([xs[0], xs[1], xs[1], xs[0], xs[0]], [ys[0], ys[0], ys[1], ys[1], ys[0]])
            axes.plot(*around, color="#56b4e9", linewidth=2, clip_on=False)

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{line}</li>" for line in self.text.splitlines())
        return f"{figures.as_html(self.figure(theme='auto'), repr(self))}<ul>{lines}</ul>"

    def __repr__(self) -> str:
        inside = "" if self.inside is None else f", inside {self.inside:.2g}"
        return f"<Equivariance under a shift by {_pixels(self.shift)}: error {self.largest:.2g}{inside}>"


def _largest(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.max()) if known.size else 0.0


def _pixels(shift: Sequence[int]) -> str:
    return "(" + ", ".join(str(n).replace("-", "−") for n in shift) + ")"


def equivariance(layer_or_model: Any, x: Any, shift: Any, edge: str = "zeros", layer: Any = None) -> Equivariance:
    """Translation before and after: f(T x) against T f(x), the chapter's equivariance, with the error's map.

    With the receptive field's jump j (the product of the strides), a shift by s pixels moves the output by s / j
    cells; where j does not divide s there is no such shift, and the nearest one is taken. Padding is no part of the
    image and does not move with it: cells that see it differ.

    Args:
        layer_or_model: anything with places in its output.
        x: an image `(height, width, channels)`, or a batch of them.
        shift: pixels down and to the right: one number for the last axis, or one per axis.
        edge: what comes in at the edge: `"zeros"`, or `"wrap"` for what went out on the other side.
        layer: of a model, the layer whose output is looked at (name, path, index, class); by default the last.

    Returns:
        An `Equivariance`: arrays, `reasons`, `.text`, `.figure()`.

    Raises:
        ValueError: the output has no places, or the shift is larger than the image.
    """
    given = Inputs(layer_or_model, x, where="equivariance")
    x = given.last(given.x)
    moved_by = _shift(shift, x.shape[1:-1])
    if edge not in ("zeros", "wrap"):
        raise ValueError(message("equivariance", f"there is no edge {edge!r}", "Use 'zeros' or 'wrap'"))
    at = None if layer is None else find(layer_or_model, layer, "equivariance")[0]
    moved = translate(x, moved_by, edge)
    y, first = (_output(given, given.own(values), at) for values in (x, moved))
    if y.ndim != x.ndim:
        problem = f"the output of shape {y.shape} has other places than the input of shape {x.shape}"
        raise ValueError(message("equivariance", problem, "Name a `layer` that still has places"))
    fields = _fields(layer_or_model, given.x.shape, at)
    jumps = _jumps(fields, x.shape, y.shape)
    steps = [Fraction(s) / Fraction(j) for s, j in zip(moved_by, jumps, strict=True)]
    by = tuple(round(t) for t in steps)
    then = translate(y.astype(float), by, "wrap" if edge == "wrap" else "nan")
    error = np.abs(first - then).max(-1)
    inner = _interior(fields, x.shape[1:-1], y.shape[1:-1], moved_by, edge)
    reasons = (*_strides(moved_by, jumps, steps, by), *_edges(error, inner, fields))
    return Equivariance(x, moved, y, first, then, moved_by, by, error, inner, tuple(reasons))


def _shift(shift: Any, spatial: Sequence[int]) -> tuple[int, ...]:
    rank = len(spatial)
    moved = (0,) * (rank - 1) + (int(shift),) if np.ndim(shift) == 0 else tuple(int(s) for s in shift)
    if len(moved) != rank or any(abs(s) >= n for s, n in zip(moved, spatial, strict=False)):
        problem = f"a shift by {shift} does not fit an image of {tuple(spatial)}"
        raise ValueError(message("equivariance", problem, f"Give {rank} numbers smaller than the sides"))
    return moved


def translate(x: np.ndarray, shift: Sequence[int], edge: str = "zeros") -> np.ndarray:
    """`(batch, ..., channels)` moved by `shift` cells per axis; `edge`: `"zeros"`, `"nan"` or `"wrap"`."""
    axes = tuple(range(1, x.ndim - 1))
    moved = np.roll(x, tuple(shift), axes)
    for axis, s in zip(axes, shift, strict=True):
        gone = slice(0, s) if s > 0 else slice(x.shape[axis] + s, None)
        if s and edge != "wrap":
            moved[(slice(None),) * axis + (gone,)] = np.nan if edge == "nan" else 0
    return moved


def _output(given: Inputs, x: np.ndarray, at: Any) -> np.ndarray:
    def run(*values: Any) -> Any:
        with watching([at.layer] if at else []) as notes:
            result = given.call(values)
        return tree.flatten(notes[id(at.layer)][-1] if at else result)[0]

    layer = at.layer if at else given.model
    return channels_last(np.asarray(Compiled(run)(*given.with_x(x))), layer, given.first)


def _fields(model: Any, shape: tuple[int, ...], at: Any) -> tuple[Receptive, ...] | None:
    """The receptive field per axis; None where it can't be told."""
    axes = axes_of(model, shape)
    if axes is not None and at is None:
        return tuple(field_of(a) for a in axes)
    try:
        listed = calls(model, (None, *shape[1:]))
    except ValueError:
        return None
    ends = [c for c in listed if at is None or c.layer is at.layer or c.path == at.path]
    tensor: KerasTensor | None = ends[-1].outputs[0] if ends else None
    return None if tensor is None else Reach(listed).fields(tensor)


def _jumps(fields: Any, x: Sequence[int], y: Sequence[int]) -> list[Any]:
    """How many pixels lie between neighbouring outputs; told from the sizes where the layers don't tell it."""
    if fields and len(fields) == len(x) - 2 and all(f.jump for f in fields):
        return [f.jump for f in fields]
    return [max(1, round(n / m)) for n, m in zip(x[1:-1], y[1:-1], strict=True)]


def _interior(fields: Any, x: Sequence[int], y: Sequence[int], shift: Sequence[int], edge: str) -> np.ndarray | None:
    """Which outputs see only what is in both images."""
    if fields is None or len(fields) != len(x) or any(f.start is None or not f.jump for f in fields):
        return None
    inside = np.ones(tuple(y), bool)
    for axis, (f, n, m, s) in enumerate(zip(fields, x, y, shift, strict=True)):
        firsts = np.floor(np.arange(m) * float(f.jump) + f.start)
        good = (firsts >= max(0, s)) & (firsts + f.size - 1 <= n - 1 + min(0, s))
        inside &= good.reshape([-1 if a == axis else 1 for a in range(len(x))])
    return inside


def _strides(shift: Any, jumps: Any, steps: Any, by: Any) -> list[str]:
    names = _AXES.get(len(shift), [f"axis {n}" for n in range(len(shift))])
    return [
        f"Along the {name} the strides make up {j}, and {abs(s)} is no multiple of it: the output would have to move "
        f"by {t} cells; it is compared with a shift by {b}."
        for name, s, j, t, b in zip(names, shift, jumps, steps, by, strict=True)
        if t.denominator != 1
    ]


def _edges(error: np.ndarray, inner: np.ndarray | None, fields: Any) -> list[str]:
    if inner is None:
        return ["Some layer on the way is not known to see windows only, so the interior can't be told."]
    if not inner.any():
        size = "×".join(str(f.size) for f in fields)
        return [f"Each output sees {size} pixels, so all of them see padding or the edge: there is no interior."]
    rest = error[:, ~inner]
    compared = int((~np.isnan(rest[0])).sum()) if rest.size else 0
    worst = _largest(rest)
    if not compared or worst <= max(1e-5 * max(1.0, worst), _largest(error[:, inner])):
        return []
    return [f"{compared} of {inner.size} cells see padding or the image's edge, which do not move with it: there the "
            f"error goes up to {worst:.2g}."]  # fmt: skip


__all__ = ["Equivariance", "equivariance", "translate"]
