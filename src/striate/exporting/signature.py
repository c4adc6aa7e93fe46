"""What an exported program takes: names, shapes, dtypes, and how they become the model's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from striate.core import dtypes, tree
from striate.core.errors import message
from striate.ir import Aval
from striate.trace import KerasTensor, standardize_shape

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Leaf:
    """One input: `shape` holds None for sizes that stay open."""

    name: str
    shape: Shape
    dtype: str


@dataclass(frozen=True)
class Signature:
    """The inputs of a program, and the model that they are for."""

    model: Any
    leaves: tuple[Leaf, ...]
    structure: Any  # the nest that the model takes, with anything in the places of the leaves

    @property
    def is_closed(self) -> bool:
        """Whether all sizes are known."""
        return all(n is not None for leaf in self.leaves for n in leaf.shape)

    def call(self, *symbols: Any) -> Any:
        """The model's results for its inputs in a row."""
        return self.model(tree.pack(self.structure, list(symbols)), training=False)

    def fill(self, batch: int, sizes: Sequence[int]) -> list[Aval]:
        """The inputs with `batch` for an unknown first size and `sizes`, by axis, for the others."""
        return [Aval(_filled(leaf.shape, batch, sizes), leaf.dtype) for leaf in self.leaves]


def _filled(shape: Shape, batch: int, sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(
        n if n is not None else batch if axis == 0 else sizes[(axis - 1) % len(sizes)] for axis, n in enumerate(shape)
    )


def signature_of(model: Any, input_signature: Any = None) -> Signature:
    """The signature of `model`: that of its symbolic inputs, of the call that built it, or as given.

    Args:
        model: a model.
        input_signature: None, or a nest of objects with `shape` and `dtype` (`InputSpec`, `KerasTensor`).

    Raises:
        ValueError: nothing says what the model takes, or the signature is none.
    """
    if input_signature is not None:
        return _signature(model, _unwrapped(model, input_signature))
    symbolic = getattr(model, "inputs", None)
    if symbolic:
        function = getattr(model, "_functional", None) or model
        return _signature(model, getattr(function, "_nested_inputs", symbolic))
    return _signature(model, _built_for(model))


def _unwrapped(model: Any, given: Any) -> Any:
    """A list of one stands for its element where the model takes one tensor."""
    takes = getattr(model, "input", None)
    nested = isinstance(takes, list | tuple | dict)
    return given[0] if isinstance(given, list | tuple) and len(given) == 1 and not nested else given


def _built_for(model: Any) -> Any:
    """The shapes of the first call, with an open batch."""
    built = dict(getattr(model, "_build_shapes", None) or {})
    shape = next(iter(built.values()), None)
    if len(built) != 1 or not isinstance(shape, tuple | list) or not all(n is None or type(n) is int for n in shape):
        problem = f"nothing says what the model '{model.name}' takes: it has no symbolic inputs"
        fix = "Pass `input_signature=[InputSpec(shape=(None, ...), dtype='float32')]`, one for each input"
        raise ValueError(message("export", problem, fix))
    return KerasTensor((None, *shape[1:]), dtype=getattr(model, "input_dtype", "float32"))


def _signature(model: Any, nest: Any) -> Signature:
    leaves = tree.flatten(nest)
    names: set[str] = set()
    made = tuple(_leaf(leaf, i, names) for i, leaf in enumerate(leaves))
    return Signature(model, made, nest)


def _leaf(given: Any, index: int, names: set[str]) -> Leaf:
    shape = getattr(given, "shape", None)
    if shape is None:
        problem = f"`input_signature` must hold objects with `shape` and `dtype`, got {given!r}"
        raise ValueError(message("export", problem, "Use `InputSpec(shape=(None, 32, 32, 3), dtype='float32')`"))
    dtype = dtypes.standardize(getattr(given, "dtype", None) or "float32")
    history = getattr(given, "_keras_history", None)
    name = history.operation.name if history is not None else getattr(given, "name", None)
    return Leaf(unique(name or ("input" if index == 0 else f"input_{index}"), names), standardize_shape(shape), dtype)


def unique(name: str, taken: set[str]) -> str:
    """`name`, with a number behind it if it is taken; it is taken from then on."""
    found, number = name, 1
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found


def output_names(model: Any, structure: Any) -> list[str]:
    """A name for each result: the layers' of a functional model, keys of a dictionary, or `output`."""
    function = getattr(model, "_functional", None) or model
    named = getattr(function, "output_names", None)
    count = len([leaf for leaf in tree.flatten(structure) if leaf is not None])
    if not named or len(named) != count:
        named = sorted(structure) if isinstance(structure, dict) and len(structure) == count else ["output"] * count
    taken: set[str] = set()
    return [unique(name, taken) for name in named]
