"""A model in the language of Graphviz, for those who have other tools to draw it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from striate.core.registry import export
from striate.explain.diagram import COLOURS, Box, Drawn, model_diagram


class Dot:
    """A graph in Graphviz's language.

    Attributes:
        source: its text.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    def to_string(self) -> str:
        """The text, under the name that pydot has for it."""
        return self.source

    def write(self, path: Any) -> None:
        """Writes the text to a file."""
        Path(path).write_text(self.source, encoding="utf-8")

    def __str__(self) -> str:
        return self.source


@export("keras.utils.model_to_dot")
def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> Dot:
    """A model as text in Graphviz's language, with Keras's arguments; in the place of a pydot object comes a `Dot`.

    Raises:
        ValueError: as `model_diagram` does.
    """
    drawn = model_diagram(
        model, None, show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, show_layer_activations,
        show_trainable,
    ).drawn  # fmt: skip
    head = f"{'subgraph' if subgraph else 'digraph'} {_quoted(model.name)} {{"
    lines = [f"rankdir={rankdir};", f"dpi={dpi};", 'node [shape=box, style="rounded,filled", fontname="sans-serif"];']
    return Dot("\n".join([head, *(f"  {line}" for line in [*lines, *_lines(drawn, "n")]), "}"]) + "\n")


def _lines(drawn: Drawn, prefix: str) -> list[str]:
    """Boxes and arrows; what is inside a box is a cluster, entered at its first box and left at its last."""
    lines: list[str] = []
    for n, box in enumerate(drawn.boxes):
        name = f"{prefix}_{n}"
        if box.inside is None:
            lines.append(f'{name} [label={_quoted(_label(box))}, fillcolor="{COLOURS[box.does]}30"];')
        else:
            inner = [f"  {line}" for line in _lines(box.inside, name)]
            lines += [f"subgraph cluster_{name} {{", f"  label={_quoted(_label(box))};", *inner, "}"]
    return [*lines, *(f"{_end(drawn, a, prefix, True)} -> {_end(drawn, b, prefix, False)};" for a, b in drawn.links)]


def _end(drawn: Drawn, n: int, prefix: str, last: bool) -> str:
    inside = drawn.boxes[n].inside
    name = f"{prefix}_{n}"
    return name if inside is None else _end(inside, len(inside.boxes) - 1 if last else 0, name, last)


def _label(box: Box) -> str:
    return "\n".join([f"{box.title} {box.name}".strip(), *box.lines])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
