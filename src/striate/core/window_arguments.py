"""What callers pass for a window: whole numbers per axis, padding by name or as pairs. `core.window` hands these on."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from striate.core.errors import message

Pair = tuple[int, int]


def normalize_tuple(value: Any, rank: int, name: str, *, where: str = "", allow_zero: bool = False) -> tuple[int, ...]:
    """One int per axis, from an int or a sequence of `rank` ints.

    Raises:
        ValueError: for another length, for what is no whole number, for numbers below 1 (with `allow_zero`: below 0).
    """
    entries = _integers(value, rank)
    received = f"The `{name}` argument must be a tuple of {rank} integers. Received {name}={value!r}"
    if entries is None:
        raise ValueError(message(where, received, f"Pass {_example(rank, name)}"))
    least = 0 if allow_zero else 1
    low = {n for n in entries if n < least}
    if low:
        rule = ">= 0" if allow_zero else "> 0"
        problem = f"{received}, including values {low} that do not satisfy `value {rule}`"
        raise ValueError(message(where, problem, f"Use {least} or more in every axis"))
    return entries


def normalize_output_padding(
    value: Any, rank: int, strides: Sequence[int], *, where: str = ""
) -> tuple[int, ...] | None:
    """`output_padding` of a transposed convolution as one int per axis, or None; ValueError unless each is below its
    stride."""
    if value is None:
        return None
    extra = normalize_tuple(value, rank, "output_padding", where=where, allow_zero=True)
    if any(a >= s for a, s in zip(extra, strides, strict=True)):
        rule = "`output_padding` must be strictly less than `strides`"
        problem = f"{rule}. Received: output_padding={value} and strides={tuple(strides)}"
        most = tuple(min(a, s - 1) for a, s in zip(extra, strides, strict=True))
        raise ValueError(message(where, problem, f"The nearest possible is output_padding={most}"))
    return extra


def normalize_padding(
    padding: Any, rank: int, *, allowed: Sequence[str] = ("valid", "same", "full"), where: str = ""
) -> str | tuple[Pair, ...]:
    """`padding` as one of the names in lower case, or as a pair `(lo, hi)` per axis.

    Args:
        padding: a name in any case; an int, for both sides of every axis; or one entry per axis, each an int or a pair.
            With one
            axis, a bare pair will do.
        allowed: the names that the caller knows.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(padding, str):
        if padding.lower() not in allowed:
            raise ValueError(unknown_padding(padding, allowed, where))
        return padding.lower()
    pairs = _pairs(padding, rank)
    if pairs is None:
        raise ValueError(unknown_padding(padding, allowed, where, rank))
    if any(n < 0 for pair in pairs for n in pair):
        problem = f"`padding` must not be negative. Received: padding={padding!r}"
        raise ValueError(message(where, problem, "Take rows away with a Cropping layer instead"))
    return pairs


def _pairs(padding: Any, rank: int) -> tuple[Pair, ...] | None:
    whole = _integers(padding, 2 if rank == 1 and _length(padding) == 2 else rank)
    if whole is not None:
        return ((whole[0], whole[1]),) if len(whole) > rank else tuple((n, n) for n in whole)
    if _length(padding) != rank:
        return None
    entries = [_integers(entry, 2) for entry in padding]
    return None if None in entries else tuple((e[0], e[1]) for e in entries if e)


def _integers(value: Any, n: int) -> tuple[int, ...] | None:
    """`n` ints from an int or a sequence of that length; None where that is not what `value` is."""
    one = _integer(value)
    if one is not None:
        return (one,) * n
    if _length(value) != n:
        return None
    entries = [_integer(entry) for entry in value]
    return None if None in entries else tuple(e for e in entries if e is not None)


def _integer(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _length(value: Any) -> int | None:
    sized = hasattr(value, "__len__") and hasattr(value, "__iter__") and not isinstance(value, str | bytes | dict | set)
    try:
        return len(value) if sized else None
    except TypeError:  # an array without axes
        return None


def unknown_padding(padding: Any, allowed: Sequence[str], where: str, rank: int | None = None) -> str:
    axes = "" if rank is None else f" ({rank} here)"
    problem = (
        f"The `padding` argument must be {', '.join(map(repr, allowed))}, a whole number, or a whole number or a pair "
        f"(before, after) for each axis{axes}. Received: padding={padding!r}"
    )
    return message(where, problem)


def _example(rank: int, name: str) -> str:
    return f"{name}=2" if rank == 1 else f"{name}=2 or {name}=({', '.join('2' * rank)})"
