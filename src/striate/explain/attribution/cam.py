"""Class activation maps by gradients: Grad-CAM and Grad-CAM++."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from striate.core.errors import message
from striate.explain.attribution.backprop import gradient_of
from striate.explain.attribution.result import Attribution
from striate.explain.attribution.target import Score, Target
from striate.explain.probe import Compiled, Found, Inputs, channels_last, find, layers_in, watching
from striate.ir import Value, toposort
from striate.layers.pooling import BasePooling

Weighting = Callable[[np.ndarray, np.ndarray], np.ndarray]


class _Candidate(NamedTuple):
    """A layer with its symbol in the trace."""

    found: Found
    value: Any


def grad_cam(
    model: Any,
    image: Any,
    target: Target = None,
    layer: Any = None,
    relu: bool = True,
    which: int | str = 0,
    output: int = 0,
    before_softmax: bool = True,
) -> Attribution:
    """Where a layer's activations speak for the target (Selvaraju et al. 2017):

    L = ReLU(sum_k a_k A^k), with a_k = (1/Z) sum_ij dS/dA^k_ij,

    A^k being the layer's k-th feature map with Z places; stretched to the image's size by linear interpolation.

    Args:
        model, image, target, which, output, before_softmax: as `saliency` has them.
        layer: a name, path, index, class or layer; by default the last one whose output still has several places and
            that is no pooling; `why` says which and why.
        relu: whether what speaks against the target is left out.

    Returns:
        An `Attribution`; `more` holds `cam` (in the layer's size), `weights` (a_k, `(batch, channels)`), `activations`
        and `gradients` (channels last), `layer` (its name).

    Raises:
        ValueError: the layer has no places, or the score does not depend on it.
    """
    return _cam("Grad-CAM", _mean_weights, model, image, target, layer, relu, which, output, before_softmax)


def grad_cam_plus_plus(
    model: Any,
    image: Any,
    target: Target = None,
    layer: Any = None,
    relu: bool = True,
    which: int | str = 0,
    output: int = 0,
    before_softmax: bool = True,
) -> Attribution:
    """Grad-CAM++ (Chattopadhay et al. 2018): several objects of one class count alike.

    w_k = sum_ij a^k_ij ReLU(dS/dA^k_ij), with a^k_ij = g^2 / (2 g^2 + sum_ab A^k_ab g^3), g = dS/dA^k_ij,

    for S as the exponential of the score, whose derivatives are powers of the score's own.

    Arguments and result are those of `grad_cam`.
    """
    return _cam("Grad-CAM++", _plus_plus_weights, model, image, target, layer, relu, which, output, before_softmax)


def _mean_weights(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return g.mean(axis=tuple(range(1, g.ndim - 1)))


def _plus_plus_weights(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    places = tuple(range(1, g.ndim - 1))
    below = 2 * g**2 + a.sum(places, keepdims=True) * g**3
    alpha = np.where(below != 0, g**2 / np.where(below != 0, below, 1), 0)
    return (alpha * np.maximum(g, 0)).sum(places)


def _cam(
    name: str, weigh: Weighting, model: Any, image: Any, target: Any, layer: Any, relu: bool, which: Any,
    output: int, before: bool,
) -> Attribution:  # fmt: skip
    where = name.lower().replace("++", "_plus_plus").replace("-", "_")
    given = Inputs(model, image, which, where)
    score = Score(given, target, output, before)
    scores, a, g, found, why = _activations(given, score, layer)
    a, g = (channels_last(np.asarray(v), found.layer, given.first).astype("float64") for v in (a, g))
    weights = weigh(a, g)
    cam = np.einsum("b...k,bk->b...", a, weights)
    why += (
        "; nothing in it speaks for the target, relu=False shows what speaks against it"
        if relu and (cam.max() <= 0)
        else ""
    )
    cam = np.maximum(cam, 0) if relu else cam
    more = {"cam": cam, "weights": weights, "activations": a, "gradients": g, "layer": found.path}
    x = given.last(given.x)
    stretched = stretch(cam, x.shape[1:-1])
    return Attribution(name, stretched, x, score.words, np.asarray(scores), signed=not relu, why=why, more=more)


def _activations(given: Inputs, score: Score, layer: Any) -> Any:
    """The scores, the layer's activations, the gradients by them, the layer, and why it was taken."""
    listed = layers_in(given.model) if layer is None else find(given.model, layer, given.where)[:1]
    chosen: list[Any] = []

    def run(*values: Any) -> list[Any]:
        with watching([f.layer for f in listed]) as notes:
            result = score.of(values)
        picked, why = _picked(notes, listed, result, given, layer is None)
        chosen[:] = [picked.found, why]
        return [result, picked.value, *gradient_of(result, [picked.value])]

    return *Compiled(run)(*given.arrays), *chosen


def _picked(notes: Any, listed: list[Found], score: Any, given: Inputs, proposed: bool) -> tuple[_Candidate, str]:
    by_id = {id(f.layer): f for f in listed}
    noted = [_Candidate(by_id[key], v) for key, results in notes.items() for v in results if isinstance(v, Value)]
    noted = list({id(c.value): c for c in reversed(noted)}.values())[::-1]  # a model's result is its last layer's
    nodes = toposort([score])
    order = {id(v): n for n, node in enumerate(nodes) for v in node.outputs}
    reached = sorted((c for c in noted if id(c.value) in order), key=lambda c: order[id(c.value)])
    spatial = [c for c in reached if _places(c, given.first) > 1]
    if not spatial:
        _refuse(reached, listed, given.where, proposed)
    if not proposed:
        return spatial[-1], f"'{spatial[-1].found.path}' was asked for"
    kept = [c for c in spatial if not _only_moves(c.found.layer)] or spatial
    last = kept[-1]
    after = [c.found.path for c in reached if order[id(c.value)] > order[id(last.value)]]
    shape = "×".join(str(n) for n in last.value.shape[1:])
    behind = f"; behind it, '{after[0]}' gives places up" if after else ""
    return last, f"'{last.found.path}' ({shape}) is the last layer with places of its own{behind}"


def _places(candidate: _Candidate, first: bool) -> int:
    shape = tuple(candidate.value.shape)
    if len(shape) < 3:
        return 0
    spatial = channels_last(np.empty(shape, "bool"), candidate.found.layer, first).shape[1:-1]
    return int(np.prod(spatial))


_MOVES = ("Flatten", "Reshape", "Permute", "Dropout", "SpatialDropout2D", "ZeroPadding2D", "RepeatVector")


def _only_moves(layer: Any) -> bool:
    """Poolings make the map coarser; other layers only move numbers."""
    return isinstance(layer, BasePooling) or type(layer).__name__ in _MOVES


def _refuse(reached: list[_Candidate], listed: list[Found], where: str, proposed: bool) -> None:
    if proposed:
        raise ValueError(message(where, "no layer on the way to the score has more than one place",
                                 "Use saliency or integrated_gradients"))  # fmt: skip
    what = "has no places" if reached else "does not lead to the score"
    raise ValueError(message(where, f"layer '{listed[0].path}' {what}", "Give a convolution, or leave `layer` out"))


def stretch(maps: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """`(batch, ...)` in other sizes, by linear interpolation along each axis, between the centres of the cells."""
    for axis, n in enumerate(sizes, 1):
        m = maps.shape[axis]
        at = np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1)
        low = np.minimum(at.astype(int), max(m - 2, 0))
        part = (at - low).reshape(-1, *[1] * (maps.ndim - axis - 1))
        high = np.minimum(low + 1, m - 1)
        maps = np.take(maps, low, axis) * (1 - part) + np.take(maps, high, axis) * part
    return maps
