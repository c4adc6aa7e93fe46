"""The chapter's formulas as MathML, with the numbers filled in; `core.window` computes each result."""

from __future__ import annotations

import re
from typing import Any

from striate.core import window

_SIGNS = {"-": "−", "*": "·"}
_TOKEN = re.compile(r"\d+|[A-Za-z]+'?|\S")


def row(text: str) -> str:
    """A row of MathML from plain text: numbers, names (with a prime), signs."""
    return "".join(_part(token) for token in _TOKEN.findall(text))


def _part(token: str) -> str:
    if token.isdigit():
        return f"<mn>{token}</mn>"
    if token == "mod":
        return '<mo lspace=".35em" rspace=".35em">mod</mo>'
    if token[0].isalpha():
        return f"<mi>{token}</mi>" if token.isalpha() else f'<mi style="font-style:italic">{token[:-1]}′</mi>'
    return f"<mo>{_SIGNS.get(token, token)}</mo>"


def fraction(above: str, below: str) -> str:
    """A fraction of two rows."""
    return fraction_of(row(above), row(below))


def fraction_of(above: str, below: str) -> str:
    """A fraction of MathML."""
    return f"<mfrac><mrow>{above}</mrow><mrow>{below}</mrow></mfrac>"


def floor(inner: str, signs: str = "⌊⌋") -> str:
    """Rounded down (or up): MathML between brackets as high as it."""
    ends = zip(("prefix", "postfix"), signs, strict=True)
    left, right = (f'<mo form="{form}" fence="true" stretchy="true">{sign}</mo>' for form, sign in ends)
    return f"<mrow>{left}{inner}{right}</mrow>"


def math(*parts: str, display: bool = False) -> str:
    """A formula; parts that are not MathML yet are read as rows."""
    return math_of("".join(p if p.startswith("<") else row(p) for p in parts), display)


def math_of(inner: str, display: bool = False) -> str:
    """A formula of MathML."""
    block = ' display="block"' if display else ""
    return f"<math{block} displaystyle='true'><mrow>{inner}</mrow></math>"


def formula_6(i: int, k: int, s: int = 1, padding: Any = (0, 0), d: int = 1) -> str:
    """Formula (6), or (5) or (4) where it is enough, for one axis with its numbers."""
    p = sum(window.pads(padding, i, k, s, d) or (0, 0))
    o, span = window.output_size(i, k, s, padding, d), window.effective_kernel(k, d)
    if s == 1:
        return math(f"o = {i} + {p} - {span} + 1 = {o}" if p else f"o = {i} - {span} + 1 = {o}")
    return math("o =", floor(fraction(f"{i} + {p} - {span}", str(s))), f"+ 1 = {o}")


def formula_transposed(i: int, k: int, s: int, padding: Any, output_padding: int | None, d: int = 1) -> str:
    """o' = s (i' - 1) + a + k - p for one axis with its numbers."""
    size = window.transposed_size(i, k, s, padding, d, output_padding)
    p, a = transposed_terms(i, k, s, padding, output_padding, d)
    return math(f"o' = {s} * ({i} - 1) + {a} + {window.effective_kernel(k, d)} - {p} = {size}")


def formula_padding(i: int, k: int, s: int, padding: Any, output_padding: int | None, d: int = 1) -> str:
    """p' = 2 (k - 1) - p + a, the zeros around the spread input, for one axis with its numbers."""
    size = window.transposed_size(i, k, s, padding, d, output_padding) or 0
    p, a = transposed_terms(i, k, s, padding, output_padding, d)
    zeros = window.associated_transpose(size, k, s, (p // 2, p - p // 2), d).padding
    return math(f"p' = 2 * ({window.effective_kernel(k, d)} - 1) - {p} + {a} = {zeros}")


def transposed_terms(i: int, k: int, s: int, padding: Any, output_padding: int | None, d: int = 1) -> tuple[int, int]:
    """p and a of the chapter's formula: `output_padding` is its a, and p is what the layer has without it."""
    pair = window.transposed_pads(i, k, s, padding, d, output_padding and 0)
    if output_padding is not None:
        return sum(pair), output_padding
    size = window.transposed_size(i, k, s, padding, d, None)
    return sum(pair), window.associated_transpose(size or 0, k, s, pair, d).a
