"""Convolution and pooling drawn on their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from striate.core import window

from .drawing import Cell, Drawing, Mark, cells, grid, number, side_by_side


def _plane(values: Any) -> np.ndarray:
    """The 2-D part of a matrix that may have a batch axis and a channel axis of size 1."""
    array = np.asarray(values)
    return array.reshape(array.shape[1:3]) if array.ndim == 4 else array


def _places(out: tuple[int, ...], strides: int) -> tuple[tuple[int, int], ...]:
    return tuple((r * strides, c * strides) for r in range(out[0]) for c in range(out[1]))


def show_convolution(x: Any, kernel: Any, y: Any, flip: bool = False) -> Drawing:
    """The kernel sweeping over the input, the result beside it, and the first result written out.

    Args:
        x: the input, `(height, width)`, or with batch and channel axes of size 1.
        kernel: `(kernel height, kernel width)`, likewise.
        y: the result, as computed.
        flip: true for a convolution as mathematics has it: the kernel is drawn turned by half a turn.

    Returns:
        A `Drawing`.

    Raises:
        ValueError: `y` has not the shape that formula (4) gives.
    """
    x, y, kernel = _plane(x), _plane(y), _kernel(kernel)
    used = kernel[::-1, ::-1] if flip else kernel
    out = _checked(x, used, y, "show_convolution")
    name = "kernel, turned by half a turn" if flip else "kernel"
    parts = [
        grid(cells(x), f"input {_size(x)}", Mark(used.shape, _places(out, 1))),
        "∗",
        grid(cells(used, "kernel"), f"{name} {_size(kernel)}"),
        "=",
        grid(cells(y), f"output {_size(y)}", Mark((1, 1), _places(out, 1))),
    ]
    where = f"all {out[0] * out[1]} positions"
    under = _sum(x, used, y, "First output")
    return Drawing(side_by_side(parts, under), f"A {_size(kernel)} kernel over {where} of a {_size(x)} input")


def show_both(x: Any, kernel: Any, correlation: Any, convolution: Any) -> Drawing:
    """Cross-correlation and true convolution of the same input and kernel, side by side.

    Args:
        x: the input, `(height, width)`, or with batch and channel axes of size 1.
        kernel: `(kernel height, kernel width)`, likewise.
        correlation, convolution: the two results, as computed.

    Returns:
        A `Drawing`.

    Raises:
        ValueError: a result has not the shape that formula (4) gives.
    """
    x, kernel = _plane(x), _kernel(kernel)
    ways = (
        ("cross-correlation", "kernel as it is", kernel, _plane(correlation)),
        ("convolution", "kernel turned", kernel[::-1, ::-1], _plane(convolution)),
    )
    places = _places(_checked(x, kernel, _plane(correlation), "show_both"), 1)
    parts, sums = [grid(cells(x), f"input {_size(x)}", Mark(kernel.shape, places))], ""
    for name, how, used, y in ways:
        _checked(x, used, y, "show_both")
        column = grid(cells(used, "kernel"), how), grid(cells(y), name, Mark((1, 1), places))
        parts.append(f'<div style="display:grid;gap:1rem;min-width:11rem">{"".join(column)}</div>')
        sums += _sum(x, used, y, f"First output of the {name}")
    alt = f"Cross-correlation and convolution of a {_size(x)} input with a {_size(kernel)} kernel"
    return Drawing(side_by_side(parts, sums), alt)


def _kernel(values: Any) -> np.ndarray:
    """A kernel without its axes for channels."""
    return np.asarray(values).reshape(np.shape(values)[:2])


def _checked(x: np.ndarray, kernel: np.ndarray, y: np.ndarray, where: str) -> tuple[int, ...]:
    """The output's size by formula (4), which `y` must have."""
    out = tuple(window.output_size(i, k) or 0 for i, k in zip(x.shape, kernel.shape, strict=True))
    if y.shape != out:
        raise ValueError(f"{where}: y has the shape {y.shape}, formula (4) gives {out} for this x and kernel.")
    return out


def _sum(x: np.ndarray, used: np.ndarray, y: np.ndarray, name: str) -> str:
    """The first output written out: each number under the window times the kernel's."""
    first = x[: used.shape[0], : used.shape[1]]
    terms = " + ".join(f"{number(a)}·{_signed(b)}" for a, b in zip(first.ravel(), used.ravel(), strict=True))
    return f'<p class="striate-sum">{name}: {terms} = <strong>{number(y[0, 0])}</strong></p>'


def show_channels(x: Any, kernel: Any, y: Any) -> Drawing:
    """One output of a convolution over several channels: each channel times its slice of the kernel, then the sum.

    Args:
        x: `(height, width, channels)`.
        kernel: `(kernel height, kernel width, channels, filters)`; the first filter is drawn.
        y: the result, `(out height, out width, filters)`.

    Returns:
        A `Drawing`.
    """
    x, kernel, y = np.asarray(x), np.asarray(kernel), np.asarray(y)
    out, size = y.shape[:2], kernel.shape[:2]
    rows, sums = [], []
    for channel in range(x.shape[-1]):
        part = kernel[..., channel, 0]
        sums.append(float((x[: size[0], : size[1], channel] * part).sum()))
        title = f"channel {channel + 1} of {x.shape[-1]}"
        pair = [grid(cells(x[..., channel]), title, Mark(size, _places(out, 1))), grid(cells(part, "kernel"), "kernel")]
        rows.append(side_by_side([pair[0], "∗", pair[1]]))
    total = " + ".join(_signed(s) for s in sums)
    results = [
        grid(cells(y[..., q]), f"filter {q + 1} of {y.shape[-1]}", Mark((1, 1), _places(out, 1)))
        for q in range(y.shape[-1])
    ]
    under = f'<p class="striate-sum">First output of filter 1: {total} = <strong>{number(y[0, 0, 0])}</strong></p>'
    stack = "".join(rows) + side_by_side(["=", *results], under)
    return Drawing(
        stack, f"{x.shape[-1]} channels, each with its slice of the kernel, summed into {y.shape[-1]} outputs"
    )


def show_pooling(x: Any, size: int, results: Mapping[str, Any]) -> Drawing:
    """What several kinds of pooling take from the same windows.

    Args:
        x: the input, `(height, width)`.
        size: the side of the windows, which don't overlap.
        results: the outputs by name, such as `{"max": y}`.

    Returns:
        A `Drawing`.
    """
    x = _plane(x)
    out = tuple(window.output_size(i, size, size) or 0 for i in x.shape)
    parts = [grid(_checkered(cells(x), size), f"input {_size(x)}", Mark((size, size), _places(out, size))), "→"]
    for name, y in results.items():
        parts.append(grid(_checkered(cells(_plane(y)), 1), name, Mark((1, 1), _places(out, 1))))
    return Drawing(
        side_by_side(parts), f"{', '.join(results)} pooling of a {_size(x)} input with {size}x{size} windows"
    )


def _checkered(rows: list[list[Cell]], size: int) -> list[list[Cell]]:
    """Neighbouring windows in two colours, so that each value shows where it comes from."""
    kinds = ("value", "kernel")
    return [
        [Cell(c.text, kinds[(r // size + n // size) % 2], c.shade) for n, c in enumerate(row)]
        for r, row in enumerate(rows)
    ]


def _size(array: np.ndarray) -> str:
    return "×".join(str(n) for n in array.shape)


def _signed(value: float) -> str:
    text = number(value)
    return f"({text})" if text.startswith("−") else text
