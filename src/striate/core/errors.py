"""How every error of the package is worded: where it happened, what is wrong, and the smallest change that would
work."""

from __future__ import annotations


def message(where: str, problem: str, fix: str | None = None) -> str:
    """`"<where>: <problem>. <fix>."`, with either end left out when it is empty; full stops are added, never doubled.

    Args:
        where: what raised, as the reader knows it, such as `"Conv2D 'conv2d_3'"`; `""` for none.
        problem: what was received and what was expected.
        fix: the smallest change that would work.
    """
    text = _sentence(f"{where}: {problem}" if where else problem)
    return f"{text} {_sentence(fix)}" if fix else text


def listed(options: object, last: str = "or") -> str:
    """`'a', 'b' or 'c'` from `("a", "b", "c")`: names as a reader expects them in a sentence."""
    names = [repr(o) for o in options]  # type: ignore[attr-defined]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else text + "."
