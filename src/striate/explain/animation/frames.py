"""What each moment reads and makes: one output cell of one filter, or one input cell scattered over the output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.core.errors import message

from .operation import Operation

Place = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Frame:
    """One moment of an animation.

    Attributes:
        number: counted from 0.
        filter: the output channel.
        at: the output cell `(depth, height, width)`; where inputs are scattered, the input cell.
        window: per axis the positions under the kernel, counted without padding: those below 0 or beyond the end are
            padding. Where inputs are scattered, positions of the output.
        channels: the input channels that are read.
        values: the numbers under the window, `(channels, depth, height, width)`; scattered: `(channels,)`.
        counts: which of them count: pooling leaves out the padding.
        weights: the kernel's slice, likewise; None for pooling.
        products: what is summed up: products, or for pooling the values themselves, or their powers.
        total: their sum, or their maximum, mean or norm; scattered: per cell of the window.
        bias: the filter's, 0 for none.
        result: what the layer gave at `at`; scattered: what has been summed up in the window so far.
        done: how many output cells (scattered: input cells) of the filter and those before it are finished after it.
    """

    number: int
    filter: int
    at: Place
    window: tuple[tuple[int, ...], ...]
    channels: tuple[int, ...]
    values: np.ndarray
    counts: np.ndarray
    weights: np.ndarray | None
    products: np.ndarray
    total: Any
    bias: float
    result: Any
    done: int


def order(op: Operation, filters: Sequence[int] | None) -> list[tuple[int, Place]]:
    """Every filter and place in turn.

    Raises:
        ValueError: for a filter that there isn't.
    """
    chosen = range(op.filters) if filters is None else filters
    if not len(chosen):
        raise ValueError(message("animate", "`filters` names no filter", f"Use some of 0 to {op.filters - 1}"))
    wrong = [q for q in chosen if not 0 <= q < op.filters]
    if wrong:
        raise ValueError(message("animate", f"there is no filter {wrong[0]}", f"Use 0 to {op.filters - 1}"))
    return [(q, (d, h, w)) for q in chosen for d, h, w in np.ndindex(*map(len, op.places))]


def kept(count: int, limit: int) -> list[int]:
    """The numbers of at most `limit` moments out of `count`, spread evenly, the last among them."""
    return sorted({round(n) for n in np.linspace(0, count - 1, min(count, max(limit, 1)))[::-1]})


class Frames:
    """Makes the frames of an operation; those of a scattered one remember the sums so far."""

    def __init__(self, op: Operation, filters: Sequence[int] | None = None) -> None:
        self.op, self.order = op, order(op, filters)
        self._sums = np.zeros(op.y.shape)
        self._scattered = 0

    @np.errstate(invalid="ignore", over="ignore")
    def frame(self, number: int, place: int) -> Frame:
        """The moment of the `place`-th entry of the order; scattered ones must come in order."""
        q, at = self.order[place]
        window = tuple(axis[n] for axis, n in zip(self.op.places, at, strict=True))
        make = self._scatter if self.op.kind == "scatter" else self._read
        return make(number, place, q, at, window)

    def _read(self, number: int, place: int, q: int, at: Place, window: Any) -> Frame:
        op, channels = self.op, self.op.read_by(q)
        cells = [np.asarray(p) + lo for p, (lo, _) in zip(window, op.pads, strict=True)]
        values = np.moveaxis(op.field[np.ix_(*cells)][..., list(channels)], -1, 0)
        inside = np.broadcast_to(op.known[np.ix_(*cells)], values.shape)
        weights = None if op.kernel is None else np.moveaxis(op.kernel[..., q], -1, 0)
        counts = inside if op.kind in ("max", "average") else np.ones_like(inside)
        products = values * weights if weights is not None else _powers(op, values)
        total, result = _pooled(op, products, counts), float(op.y[(*at, q)])
        if weights is None and not np.isclose(total, result, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise RuntimeError(message("animate", f"the picture gives {total:g} at {at}, the layer {result:g}"))
        return Frame(
            number, q, at, window, channels, values, counts, weights, products, total, self._bias(q), result, place + 1
        )

    def _scatter(self, number: int, place: int, q: int, at: Place, window: Any) -> Frame:
        while self._scattered < place:  # those that are left out are added all the same
            self._add(*self.order[self._scattered])
            self._scattered += 1
        op, channels = self.op, self.op.read_by(q)
        self._add(q, at)
        self._scattered = place + 1
        values = op.field[at]
        weights = np.moveaxis(self.op.weights[..., q], -1, 0)
        products = values[:, None, None, None] * weights
        return Frame(
            number, q, at, window, channels, values, np.ones_like(products, bool), weights, products, products.sum(0),
            self._bias(q), self._sums.copy(), place + 1,
        )  # fmt: skip

    def _add(self, q: int, at: Place) -> None:
        """One input cell's stamp, where it lies in the output."""
        stamp = self.op.weights[..., q] @ self.op.field[at]
        for tap in np.ndindex(*stamp.shape):
            cell = tuple(axis[n][t] for axis, n, t in zip(self.op.places, at, tap, strict=True))
            if all(0 <= c < self._sums.shape[n] for n, c in enumerate(cell)):
                self._sums[(*cell, q)] += stamp[tap]

    def _bias(self, q: int) -> float:
        return 0.0 if self.op.bias is None else float(self.op.bias[q])


def _powers(op: Operation, values: np.ndarray) -> np.ndarray:
    return np.abs(values) ** op.power if op.kind == "norm" else values


def _pooled(op: Operation, products: np.ndarray, counts: np.ndarray) -> float:
    """What becomes of the numbers under the window, in float64."""
    if op.kind == "convolution":
        return float(products.sum())
    chosen = products[counts]
    if op.kind == "max":
        return float(chosen.max(initial=-np.inf))
    return float(chosen.mean()) if op.kind == "average" else float(chosen.sum() ** (1 / op.power))
