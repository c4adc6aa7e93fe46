"""The table that `model.summary()` prints: names, output shapes, parameter counts; drawn with rich."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from typing import Any

from striate.core import interactive
from striate.models.receptive import calls, fields_of
from striate.trace import FunctionOperation

_NUMBER, _NONE, _SYMBOL, _YES, _NO = 34, 45, 33, 34, 9
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def print_summary(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Any = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
    show_receptive_field: bool = False,
) -> None:
    """Prints the summary of `model`.

    Args:
        line_length: the width of the table; by default what fits the terminal, 88 (108 with connections) at most.
        positions: where the columns end, as parts of the width.
        print_fn: called with the whole text, in the place of printing it.
        expand_nested: show the layers of nested models as well.
        show_trainable: show whether each layer is trainable.
        layer_range: the first and the last layer to show, by name or regular expression.
        show_receptive_field: show how many cells of the model's input a unit of each layer sees, and how far apart in
            the input two neighbouring units look.

    Raises:
        ValueError: a terminal or `line_length` that is too narrow, or a `layer_range` that no layer matches.
    """
    if print_fn is None and not interactive.is_interactive_logging_enabled():
        print_fn = interactive.show
    layers, nodes = listed(model)
    seen = receptive_fields(model) if show_receptive_field else None
    table = _Table(nodes, show_trainable, expand_nested, seen)
    start, stop = bounds(layers, layer_range)
    rows = [row for layer in layers[start:stop] for row in table.rows(layer)]
    _render(model, table.drawn(rows, line_length, positions), print_fn)


def listed(model: Any) -> tuple[list[Any], list[Any] | None]:
    """The layers of `model` to show, and its nodes if the table needs a column of connections."""
    if not hasattr(model, "_nested_inputs"):
        return model.layers, None
    nodes = model._nodes
    branched = len(set(model._node_depths)) < len(nodes) or any(len(n.input_tensors) > 1 for n in nodes)
    own = {id(n) for n in nodes}
    shared = any(sum(id(n) in own for n in op._inbound_nodes) > 1 for op in model.operations)
    return model.operations, nodes if branched or shared else None


def bounds(layers: Sequence[Any], layer_range: Any) -> tuple[int, int]:
    """The positions that `layer_range` stands for."""
    if layer_range is None:
        return 0, len(layers)
    if len(layer_range) != 2 or not all(isinstance(r, str) for r in layer_range):
        raise ValueError(
            f"layer_range must be a list or tuple of two strings (names). Received: layer_range = {layer_range}"
        )
    first = [i for i, layer in enumerate(layers) if re.match(layer_range[0], layer.name)]
    last = [i for i, layer in enumerate(layers) if re.match(layer_range[1], layer.name)]
    if not first or not last:
        raise ValueError(
            f"Passed layer_names do not match the layer names in the model. Received: {layer_range}. The model has "
            f"{[layer.name for layer in layers]}."
        )
    return (first[0], last[-1] + 1) if min(first) <= max(last) else (min(last), max(first) + 1)


class _Table:
    """Makes the cells of the layers' rows, in rich's markup."""

    def __init__(
        self, nodes: list[Any] | None, show_trainable: bool, expand_nested: bool, seen: dict[str, str] | None = None
    ) -> None:
        self.nodes, self.show_trainable, self.expand_nested, self.seen = nodes, show_trainable, expand_nested, seen
        self._own = {id(n) for n in nodes or ()}

    def rows(self, layer: Any, level: int = 0, inside: str = "") -> list[list[str]]:
        """The row of `layer`, and those of its own layers if nested models are expanded."""
        made = [self._cells(layer, "   " * level + "└ " if level else "", inside + layer.name)]
        if self.expand_nested:
            within = f"{inside}{layer.name}/"
            made += [row for sub in getattr(layer, "layers", ()) for row in self.rows(sub, level + 1, within)]
        return made

    def _cells(self, layer: Any, prefix: str, path: str) -> list[str]:
        cells = [
            f"{_escaped(prefix + layer.name)} ({_colored(_escaped(kind(layer)), _SYMBOL)})",
            _shape_of(layer),
            _params(layer),
        ]
        if self.nodes is not None:
            cells.append(self._connections(layer))
        if self.seen is not None:
            cells.append(self.seen.get(path, "-" if kind(layer) == "InputLayer" else "?"))
        return [*cells, _trainable(layer)] if self.show_trainable else cells

    def _connections(self, layer: Any) -> str:
        tensors = [t for node in layer._inbound_nodes if id(node) in self._own for t in node.input_tensors]
        return ", ".join(_place(t._keras_history) for t in tensors) or "-"

    def drawn(self, rows: list[list[str]], line_length: int | None, positions: Sequence[float] | None) -> Any:
        """The rich table of `rows`."""
        from rich.table import Column, Table

        names, justified, ends, widest = self._layout(positions)
        length = line_length or min(widest, shutil.get_terminal_size().columns - 4)
        columns = [
            Column(name, justify=how, width=width)  # type: ignore[arg-type]
            for name, how, width in zip(names, justified, _widths(ends, length), strict=False)
        ]
        table = Table(*columns, width=length, show_lines=True)
        for row in rows:
            table.add_row(*row)
        return table

    def _layout(self, positions: Sequence[float] | None) -> tuple[list[str], list[str], list[float], int]:
        names, justified = ["Layer (type)", "Output Shape", "Param #"], ["left", "left", "right"]
        ends, widest = [0.45, 0.80, 1.0], 88
        if self.nodes is not None:
            names, justified = [*names, "Connected to"], [*justified, "left"]
            ends, widest = [0.3, 0.56, 0.74, 1.0], 108
        if self.seen is not None:
            names, justified = [*names, "Receptive Field"], [*justified, "right"]
            ends, widest = [*(p * 0.82 for p in ends), 1.0], widest + 16
        ends = list(positions) if positions else ends
        if self.show_trainable:
            names, justified = [*names, "Trainable"], [*justified, "center"]
            ends, widest = [*(p * 0.90 for p in ends), 1.0], widest + 12
        return names, justified, ends, widest


def _widths(ends: Sequence[float], length: int) -> list[int]:
    made: list[int] = []
    for end in ends:
        made.append(int(end * length) - sum(made))
        if made[-1] < 4:
            raise ValueError(
                f"Insufficient console width to print summary: {length} columns. Pass a larger `line_length`."
            )
    return made


def kind(layer: Any) -> str:
    """The type that is shown of a layer; of a call of `ops.add`, it is `Add`."""
    if isinstance(layer, FunctionOperation):
        return "".join(part[:1].upper() + part[1:] for part in layer.fn.__name__.split("_"))
    return type(layer).__name__


def _colored(text: Any, color: int) -> str:
    return f"[color({color})]{text}[/]"


def _number(x: Any) -> str:
    return _colored(x, _NONE if x is None else _NUMBER)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _shape(shape: Sequence[Any]) -> str:
    return f"({', '.join(_number(n) for n in shape)})"


def _shape_of(layer: Any) -> str:
    shapes = _output_shapes(layer)
    if shapes is None:
        return "?"
    shown = [_shape(s) for s in shapes]
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"


def _output_shapes(layer: Any) -> list[Any] | None:
    """The shapes of the last call's outputs; of a layer that was only built, those that follow from its input's."""
    if layer._inbound_nodes:
        return [t.shape for t in layer._inbound_nodes[-1].output_tensors]
    built = getattr(layer, "_build_shapes", None)
    if not built:
        return None
    try:
        shapes = layer.output_shape if hasattr(layer, "output_shape") else layer.compute_output_shape(*built.values())
    except NotImplementedError:
        return None
    return _shape_leaves(shapes)


def _shape_leaves(nest: Any) -> list[Any]:
    if isinstance(nest, list | tuple) and all(n is None or isinstance(n, int) for n in nest):
        return [nest]
    children = [nest[k] for k in sorted(nest)] if isinstance(nest, dict) else nest
    return [leaf for child in children for leaf in _shape_leaves(child)]


def _params(layer: Any) -> str:
    if not hasattr(layer, "built"):
        return _number(0)
    return _number(f"{layer.count_params():,}") if layer.built else f"{_number(0)} (unbuilt)"


def _trainable(layer: Any) -> str:
    if not getattr(layer, "weights", None):
        return "[bold]-[/]"
    return f"[bold]{_colored('Y', _YES)}[/]" if layer.trainable else f"[bold]{_colored('N', _NO)}[/]"


def _place(history: Any) -> str:
    return f"{_escaped(history.operation.name)}[{_number(history.node_index)}][{_number(history.tensor_index)}]"


def _render(model: Any, table: Any, print_fn: Any) -> None:
    from rich.console import Console

    plain = {"force_terminal": False, "color_system": None} if print_fn is not None else {}
    console = Console(highlight=False, **plain)  # type: ignore[arg-type]
    if print_fn is not None:
        console.begin_capture()
    console.print(f'[bold]Model: "{_escaped(model.name)}"[/]')
    console.print(table)
    for line in _totals(model):
        console.print(line)
    if print_fn is interactive.show:
        print_fn(console.end_capture(), end="")
    elif print_fn is not None:
        print_fn(console.end_capture())


def _totals(model: Any) -> list[str]:
    trained, fixed = model.trainable_weights, model.non_trainable_weights
    groups = (("Total", [*trained, *fixed]), ("Trainable", trained), ("Non-trainable", fixed))
    return [
        f"[bold] {name} params: [/]{_number(f'{_count(vs):,}')} ({readable_size(_bytes(vs))})" for name, vs in groups
    ]


def _count(variables: Sequence[Any]) -> int:
    return sum(math.prod(v.shape) for v in variables)


def _bytes(variables: Sequence[Any]) -> int:
    return sum(v.array.nbytes for v in {id(v): v for v in variables}.values())


def receptive_fields(model: Any) -> dict[str, str]:
    """What a unit of each layer sees, by the layer's path: `"6x6, jump 2"`, `"all"`, `"?"` where that is not known.
    Of a nested model it is what its last layer sees."""
    try:
        listed_calls = calls(model)
    except ValueError:  # no graph to read
        return {}
    found: dict[str, str] = {}
    for call, field in zip(listed_calls, fields_of(listed_calls), strict=True):
        parts = call.path.split("/")
        found |= {"/".join(parts[:n]): field_text(field) for n in range(1, len(parts) + 1)}
    return found


def field_text(field: Any) -> str:
    """Size and jump along each axis."""
    if field is None:
        return "?"
    if all(math.isinf(f.size) for f in field):
        return "all" if field else "-"
    sizes = "x".join("all" if math.isinf(f.size) else str(f.size) for f in field)
    jumps = list(dict.fromkeys(str(f.jump) for f in field if f.jump))
    return f"{sizes}, jump {'x'.join(jumps)}"


def summary_data(model: Any, show_receptive_field: bool = False) -> dict[str, Any]:
    """What the summary says, as data for JSON."""
    layers, _ = listed(model)
    seen = receptive_fields(model) if show_receptive_field else {}
    rows = [_layer_data(layer) | ({"receptive_field": seen.get(layer.name)} if seen else {}) for layer in layers]
    trained, fixed = _count(model.trainable_weights), _count(model.non_trainable_weights)
    totals = {"params": trained + fixed, "trainable_params": trained, "non_trainable_params": fixed}
    return {"name": model.name, "layers": rows, **totals}


def _layer_data(layer: Any) -> dict[str, Any]:
    shapes = _output_shapes(layer)
    counted = layer.count_params() if getattr(layer, "built", False) else 0
    shown = None if shapes is None else [list(s) for s in shapes]
    shape = shown[0] if shown and len(shown) == 1 else shown
    return {"name": layer.name, "type": kind(layer), "output_shape": shape, "params": counted}


def readable_size(size: float) -> str:
    """`1536 * 4` -> `"6.00 KB"`."""
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{size:.2f} {unit}"


__all__ = [
    "bounds",
    "field_text",
    "kind",
    "listed",
    "print_summary",
    "readable_size",
    "receptive_fields",
    "summary_data",
]
