"""A derivation as lines of words and formulas, written as plain text, in a terminal's colours, and as HTML.

A formula is a template in the chapter's letters, such as `"{i} + {p} − {k} + 1"`: with the letters in their places it
is the rule, with the numbers in their places the case. Each letter keeps its colour in both, so that the eye finds it
again.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .formulas import floor, fraction_of, math_of, row

WIDTH = 80
_INDENT, _LABEL = 2, 16
_SLOT = re.compile(r"\{([^}]+)\}")
_ROUNDED = re.compile(r"([⌊⌈])(.+?) / (.+?)[⌋⌉]")
_TERMINAL = {"i": "blue", "k": "green", "p": "yellow", "s": "magenta", "a": "red", "d": "cyan", "o": "bold"}
_SAFE = re.compile(r"[^A-Za-z0-9]")


@dataclass(frozen=True)
class Formula:
    """One rule and one case of it.

    Attributes:
        left: what it gives, such as `"o"`. right: the template.
        values: numbers by letter; what has none stays a letter.
        name: its number in the chapter, such as `"(6)"`.
    """

    left: str
    right: str
    values: Mapping[str, Any]
    name: str = ""

    @property
    def letters(self) -> str:
        """`"o = ⌊(i + p − k) / s⌋ + 1"`."""
        return f"{self.left} = {_SLOT.sub(lambda m: m[1], self.right)}"

    @property
    def numbers(self) -> str:
        """`"⌊(7 + 2 − 3) / 2⌋ + 1 = 4"`; without a result where a number is not known."""
        result = self.values.get(self.left)
        return self._filled() if result is None else f"{self._filled()} = {result}"

    def _filled(self) -> str:
        return _SLOT.sub(lambda m: self._value(m[1]), self.right)

    def _value(self, letter: str) -> str:
        value = self.values.get(letter)
        return letter if value is None else str(value)


@dataclass(frozen=True)
class Line:
    """A label with words or a formula (or both: the words come below)."""

    label: str = ""
    text: str = ""
    formula: Formula | None = None


@dataclass(frozen=True)
class Part:
    """Lines under a heading."""

    heading: str
    lines: tuple[Line, ...] = field(default=())


class Prose:
    """What has `parts()` is text for `print`, colours for a terminal, HTML for a notebook."""

    def parts(self) -> Sequence[Part]:
        """What there is to say."""
        return ()

    def tables(self) -> Sequence[Table]:
        """Tables behind the parts."""
        return ()

    def __str__(self) -> str:
        return rendered(self, WIDTH)

    def __rich_console__(self, console: Any, options: Any) -> Any:
        for n, part in enumerate(self.parts()):
            if n:
                yield ""
            yield from _terminal_lines(part)
        for table in self.tables():
            yield table.rich()

    def _repr_html_(self) -> str:
        body = "".join(map(_html_part, self.parts())) + "".join(t.html() for t in self.tables())
        return f'<div class="striate-why">{STYLE}{body}</div>'


@dataclass(frozen=True)
class Table:
    """Rows of cells; `right` names the columns of numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()
    caption: str = ""

    def rich(self) -> Any:
        """As a rich table."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        made = RichTable(
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
            caption=self.caption or None,
            caption_justify="left",
        )
        for n, name in enumerate(self.columns):
            number = n in self.right
            made.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=number)
        for cells in self.rows:
            made.add_row(*(Text(c) for c in cells))
        return made

    def html(self) -> str:
        """As a table that scrolls by itself where the page is narrow."""
        head = "".join(f"<th{_aligned(n in self.right)}>{html.escape(c)}</th>" for n, c in enumerate(self.columns))
        body = "".join(self._html_row(cells) for cells in self.rows)
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        inner = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f'<div class="striate-table" tabindex="0">{inner}</div>'

    def _html_row(self, cells: Sequence[str]) -> str:
        made = (f"<td{_aligned(n in self.right)}>{html.escape(c)}</td>" for n, c in enumerate(cells))
        return f"<tr>{''.join(made)}</tr>"


def _aligned(right: bool) -> str:
    return ' class="n"' if right else ""


# In a terminal --------------------------------------------------------------------------------------------------------


def rendered(prose: Any, width: int, colour: bool = False) -> str:
    """What a terminal of that width would show, without a final line break."""
    from rich.console import Console

    stream = io.StringIO()
    options: Any = {"force_terminal": True, "color_system": "standard"} if colour else {"color_system": None}
    Console(file=stream, width=width, highlight=False, markup=False, emoji=False, **options).print(prose)
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().split("\n"))


def _terminal_lines(part: Part) -> Any:
    from rich.text import Text

    if part.heading:
        yield Text(part.heading, style="bold")
    for line in part.lines:
        yield _two_columns(line)


def _two_columns(line: Line) -> Any:
    from rich.table import Table as RichTable
    from rich.text import Text

    grid = RichTable.grid(padding=0)
    grid.add_column(width=_INDENT + _LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    words = [*_formula_texts(line.formula), *([Text(line.text)] if line.text else [])]
    for n, text in enumerate(words):
        label = line.label or (line.formula.name if line.formula else "")
        grid.add_row(Text(" " * _INDENT + (label if n == 0 else ""), style="dim"), text)
    return grid


def _formula_texts(formula: Formula | None) -> list[Any]:
    from rich.text import Text

    if formula is None:
        return []
    rule = Text.assemble((formula.left, _colour(formula.left)), " = ", *_pieces(formula, lambda letter: letter))
    if all(v is None for v in formula.values.values()):
        return [rule]
    result = formula.values.get(formula.left)
    tail: list[Any] = [] if result is None else [" = ", (str(result), "bold")]
    lead = " " * len(formula.left) + " = "
    return [rule, Text.assemble(lead, *_pieces(formula, formula._value), *tail)]


def _pieces(formula: Formula, shown: Any) -> Any:
    """The right side in pieces, each letter (or its number) with its colour."""
    made: list[Any] = []
    for n, piece in enumerate(_SLOT.split(formula.right)):
        made.append((shown(piece), _colour(piece)) if n % 2 else piece)
    return made


def _colour(letter: str) -> str:
    return _TERMINAL.get(letter[0], "")


# As HTML --------------------------------------------------------------------------------------------------------------


def _html_part(part: Part) -> str:
    heading = f"<h4>{html.escape(part.heading)}</h4>" if part.heading else ""
    rows = "".join(f"<dt>{html.escape(_label(x))}</dt><dd>{_html_line(x)}</dd>" for x in part.lines)
    return f"<section>{heading}<dl>{rows}</dl></section>"


def _label(line: Line) -> str:
    return line.label or (line.formula.name if line.formula else "")


def _html_line(line: Line) -> str:
    words = f"<span>{html.escape(line.text)}</span>" if line.text else ""
    return (formula_html(line.formula) if line.formula else "") + words


def formula_html(formula: Formula) -> str:
    """The rule and the case as MathML."""
    rule = math_of(_letter(formula.left) + row("=") + _mathml(formula, lambda letter: letter))
    if all(v is None for v in formula.values.values()):
        return rule
    result = formula.values.get(formula.left)
    end = "" if result is None else row("=") + f'<mn class="r">{html.escape(str(result))}</mn>'
    return rule + math_of(row("=") + _mathml(formula, formula._value) + end)


def _mathml(formula: Formula, shown: Any) -> str:
    made, at = "", 0
    for found in _ROUNDED.finditer(formula.right):
        above = found[2][1:-1] if found[2].startswith("(") and found[2].endswith(")") else found[2]
        inner = fraction_of(_tokens(above, shown), _tokens(found[3], shown))
        made += _tokens(formula.right[at : found.start()], shown) + floor(inner, "⌈⌉" if found[1] == "⌈" else "⌊⌋")
        at = found.end()
    return made + _tokens(formula.right[at:], shown)


def _tokens(template: str, shown: Any) -> str:
    pieces = _SLOT.split(template)
    return "".join(_letter(p, shown(p)) if n % 2 else row(p) for n, p in enumerate(pieces))


def _letter(letter: str, shown: str | None = None) -> str:
    text = letter if shown is None else shown
    if text.lstrip("-−").isdigit():
        return f'<mn class="{letter[0]}">{html.escape(text.replace("-", "−"))}</mn>'
    name, _, below = text.partition("_")
    core = f'<mi style="font-style:italic">{html.escape(name.replace(chr(39), "′"))}</mi>'
    core = f"<msub>{core}<mi>{html.escape(below)}</mi></msub>" if below else core
    return f'<mrow class="{_SAFE.sub("", letter[0])}">{core}</mrow>'


_LIGHT = "--i:#0060a0;--k:#00704f;--p:#a04b00;--s:#8a3b8a;--a:#b3261e;--d:#006d77;--soft:#5b626c;--rule:#d0d4d9"
_DARK = "--i:#6cc0f5;--k:#3ecf9e;--p:#f0b04a;--s:#dba0d5;--a:#ff9a8f;--d:#63d3dd;--soft:#a0a7b1;--rule:#3a4048"
STYLE = (
    "<style>.striate-why{" + _LIGHT + ";font:15px/1.55 ui-sans-serif,system-ui,sans-serif;max-width:60rem}"
    "@media(prefers-color-scheme:dark){.striate-why{" + _DARK + "}}"
    "[data-jp-theme-light=true] .striate-why,[data-theme=light] .striate-why{" + _LIGHT + "}"
    "[data-jp-theme-light=false] .striate-why,[data-theme=dark] .striate-why{" + _DARK + "}"
    ".striate-why h4{margin:1.1em 0 .3em;font-size:1.05em}.striate-why section:first-of-type h4{margin-top:0}"
    ".striate-why dl{display:grid;grid-template-columns:8.5rem minmax(0,1fr);gap:.25rem 1.2rem;margin:0}"
    ".striate-why dt{color:var(--soft);padding-top:.15em}.striate-why dd{margin:0;min-width:0;overflow-wrap:anywhere}"
    ".striate-why math{display:inline-block;font-size:1.08em;margin:.1em .9em .1em 0}"
    ".striate-why dd>span{display:block}"
    ".striate-why mfrac>*{padding:.1em .25em}"
    ".striate-why .i{color:var(--i)}.striate-why .k{color:var(--k)}.striate-why .p{color:var(--p)}"
    ".striate-why .s{color:var(--s)}.striate-why .a{color:var(--a)}.striate-why .d{color:var(--d)}"
    ".striate-why .r{font-weight:700}.striate-why .striate-table{overflow-x:auto}"
    ".striate-why table{border-collapse:collapse;font-size:.92em}"
    ".striate-why caption{text-align:left;color:var(--soft)}"
    ".striate-why th,.striate-why td{padding:.3em .9em .3em 0;border-bottom:1px solid var(--rule);text-align:left;"
    "white-space:nowrap}.striate-why .n{text-align:right;font-variant-numeric:tabular-nums}"
    "@media(max-width:32rem){.striate-why dl{grid-template-columns:1fr;gap:0}.striate-why dd{margin-bottom:.4em}}"
    "</style>"
)
