"""A model as boxes and arrows, drawn without Graphviz: SVG, and PNG or PDF by matplotlib."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from striate.core.errors import message
from striate.core.registry import export
from striate.explain import figures
from striate.explain.layered import Point, arrange
from striate.models.receptive import graph_of
from striate.models.summary import kind
from striate.trace import Node

_LINE, _PAD, _HEAD = 17.0, 9.0, 26.0
# Okabe and Ito's colours, which stay apart for every kind of colour vision, by what a layer does.
COLOURS = {
    "input": "#8a8f98",
    "convolution": "#0072b2",
    "pooling": "#009e73",
    "dense": "#e69f00",
    "normalization": "#cc79a7",
    "activation": "#d9c500",
    "merge": "#d55e00",
    "model": "#56b4e9",
    "other": "#8a8f98",
}


@dataclass
class Box:
    """One call of a layer: its text, what it does, where it stands, and, of a nested model, what is inside."""

    title: str
    name: str
    lines: list[str]
    does: str
    width: float = 0.0
    height: float = 0.0
    x: float = 0.0
    y: float = 0.0
    inside: Drawn | None = None


@dataclass
class Drawn:
    """Boxes, arrows as lines of points, and `links`: which boxes these lead from and to."""

    boxes: list[Box] = field(default_factory=list)
    arrows: list[list[Point]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0
    across: bool = False
    links: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    """What is written into the boxes, and how they are arranged."""

    show_shapes: bool = False
    show_dtype: bool = False
    show_layer_names: bool = True
    rankdir: str = "TB"
    expand_nested: bool = False
    show_layer_activations: bool = False
    show_trainable: bool = False


class Diagram:
    """A drawn model: shown by notebooks, saved as SVG, PNG or PDF.

    Attributes:
        svg: the picture as SVG that takes the colours of the page around it.
        drawn: boxes and arrows with their places.
    """

    def __init__(self, drawn: Drawn, name: str) -> None:
        self.drawn, self.name = drawn, name

    @property
    def svg(self) -> str:
        """The picture as SVG."""
        return _svg(self.drawn, self.name)

    def figure(self, theme: str = "light") -> Any:
        """The picture as a matplotlib `Figure`."""
        return _figure(self.drawn, theme)

    def save(self, path: Any, dpi: int = 200, theme: str = "light") -> None:
        """Writes a file; its ending says what: `.svg`, or what matplotlib can (`.png`, `.pdf`).

        Raises:
            ValueError: another ending.
        """
        path = Path(path)
        if path.suffix == ".svg":
            path.write_text(self.svg.replace("<svg ", f"<svg {_ALONE} ", 1), encoding="utf-8")
            return
        if path.suffix not in (".png", ".pdf", ".jpg", ".jpeg"):
            problem = f"a diagram can't be written to '{path.name}'"
            raise ValueError(message("model_diagram", problem, "Use a name that ends with .svg, .png, .jpg or .pdf"))
        figure = self.figure(theme)
        figure.savefig(path, dpi=dpi, facecolor=figure.get_facecolor())

    def _repr_html_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Diagram of {self.name}: {sum(1 for _ in boxes_in(self.drawn))} boxes>"


_ALONE = 'style="color:#1f2328;background:#ffffff;max-width:100%;height:auto"'


def model_diagram(
    model: Any,
    to_file: Any = None,
    show_shapes: bool = True,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = True,
    show_layer_activations: bool = True,
    show_trainable: bool = False,
    dpi: int = 200,
) -> Diagram:
    """The layers of a model as boxes, with arrows for what flows between them.

    Args:
        model: any model; one whose layers are called by Python code shows them without arrows.
        to_file: where to write it, `.svg`, `.png` or `.pdf`; nowhere by default.
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable: what the boxes say.
        rankdir: `"TB"` from top to bottom, `"LR"` from left to right, `"BT"` or `"RL"` the other way.
        expand_nested: whether nested models are drawn with their layers.
        dpi: of a `.png`.

    Returns:
        A `Diagram`.

    Raises:
        ValueError: another `rankdir`, a model that is not built, or another kind of file.
    """
    if rankdir not in ("TB", "BT", "LR", "RL"):
        raise ValueError(message("model_diagram", f"there is no rankdir {rankdir!r}", "Use 'TB', 'LR', 'BT' or 'RL'"))
    if not getattr(model, "built", True) and graph_of(model) is None:
        problem = f"model '{model.name}' is not built"
        raise ValueError(message("model_diagram", problem, "Call `build()`, or call it on some data, first"))
    options = Options(
        show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, show_layer_activations, show_trainable
    )
    diagram = Diagram(_drawn(model, options), model.name)
    if to_file is not None:
        diagram.save(to_file, dpi)
    return diagram


@export("keras.utils.plot_model")
def plot_model(
    model: Any,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    **kwargs: Any,
) -> Diagram:
    """`model_diagram` with Keras's arguments and defaults; neither pydot nor Graphviz is needed.

    Raises:
        ValueError: unknown arguments, or what `model_diagram` raises.
    """
    for old in ("layer_range", "show_layer_names_in_nested"):
        kwargs.pop(old, None)
    if kwargs:
        raise ValueError(f"Unrecognized keyword arguments: {kwargs}")
    return model_diagram(
        model, to_file, show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, show_layer_activations,
        show_trainable, dpi,
    )  # fmt: skip


# From layers to boxes ------------------------------------------------------------------------------------------------


def _drawn(model: Any, options: Options) -> Drawn:
    graph = graph_of(model)
    if graph is None:
        layers = list(getattr(model, "layers", ()))
        boxes = [_box(layer, None, options) for layer in layers]
        chain = [(n, n + 1) for n in range(len(boxes) - 1)]
        return _arranged(boxes, chain, options, hasattr(model, "_row"))
    nodes = list(graph._nodes)
    boxes = [_box(n.operation, n, options, nodes) for n in nodes]
    makers = {id(t): i for i, n in enumerate(nodes) for t in n.output_tensors}
    arrows = [(makers[id(t)], i) for i, n in enumerate(nodes) for t in n.input_tensors if id(t) in makers]
    return _arranged(boxes, arrows, options, True)


def _box(layer: Any, node: Node | None, options: Options, nodes: Sequence[Node] = ()) -> Box:
    title = kind(layer)
    held = getattr(layer, "layer", None)
    title = title if held is None else f"{title}({kind(held)})"
    name = layer.name if options.show_layer_names else ""
    call = [n for n in nodes if n.operation is layer].index(node) if node is not None else 0
    if call and options.show_layer_names:
        name += f" (call {call + 1})"
    box = Box(title, name, list(_lines(layer, node, options)), what_it_does(layer))
    if options.expand_nested and graph_of(layer) is not None:
        box.inside = _drawn(layer, options)
        box.lines = []
    _measure(box)
    return box


def _lines(layer: Any, node: Node | None, options: Options) -> Iterator[str]:
    activation = getattr(getattr(layer, "activation", None), "__name__", None)
    if options.show_layer_activations and activation and activation != "linear":
        yield f"activation: {activation}"
    if options.show_shapes and node is not None:
        into, out = _shapes(node.input_tensors), _shapes(node.output_tensors)
        yield f"{into} → {out}" if into else out
    if options.show_dtype:
        yield f"dtype: {getattr(layer, 'dtype', None) or (node and node.output_tensors[0].dtype)}"
    if options.show_trainable and getattr(layer, "weights", None):
        yield "trainable" if layer.trainable else "not trainable"


def _shapes(tensors: Any) -> str:
    """The shapes of tensors in a row, equal ones counted."""
    shapes = [str(t.shape) for t in tensors]
    return f"{len(shapes)} of {shapes[0]}" if len(shapes) > 1 and len(set(shapes)) == 1 else ", ".join(shapes)


_DOES = (
    ("model", ("Functional", "Sequential", "Model")),
    ("input", ("InputLayer",)),
    ("pooling", ("Pool",)),
    ("convolution", ("Conv",)),
    ("normalization", ("Normalization",)),
    ("merge", ("Add", "Concatenate", "Multiply", "Subtract", "Average", "Maximum", "Minimum", "Dot")),
    ("dense", ("Dense",)),
    ("activation", ("ReLU", "Activation", "Softmax", "ELU", "Relu")),
)


def what_it_does(layer: Any) -> str:
    """The kind of a layer, one of `COLOURS`."""
    if graph_of(layer) is not None:
        return "model"
    bases = [kind(getattr(layer, "layer", layer)), *(c.__name__ for c in type(layer).__mro__)]
    return next((does for name in bases for does, parts in _DOES if any(p in name for p in parts)
                 and (does != "merge" or name in parts)), "other")  # fmt: skip


def _measure(box: Box) -> None:
    head = text_width(box.title, 13.5) * 1.06 + (text_width(box.name, 12) + 10 if box.name else 0)
    widest = max([head, *(text_width(line, 12) for line in box.lines)])
    box.width, box.height = widest + 2 * _PAD + 8, _HEAD + _LINE * len(box.lines) + (4 if box.lines else 0)
    if box.inside is not None:
        box.width = max(box.width, box.inside.width + 4 * _PAD)
        box.height = _HEAD + box.inside.height + 2.5 * _PAD


def text_width(text: str, size: float) -> float:
    """About how wide a text is in a sans-serif font."""
    return sum(0.35 if c in "il.,:;'|()[] ft" else 0.9 if c in "mwMW%@→" else 0.64 for c in text) * size


def _arranged(boxes: list[Box], arrows: list[tuple[int, int]], options: Options, shown: bool) -> Drawn:
    """Boxes in their places; along `rankdir`."""
    across = options.rankdir in ("LR", "RL")
    sizes = [(b.height, b.width) if across else (b.width, b.height) for b in boxes]
    layout = arrange(sizes, list(dict.fromkeys(arrows)), 26, 34)
    wide, high = layout.size
    back = options.rankdir in ("BT", "RL")

    def turned(p: Point) -> Point:
        x, y = (p[0], high - p[1]) if back else p
        return (y, x) if across else (x, y)

    for box, centre in zip(boxes, layout.centres, strict=True):
        x, y = turned(centre)
        box.x, box.y = x - box.width / 2, y - box.height / 2
    lines = [
        [_end(boxes[a], options, True), *map(turned, bends), _end(boxes[b], options, False)]
        for (a, b), bends in zip(dict.fromkeys(arrows), layout.bends, strict=True)
    ]
    size = (high, wide) if across else (wide, high)
    return Drawn(boxes, lines if shown else [], *size, across, list(dict.fromkeys(arrows)) if shown else [])


def _end(box: Box, options: Options, start: bool) -> Point:
    """Where an arrow leaves or meets a box."""
    far = start != (options.rankdir in ("BT", "RL"))
    if options.rankdir in ("LR", "RL"):
        return (box.x + (box.width if far else 0), box.y + box.height / 2)
    return (box.x + box.width / 2, box.y + (box.height if far else 0))


def boxes_in(drawn: Drawn) -> Iterator[Box]:
    """All boxes, those inside others as well."""
    for box in drawn.boxes:
        yield box
        if box.inside is not None:
            yield from boxes_in(box.inside)


def _inner(box: Box) -> Point:
    """Where what is inside a box begins."""
    inside = box.inside or Drawn()
    return box.x + (box.width - inside.width) / 2, box.y + _HEAD + _PAD


# From boxes to pictures ----------------------------------------------------------------------------------------------


def _svg(drawn: Drawn, name: str) -> str:
    w, h = drawn.width + 4, drawn.height + 4
    marker = (
        '<defs><marker id="striate-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0.6L7.4 4L0 7.4z" fill="currentColor"/></marker></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html.escape(f"The layers of {name}", True)}" '
        f'viewBox="-2 -2 {w:.0f} {h:.0f}" width="{w:.0f}" height="{h:.0f}" '
        f'font-family="ui-sans-serif,system-ui,sans-serif">{marker}{_parts(drawn)}</svg>'
    )


def _parts(drawn: Drawn) -> str:
    lines = "".join(
        f'<path d="{curve(points, drawn.across)}" fill="none" stroke="currentColor" stroke-opacity=".65" '
        'stroke-width="1.4" marker-end="url(#striate-tip)"/>'
        for points in drawn.arrows
    )
    return lines + "".join(_box_svg(box) for box in drawn.boxes)


def curve(points: list[Point], across: bool = False) -> str:
    """A smooth path through the points, straight where they stand in line; `across`: from left to right."""
    x, y = points[0]
    parts = [f"M{x:.1f} {y:.1f}"]
    for nx, ny in points[1:]:
        if abs(nx - x) < 0.5 or abs(ny - y) < 0.5:
            parts.append(f"L{nx:.1f} {ny:.1f}")
        elif across:
            parts.append(f"C{(x + nx) / 2:.1f} {y:.1f} {(x + nx) / 2:.1f} {ny:.1f} {nx:.1f} {ny:.1f}")
        else:
            parts.append(f"C{x:.1f} {(y + ny) / 2:.1f} {nx:.1f} {(y + ny) / 2:.1f} {nx:.1f} {ny:.1f}")
        x, y = nx, ny
    return "".join(parts)


def _box_svg(box: Box) -> str:
    colour = COLOURS[box.does]
    rect = (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="6" '
        f'fill="{colour}" fill-opacity="{0.07 if box.inside else 0.18}" stroke="{colour}" stroke-width="1.5"/>'
    )
    name = f'<tspan dx="8" font-size="12" font-weight="400" fill-opacity=".7">{html.escape(box.name)}</tspan>'
    texts = [f'<text x="{box.x + _PAD + 2:.1f}" y="{box.y + 18:.1f}" font-size="13.5" font-weight="600" '
             f'fill="currentColor">{html.escape(box.title)}{name if box.name else ""}</text>']  # fmt: skip
    for n, line in enumerate(box.lines):
        y = box.y + _HEAD + _LINE * n + 11
        texts.append(f'<text x="{box.x + _PAD + 2:.1f}" y="{y:.1f}" font-size="12" fill="currentColor">'
                     f"{html.escape(line)}</text>")  # fmt: skip
    inner = ""
    if box.inside is not None:
        x, y = _inner(box)
        inner = f'<g transform="translate({x:.1f} {y:.1f})">{_parts(box.inside)}</g>'
    return rect + "".join(texts) + inner


def _figure(drawn: Drawn, theme: str) -> Any:
    """The same with matplotlib, one point for each pixel."""
    w, h = drawn.width + 16, drawn.height + 16
    figure = figures.new_figure(w / 72, h / 72, theme)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-8, w - 8)
    axes.set_ylim(h - 8, -8)
    _paint(axes, drawn, (0, 0), figures.theme_of(theme))
    return figure


def _paint(axes: Any, drawn: Drawn, origin: Point, theme: figures.Theme) -> None:
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path as Lines

    ox, oy = origin
    for points in drawn.arrows:
        path = _bezier(Lines, [(x + ox, y + oy) for x, y in points], drawn.across)
        axes.add_patch(FancyArrowPatch(path=path, arrowstyle="-|>,head_length=4,head_width=2.4", color=theme.faint,
                                       linewidth=1.1, shrinkA=0, shrinkB=0))  # fmt: skip
    for box in drawn.boxes:
        x, y = box.x + ox, box.y + oy
        colour = COLOURS[box.does]
        style: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=6", "mutation_aspect": 1}
        place = ((x, y), box.width, box.height)
        axes.add_patch(
            FancyBboxPatch(*place, facecolor=colour, alpha=0.07 if box.inside else 0.18, linewidth=0, **style)
        )
        axes.add_patch(FancyBboxPatch(*place, facecolor="none", edgecolor=colour, linewidth=1.2, **style))
        head = axes.text(x + _PAD + 2, y + 18, box.title, fontsize=9.6, fontweight="bold", color=theme.ink)
        axes.annotate(box.name, (1, y + 18), (7, 0), xycoords=(head, "data"), textcoords="offset points", fontsize=8.6,
                      color=theme.faint, va="baseline")  # fmt: skip
        for n, line in enumerate(box.lines):
            axes.text(x + _PAD + 2, y + _HEAD + _LINE * n + 11, line, fontsize=8.6, color=theme.ink)
        if box.inside is not None:
            dx, dy = _inner(box)
            _paint(axes, box.inside, (ox + dx, oy + dy), theme)


def _bezier(lines: Any, points: list[Point], across: bool) -> Any:
    vertices, codes = [points[0]], [lines.MOVETO]
    for (x, y), (nx, ny) in pairwise(points):
        if abs(nx - x) < 0.5 or abs(ny - y) < 0.5:
            vertices.append((nx, ny))
            codes.append(lines.LINETO)
        else:
            half = ((x + nx) / 2, (y + ny) / 2)
            vertices += [(half[0], y), (half[0], ny)] if across else [(x, half[1]), (nx, half[1])]
            vertices.append((nx, ny))
            codes += [lines.CURVE4] * 3
    return lines(vertices, codes)
