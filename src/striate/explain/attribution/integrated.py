"""Integrated gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core.errors import message
from striate.explain.attribution.backprop import Gradient
from striate.explain.attribution.result import Attribution
from striate.explain.attribution.target import Score, Target
from striate.explain.probe import Inputs
from striate.explain.progress import tracked


def integrated_gradients(
    model: Any,
    image: Any,
    target: Target = None,
    baseline: Any = 0.0,
    steps: int = 64,
    batch_size: int = 16,
    which: int | str = 0,
    output: int = 0,
    before_softmax: bool = True,
    progress: bool | None = None,
) -> Attribution:
    """Gradients added up on the straight way from a baseline x' to the input x (Sundararajan et al. 2017):

    IG_i = (x_i - x'_i) * integral from 0 to 1 of dS/dx_i (x' + a (x - x')) da,

    here by Gauss and Legendre's rule with `steps` points. They are complete: their sum is S(x) - S(x').

    Args:
        model, image, target, which, output, before_softmax, progress: as `saliency` has them.
        baseline: a number, or an array that can be broadcast to the input: what counts as nothing. 0 is a black
            image only where the model's preprocessing leaves black at 0.
        steps: points of the rule; more where `more["gap"]` is too large.
        batch_size: points computed together.

    Returns:
        An `Attribution` with signs: `values` are IG_i, the map their sum over channels; `more` holds `difference`
        (S(x) - S(x')), `sum` (that of the values) and `gap` (what is missing between them), each `(batch,)`.

    Raises:
        ValueError: the baseline has another shape, or `steps` is less than 1.
    """
    given = Inputs(model, image, which, "integrated_gradients")
    if steps < 1:
        raise ValueError(message(given.where, f"`steps` must be at least 1. Received: {steps}"))
    score, x = Score(given, target, output, before_softmax), given.x
    start = _baseline(x, baseline)
    run = Gradient(given, score)
    total = _integral(run, x, start, steps, batch_size, progress)
    values = total * (x - start)
    scores = run(x)[0]
    difference = scores - run(start)[0]
    summed = values.reshape(len(x), -1).sum(1)
    more = {"difference": difference, "sum": summed, "gap": np.abs(summed - difference)}
    why = f"the sum is {summed[0]:.4g}, the score's difference from the baseline {difference[0]:.4g}"
    return Attribution(
        "integrated gradients",
        given.last(values).sum(-1),
        given.last(x),
        score.words,
        scores,
        values,
        signed=True,
        why=why,
        more=more,
    )


def _baseline(x: np.ndarray, baseline: Any) -> np.ndarray:
    try:
        return np.broadcast_to(np.asarray(baseline, x.dtype), x.shape)
    except ValueError:
        problem = f"a baseline of shape {np.shape(baseline)} does not fit inputs of shape {x.shape}"
        raise ValueError(message("integrated_gradients", problem, "Give a number or an image")) from None


def _integral(
    run: Gradient, x: np.ndarray, start: np.ndarray, steps: int, size: int, progress: bool | None
) -> np.ndarray:
    """The integral of the gradient over the way, in float64; several points of it make one batch."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    points, weights = (nodes + 1) / 2, weights / 2
    at_once = max(1, min(size // max(len(x), 1), steps))
    total = np.zeros(x.shape, "float64")
    parts = [slice(n, n + at_once) for n in range(0, steps, at_once)]
    for part in tracked(parts, "integrated gradients", progress):
        a = points[part].reshape(1, -1, *[1] * (x.ndim - 1))
        way = (start[:, None] + a * (x - start)[:, None]).astype(x.dtype)
        found = run(way.reshape(-1, *x.shape[1:]))[1].reshape(way.shape)
        total += np.einsum("bs...,s->b...", found.astype("float64"), weights[part])
    return total
