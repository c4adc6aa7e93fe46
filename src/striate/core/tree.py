"""Nested structures of lists, tuples and dicts. Dict entries are visited in the order of their keys, as Keras does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any


def is_nested(structure: Any) -> bool:
    """Whether `structure` is a list, a tuple or a dict rather than a leaf."""
    return isinstance(structure, list | tuple | dict)


def flatten(structure: Any) -> list[Any]:
    """The leaves of `structure`; a leaf gives a list of itself."""
    if not is_nested(structure):
        return [structure]
    return [leaf for child in _children(structure) for leaf in flatten(child)]


def map_structure(fn: Callable[..., Any], structure: Any, *others: Any) -> Any:
    """`structure` with each leaf replaced by `fn(leaf, *leaves at the same place in others)`."""
    if not is_nested(structure):
        return fn(structure, *others)
    if isinstance(structure, dict):
        made = {k: map_structure(fn, v, *(o[k] for o in others)) for k, v in structure.items()}
        return _like(structure, made)
    return _like(structure, [map_structure(fn, *vs) for vs in zip(structure, *others, strict=True)])


def pack(structure: Any, leaves: Sequence[Any]) -> Any:
    """`structure` with its leaves, in the order of `flatten`, replaced by `leaves`; ValueError if their number
    differs."""
    if len(flatten(structure)) != len(leaves):
        raise ValueError(f"expected {len(flatten(structure))} values for the structure, got {len(leaves)}")
    return _pack(structure, iter(leaves))


def _pack(structure: Any, leaves: Iterator[Any]) -> Any:
    if not is_nested(structure):
        return next(leaves)
    if isinstance(structure, dict):
        filled = {k: _pack(structure[k], leaves) for k in _keys(structure)}
        return _like(structure, {k: filled[k] for k in structure})
    return _like(structure, [_pack(child, leaves) for child in structure])


def _children(structure: Any) -> list[Any]:
    return [structure[k] for k in _keys(structure)] if isinstance(structure, dict) else list(structure)


def _keys(structure: dict[Any, Any]) -> list[Any]:
    try:
        return sorted(structure)
    except TypeError:
        return list(structure)


def _like(structure: Any, children: Any) -> Any:
    if hasattr(structure, "_fields"):
        return type(structure)(*children)
    return type(structure)(children) if type(structure) in (list, tuple, dict) else _plain(structure, children)


def _plain(structure: Any, children: Any) -> Any:
    """Subclasses of list, tuple and dict (tracked containers) come back as the plain type."""
    base = next(t for t in (dict, list, tuple) if isinstance(structure, t))
    return base(children)


def assert_same_structure(a: Any, b: Any) -> None:
    """ValueError unless both have the same nesting, types of containers and keys."""
    if is_nested(a) != is_nested(b):
        raise ValueError(f"`a` and `b` don't have the same structure: {a!r} and {b!r}.")
    if not is_nested(a):
        return
    keys = sorted(a, key=str) == sorted(b, key=str) if isinstance(a, dict) and isinstance(b, dict) else True
    if isinstance(a, dict) != isinstance(b, dict) or type(a) is not type(b) or len(a) != len(b) or not keys:
        raise ValueError(f"`a` and `b` don't have the same structure: {a!r} and {b!r}.")
    pairs = ((a[k], b[k]) for k in a) if isinstance(a, dict) else zip(a, b, strict=True)
    for x, y in pairs:
        assert_same_structure(x, y)
