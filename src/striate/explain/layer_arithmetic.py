"""`arithmetic(layer_or_model, input_shape)`: where each size comes from, in the chapter's letters and in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from striate.core.errors import message
from striate.core.window import Receptive
from striate.layers.convolutional.base import BaseConv
from striate.layers.layer import Layer
from striate.layers.pooling import BasePooling
from striate.models.model import Model
from striate.models.receptive import Call, calls, field_of, fields_of, graph_of
from striate.models.windows import Axis, axes_of

from .costs import Cost, cost_of, short
from .derivation import NAMES, Step, formula_of, plain, shown, step_of, transposed_formula
from .drawing import Drawing
from .prose import Line, Part, Prose, Table
from .strips import draw_axes

Fields = tuple[Receptive, ...] | None


def arithmetic(layer_or_model: Any, input_shape: Any = None) -> LayerArithmetic | ModelArithmetic:
    """Where the sizes of a layer or of a model's layers come from.

    Args:
        layer_or_model: a convolution (also depthwise, separable, transposed), a pooling layer, a layer that pads, crops
            or repeats; or a model.
        input_shape: `(height, width, channels)` or so, with or without the batch axis, sizes None where unknown; of a
            model with several inputs, a list. By default what the layer or model was built for.

    Returns:
        An object with `.steps` (data), `.output_shape`, `.parameters`, `.multiply_adds`, `.to_dict()` and `.draw()`.
        Printed it is text, in a notebook a derivation with formulas, in a terminal coloured (`rich.print`).

    Raises:
        ValueError: the layer has no window, or the input does not fit (the text says what would).

    >>> from striate import layers
    >>> arithmetic(layers.Conv2D(16, 3, strides=2, padding="same"), (7, 6, 1)).output_shape
    (None, 4, 3, 16)
    """
    if isinstance(layer_or_model, Model) or graph_of(layer_or_model) is not None:
        return ModelArithmetic(layer_or_model, input_shape)
    if not isinstance(layer_or_model, Layer):
        problem = f"expected a layer or a model. Received: {layer_or_model!r} of {type(layer_or_model).__name__}"
        raise ValueError(message("arithmetic", problem))
    return LayerArithmetic(layer_or_model, full_shape(layer_or_model, input_shape))


def full_shape(layer: Any, input_shape: Any = None) -> tuple[Any, ...]:
    """The shape with its batch axis; by default that of the layer's first call, or what it was built for.

    Raises:
        ValueError: none is known, or it has another number of axes than the layer takes.
    """
    if input_shape is None:
        return _known_shape(layer)
    shape = tuple(input_shape)
    rank = getattr(layer, "rank", None)
    if rank is None:
        return shape if shape and shape[0] is None else (None, *shape)
    if len(shape) not in (rank + 1, rank + 2):
        problem = f"takes {rank} spatial axes and channels. Received the input shape {shape}"
        example = ("8, " * rank) + "3"
        raise ValueError(message(_where(layer), problem, f"Give {rank + 1} sizes such as ({example})"))
    return shape if len(shape) == rank + 2 else (None, *shape)


def _known_shape(layer: Any) -> tuple[Any, ...]:
    if layer._inbound_nodes:
        return tuple(layer.input.shape)
    built = getattr(layer, "_build_shapes", None)
    if built:
        return tuple(next(iter(built.values())))
    fix = "Give `input_shape`, such as (28, 28, 1)"
    raise ValueError(message(_where(layer), "the size of its input is not known yet", fix))


def _where(layer: Any) -> str:
    return f"{type(layer).__name__} '{layer.name}'"


class LayerArithmetic(Prose):
    """The derivation of one layer's sizes.

    Attributes:
        layer, input_shape, output_shape: shapes with the batch axis.
        steps: one `Step` per spatial axis. parameters, multiply_adds: None where they depend on an unknown size.
    """

    def __init__(self, layer: Any, input_shape: tuple[Any, ...]) -> None:
        self.layer, self.input_shape = layer, input_shape
        axes = axes_of(layer, input_shape)
        if axes is None:
            problem = "has no window that slides over its input"
            raise ValueError(
                message(_where(layer), problem, "Explain a convolution or pooling layer, or a whole model")
            )
        _check_channels(layer, input_shape)
        self.axes = axes
        self.output_shape = tuple(layer.compute_output_shape(input_shape))
        names = NAMES.get(len(axes), tuple(f"axis {n}" for n in range(1, len(axes) + 1)))
        self.steps = tuple(step_of(name, axis, field_of(axis)) for name, axis in zip(names, axes, strict=True))
        self.cost = cost_of(layer, input_shape, self.output_shape)

    @property
    def parameters(self) -> int | None:
        """How many weights the layer has."""
        return self.cost.parameters

    @property
    def multiply_adds(self) -> int | None:
        """Multiplications (each with an addition) for one sample."""
        return self.cost.multiply_adds

    def parts(self) -> Sequence[Part]:
        head = f"{_where(self.layer)}: {_sizes(self.input_shape)} → {_sizes(self.output_shape)}"
        first = Part(head, tuple(_setting_lines(self.layer)))
        return [
            first,
            *_axis_parts(self.steps),
            *([Part("cost", tuple(self.cost.lines()))] if self.cost.lines() else []),
        ]

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as JSON takes them."""
        return {
            "layer": self.layer.name,
            "type": type(self.layer).__name__,
            "input_shape": list(self.input_shape),
            "output_shape": list(self.output_shape),
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "steps": [s.to_dict() for s in self.steps],
        }

    def draw(self) -> Drawing:
        """Each axis as a row of cells: padding, the windows, what is left over, and the output."""
        return draw_axes(
            self.axes, self.steps, f"{_where(self.layer)}: {_sizes(self.input_shape)} → {_sizes(self.output_shape)}"
        )


def _check_channels(layer: Any, input_shape: Any) -> None:
    """What `build` would say of the channels, before any weight is made."""
    if not isinstance(layer, BaseConv):
        return
    channels = layer._split(input_shape)[1]
    if channels is not None and channels % layer.groups:
        problem = f"{layer.groups} groups do not divide the {channels} channels of the input {tuple(input_shape)}"
        near = -(-channels // layer.groups) * layer.groups
        raise ValueError(message(_where(layer), problem, f"Use {near} channels, or groups that divide {channels}"))
    spec = getattr(layer, "input_spec", None)
    wanted = spec.axes.get(-1, spec.axes.get(1)) if layer.built and spec is not None else None
    if wanted is not None and channels is not None and wanted != channels:
        problem = f"was built for {wanted} channels. Received {channels}, in the input {tuple(input_shape)}"
        raise ValueError(message(_where(layer), problem, f"Give an input with {wanted} channels"))


def _setting_lines(layer: Any) -> list[Line]:
    words = []
    if isinstance(layer, BaseConv):
        words = [
            f"kernel {_cross(layer.kernel_size)}",
            f"strides {_cross(layer.strides)}",
            f"padding {layer.padding!r}",
        ]
        words += [f"dilation {_cross(layer.dilation_rate)}"] if max(layer.dilation_rate) > 1 else []
        words += [f"{layer.groups} groups"] if layer.groups > 1 else []
    elif isinstance(layer, BasePooling):
        words = [f"window {_cross(layer.pool_size)}", f"strides {_cross(layer.strides)}", f"padding {layer.padding!r}"]
    return [Line("settings", ", ".join(words))] if words else []


def _axis_parts(steps: Sequence[Step]) -> list[Part]:
    """A part per axis; axes with the same derivation share one."""
    parts: list[tuple[list[str], Step]] = []
    for step in steps:
        if parts and parts[-1][1].lines == step.lines:
            parts[-1][0].append(step.axis)
        else:
            parts.append(([step.axis], step))
    return [Part(f"{' and '.join(names)}: {shown(s.i)} → {shown(s.o)}", s.lines) for names, s in parts]


# A model --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One call of a layer in a model.

    Attributes:
        name: with the names of the models that it stands in. type: its class. sources: what its inputs come from.
        input_shapes, output_shape: with the batch axis. formulas: one per spatial axis, with the numbers.
        axes: how it works along each axis, None where that is not known. cost: parameters and multiply-adds.
        field: size, jump and start of what its outputs see of the model's input; None where that is not known.
    """

    name: str
    type: str
    sources: tuple[str, ...]
    input_shapes: tuple[tuple[Any, ...], ...]
    output_shape: tuple[Any, ...]
    formulas: tuple[str, ...]
    axes: tuple[Axis, ...] | None
    cost: Cost
    field: Fields

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as JSON takes them."""
        keys = ("name", "type", "sources", "input_shapes", "output_shape", "formulas")
        made = {k: _listed(getattr(self, k)) for k in keys}
        field = None if self.field is None else [{k: plain(v) for k, v in f._asdict().items()} for f in self.field]
        costs = {"parameters": self.cost.parameters, "multiply_adds": self.cost.multiply_adds}
        return made | costs | {"receptive_field": field}


class ModelArithmetic(Prose):
    """The sizes of all layers of a model as one table, layers of nested models in their place.

    Attributes:
        model, output_shape: of several outputs, a list of shapes.
        steps: one `Row` per call. parameters, multiply_adds: the sums; None where one is not known.
    """

    def __init__(self, model: Any, input_shape: Any = None) -> None:
        self.model = model
        shape = _batched(model, input_shape)
        self._calls = calls(model, shape)
        names = {id(t): call.path for call in self._calls for t in call.outputs}
        fields = fields_of(self._calls)
        counted: set[int] = set()
        self.steps = tuple(_row(call, field, names, counted) for call, field in zip(self._calls, fields, strict=True))

    @cached_property
    def output_shape(self) -> Any:
        """The shape of the output with the batch axis; of several, a list."""
        used = {id(t) for call in self._calls for t in call.inputs}
        ends = [tuple(t.shape) for call in self._calls for t in call.outputs if id(t) not in used]
        return ends[0] if len(ends) == 1 else ends

    @property
    def parameters(self) -> int | None:
        """The number of weights, those of a shared layer once."""
        return _total([row.cost.parameters for row in self.steps])

    @property
    def multiply_adds(self) -> int | None:
        """Multiplications of convolutions and dense layers for one sample."""
        return _total([row.cost.multiply_adds for row in self.steps])

    def parts(self) -> Sequence[Part]:
        shapes = [row.output_shape for row in self.steps if not row.sources]
        ends = self.output_shape if isinstance(self.output_shape, list) else [self.output_shape]
        head = f"{self.model.name}: {', '.join(map(_sizes, shapes))} → {', '.join(map(_sizes, ends))}"
        return [Part(head)]

    def tables(self) -> Sequence[Table]:
        """Sizes, costs and receptive fields, layer by layer; below it the formulas of the layers with a window."""
        before = [(), *((row.name,) for row in self.steps)]
        rows = tuple(_table_row(row, row.sources != last) for row, last in zip(self.steps, before, strict=False))
        total = f"{short(self.parameters)} parameters, {short(self.multiply_adds)} multiply-adds"
        columns = ("layer", "output", "k / s / p", "params", "mult-adds", "sees", "jump", "start")
        first = Table(columns, rows, (3, 4, 5, 6, 7), total)
        lines = tuple((row.name, formula) for row in self.steps for formula in _collapsed(row.formulas))
        return [first, Table(("layer", "size of the output"), lines)] if lines else [first]

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as JSON takes them."""
        return {
            "model": self.model.name,
            "output_shape": _listed(self.output_shape),
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "steps": [row.to_dict() for row in self.steps],
        }

    def draw(self) -> Drawing:
        """The table as a drawing."""
        return Drawing(self._repr_html_(), f"The sizes of {self.model.name}, layer by layer")


def _batched(model: Any, input_shape: Any) -> Any:
    """A model without a graph has nothing to compare the shape with: it gets a batch axis if None leads it not."""
    if input_shape is None or graph_of(model) is not None:
        return input_shape
    if input_shape and isinstance(input_shape[0], list | tuple):
        return [_batched(model, shape) for shape in input_shape]
    shape = tuple(input_shape)
    return shape if shape[:1] == (None,) else (None, *shape)


def _row(call: Call, field: Fields, names: dict[int, str], counted: set[int]) -> Row:
    axes = axes_of(call.layer, call.input_shape) if call.inputs and len(call.input_shape) > 2 else ()
    cost = cost_of(call.layer, call.input_shape, call.output_shape) if call.inputs else Cost(0, 0)
    if id(call.layer) in counted:
        cost = cost._replace(parameters=0)  # a shared layer has its weights once
    counted.add(id(call.layer))
    kind = type(call.layer).__name__ if call.layer is not None else "Input"
    if hasattr(call.layer, "fn"):
        kind = call.layer.fn.__name__
    sources = tuple(names[id(t)] for t in call.inputs)
    shapes = tuple(tuple(t.shape) for t in call.inputs)
    return Row(call.path, kind, sources, shapes, call.output_shape, _formulas(axes), axes, cost, field)


def _formulas(axes: tuple[Axis, ...] | None) -> tuple[str, ...]:
    made = []
    for axis in axes or ():
        if axis.kind == "window":
            made.append(f"o = {formula_of(axis).numbers}")
        elif axis.kind == "transposed":
            made.append(f"o' = {transposed_formula(axis).numbers}")
    return tuple(made)


def _collapsed(formulas: tuple[str, ...]) -> tuple[str, ...]:
    """One of formulas that are all the same."""
    return formulas[:1] if len(set(formulas)) == 1 else formulas


def _table_row(row: Row, jumps: bool) -> tuple[str, ...]:
    source = f" ← {', '.join(row.sources)}" if jumps and row.sources else ""
    sees, jump, start = _field_cells(row.field)
    cost = row.cost
    counts = short(cost.parameters), "" if cost.multiply_adds in (None, 0) else short(cost.multiply_adds)
    return (f"{row.name} ({row.type}){source}", _sizes(row.output_shape), _ksp(row.axes), *counts, sees, jump, start)


def _ksp(axes: tuple[Axis, ...] | None) -> str:
    """Kernel, stride and padding: `3 / 2 / 0+1`, one entry per axis where they differ."""
    windows = [a for a in axes or () if a.kind in ("window", "transposed")]
    if not windows:
        return ""
    return " / ".join(_joined([shown_of(a) for a in windows]) for shown_of in (_k, _s, _p))


def _k(axis: Axis) -> str:
    return str(axis.k) + (f"·{axis.d}" if axis.d > 1 else "")


def _s(axis: Axis) -> str:
    return str(axis.s)


def _p(axis: Axis) -> str:
    return str(axis.padding) if axis.pads is None else "0" if not any(axis.pads) else f"{axis.pads[0]}+{axis.pads[1]}"


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(set(words)) == 1 else "x".join(words)


def _field_cells(field: Fields) -> tuple[str, str, str]:
    if field is None:
        return "?", "", ""
    if not field:
        return "", "", ""
    sizes = _joined([str(plain(f.size)) for f in field])
    if all(f.size == float("inf") for f in field):
        return sizes, "", ""
    return (
        sizes,
        _joined([str(f.jump) for f in field]),
        _joined(["?" if f.start is None else str(f.start) for f in field]),
    )


def _sizes(shape: Any) -> str:
    """`7x6x1`, without the batch axis."""
    return "x".join(shown(n) for n in shape[1:]) or "1"


def _cross(sizes: Any) -> str:
    return "x".join(str(n) for n in sizes)


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, list | tuple) else value


def _total(counts: Sequence[int | None]) -> int | None:
    known = [n for n in counts if n is not None]
    return sum(known) if len(known) == len(counts) else None
