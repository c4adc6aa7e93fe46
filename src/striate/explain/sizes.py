"""Sizes drawn: windows over a padded input, transposed convolutions, and the layers of a model with formula (6)."""

from __future__ import annotations

import html
from typing import Any

from striate.core import window

from .drawing import Cell, Drawing, Mark, grid, padded, side_by_side
from .formulas import formula_6, formula_padding, formula_transposed, math, transposed_terms

_RANK = 2


def show_window(size: Any, kernel: Any, strides: Any = 1, padding: Any = "valid") -> Drawing:
    """A kernel over a padded input: every place that it takes, the output's size, and the formula for each axis.

    Args:
        size, kernel, strides: `(height, width)` or one int for both.
        padding: as a layer takes it.

    Returns:
        A `Drawing`.

    Raises:
        ValueError: the kernel does not fit.
    """
    sizes, k, s = (
        window.normalize_tuple(v, _RANK, n) for v, n in ((size, "size"), (kernel, "kernel"), (strides, "strides"))
    )
    pad = window.normalize_padding(padding, _RANK)
    out = [o or 0 for o in window.output_shape(sizes, k, s, pad, (1, 1), where="show_window")]
    pairs = [p or (0, 0) for p in window.resolve_pads(sizes, k, s, pad, (1, 1))]
    places = [(r, c) for r in range(out[0]) for c in range(out[1])]
    inner = [[Cell()] * sizes[1] for _ in range(sizes[0])]
    over = Mark((k[0], k[1]), tuple((r * s[0], c * s[1]) for r, c in places))
    padding_note = "" if not any(map(sum, pairs)) else f" + padding {sum(pairs[0])}, {sum(pairs[1])}"
    parts = [
        grid(padded(inner, pairs), f"input {_times(sizes)}{padding_note}", over),
        "→",
        grid([[Cell()] * out[1] for _ in range(out[0])], f"output {_times(out)}", Mark((1, 1), tuple(places))),
    ]
    axes = zip(("height", "width"), sizes, k, s, pairs, strict=True)
    lines = "".join(f"<li>{name}: {formula_6(i, kk, ss, p)}</li>" for name, i, kk, ss, p in axes)
    text = f"A {_times(k)} kernel with strides {_times(s)} over a {_times(sizes)} input gives {_times(out)}"
    return Drawing(side_by_side(parts, f'<ul class="striate-formulas">{lines}</ul>'), text)


def show_transposed(layer: Any) -> Drawing:
    """A transposed convolution as an ordinary one: its input with zeros between and around the units.

    Args:
        layer: a built `Conv2DTranspose` with one input of known size.

    Returns:
        A `Drawing`.
    """
    sizes, settings = layer.input.shape[1:3], _transposed_settings(layer)
    axes = [(i, *axis) for i, axis in zip(sizes, settings, strict=True)]
    out = [window.transposed_size(i, k, s, p, 1, op) or 0 for i, k, s, p, op in axes]
    around = [_around(*axis) for axis in axes]
    strides = [s for _, _, s, _, _ in axes]
    spread = [[_unit(r, c, strides) for c in range(_spread(axes[1]))] for r in range(_spread(axes[0]))]
    places = tuple((r, c) for r in range(out[0]) for c in range(out[1]))
    kernel = (axes[0][1], axes[1][1])
    parts = [
        grid([[Cell(kind="kernel", shade=0.55)] * sizes[1] for _ in range(sizes[0])], f"input {_times(sizes)}"),
        "→",
        grid(padded(spread, around), "zeros between and around", Mark(kernel, places)),
        "→",
        grid([[Cell()] * out[1] for _ in range(out[0])], f"output {_times(out)}", Mark((1, 1), places)),
    ]
    names = zip(("height", "width"), axes, strict=True)
    lines = "".join(f"<li>{name}: {formula_transposed(*axis)}{_terms(axis)}</li>" for name, axis in names)
    agreed = tuple(out) == tuple(layer.output.shape[1:3])
    found = "" if agreed else f"<p>The layer gives {_times(layer.output.shape[1:3])}.</p>"
    under = f'<ul class="striate-formulas">{lines}</ul>{found}'
    return Drawing(side_by_side(parts, under), f"A transposed convolution from {_times(sizes)} to {_times(out)}")


def _transposed_settings(layer: Any) -> list[tuple[int, int, Any, int | None]]:
    padding = window.normalize_padding(layer.padding, _RANK)
    per_axis = (padding,) * _RANK if isinstance(padding, str) else padding
    extra = layer.output_padding
    extras = (extra,) * _RANK if extra is None or isinstance(extra, int) else tuple(extra)
    return list(zip(layer.kernel_size, layer.strides, per_axis, extras, strict=True))


def _around(i: int, k: int, s: int, padding: Any, output_padding: int | None) -> tuple[int, int]:
    """The zeros before and after: k - 1 less the forward padding, and at the end what the stride leaves over."""
    lo, hi = window.transposed_pads(i, k, s, padding, 1, output_padding)
    size = window.transposed_size(i, k, s, padding, 1, output_padding) or 0
    return max(k - 1 - lo, 0), max(k - 1 - hi + window.associated_transpose(size, k, s, (lo, hi)).a, 0)


def _spread(axis: tuple[Any, ...]) -> int:
    return axis[2] * (axis[0] - 1) + 1


def _unit(row: int, column: int, strides: list[int]) -> Cell:
    if row % strides[0] == 0 and column % strides[1] == 0:
        return Cell(kind="kernel", shade=0.55)
    return Cell("0", "gap", 0)


def _terms(axis: tuple[Any, ...]) -> str:
    p, a = transposed_terms(*axis)
    parts = (math(f"p = {p}"), math(f"a = {a}"), formula_padding(*axis))
    return f' <span class="striate-terms">with {", ".join(parts)}</span>'


def show_layers(model: Any) -> Drawing:
    """A table of the layers with windows: what goes in, formula (6) with the numbers, what comes out.

    Args:
        model: a built model; sizes that are not known are shown as such.

    Returns:
        A `Drawing`.
    """
    rows = "".join(_layer_row(layer) for layer in model.layers if _window_of(layer))
    head = "<tr><th>layer</th><th>input</th><th>kernel</th><th>stride</th><th>formula (6)</th><th>output</th></tr>"
    return Drawing(
        f'<div class="striate-table" tabindex="0"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>',
        f"The sizes of {model.name}'s layers by formula (6)",
    )


def _window_of(layer: Any) -> Any:
    return getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)


def _layer_row(layer: Any) -> str:
    sizes, out, k = layer.input.shape[1:3], layer.output.shape[1:3], _window_of(layer)
    padding = window.normalize_padding(layer.padding, len(k))
    per_axis = (padding,) * len(k) if isinstance(padding, str) else padding
    axes = list(zip(sizes, k, layer.strides, per_axis, strict=True))
    if None in sizes:
        lines = "for any size"
    else:
        lines = "".join(f'<div class="striate-formula">{formula_6(*axis)}</div>' for axis in axes)
    return "".join(
        ("<tr><th scope='row'>", html.escape(layer.name), "</th>")
        + tuple(f"<td>{cell}</td>" for cell in (_times(sizes), _times(k), _times(layer.strides), lines, _times(out)))
        + ("</tr>",)
    )


def _times(sizes: Any) -> str:
    return "×".join("any" if n is None else str(n) for n in sizes)
