"""What a filter looks for: an image made by gradient ascent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate import ops
from striate.core import tree
from striate.core.errors import message
from striate.explain import figures
from striate.explain.attribution.backprop import gradient_of
from striate.explain.attribution.target import before_closing
from striate.explain.probe import Compiled, Found, channels_first, find, takes_channels_first, watching
from striate.explain.progress import tracked
from striate.models.functional import Functional
from striate.models.receptive import graph_of
from striate.trace import KerasTensor

_SIZE = 64  # of a side that the model leaves open


@dataclass(frozen=True)
class Maximised:
    """Images that excite filters.

    Attributes:
        images: `(filters, height, width, channels)`.
        filters: which channels. layer: whose, its name.
        scores: the mean activation at the end, `(filters,)`. history: in each step, `(steps, filters)`.
    """

    images: np.ndarray
    filters: tuple[int, ...]
    layer: str
    scores: np.ndarray
    history: np.ndarray

    def figure(self, columns: int | None = None, theme: str = "light") -> Any:
        """The images as a matplotlib `Figure`, each spread around its mean by its own standard deviation."""
        high, wide = figures.grid_of(len(self.images), columns)
        figure = figures.new_figure(max(2.2, 1.9 * wide), 2.15 * high + 0.3, theme)
        axes = figure.subplots(high, wide, squeeze=False)
        for place in axes.flat:
            place.set_axis_off()
        for place, image, f, score in zip(axes.flat, self.images, self.filters, self.scores, strict=False):
            place.set_axis_on()
            figures.show(place, _spread(image), "gray", (0, 1), colour=True)
            figures.panel(place, f"{f}", theme, 9, f"{score:.3g}".replace("-", "−"))
        figure.suptitle(f"what filters of {self.layer} look for", fontsize=10, color=figures.theme_of(theme).ink)
        return figure

    def _repr_html_(self) -> str:
        return figures.as_html(self.figure(theme="auto"), repr(self))

    def __repr__(self) -> str:
        return f"<Maximised filters {figures.names(self.filters)} of {self.layer}>"


def _spread(image: np.ndarray) -> np.ndarray:
    """Numbers around 0.5, three standard deviations within 0 and 1."""
    centred = (image - image.mean()) / (image.std() + 1e-8)
    flat = np.clip(0.5 + centred / 6, 0, 1)
    return flat if flat.ndim == 3 and flat.shape[-1] in (3, 4) else flat.mean(-1)


def maximise(
    layer_or_model: Any,
    filter: Any,
    layer: Any = None,
    size: Any = None,
    steps: int = 96,
    rate: float = 0.1,
    jitter: int | None = None,
    l2: float = 0.01,
    variation: float = 0.05,
    blur: float = 0.4,
    start: Any = None,
    unit: float = 1.0,
    seed: int = 0,
    progress: bool | None = None,
) -> Maximised:
    """Images that excite filters most, found by climbing (Erhan et al. 2009; Simonyan et al. 2013):

    x <- x + rate * g / rms(g), with g = d/dx mean_ij A^k_ij / rms - l2 x - variation dTV/dx,

    from noise: before each step the image is moved by up to `jitter` pixels (Mordvintsev
    et al. 2015), after it blurred with a radius that shrinks to nothing (Yosinski et al. 2015).

    Args:
        layer_or_model: a layer of a functional or sequential model (the image is then the model's input), a layer by
            itself, or a model.
        filter: the channel of the layer (of a dense layer, the unit), or several: one image each, computed together.
        layer: of a model, the layer: name, path, index or class; by default its output.
        size: of the image, one number or one per axis; by default the model's, and 64 where that is open.
        steps: how often it climbs. rate: how far, in units of `unit`.
        jitter: pixels; by default a sixteenth of the shorter side, so that small images move less.
        l2, variation: weights of the penalties on large numbers and on neighbours that differ.
        blur: standard deviation in pixels at the start.
        start: an image to start from instead of noise.
        unit: how large the numbers of the model's images are: their standard deviation (about 60 for VGG's).
        seed: of noise and jitter: the same seed gives the same images.
        progress: whether a bar is shown; None (default): in a terminal, if it takes longer than a second.

    Returns:
        `Maximised`: `images`, `scores`, `history`, `.figure()`.

    Raises:
        ValueError: no such filter or layer, or a layer whose model can't be told.
    """
    model, at = _model_of(layer_or_model, layer)
    chosen = tuple(int(f) for f in (filter if np.ndim(filter) else [filter]))
    climb = _Climb(model, at, chosen)
    x = climb.start(size, start, seed, unit)
    rng = np.random.default_rng(seed + 1)
    far = max(0, min(x.shape[1:-1]) // 16) if jitter is None else jitter
    history = []
    for n in tracked(range(steps), f"maximising {at.path}", progress):
        moves = tuple(int(m) for m in rng.integers(-far, far + 1, x.ndim - 2))
        axes = tuple(range(1, x.ndim - 1))
        scores, g = climb(np.roll(x, moves, axes))
        g = _unit(np.roll(g, tuple(-m for m in moves), axes)) - l2 * x / unit - variation * _variation(x / unit)
        x = x + rate * unit * _unit(g)
        x = _blurred(x, blur * (1 - (n + 1) / steps)).astype("float32")
        history.append(scores)
    scores = climb(x)[0]
    return Maximised(x, chosen, at.path, scores, np.array([*history, scores]))


def _model_of(given: Any, layer: Any) -> tuple[Any, Found]:
    """The model that is run, and the layer in it."""
    if layer is not None:
        return given, find(given, layer, "maximise")[0]
    if graph_of(given) is not None or not getattr(given, "_inbound_nodes", None):
        return given, Found(given.name, given)
    output = given._inbound_nodes[0].output_tensors[0]
    sources = _sources(output)
    return Functional(sources, output), Found(given.name, given)


def _sources(tensor: KerasTensor) -> list[KerasTensor]:
    """The inputs of the graph that `tensor` was computed in."""
    found: dict[int, KerasTensor] = {}
    seen, stack = set(), [tensor]
    while stack:
        history: Any = stack.pop()._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        if id(node) not in seen:
            seen.add(id(node))
            stack += node.input_tensors
            found.update({id(t): t for t in node.output_tensors} if node.is_input else {})
    return list(found.values())


class _Climb:
    """The mean activation of each image's filter (of a classifier before its softmax) and its gradient."""

    def __init__(self, model: Any, at: Found, filters: Sequence[int]) -> None:
        self.model, self.at, self.filters, self.first = model, at, filters, takes_channels_first(model)
        self._compiled = Compiled(self._run)

    def _run(self, x: Any) -> list[Any]:
        with watching([self.at.layer]) as notes:
            self.model(x, training=False)
        if id(self.at.layer) not in notes:
            raise ValueError(message("maximise", f"layer '{self.at.path}' was not called", "Name another layer"))
        a = before_closing(tree.flatten(notes[id(self.at.layer)][0])[0])
        axis = 1 if channels_first(self.at.layer, self.first) and a.ndim > 2 else a.ndim - 1
        count = a.shape[axis]
        if any(not -count <= f < count for f in self.filters):
            problem = f"layer '{self.at.path}' has the filters 0 to {count - 1}. Received: {list(self.filters)}"
            raise ValueError(message("maximise", problem))
        mask = np.zeros((len(self.filters), *[1] * (a.ndim - 1)), "float32").repeat(count, axis)
        for n, f in enumerate(self.filters):
            mask[(n, *[0] * (axis - 1), f)] = 1
        places = tuple(n for n in range(1, a.ndim) if n != axis)
        score = ops.sum(a * ops.cast(mask, a.dtype), axis=tuple(range(1, a.ndim)))
        score = score / float(np.prod([a.shape[n] for n in places], dtype=float))
        return [score, *gradient_of(score, [x])]

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        given = np.moveaxis(x, -1, 1) if self.first else x
        score, g = self._compiled(np.ascontiguousarray(given, "float32"))
        found = np.asarray(g, "float64")
        return np.asarray(score), np.moveaxis(found, 1, -1) if self.first else found

    def start(self, size: Any, start: Any, seed: int, unit: float) -> np.ndarray:
        """Noise, or the given image, once per filter."""
        if start is not None:
            image = np.asarray(start, "float32")
            return np.repeat(image[None] if image.ndim == len(self._shape()) - 1 else image[:1], len(self.filters), 0)
        shape = self._sized(size)
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(1, *shape)).astype("float32")
        return np.repeat(0.5 * unit * noise, len(self.filters), 0).astype("float32")

    def _shape(self) -> tuple[Any, ...]:
        graph = graph_of(self.model)
        if graph is not None and len(graph.inputs) == 1:
            return tuple(graph.inputs[0].shape)
        built = getattr(self.model, "_build_shapes", None)
        if built:
            return tuple(next(iter(built.values())))
        problem = f"the shape of the input of '{self.model.name}' is not known"
        raise ValueError(message("maximise", problem, "Call it on an image first, or give `start`"))

    def _sized(self, size: Any) -> tuple[int, ...]:
        shape = self._shape()[1:]
        spatial, depth = (shape[1:], shape[0]) if self.first else (shape[:-1], shape[-1])
        if size is None:
            wanted = [n or _SIZE for n in spatial]
        else:
            wanted = [size] * len(spatial) if np.ndim(size) == 0 else list(size)
        return (*wanted, depth or 3)


def _unit(g: np.ndarray) -> np.ndarray:
    """Scaled, image by image, to a root mean square of 1."""
    axes = tuple(range(1, g.ndim))
    return g / (np.sqrt((g**2).mean(axes, keepdims=True)) + 1e-12)


def _variation(x: np.ndarray) -> np.ndarray:
    """The gradient of sum sqrt((x_(i+1) - x_i)^2 + e) along each axis of places."""
    total = np.zeros_like(x)
    for axis in range(1, x.ndim - 1):
        d = np.diff(x, axis=axis)
        slope = d / np.sqrt(d**2 + 1e-4)
        pads = [(0, 0)] * x.ndim
        pads[axis] = (1, 1)
        total -= np.diff(np.pad(slope, pads), axis=axis)
    return total


def _blurred(x: np.ndarray, sigma: float) -> np.ndarray:
    """Blurred along each axis of places by a Gaussian; edges count as their own neighbours."""
    if sigma < 0.15:
        return x
    radius = max(1, round(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in range(1, x.ndim - 1):
        pads = [(0, 0)] * x.ndim
        pads[axis] = (radius, radius)
        wide = np.pad(x, pads, mode="edge")
        n = x.shape[axis]
        x = sum(w * np.take(wide, range(i, i + n), axis) for i, w in enumerate(weights))
    return x


__all__ = ["Maximised", "maximise"]
