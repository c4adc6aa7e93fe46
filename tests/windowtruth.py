"""Convolution and pooling one cell at a time: slow loops straight from the definitions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

Ints = tuple[int, ...]


def out_shape(spatial: Ints, *, window: Ints, strides: Ints, padding: Any, dilation: Ints) -> Ints:
    """How many places a window has along each axis, found by moving it until it no longer fits."""
    sizes = []
    for n, k, s, (lo, hi), d in zip(spatial, window, strides, padding, dilation, strict=True):
        count = 0
        while count * s + (k - 1) * d < n + lo + hi:
            count += 1
        sizes.append(count)
    return tuple(sizes)


def meetings(
    spatial: Ints, window: Ints, strides: Ints, padding: Any, dilation: Ints
) -> Iterator[tuple[Ints, Ints, Ints]]:
    """(output place, window cell, input cell) for each cell that lies inside the input, row by row."""
    out = out_shape(spatial, window=window, strides=strides, padding=padding, dilation=dilation)
    for o in np.ndindex(*out):
        for tap in product(*(range(k) for k in window)):
            settings = zip(o, tap, strides, padding, dilation, strict=True)
            cell = tuple(i * s + t * d - lo for i, t, s, (lo, _), d in settings)
            if all(0 <= c < n for c, n in zip(cell, spatial, strict=True)):
                yield o, tap, cell


def conv_shape(x: Ints, w: Ints, params: dict[str, Any]) -> Ints:
    geometry = {k: v for k, v in params.items() if k != "groups"}
    return (x[0], *out_shape(x[1:-1], window=w[:-2], **geometry), w[-1])


def _conv_terms(x: Ints, w: Ints, strides: Ints, padding: Any, dilation: Ints, groups: int) -> Iterator[Any]:
    """Index tuples of y, x and w for each product that the convolution adds up."""
    per_in, per_out = w[-2], w[-1] // groups
    for n in range(x[0]):
        for o, tap, cell in meetings(x[1:-1], w[:-2], strides, padding, dilation):
            for f, c in product(range(w[-1]), range(per_in)):
                yield (n, *o, f), (n, *cell, f // per_out * per_in + c), (*tap, c, f)


def conv(x: np.ndarray, w: np.ndarray, **params: Any) -> np.ndarray:
    y = np.zeros(conv_shape(x.shape, w.shape, params))
    for at_y, at_x, at_w in _conv_terms(x.shape, w.shape, **params):
        y[at_y] += x[at_x] * w[at_w]
    return y


def conv_input_grad(g: np.ndarray, w: np.ndarray, *, input_shape: Ints, **params: Any) -> np.ndarray:
    dx = np.zeros(input_shape)
    for at_y, at_x, at_w in _conv_terms(input_shape, w.shape, **params):
        dx[at_x] += g[at_y] * w[at_w]
    return dx


def conv_kernel_grad(x: np.ndarray, g: np.ndarray, *, kernel_shape: Ints, **params: Any) -> np.ndarray:
    dw = np.zeros(kernel_shape)
    for at_y, at_x, at_w in _conv_terms(x.shape, kernel_shape, **params):
        dw[at_w] += g[at_y] * x[at_x]
    return dw


def _members(x_shape: Ints, params: dict[str, Any]) -> Iterator[tuple[Any, list[Any]]]:
    """For each element of the pooled array the input elements of its window, in order."""
    places: dict[Ints, list[Ints]] = {o: [] for o in np.ndindex(*out_shape(x_shape[1:-1], **params))}
    for o, _, cell in meetings(x_shape[1:-1], **params):
        places[o].append(cell)
    for n, c in product(range(x_shape[0]), range(x_shape[-1])):
        for o, cells in places.items():
            yield (n, *o, c), [(n, *cell, c) for cell in cells]


def _shape(x: Ints, params: dict[str, Any]) -> Ints:
    return (x[0], *out_shape(x[1:-1], **params), x[-1])


def _first_max(x: np.ndarray, cells: list[Any]) -> Any:
    """The first largest cell; a NaN is larger than anything; None if there are no cells."""
    nans = [c for c in cells if x[c] != x[c]]
    return nans[0] if nans else max(cells, key=lambda c: x[c], default=None)


def max_pool(x: np.ndarray, **params: Any) -> np.ndarray:
    y = np.full(_shape(x.shape, params), -np.inf)
    for at, cells in _members(x.shape, params):
        if cells:
            y[at] = x[_first_max(x, cells)]
    return y


def max_pool_grad(x: np.ndarray, g: np.ndarray, **params: Any) -> np.ndarray:
    dx = np.zeros(x.shape)
    for at, cells in _members(x.shape, params):
        if cells:
            dx[_first_max(x, cells)] += g[at]
    return dx


def max_pool_gather(x: np.ndarray, v: np.ndarray, **params: Any) -> np.ndarray:
    y = np.zeros(_shape(x.shape, params))
    for at, cells in _members(x.shape, params):
        if cells:
            y[at] = v[_first_max(x, cells)]
    return y


def max_pool_positions(x: np.ndarray, **params: Any) -> np.ndarray:
    """The number of the first maximum's cell among all cells of the window, those in the padding counted."""
    y = np.full(_shape(x.shape, params), 255, np.uint8)
    for at, cells in _members(x.shape, params):
        if cells:
            best = _first_max(x, cells)[1:-1]
            firsts = [o * s - lo for o, s, (lo, _) in zip(at[1:-1], params["strides"], params["padding"], strict=True)]
            tap = [(b - f) // d for b, f, d in zip(best, firsts, params["dilation"], strict=True)]
            y[at] = int(np.ravel_multi_index(tap, params["window"]))
    return y


def unpool(positions: np.ndarray, g: np.ndarray, *, input_shape: Ints, **params: Any) -> np.ndarray:
    """Every value of g goes to the cell that its window's position names."""
    dx = np.zeros(input_shape)
    for at, cells in _members(input_shape, params):
        tap = np.unravel_index(positions[at], params["window"])
        cell = tuple(
            o * s - lo + t * d
            for o, s, (lo, _), t, d in zip(
                at[1:-1], params["strides"], params["padding"], tap, params["dilation"], strict=True
            )
        )
        if (at[0], *cell, at[-1]) in [tuple(c) for c in cells]:
            dx[(at[0], *cell, at[-1])] += g[at]
    return dx


def _count(cells: list[Any], params: dict[str, Any], include: bool) -> int:
    return int(np.prod(params["window"])) if include else max(len(cells), 1)


def avg_pool(x: np.ndarray, *, count_include_pad: bool, **params: Any) -> np.ndarray:
    y = np.zeros(_shape(x.shape, params))
    for at, cells in _members(x.shape, params):
        y[at] = sum(x[c] for c in cells) / _count(cells, params, count_include_pad)
    return y


def avg_pool_grad(g: np.ndarray, *, input_shape: Ints, count_include_pad: bool, **params: Any) -> np.ndarray:
    dx = np.zeros(input_shape)
    for at, cells in _members(input_shape, params):
        for c in cells:
            dx[c] += g[at] / _count(cells, params, count_include_pad)
    return dx


def lp_pool(x: np.ndarray, *, p: float, **params: Any) -> np.ndarray:
    y = np.zeros(_shape(x.shape, params))
    for at, cells in _members(x.shape, params):
        y[at] = sum(abs(x[c]) ** p for c in cells) ** (1 / p)
    return y
