"""The table of rules: for each primitive what it is in ONNX. A rule takes a `Writer` and a `Step`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from striate.core.errors import message
from striate.exporting.family import Family, Step
from striate.exporting.writer import Writer

Rule = Callable[[Writer, Step], None]

RULES: dict[str, Rule] = {}


class NoEquivalentError(NotImplementedError):
    """An op that ONNX has no equivalent for."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule for the primitives called `names`."""

    def add(fn: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, fn))
        return fn

    return add


def write_steps(writer: Writer, family: Family) -> None:
    """Writes all steps of `family`, whose inputs are there already.

    Raises:
        NoEquivalentError: a step that ONNX has no equivalent for.
    """
    for step in family.steps:
        writer.where = step.where
        write_step(writer, step)


def write_step(writer: Writer, step: Step) -> None:
    """Writes one step by its rule."""
    if step.op not in RULES:
        problem = _WHY.get(step.op, f"'{step.op}' has no equivalent in ONNX")
        raise NoEquivalentError(message(step.where or "export", problem, "Leave it out, or compute it outside"))
    RULES[step.op](writer, step)


_RANDOM = "random numbers, which depend on a key, have no equivalent in ONNX"
_WHY: dict[Any, str] = {"random_bits": _RANDOM, "random_uniform": _RANDOM}
