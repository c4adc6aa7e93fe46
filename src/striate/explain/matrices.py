"""A sparse matrix drawn: a square for each entry that is not zero."""

from __future__ import annotations

import html

import numpy as np

from .drawing import FILL, INK, LINE, Drawing, number, side_by_side

_MOST, _MOST_NUMBERS, _WIDTH = 256, 16, 420


def draw_matrices(matrix: np.ndarray, names: tuple[str, str]) -> Drawing:
    """The matrix and its transpose, side by side.

    Raises:
        ValueError: more rows or columns than a picture can show.
    """
    if max(matrix.shape) > _MOST:
        raise ValueError(
            f"a matrix of {matrix.shape[0]} by {matrix.shape[1]} is too large to draw (at most {_MOST} either way). "
            "Take a smaller input, such as 7x7."
        )
    rows, columns = matrix.shape
    parts = [_figure(matrix, f"{names[0]}, {rows}×{columns}"), _figure(matrix.T, f"{names[1]}, {columns}×{rows}")]
    alt = f"A {rows} by {columns} matrix with {np.count_nonzero(matrix)} entries that are not zero, and its transpose"
    return Drawing(side_by_side(parts), alt)


def _figure(matrix: np.ndarray, title: str) -> str:
    rows, columns = matrix.shape
    cell = 28 if max(rows, columns) <= _MOST_NUMBERS else max(_WIDTH / max(rows, columns), 1.6)
    top = float(np.abs(matrix).max()) or 1.0
    squares = "".join(_entry(matrix[r, c], r, c, cell, top) for r, c in np.argwhere(matrix))
    w, h = columns * cell, rows * cell
    frame = f'<rect width="{w:g}" height="{h:g}" style="fill:none;stroke:{LINE}"/>'
    svg = (
        f'<svg role="img" aria-label="{html.escape(title, quote=True)}" viewBox="-1 -1 {w + 2:g} {h + 2:g}" '
        f'width="{w + 2:.0f}" height="{h + 2:.0f}" style="max-width:100%;height:auto;font:10px sans-serif">'
        f"{squares}{frame}</svg>"
    )
    return (
        f'<figure class="striate-matrix" style="margin:0;text-align:center;max-width:100%">{svg}'
        f'<figcaption style="font-size:.85em">{html.escape(title)}</figcaption></figure>'
    )


def _entry(value: float, row: int, column: int, cell: float, top: float) -> str:
    kind = "negative" if value < 0 else "value"
    x, y = column * cell, row * cell
    style = f"fill:{FILL[kind]};fill-opacity:{0.3 + 0.7 * abs(value) / top:.2f}"
    square = f'<rect x="{x:g}" y="{y:g}" width="{cell:g}" height="{cell:g}" style="{style}"/>'
    if cell < 28:
        return square
    place = f'x="{x + cell / 2:g}" y="{y + cell / 2 + 3.5:g}" text-anchor="middle"'
    return f'{square}<text {place} style="fill:{INK}">{number(float(value))}</text>'
