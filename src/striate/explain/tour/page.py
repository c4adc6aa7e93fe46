"""The page: one HTML file with its style, pictures and formulas inside."""

from __future__ import annotations

import base64
import html
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass

from .parts import Part, Text
from .runner import Outcome


@dataclass(frozen=True)
class Section:
    """A part that has been run."""

    part: Part
    steps: Sequence[Text | Outcome]
    seconds: float


def page(sections: Sequence[Section], facts: str) -> str:
    """The whole document.

    Args:
        sections: what was run, in order.
        facts: where and when it ran, as HTML, for the foot of the page.
    """
    style = importlib.resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    links = "".join(f'<li><a href="#{s.part.id}">{html.escape(s.part.title)}</a></li>' for s in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<title>Convolution, from one kernel to VGG-19</title>"
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f'<style>{style}</style></head><body><a class="skip" href="#main">To the content</a><div class="page">\n{_HEAD}'
        f'<nav aria-label="Contents"><h2>Contents</h2><ol>{links}</ol></nav>\n<main id="main">'
        f"{''.join(map(_section, sections))}</main>\n<footer><p>{facts}</p></footer></div></body></html>\n"
    )


_HEAD = (
    "<header><h1>Convolution, from one kernel to VGG‑19</h1><p>A chapter on convolutional networks, run on striate. "
    "Every number, shape and picture on this page was computed when the page was made, by the code above it. "
    "The figures play: with their buttons, their slider, or the arrow keys and the space bar.</p></header>\n"
)


def _section(section: Section) -> str:
    part = section.part
    body = "".join(step.html if isinstance(step, Text) else _cell(step) for step in section.steps)
    heading = f'<h2 id="{part.id}-title">{html.escape(part.title)}</h2>'
    return f'<section id="{part.id}" aria-labelledby="{part.id}-title">{heading}{body}</section>\n'


def _cell(outcome: Outcome) -> str:
    printed = f'<pre class="out" tabindex="0">{html.escape(outcome.printed)}</pre>' if outcome.printed else ""
    shown = f'<div class="shown">{outcome.shown}</div>' if outcome.shown else ""
    figures = "".join(_picture(png, outcome.code.alt) for png in outcome.figures)
    code = f'<pre class="code" tabindex="0">{highlighted(outcome.code.source)}</pre>'
    return f'<div class="cell">{code}{printed}{shown}{figures}</div>'


def _picture(png: bytes, alt: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<div class="shown"><img alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{data}"></div>'


def highlighted(source: str) -> str:
    """Python source as HTML, its keywords, strings, numbers and comments marked."""
    from pygments.lexers import PythonLexer

    return "".join(_token(str(kind), text) for kind, text in PythonLexer().get_tokens(source)).rstrip()


_CLASSES = (
    ("Token.Keyword", "k"),
    ("Token.Operator.Word", "k"),
    ("Token.Literal.String", "s"),
    ("Token.Literal.Number", "m"),
    ("Token.Comment", "c"),
)


def _token(kind: str, text: str) -> str:
    escaped = html.escape(text, quote=False)
    name = next((c for prefix, c in _CLASSES if kind.startswith(prefix)), "")
    return f'<span class="{name}">{escaped}</span>' if name else escaped
