"""`keras.tree`: nested structures of lists, tuples and dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from striate.core import tree as core_tree
from striate.core.tree import assert_same_structure, flatten, is_nested

__all__ = [
    "MAP_TO_NONE",
    "assert_same_structure",
    "flatten",
    "flatten_with_path",
    "is_nested",
    "lists_to_tuples",
    "map_shape_structure",
    "map_structure",
    "map_structure_up_to",
    "pack_sequence_as",
    "traverse",
]


class MAP_TO_NONE:
    """What a function given to `traverse` returns to put None there."""


def map_structure(func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """The first structure with each leaf replaced by `func` of the leaves at its place in all of them.

    Raises:
        TypeError: `func` is no function. ValueError: no structure, or structures that differ.
    """
    if not callable(func):
        raise TypeError(f"`func` must be callable. Received: {func!r} of type {type(func)}")
    if not structures:
        raise ValueError("Must provide at least one structure")
    for other in structures[1:]:
        assert_same_structure(structures[0], other)
    return core_tree.map_structure(lambda *xs: None if xs[0] is None and not none_is_leaf else func(*xs), *structures)


def pack_sequence_as(structure: Any, flat_sequence: Any) -> Any:
    """`structure` with its leaves replaced by `flat_sequence`; ValueError if their number differs."""
    return core_tree.pack(structure, list(flat_sequence))


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """`[(path, leaf), ...]`; a path holds the keys and positions that lead to the leaf."""
    if not is_nested(structure):
        return [((), structure)]
    items = (
        [(k, structure[k]) for k in core_tree._keys(structure)] if isinstance(structure, dict) else enumerate(structure)
    )
    return [((key, *path), leaf) for key, child in items for path, leaf in flatten_with_path(child)]


def lists_to_tuples(structure: Any) -> Any:
    """`structure` with each list turned into a tuple."""
    if isinstance(structure, dict):
        return {k: lists_to_tuples(v) for k, v in structure.items()}
    if isinstance(structure, list | tuple) and not hasattr(structure, "_fields"):
        return tuple(lists_to_tuples(v) for v in structure)
    return structure


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """`structure` with each shape (a tuple or list of ints and Nones) replaced by `func(shape)`."""
    if isinstance(structure, list | tuple) and all(n is None or isinstance(n, int) for n in structure):
        return func(tuple(structure))
    if isinstance(structure, dict):
        return {k: map_shape_structure(func, v) for k, v in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(map_shape_structure(func, v) for v in structure)
    raise ValueError(
        f"Cannot map function to unknown object {structure!r}: expected shapes in lists, tuples and dicts."
    )


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """`structure` with each part that `func` maps to something else than None replaced by that (None:
    `MAP_TO_NONE`)."""
    found = func(structure) if top_down else None
    if found is not None:
        return None if found is MAP_TO_NONE else found
    if isinstance(structure, dict):
        structure = {k: traverse(func, v, top_down) for k, v in structure.items()}
    elif is_nested(structure):
        structure = type(structure)(traverse(func, v, top_down) for v in structure)
    found = None if top_down else func(structure)
    return None if found is MAP_TO_NONE else structure if found is None else found


def map_structure_up_to(shallow_structure: Any, func: Callable[..., Any], *structures: Any) -> Any:
    """`shallow_structure` with each leaf replaced by `func` of what stands at its place in `structures`.

    What stands there may be nested further.
    """
    if not structures:
        raise ValueError("Must provide at least one structure")
    return core_tree.map_structure(lambda _, *parts: func(*parts), shallow_structure, *structures)
