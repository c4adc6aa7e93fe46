"""The derivation of one size: an axis of a layer in the chapter's letters, as data and as lines; `core.window` computes
every number."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from striate.core import window
from striate.core.window import Pair, Receptive, Size
from striate.models.windows import Axis

from .prose import Formula, Line

NAMES = {1: ("steps",), 2: ("height", "width"), 3: ("depth", "height", "width")}
_MOST_LISTED = 12
_EXAMPLES = 6  # sizes that are worked out where the size is not known


@dataclass(frozen=True)
class Step:
    """One axis of one layer. Sizes are None where they are not known.

    Attributes:
        axis: `"height"` and so on. kind: see `models.windows.Axis`.
        i, k, s, d, k_eff, o: the chapter's letters; of a transposed convolution i stands for i' and o for o'.
        p, before, after: the padding in all and on either side; of a transposed convolution, that of the convolution
            that it belongs to.
        a: what is left over, (i + p - k_eff) mod s; of a transposed convolution, the a of its formula.
        formula, numbers: the rule in letters, and with the numbers.
        same_output: the input sizes that give the same output; of a transposed convolution, the sizes that its
            convolution brings to i'.
        spread_before, spread_after: of a transposed convolution, the zeros around its spread input (p' in all).
        size, jump, start: what one output sees of the layer's input.
    """

    axis: str
    kind: str
    i: Size
    o: Size
    k: int | None = None
    s: int = 1
    d: int = 1
    k_eff: int | None = None
    p: Size = None
    before: Size = None
    after: Size = None
    a: Size = None
    formula: str = ""
    numbers: str = ""
    same_output: tuple[int, ...] = ()
    spread_before: int | None = None
    spread_after: int | None = None
    size: int | float | None = None
    jump: int | Fraction | None = None
    start: Size = None
    lines: tuple[Line, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The numbers, as JSON takes them."""
        made = {k: v for k, v in asdict(self).items() if k != "lines"}
        return made | {"jump": plain(self.jump), "size": plain(self.size), "same_output": list(self.same_output)}


def plain(number: Any) -> Any:
    """A number as JSON knows it: fractions as floats, what is infinite as `"all"`."""
    if isinstance(number, Fraction):
        return float(number)
    return "all" if number == float("inf") else number


def step_of(name: str, axis: Axis, seen: Receptive | None = None) -> Step:
    """The derivation along one axis; `seen` is what one output sees of the layer's input."""
    step = _STEPS.get(axis.kind, _plain_step)(name, axis)
    lines = (*step.lines, *_seen_lines(seen))
    if seen is None:
        return step
    return _with(step, size=seen.size, jump=seen.jump, start=seen.start, lines=lines)


def _with(step: Step, **changes: Any) -> Step:
    return Step(**(vars(step) | changes))


# Windows --------------------------------------------------------------------------------------------------------------


def formula_of(axis: Axis) -> Formula:
    """Formula (6) of an axis, or (5) or (4) where that is all that is needed."""
    both, k_eff = axis.pads, window.effective_kernel(axis.k, axis.d)
    letter = "k" if axis.d == 1 else "k_eff"
    values = {"i": axis.i, "p": None if both is None else sum(both), letter: k_eff, "s": axis.s, "o": axis.o}
    if both is None:
        return Formula("o", "⌈{i} / {s}⌉", values, "SAME")
    if axis.s > 1:
        return Formula("o", f"⌊({{i}} + {{p}} − {{{letter}}}) / {{s}}⌋ + 1", values, "(6)")
    if sum(both):
        return Formula("o", f"{{i}} + {{p}} − {{{letter}}} + 1", values, "(5)")
    return Formula("o", f"{{i}} − {{{letter}}} + 1", values, "(4)")


def _window_step(name: str, axis: Axis) -> Step:
    both, k_eff = axis.pads, window.effective_kernel(axis.k, axis.d)
    rule = formula_of(axis)
    settings = (axis.k, axis.s, axis.padding, axis.d)
    lo, hi = both or (None, None)
    a = window.leftover(axis.i, *settings)
    alike = () if axis.i is None else window.alike(axis.i, *settings)
    lines = (*_kernel_lines(axis), Line(formula=rule), *_padding_lines(axis), *_end_lines(axis, a, alike))
    return Step(
        name, axis.kind, axis.i, axis.o, axis.k, axis.s, axis.d, k_eff, None if both is None else sum(both), lo, hi, a,
        rule.letters, rule.numbers, alike, lines=lines,
    )  # fmt: skip


def _kernel_lines(axis: Axis) -> list[Line]:
    if axis.d == 1:
        return []
    values = {"k": axis.k, "d": axis.d, "k_eff": window.effective_kernel(axis.k, axis.d)}
    return [Line("dilation", formula=Formula("k_eff", "({k} − 1)·{d} + 1", values))]


def _padding_lines(axis: Axis) -> list[Line]:
    both = axis.pads
    if axis.padding == "same":
        return _same_lines(axis, both)
    if both is None or not sum(both):
        return [Line("padding", "none")]
    name = f"{axis.padding!r}: " if isinstance(axis.padding, str) else ""
    return [Line("padding", f"{name}{sides(both)}")]


def _same_lines(axis: Axis, both: Pair | None) -> list[Line]:
    if both is None:
        text = "'same' pads with as much as ⌈i / s⌉ windows need, which depends on i: see the sizes below"
        return [Line("padding", text)]
    k_eff, p = window.effective_kernel(axis.k, axis.d), sum(both)
    letter = "k" if axis.d == 1 else "k_eff"
    values = {"p": p, letter: k_eff, "s": axis.s, "i": axis.i, "o": axis.o}
    if axis.s == 1:
        rule = Formula("p", f"{{{letter}}} − 1", values)
    else:
        rule = Formula("p", f"max(({{o}} − 1)·{{s}} + {{{letter}}} − {{i}}, 0)", values)
    return [Line("padding", f"'same': {sides(both)}{_lopsided(both)}", rule), *_chapter_lines(axis, p)]


def _lopsided(both: Pair) -> str:
    if both[0] == both[1]:
        return ""
    return (
        ". Odd, so lopsided: TensorFlow's SAME puts half of it, rounded down, before and the odd zero after "
        "(a whole number for the padding, as in PyTorch, pads both sides alike)"
    )


def _chapter_lines(axis: Axis, p: int) -> list[Line]:
    """Where the chapter takes p = k - 1 for SAME, though a stride makes it less."""
    reach = window.effective_kernel(axis.k, axis.d) - 1
    if axis.i is None or axis.s == 1 or p >= reach:
        return []
    half = (reach // 2, reach - reach // 2)
    same = window.output_size(axis.i, axis.k, axis.s, half, axis.d) == axis.o
    if not same:
        return []
    a = window.leftover(axis.i, axis.k, axis.s, half, axis.d)
    text = (
        f"the chapter takes p = k − 1 = {reach} for SAME, and so a = {a}: the same output size, but all windows lie "
        f"{half[0] - p // 2} further to the front. padding={half[0] if half[0] == half[1] else half} draws its figure"
    )
    return [Line("chapter", text)]


def sides(both: Pair) -> str:
    """`"2 zeros: 1 before, 1 after"`."""
    p = sum(both)
    return f"{p} zero{'' if p == 1 else 's'}: {both[0]} before, {both[1]} after"


def _end_lines(axis: Axis, a: Size, alike: tuple[int, ...]) -> list[Line]:
    if axis.i is None:
        return [Line("sizes", _examples(axis))]
    if axis.s == 1:
        return []
    letter = "k" if axis.d == 1 else "k_eff"
    values = {"i": axis.i, "p": sum(axis.pads or (0, 0)), letter: window.effective_kernel(axis.k, axis.d), "s": axis.s}
    rule = Formula("a", f"({{i}} + {{p}} − {{{letter}}}) mod {{s}}", values | {"a": a})
    others = [n for n in alike if n != axis.i]
    same = f"{_inputs(others)} {axis.o} as well" if others else f"no other input gives {axis.o}"
    return [Line("left over", _left(a or 0, axis), rule), Line("same output", same)]


def _inputs(sizes: list[int]) -> str:
    return f"an input of {sizes[0]} gives" if len(sizes) == 1 else f"inputs of {listed(sizes)} give"


def _left(a: int, axis: Axis) -> str:
    if a == 0:
        return "nothing: the stride divides"
    hi = (axis.pads or (0, 0))[1]
    what = "of padding" if a <= hi else f"of the input{f' and {hi} of padding' if hi else ''}"
    count = a if a <= hi else a - hi
    return (
        f"the stride does not divide: {count} cell{'' if count == 1 else 's'} {what} at the end that no window reaches"
    )


def _examples(axis: Axis) -> str:
    start = max(window.effective_kernel(axis.k, axis.d), 1)
    sizes = range(start, start + _EXAMPLES)
    found = (f"{n} → {window.output_size(n, axis.k, axis.s, axis.padding, axis.d)}" for n in sizes)
    return f"any; such as {', '.join(found)}"


def listed(numbers: Any) -> str:
    """`"4, 5 and 6"`."""
    words = [str(n) for n in numbers]
    if len(words) > _MOST_LISTED:
        return f"{words[0]}, {words[1]}, … and {words[-1]}"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


# Transposed convolutions ----------------------------------------------------------------------------------------------


def transposed_formula(axis: Axis) -> Formula:
    """o' = s (i' - 1) + a + k - p of an axis."""
    lo, hi, a = window.transposed_terms(axis.k, axis.s, axis.padding, axis.d, axis.extra)
    letter = "k" if axis.d == 1 else "k_eff"
    values = {"i'": axis.i, "k": axis.k, "k_eff": window.effective_kernel(axis.k, axis.d), "s": axis.s, "a": a}
    return Formula("o'", f"{{s}}·({{i'}} − 1) + {{a}} + {{{letter}}} − {{p}}", values | {"p": lo + hi, "o'": axis.o})


def _transposed_step(name: str, axis: Axis) -> Step:
    lo, hi, a = window.transposed_terms(axis.k, axis.s, axis.padding, axis.d, axis.extra)
    rule, around = transposed_formula(axis), window.spread_pads(axis.k, axis.s, axis.padding, axis.d, axis.extra)
    alike = () if axis.o is None else window.alike(axis.o, axis.k, axis.s, (lo, hi), axis.d)
    lines = (
        *_kernel_lines(axis),
        Line("size", formula=rule),
        *_terms_lines(axis, (lo, hi), a),
        *_spread_lines(axis, around),
    )
    lines = (*lines, *_undone_lines(axis, (lo, hi), alike), *_choice_lines(axis))
    return Step(
        name, axis.kind, axis.i, axis.o, axis.k, axis.s, axis.d, window.effective_kernel(axis.k, axis.d), lo + hi, lo,
        hi, a, rule.letters, rule.numbers, alike, *around, lines=lines,
    )  # fmt: skip


def _terms_lines(axis: Axis, pair: Pair, a: int) -> list[Line]:
    why = ""
    if axis.padding == "same":
        why = "Keras's rule for 'same': o' = s·i'"
        if axis.extra is not None:
            odd = window.effective_kernel(axis.k, axis.d) % 2
            why = f"Keras's rule for 'same': o' = s·(i' − 1) + k mod 2 + output_padding, here + {odd} + {axis.extra}"
    elif axis.extra is None and a:
        why = "Keras adds a so that o' = s·i' at least"
    return [Line("p and a", f"p = {sum(pair)} ({pair[0]} before, {pair[1]} after), a = {a}{'. ' if why else ''}{why}")]


def _spread_lines(axis: Axis, around: Pair) -> list[Line]:
    lo, hi, a = window.transposed_terms(axis.k, axis.s, axis.padding, axis.d, axis.extra)
    letter = "k" if axis.d == 1 else "k_eff"
    values = {letter: window.effective_kernel(axis.k, axis.d), "p": lo + hi, "a": a, "p'": sum(around)}
    rule = Formula("p'", f"2({{{letter}}} − 1) − {{p}} + {{a}}", values)
    between = (
        f"{axis.s - 1} zero{'' if axis.s == 2 else 's'} between the units" if axis.s > 1 else "none between the units"
    )
    text = f"{between}, {around[0]} before and {around[1]} after them (below 0: cells cut off)"
    text = text if min(around) < 0 else text.split(" (below")[0]
    return [Line("zeros", f"{text}; then an ordinary convolution with stride 1", rule)]


def _undone_lines(axis: Axis, pair: Pair, alike: tuple[int, ...]) -> list[Line]:
    if axis.i is None or axis.o is None:
        return []
    there = Axis(
        "window", axis.o, axis.k, axis.s, pair, axis.d, o=window.output_size(axis.o, axis.k, axis.s, pair, axis.d)
    )
    others = [n for n in alike if n != axis.o]
    text = f"with this padding, {_inputs(others)} {axis.i} as well" if others else ""
    return [Line("undoes", text, formula_of(there))]


def _choice_lines(axis: Axis) -> list[Line]:
    if axis.s == 1 or axis.i is None:
        return []
    sizes = (window.transposed_size(axis.i, axis.k, axis.s, axis.padding, axis.d, n) for n in range(axis.s))
    words = ", ".join(f"{n} gives {size}" for n, size in enumerate(sizes))
    default = window.transposed_size(axis.i, axis.k, axis.s, axis.padding, axis.d, None)
    return [Line("output_padding", f"{words}; None gives {default}"), *_slip_lines(axis)]


def _slip_lines(axis: Axis) -> list[Line]:
    """The slips of the chapter's last two figures, for the layer that it codes there."""
    if (axis.i, axis.k, axis.s, axis.padding, axis.d, axis.extra) != (2, 3, 2, "same", 1, 1):
        return []
    first = "for 2x2 → 3x3 the chapter codes output_padding=1 and so prints 4x4; output_padding=0 gives its 3x3"
    second = "the last caption's a = (i + p + k) mod s is a slip for (i + p − k) mod s, as in its text"
    return [Line("chapter", f"{first}. Also, {second}")]


# The rest -------------------------------------------------------------------------------------------------------------


def _adaptive_step(name: str, axis: Axis) -> Step:
    if axis.i is None or axis.o is None:
        text = f"{axis.o}, whatever the input: from ⌊n·i / o⌋ to ⌈(n + 1)·i / o⌉"
        return Step(name, axis.kind, axis.i, axis.o, lines=(Line("windows", text),))
    pairs = window.adaptive_windows(axis.i, axis.o)
    shown = ", ".join(f"{a}…{b - 1}" for a, b in pairs[:_EXAMPLES]) + (", …" if len(pairs) > _EXAMPLES else "")
    lengths = sorted({b - a for a, b in pairs})
    text = f"{axis.o}, from ⌊n·{axis.i} / {axis.o}⌋ to ⌈(n + 1)·{axis.i} / {axis.o}⌉: {shown}"
    lines = (Line("windows", text), Line("sizes", f"{listed(lengths)} cells each"))
    return Step(name, axis.kind, axis.i, axis.o, max(lengths), lines=lines)


def _plain_step(name: str, axis: Axis) -> Step:
    words = {
        "global": "one window over everything",
        "cell": "each cell by itself: the size stays",
        "resize": f"each cell becomes {axis.s}",
        "shift": f"{axis.pads[0]} before, {axis.pads[1]} after" if axis.pads else "",
    }
    out = axis.i if axis.kind == "cell" else axis.o
    return Step(
        name, axis.kind, axis.i, out, lines=(Line("size", f"{words[axis.kind]}: {shown(axis.i)} → {shown(out)}"),)
    )


def shown(size: Any) -> str:
    """A size, or `?` where it is not known."""
    return "?" if size is None else str(size)


def _seen_lines(seen: Receptive | None) -> list[Line]:
    if seen is None:
        return []
    if seen.size == float("inf"):
        return [Line("sees", "each output everything")]
    most = "up to " if isinstance(seen.jump, Fraction) else ""
    start = "" if seen.start is None else f", the first from position {seen.start} on"
    cells = f"{most}{seen.size} cell{'' if seen.size == 1 else 's'}"
    return [Line("sees", f"each output {cells}{start}; the next begins {seen.jump} later")]


_STEPS = {"window": _window_step, "transposed": _transposed_step, "adaptive": _adaptive_step}
