"""Feature maps: what the layers of a model make of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.core import tree
from striate.core.errors import message
from striate.explain import figures
from striate.explain.probe import Compiled, Found, Inputs, channels_last, find, layers_in, watching
from striate.layers.convolutional.base import BaseConv

_PANEL = 1.55  # inches


@dataclass(frozen=True)
class FeatureMaps(Mapping[str, np.ndarray]):
    """What the layers gave, by name: `maps["block1_conv2"]` is an array `(batch, ..., channels)`.

    Attributes:
        maps: the layers' outputs, channels last.
        channels: of each layer, the channels chosen for drawing.
        image: the input, with its batch axis.
        by: how the channels were chosen.
        picture: what is drawn beside the maps; None for the input.
    """

    maps: dict[str, np.ndarray]
    channels: dict[str, tuple[int, ...]]
    image: np.ndarray
    by: str = "random"
    picture: Any = None

    def __getitem__(self, name: str) -> np.ndarray:
        return self.maps[name]

    def __iter__(self) -> Any:
        return iter(self.maps)

    def __len__(self) -> int:
        return len(self.maps)

    def chosen(self, name: str) -> np.ndarray:
        """The chosen channels of a layer, `(batch, ..., len(channels[name]))`."""
        return self.maps[name][..., list(self.channels[name])]

    def figure(
        self,
        image: Any = None,
        columns: int | None = None,
        sample: int = 0,
        cmap: str = "viridis",
        theme: str = "light",
    ) -> Any:
        """The maps as a matplotlib `Figure`: a row of channels per layer, or, with one channel each, one grid.

        Args:
            image: the picture to show beside them, as it was before preprocessing; the input by default.
            columns: panels in a row.
            sample: which image of the batch.
            cmap: matplotlib's name of the colours, from small to large activations.
            theme: `"light"`, `"dark"` or `"auto"` (transparent, grey text).
        """
        shown = np.asarray(next(p for p in (image, self.picture, self.image[sample]) if p is not None))
        rows = [[(n, c) for c in self.channels[n]] for n in self.maps]
        if max(len(r) for r in rows) == 1:
            return self._grid(shown, rows, columns or 3, sample, cmap, theme)
        return self._rows(shown, rows, columns, sample, cmap, theme)

    def _grid(self, shown: Any, rows: Any, columns: int, sample: int, cmap: str, theme: str) -> Any:
        """The chapter's picture: the image, then one channel of each layer."""
        high, wide = figures.grid_of(len(rows) + 1, min(columns, len(rows) + 1))
        figure = figures.new_figure(wide * 2.9, high * 3.25 * _ratio(shown, self.image.ndim - 2), theme)
        axes = figure.subplots(high, wide, squeeze=False)
        for place in axes.flat:
            place.set_axis_off()
        self._image(axes.flat[0], shown, theme, 11)
        for place, [(name, channel)] in zip(list(axes.flat)[1:], rows, strict=False):
            place.set_axis_on()
            figures.show(place, self.maps[name][sample, ..., channel], cmap)
            count = self.maps[name].shape[-1]
            note = f"channel {channel} of 0–{count - 1}, {_size(self.maps[name][sample])}"
            figures.panel(place, name, theme, 11, note)
        return figure

    def _rows(self, shown: Any, rows: Any, columns: int | None, sample: int, cmap: str, theme: str) -> Any:
        """The image on top, then for each layer its name and its channels (in several lines if `columns` is less)."""
        wide = min(columns or max(len(r) for r in rows), max(len(r) for r in rows))
        lines = [-(-len(r) // wide) for r in rows]
        high = _PANEL * _ratio(shown, self.image.ndim - 2)
        figure = figures.new_figure((wide + 1.35) * _PANEL, (sum(lines) + 1) * (high + 0.36), theme)
        grid = figure.add_gridspec(sum(lines) + 1, wide + 1, width_ratios=[1.3, *[1] * wide])
        self._image(figure.add_subplot(grid[0, 1]), shown, theme, 10)
        _label(figure.add_subplot(grid[0, 0]), "input", self._how(), theme)
        line = 1
        for row, used in zip(rows, lines, strict=True):
            values = self.maps[row[0][0]][sample]
            _label(figure.add_subplot(grid[line : line + used, 0]), row[0][0], _count(values), theme)
            for n, (_, channel) in enumerate(row):
                axes = figure.add_subplot(grid[line + n // wide, 1 + n % wide])
                figures.show(axes, values[..., channel], cmap)
                figures.panel(axes, f"{channel}", theme, 10)
            line += used
        return figure

    def _how(self) -> str:
        return {"random": "channels by chance", "strength": "strongest channels first"}.get(self.by, self.by)

    def _image(self, axes: Any, shown: Any, theme: str, size: float) -> None:
        axes.set_axis_on()
        figures.show(axes, figures.picture(shown, self.image.ndim - 2), "gray", colour=True)
        figures.panel(axes, "image", theme, size, _size(np.asarray(shown)))

    def _repr_html_(self) -> str:
        return figures.as_html(self.figure(theme="auto"), repr(self))

    def __repr__(self) -> str:
        return f"<FeatureMaps of {len(self)} layers: {figures.names(list(self))}>"


def _ratio(image: Any, rank: int) -> float:
    """Height over width of a picture, within bounds."""
    shape = np.shape(figures.drawable(figures.picture(image, rank), True))
    return float(np.clip(shape[0] / shape[1], 0.4, 1.6))


def _size(values: np.ndarray) -> str:
    return "×".join(str(n) for n in values.shape[:-1]) or "1"


def _count(values: np.ndarray) -> str:
    return f"{_size(values)}, {values.shape[-1]} channels"


def _label(axes: Any, name: str, note: str, theme: str) -> None:
    colours = figures.theme_of(theme)
    axes.set_axis_off()
    axes.text(0.5, 0.54, name, ha="center", va="bottom", fontsize=11, color=colours.ink, transform=axes.transAxes)
    axes.text(0.5, 0.46, note, ha="center", va="top", fontsize=9, color=colours.faint, transform=axes.transAxes)


def feature_maps(
    model: Any,
    image: Any,
    layers: Any = None,
    channels: Any = 8,
    by: str = "random",
    seed: int | None = 0,
    picture: Any = None,
) -> FeatureMaps:
    """What layers of any model make of an image: all their outputs from one compiled run.

    Args:
        model: any model, also with models, wrappers or layers of the user's own inside; or a single layer.
        image: `(height, width, channels)` as the model wants it (preprocessed), or a batch of them; for several
            inputs a list.
        layers: names, paths into nested models (`"encoder/conv2d"`), indices, classes or their names, layers, or a
            list of these. By default the last convolution of each size, from fine to coarse.
        channels: how many of each layer to draw, `"all"`, or a list of channels' numbers from 0.
        by: how they are chosen: `"random"` or `"strength"` (those of the largest mean activation, strongest first).
        seed: of the random choice; None for another one each time.
        picture: the image as it was before preprocessing, to be drawn beside the maps; by default the input.

    Returns:
        `FeatureMaps`: a mapping from names to arrays, and `.figure()`.

    Raises:
        ValueError: no such layer, or a channel that it does not have.
    """
    given = Inputs(model, image, where="feature_maps")
    found = find(model, layers, "feature_maps") if layers is not None else _proposed(model)
    maps = _run(model, given, found)
    rng = np.random.default_rng(seed)
    picked = {name: _chosen(values, channels, by, rng, name) for name, values in maps.items()}
    return FeatureMaps(maps, picked, given.last(given.x), by, picture)


def _run(model: Any, given: Inputs, found: Sequence[Found]) -> dict[str, np.ndarray]:
    """The outputs of the layers, in the order of the model's run; a layer called twice has two entries."""
    names: list[str] = []
    paths = {id(f.layer): f for f in found}

    def run(*values: Any) -> list[Any]:
        names.clear()
        with watching([f.layer for f in found]) as notes:
            given.call(values)
        notes.update({id(t._keras_history.operation): [v] for t, v in zip(given.symbols, values, strict=False)})
        flat = [(_label_of(paths[key], n, i), x) for key, results in notes.items() if key in paths
                for n, r in enumerate(results) for i, x in enumerate(_tensors(r))]  # fmt: skip
        names.extend(name for name, _ in flat)
        return [x for _, x in flat]

    arrays = Compiled(run)(*given.arrays)
    by_name = {f.path: f.layer for f in found}
    missing = by_name.keys() - {n.split(" (")[0] for n in names}
    if missing:
        problem = f"{figures.names(sorted(missing))} was not computed for this input"
        raise ValueError(message("feature_maps", problem, "Leave it out of `layers`"))
    pairs = zip(names, arrays, strict=True)
    return {n: channels_last(np.asarray(a), by_name[n.split(" (")[0]], given.first) for n, a in pairs}


def _tensors(result: Any) -> list[Any]:
    return [x for x in tree.flatten(result) if x is not None and len(x.shape) > 0]


def _label_of(found: Found, call: int, output: int) -> str:
    """The layer's path, with the number of the call or of the output where there are several."""
    more = [f"call {call + 1}"] if call else []
    more += [f"output {output + 1}"] if output else []
    return f"{found.path} ({', '.join(more)})" if more else found.path


def _proposed(model: Any) -> list[Found]:
    """The last convolution before each change of size; without any, all layers that make places."""
    listed = layers_in(model)
    convolutions = [f for f in listed if isinstance(f.layer, BaseConv)]
    last = {_spatial(f.layer): f for f in convolutions}
    return list(last.values()) if None not in last and last else convolutions or listed or [Found(model.name, model)]


def _spatial(layer: Any) -> Any:
    nodes = layer._inbound_nodes
    if not nodes:
        return None
    shape = nodes[-1].output_tensors[0].shape
    kept = shape[2:] if layer.data_format == "channels_first" else shape[1:-1]
    return tuple(kept) if None not in kept else _coarseness(nodes[-1])


def _coarseness(node: Any) -> int:
    """Where sizes are open: how many layers with a stride lie before."""
    steps, seen, stack = 0, set(), [node]
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        steps += max(_strides(one.operation)) > 1
        stack += one.parent_nodes
    return steps


def _strides(layer: Any) -> tuple[int, ...]:
    strides = getattr(layer, "strides", None) or getattr(layer, "size", None) or 1
    return tuple(strides) if isinstance(strides, list | tuple) else (1,)


def _chosen(values: np.ndarray, channels: Any, by: str, rng: Any, name: str) -> tuple[int, ...]:
    count = values.shape[-1]
    if isinstance(channels, str) and channels == "all":
        return tuple(range(count))
    if not isinstance(channels, int | np.integer):
        picked = tuple(int(c) for c in channels)
        if any(not 0 <= c < count for c in picked):
            problem = f"layer '{name}' has the channels 0 to {count - 1}. Received: {list(picked)}"
            raise ValueError(message("feature_maps", problem, "Leave the others out"))
        return picked
    if channels < 1:
        raise ValueError(message("feature_maps", f"at least one channel is needed. Received: channels={channels}"))
    most = min(int(channels), count)
    if by == "random":
        return tuple(sorted(int(c) for c in rng.choice(count, most, replace=False)))
    if by == "strength":
        strength = values.reshape(-1, count).mean(0)
        return tuple(int(c) for c in np.argsort(-strength, kind="stable")[:most])
    raise ValueError(message("feature_maps", f"channels can't be chosen by {by!r}", "Use 'random' or 'strength'"))
