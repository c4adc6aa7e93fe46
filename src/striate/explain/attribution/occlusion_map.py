"""Occlusion: what happens to the score when a part of the input is covered."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core import window
from striate.core.errors import message
from striate.explain.attribution.result import Attribution
from striate.explain.attribution.target import Score, Target
from striate.explain.probe import Compiled, Inputs
from striate.explain.progress import tracked


def occlusion(
    model: Any,
    image: Any,
    target: Target = None,
    size: Any = None,
    strides: Any = None,
    baseline: Any = 0.0,
    batch_size: int = 32,
    which: int | str = 0,
    output: int = 0,
    before_softmax: bool = True,
    progress: bool | None = None,
) -> Attribution:
    """How much the score falls when a window of the input is covered (Zeiler & Fergus 2013): S(x) - S(x without it).

    Each place of the map has the mean over the windows that cover it. The last window of a row ends with the image,
    so that every place is covered.

    Args:
        model, image, target, which, output, before_softmax, progress: as `saliency` has them.
        size: of the window, one number or one per axis; by default an eighth of the image.
        strides: how far it moves; by default half its size.
        baseline: what covers it: a number or an array that can be broadcast to the input.
        batch_size: images computed together.

    Returns:
        An `Attribution` with signs; `more["drops"]` has the fall for each window, `(batch, rows, columns)`, and
        `more["places"]` the first pixel of each row and each column of them.

    Raises:
        ValueError: the window is larger than the image.
    """
    given = Inputs(model, image, which, "occlusion")
    score, x = Score(given, target, output, before_softmax), given.last(given.x)
    spatial = x.shape[1:-1]
    k = _window(size or tuple(max(1, n // 8) for n in spatial), spatial, "size")
    s = _window(strides or tuple(max(1, n // 2) for n in k), spatial, "strides")
    starts = [_starts(n, kk, ss) for n, kk, ss in zip(spatial, k, s, strict=True)]
    run = Compiled(lambda *values: score.of(values))
    whole = np.asarray(run(*given.arrays))
    hidden = np.broadcast_to(np.asarray(baseline, x.dtype), x.shape)
    corners = list(np.ndindex(*(len(a) for a in starts)))
    drops = np.empty((len(x), len(corners)), "float64")
    at_once = max(1, batch_size // len(x))
    for n in tracked(range(0, len(corners), at_once), "occlusion", progress):
        places = [tuple(a[i] for a, i in zip(starts, c, strict=True)) for c in corners[n : n + at_once]]
        covered = np.stack([_covered(x, hidden, p, k) for p in places], axis=1)
        batch = given.own(covered.reshape(-1, *x.shape[1:]))
        found = np.asarray(run(*given.with_x(batch))).reshape(len(x), -1)
        drops[:, n : n + len(places)] = whole[:, None] - found
    grid = drops.reshape(len(x), *(len(a) for a in starts))
    more = {"drops": grid, "places": starts, "size": k, "strides": s}
    return Attribution("occlusion", _spread(grid, starts, k, spatial), x, score.words, whole, signed=True, more=more)


def _window(value: Any, spatial: tuple[int, ...], name: str) -> tuple[int, ...]:
    sizes = window.normalize_tuple(value, len(spatial), name, where="occlusion")
    if name == "size" and any(k > n for k, n in zip(sizes, spatial, strict=True)):
        problem = f"a window of {sizes} is larger than the image of {spatial}"
        raise ValueError(message("occlusion", problem, "Use a smaller `size`"))
    return sizes


def _starts(n: int, k: int, s: int) -> list[int]:
    """Where windows begin: every `s` pixels, and one that ends with the image."""
    found = list(range(0, n - k + 1, s))
    return found if found[-1] == n - k else [*found, n - k]


def _covered(x: np.ndarray, hidden: np.ndarray, place: tuple[int, ...], k: tuple[int, ...]) -> np.ndarray:
    part = (slice(None), *(slice(p, p + kk) for p, kk in zip(place, k, strict=True)))
    made = x.copy()
    made[part] = hidden[part]
    return made


def _spread(grid: np.ndarray, starts: list[list[int]], k: tuple[int, ...], spatial: tuple[int, ...]) -> np.ndarray:
    """The mean drop of the windows over each place."""
    total, count = np.zeros((len(grid), *spatial)), np.zeros(spatial)
    for corner in np.ndindex(*grid.shape[1:]):
        part = tuple(slice(a[i], a[i] + kk) for a, i, kk in zip(starts, corner, k, strict=True))
        total[(slice(None), *part)] += grid[(slice(None), *corner)].reshape(-1, *[1] * len(k))
        count[part] += 1
    return total / count
