"""`receptive_field(model, layer, unit)`: what one unit can see of the input, and what it really listens to."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from striate import ops
from striate.core.errors import message
from striate.core.window import Receptive
from striate.models.model import Model
from striate.models.receptive import Call, Reach, calls, graph_of
from striate.trace import KerasTensor, grad

from .derivation import NAMES, plain
from .drawing import Drawing
from .pictures import heat_layer, picture
from .prose import Line, Part, Prose

Box = tuple[tuple[int, int], ...]
_DEFAULT = 64  # cells along an axis of an image that was not given and whose size the model leaves open


def receptive_field(model: Any, layer: Any, unit: Any = None, image: Any = None) -> ReceptiveField:
    """What one unit of a layer sees of the model's input: the region that its windows reach, and within it how much
    each cell counts (the gradient of the unit by the input; Luo et al. 2016, "Understanding the effective receptive
    field").

    Args:
        model: a functional or sequential model with one input, of images or sequences.
        layer: a layer, its name (`"outer/inner"` inside a nested model), or its number in `model.layers`.
        unit: `(row, column, channel)`, or without the channel, for the sum of all; by default the middle of the map.
        image: an input with or without the batch axis; by default noise.

    Returns:
        An object with `.box` (first and last cell along each axis), `.gradient`, `.effective_size`, `.draw()`.

    Raises:
        ValueError: there is no such layer or unit, the layer has no places, or the image does not fit.
    """
    if graph_of(model) is None or len(graph_of(model)._inputs) != 1:
        problem = "expected a functional or sequential model with one input"
        raise ValueError(
            message("receptive_field", f"{problem}. Received: {model!r}", "Build it, or take the part in question")
        )
    given = _image(model, image)
    listed = calls(model, given.shape)
    call = _found(listed, model, layer)
    where = f"receptive_field of {call.path}"
    shape = call.output_shape
    if len(shape) < 3:
        problem = f"its output {shape} has no places: each unit sees everything"
        raise ValueError(message(where, problem, "Take a layer before the places are lost"))
    return ReceptiveField(model, call, listed, _unit(unit, shape, where), given, image is not None)


def _image(model: Any, image: Any) -> np.ndarray:
    """The input as a batch of one; noise if there is none."""
    wanted = graph_of(model)._inputs[0].shape
    if image is not None:
        array = np.asarray(image, "float32")
        return array[None] if array.ndim == len(wanted) - 1 else array[:1]
    shape = [1 if n == 0 else s if s is not None else _DEFAULT for n, s in enumerate(wanted)]
    return np.random.default_rng(0).normal(size=(1, *shape[1:])).astype("float32")


def _found(listed: Sequence[Call], model: Any, layer: Any) -> Call:
    made = [c for c in listed if c.inputs]
    if isinstance(layer, int) and not isinstance(layer, bool):
        layer = model.get_layer(index=layer)
    hits = [c for c in made if layer is c.layer or layer in (c.path, c.path.rsplit("/", 1)[-1])]
    if not hits and getattr(layer, "name", None):
        hits = [c for c in made if c.path.startswith(f"{layer.name}/")]  # a nested model: its last layer
    if not hits:
        names = ", ".join(c.path for c in made[:40])
        raise ValueError(message("receptive_field", f"no such layer: {layer!r}", f"There are: {names}"))
    return hits[-1]


def _unit(unit: Any, shape: tuple[Any, ...], where: str) -> tuple[int, ...]:
    """A place with or without its channel, in range."""
    if unit is None:
        return tuple(n // 2 for n in shape[1:-1])
    given = (unit,) if isinstance(unit, int) else tuple(unit)
    rank = len(shape) - 2
    sizes = shape[1 : 1 + len(given)]
    fits = len(given) in (rank, rank + 1) and all(-n <= u < n for u, n in zip(given, sizes, strict=False))
    if not fits:
        problem = f"expected unit to be {rank} numbers, and a channel if one is meant, within {shape[1:]}"
        middle = tuple(n // 2 for n in shape[1:-1])
        raise ValueError(message(where, f"{problem}. Received: {unit!r}", f"The middle is {middle}"))
    return tuple(int(u) % n for u, n in zip(given, sizes, strict=True))


class ReceptiveField(Prose):
    """What `receptive_field` found.

    Attributes:
        layer, path, unit, image: what was asked about; `image` is a batch of one.
        fields: size, jump and start along each axis, as in `summary`; None where that is not known.
        box: the first and the last cell that the unit sees along each axis, cells of padding left out.
        gradient: of the unit by the input, in absolute numbers, the channels summed: `(height, width)`.
    """

    def __init__(
        self, model: Any, call: Call, listed: Sequence[Call], unit: tuple[int, ...], image: np.ndarray, given: bool
    ) -> None:
        self.model, self.layer, self.path, self.unit, self.image = model, call.layer, call.path, unit, image
        self.output_shape, self._given = call.output_shape, given
        reach, tensor = Reach(listed), call.outputs[0]
        self.fields: tuple[Receptive, ...] | None = reach.fields(tensor)
        self.box = _box(reach, tensor, unit[: len(call.output_shape) - 2], image.shape[1:-1])
        self._call = call

    @cached_property
    def gradient(self) -> np.ndarray:
        """How much the unit changes with each cell."""
        part = _up_to(self.model, self._call)

        def value(x: Any) -> Any:
            y = part(x, training=False)
            return ops.sum(y[(0, *self.unit)])

        found = np.asarray(grad(value)(self.image))
        return np.abs(found[0]).sum(axis=-1)

    @property
    def effective_size(self) -> tuple[float, ...]:
        """Along each axis, four standard deviations of the squared gradient's spread, at most the cells
        that it reaches: where most of what counts lies."""
        weights = self.gradient**2
        total = weights.sum()
        if not total:
            return (0.0,) * weights.ndim
        sizes = []
        for axis, n in enumerate(weights.shape):
            line = weights.sum(axis=tuple(a for a in range(weights.ndim) if a != axis)) / total
            middle = float((line * np.arange(n)).sum())
            spread = 4 * math.sqrt(float((line * (np.arange(n) - middle) ** 2).sum()))
            sizes.append(min(spread, float(np.count_nonzero(line))))
        return tuple(sizes)

    def parts(self) -> Sequence[Part]:
        head = f"unit {self.unit} of '{self.path}', whose output is {'x'.join(map(str, self.output_shape[1:]))}"
        names = NAMES.get(len(self.box or self.output_shape[1:-1]), ())
        return [Part(head, tuple(self._line(n, name) for n, name in enumerate(names)))]

    def _line(self, axis: int, name: str) -> Line:
        field = self.fields[axis] if self.fields else None
        size = "not known" if field is None else f"{plain(field.size)} cells in theory, jump {field.jump}"
        span = "" if self.box is None else f"; here cells {self.box[axis][0]} to {self.box[axis][1]}"
        spread = self.effective_size[axis]
        counts = f"what counts spreads over {spread:.1f}" if spread else "nothing counts: the unit is at rest"
        return Line(name, f"{size}{span}; {counts}")

    def to_dict(self) -> dict[str, Any]:
        """The numbers, as JSON takes them."""
        fields = None if self.fields is None else [{k: plain(v) for k, v in f._asdict().items()} for f in self.fields]
        box = None if self.box is None else [list(b) for b in self.box]
        found = {"layer": self.path, "unit": list(self.unit), "fields": fields, "box": box}
        return found | {"effective_size": list(self.effective_size)}

    def _repr_html_(self) -> str:
        return super()._repr_html_() + (self.draw().html if self.gradient.ndim == 2 else "")

    def draw(self) -> Drawing:
        """The image, the gradient on it, and the box of what the unit can see.

        Raises:
            ValueError: the input has not two spatial axes.
        """
        if self.gradient.ndim != 2:
            raise ValueError(
                message("receptive_field", "only inputs with two spatial axes are drawn", "Use `.gradient`")
            )
        under = self.image[0] if self._given else np.zeros((*self.gradient.shape, 1))
        alt = f"What unit {self.unit} of {self.path} sees: {self.box}"
        return Drawing(_svg(picture(under), heat_layer(self.gradient), self.gradient.shape, self.box, alt), alt)


def _box(reach: Reach, tensor: KerasTensor, place: tuple[int, ...], sizes: Sequence[int]) -> Box | None:
    found, _ = reach.back(tensor, tuple((n, n) for n in place), clip=True)
    spans = next(iter(found.values()))
    if spans is None or len(spans) != len(sizes):
        return None
    ends = [(max(a, 0), min(b, n - 1)) for (a, b), n in zip(spans, sizes, strict=True)]
    return tuple((int(a), int(b)) for a, b in ends)


def _up_to(model: Any, call: Call) -> Any:
    """The model from its input to the layer in question, also inside nested models."""
    graph = graph_of(model)
    if "/" not in call.path:
        node = next(n for n in reversed(graph._nodes) if n.operation is call.layer)
        return Model(graph._inputs[0], node.output_tensors[0])
    outer, _, rest = call.path.partition("/")
    node = next(n for n in reversed(graph._nodes) if n.operation.name == outer)
    inside = _up_to(node.operation, call._replace(path=rest))
    return Model(graph._inputs[0], inside(node.input_tensors[0]))


def _svg(under: str, over: str, shape: Sequence[int], box: Box | None, alt: str) -> str:
    h, w = shape
    width = min(max(w, 320), 640)
    frame = ""
    if box is not None:
        (top, bottom), (left, right) = box
        size = f'x="{left}" y="{top}" width="{right - left + 1}" height="{bottom - top + 1}"'
        style = f"fill:none;stroke:var(--striate-mark,#d55e00);stroke-width:{max(w, h) / 120:g}"
        frame = f'<rect class="striate-box" {size} style="{style}"/>'
    images = "".join(
        f'<image href="{data}" width="{w}" height="{h}" preserveAspectRatio="none" style="image-rendering:pixelated"/>'
        for data in (under, over)
    )
    label = html.escape(alt, quote=True)
    size = f'viewBox="0 0 {w} {h}" width="{width}" style="max-width:100%;height:auto"'
    svg = f'<svg role="img" aria-label="{label}" {size}>{images}{frame}</svg>'
    caption = "<figcaption>the box: what the unit can see; the colour: how much each cell counts</figcaption>"
    return f'<figure class="striate-field" style="margin:0">{svg}{caption}</figure>'
