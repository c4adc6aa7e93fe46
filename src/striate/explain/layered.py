"""Boxes and arrows in layers: where to draw them so that arrows point one way and cross little.

After Sugiyama, Tagawa and Toda (1981): ranks by the longest way, invisible boxes where an arrow passes a rank, order
within the ranks by the mean of the neighbours, and places by least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

Point = tuple[float, float]
Size = tuple[float, float]

_SWEEPS = 12
_STRAIGHT = 6.0  # how much more an invisible box wants to stand in line than a real one


class Layout(NamedTuple):
    """Centres of the boxes, the bends of each arrow from box to box, and the size of it all."""

    centres: list[Point]
    bends: list[list[Point]]
    size: Size


def arrange(sizes: Sequence[Size], arrows: Sequence[tuple[int, int]], apart: float = 24, between: float = 38) -> Layout:
    """Places for boxes of `sizes` (width, height), top to bottom along `arrows` (from, to; no cycles).

    Args:
        apart: the least distance of two boxes of a rank. between: that of two ranks.
    """
    if not sizes:
        return Layout([], [], (0.0, 0.0))
    ranks = _ranks(len(sizes), arrows)
    boxes, chains = _with_invisible(list(sizes), list(ranks), arrows)
    widths, heights, level = zip(*boxes, strict=True)
    links = [(a, b) for chain in chains for a, b in pairwise(chain)]
    order = _ordered(level, links, len(sizes))
    xs = _places(order, widths, links, len(sizes), apart)
    ys = _levels(order, heights, between)
    left = min(x - w / 2 for x, w in zip(xs, widths, strict=True))
    right = max(x + w / 2 for x, w in zip(xs, widths, strict=True))
    points = [(x - left, ys[r][0] + ys[r][1] / 2) for x, r in zip(xs, level, strict=True)]
    bends = [_bent(chain, points, ys, level) for chain in chains]
    bottom = max(top + high for top, high in ys)
    return Layout(points[: len(sizes)], bends, (right - left, bottom))


def _ranks(count: int, arrows: Sequence[tuple[int, int]]) -> list[int]:
    """The longest way from a start; starts themselves stand right above what follows them."""
    after: list[list[int]] = [[] for _ in range(count)]
    open_ = [0] * count
    for a, b in arrows:
        after[a].append(b)
        open_[b] += 1
    starts = [n for n in range(count) if open_[n] == 0]
    ranks, ready = [0] * count, list(starts)
    while ready:
        n = ready.pop()
        for m in after[n]:
            ranks[m] = max(ranks[m], ranks[n] + 1)
            open_[m] -= 1
            if open_[m] == 0:
                ready.append(m)
    for n in starts:
        if after[n]:
            ranks[n] = min(ranks[m] for m in after[n]) - 1
    return ranks


def _with_invisible(sizes: list[Size], ranks: list[int], arrows: Sequence[tuple[int, int]]) -> tuple[list, list]:
    """The boxes as (width, height, rank), and for each arrow the boxes that it leads through."""
    boxes = [(w, h, r) for (w, h), r in zip(sizes, ranks, strict=True)]
    chains = []
    for a, b in arrows:
        chain = [a]
        for rank in range(ranks[a] + 1, ranks[b]):
            chain.append(len(boxes))
            boxes.append((6.0, 0.0, rank))
        chains.append([*chain, b])
    return boxes, chains


def _ordered(level: Sequence[int], links: Sequence[tuple[int, int]], real: int) -> list[list[int]]:
    """The boxes of each rank from left to right; of all sweeps the order with the fewest crossings."""
    order: list[list[int]] = [[] for _ in range(max(level) + 1)]
    for n, rank in enumerate(level):
        order[rank].append(n)
    above, below = _neighbours(links, len(level))
    best, fewest = [list(r) for r in order], _crossings(order, below)
    for sweep in range(_SWEEPS):
        if fewest == 0:
            break
        near = above if sweep % 2 == 0 else below
        for row in order if sweep % 2 == 0 else reversed(order):
            at = {n: i for r in order for i, n in enumerate(r)}
            row.sort(key=lambda n: sum(at[m] for m in near[n]) / len(near[n]) if near[n] else at[n])
        found = _crossings(order, below)
        if found < fewest:
            best, fewest = [list(r) for r in order], found
    return best


def _neighbours(links: Sequence[tuple[int, int]], count: int) -> tuple[list[list[int]], list[list[int]]]:
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for a, b in links:
        above[b].append(a)
        below[a].append(b)
    return above, below


def _crossings(order: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> int:
    total = 0
    for upper, lower in pairwise(order):
        at = {n: i for i, n in enumerate(lower)}
        ends = [at[m] for n in upper for m in sorted(below[n], key=at.__getitem__)]
        total += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return total


def _places(
    order: Sequence[Sequence[int]], widths: Sequence[float], links: Sequence[tuple[int, int]], real: int, apart: float
) -> list[float]:
    """The middles, each rank drawn again and again towards its neighbours."""
    above, below = _neighbours(links, len(widths))
    xs = [0.0] * len(widths)
    for rank in order:
        _push(rank, xs, [0.0] * len(rank), widths, real, apart)
    for sweep in range(2 * _SWEEPS + 1):
        down = sweep % 2 == 0
        for rank in order if down else reversed(order):
            wanted = [
                _middle(xs, (above if down else below)[n] or (below if down else above)[n], real, xs[n]) for n in rank
            ]
            _push(rank, xs, wanted, widths, real, apart)
    return xs


def _middle(xs: Sequence[float], near: Sequence[int], real: int, own: float) -> float:
    """The median of the neighbours, so that chains stand straight; a real one counts before those that pass by."""
    near = [n for n in near if n < real] or near
    at = sorted(xs[n] for n in near)
    return (at[(len(at) - 1) // 2] + at[len(at) // 2]) / 2 if at else own


def _push(
    rank: Sequence[int], xs: list[float], wanted: Sequence[float], widths: Sequence[float], real: int, apart: float
) -> None:
    """Puts the boxes of a rank as near to where they want to be as their widths allow: least squares, by pooling
    neighbours that want to change places."""
    offsets, x = [], 0.0
    for i, n in enumerate(rank):
        x += (widths[rank[i - 1]] + widths[n]) / 2 + apart if i else 0.0
        offsets.append(x)
    pools: list[list[float]] = []  # mean, weight, count
    for n, want, offset in zip(rank, wanted, offsets, strict=True):
        weight = 1.0 if n < real else _STRAIGHT
        pools.append([want - offset, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, w, count = pools.pop()
            last = pools[-1]
            pools[-1] = [(last[0] * last[1] + mean * w) / (last[1] + w), last[1] + w, last[2] + count]
    starts = [mean for mean, _, count in pools for _ in range(int(count))]
    for n, start, offset in zip(rank, starts, offsets, strict=True):
        xs[n] = start + offset


def _levels(order: Sequence[Sequence[int]], heights: Sequence[float], between: float) -> list[tuple[float, float]]:
    """Top and height of each rank."""
    found, y = [], 0.0
    for rank in order:
        high = max(heights[n] for n in rank)
        found.append((y, high))
        y += high + between
    return found


def _bent(
    chain: Sequence[int], points: Sequence[Point], ys: Sequence[tuple[float, float]], level: Sequence[int]
) -> list:
    """The arrow's bends: where it enters and leaves each rank that it passes."""
    found: list[Point] = []
    for n in chain[1:-1]:
        top, high = ys[level[n]]
        found += [(points[n][0], top), (points[n][0], top + high)]
    return found
