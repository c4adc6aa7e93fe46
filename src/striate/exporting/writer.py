"""Collects ONNX nodes and weights, and keeps track of the order of axes in which each value is there.

striate's images are `(batch, *spatial, channels)`, ONNX's convolutions take `(batch, channels, *spatial)`. A value may
be there in either order, or in both: `plain` and `first` give its name in one of them and write a transposition the
first time that this is needed. Elementwise steps stay in the order that their inputs have, so that a network of
convolutions is transposed at its two ends only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.core.errors import message
from striate.exporting.family import FIX, OpenSizeError, Val, Varying, is_known

INT64_MAX, INT64_MIN = np.iinfo(np.int64).max, np.iinfo(np.int64).min


@dataclass
class Made:
    """An ONNX node as plain data."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    name: str


def to_first(rank: int) -> list[int]:
    """The order of axes that moves channels from the end to behind the batch."""
    return [0, rank - 1, *range(1, rank - 1)]


def to_last(rank: int) -> list[int]:
    """The order of axes that moves channels from behind the batch to the end."""
    return [0, *range(2, rank), 1]


def first_axis(axis: int, rank: int) -> int:
    """Where an axis of `(batch, *spatial, channels)` is in `(batch, channels, *spatial)`."""
    return 0 if axis == 0 else 1 if axis == rank - 1 else axis + 1


@dataclass
class Weights:
    """The constants of a file, which its inner graphs share."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    small: dict[Any, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def fresh(self, hint: str) -> str:
        """A name that nothing has yet."""
        name, number = hint, 1
        while name in self.names:
            name, number = f"{hint}_{number}", number + 1
        self.names.add(name)
        return name

    def add(self, array: np.ndarray, hint: str) -> str:
        """The name of a constant; equal small ones are kept once."""
        array = np.asarray(array, order="C")
        key = (array.shape, str(array.dtype), array.tobytes()) if array.size <= 64 else id(array)
        if key not in self.small:
            self.small[key] = self.fresh(hint)
            self.arrays[self.small[key]] = array
        return self.small[key]


class Writer:
    """The nodes of one graph.

    Args:
        weights: the constants of the file.
    """

    def __init__(self, weights: Weights | None = None) -> None:
        self.weights = weights or Weights()
        self.nodes: list[Made] = []
        self.where = ""
        self._plain: dict[int, str] = {}
        self._first: dict[int, str] = {}
        self._sources: dict[Any, tuple[str, int]] = {}  # where a size that varies can be read
        self._kept: list[Any] = []  # keeps the ids in the tables alive

    # nodes ------------------------------------------------------------------------------------------------------------

    def op(self, kind: str, *inputs: str, count: int = 1, **attributes: Any) -> Any:
        """Adds a node; its result's name, or a list of `count` of them."""
        name = self.weights.fresh(f"{self.where}/{kind}" if self.where else kind)
        outputs = [name] if count == 1 else [self.weights.fresh(f"{name}:{i}") for i in range(count)]
        self.nodes.append(Made(kind, list(inputs), outputs, attributes, name))
        return outputs[0] if count == 1 else outputs

    def ints(self, values: Sequence[int]) -> str:
        """A constant int64 vector."""
        return self.weights.add(np.asarray(values, np.int64), "ints")

    def number(self, value: Any, dtype: str) -> str:
        """A constant scalar."""
        return self.weights.add(np.asarray(value, dtype), "number")

    def array(self, array: np.ndarray, hint: str = "") -> str:
        """A constant."""
        self._kept.append(array)
        return self.weights.add(array, hint or (f"{self.where}/weights" if self.where else "weights"))

    # values -----------------------------------------------------------------------------------------------------------

    def put(self, value: Val, name: str) -> None:
        """`value` is there under `name`, in its own order of axes."""
        self._plain[id(value)] = name
        self._note(value, name, range(value.rank))

    def put_first(self, value: Val, name: str) -> None:
        """`value` is there under `name` with channels behind the batch."""
        self._first[id(value)] = name
        self._note(value, name, to_first(value.rank))

    def _note(self, value: Val, name: str, order: Sequence[int]) -> None:
        self._kept.append(value)
        for place, axis in enumerate(order):
            if isinstance(value.shape[axis], Varying):
                self._sources.setdefault(value.shape[axis], (name, place))

    def only_first(self, value: Val) -> bool:
        """Whether a transposition would be needed to have `value` in its own order."""
        return id(value) in self._first and id(value) not in self._plain

    def has_first(self, value: Val) -> bool:
        """Whether `value` is there with channels behind the batch."""
        return id(value) in self._first

    def plain(self, value: Val) -> str:
        """The name of `value` in its own order of axes."""
        if id(value) not in self._plain:
            if value.data is not None:
                self.put(value, self.array(value.data, value.name))
            elif value.variants:
                self.put(value, self.op("Expand", self.scalar(value), self.sizes(value.shape)))
            else:
                self.put(value, self.transposed(self._first[id(value)], to_last(value.rank)))
        return self._plain[id(value)]

    def first(self, value: Val) -> str:
        """The name of `value` with channels behind the batch."""
        if id(value) not in self._first:
            order = to_first(value.rank)
            if value.data is not None:
                self.put_first(value, self.array(np.transpose(value.data, order), value.name))
            else:
                self.put_first(value, self.transposed(self.plain(value), order))
        return self._first[id(value)]

    def transposed(self, name: str, order: Sequence[int]) -> str:
        """`name` with its axes in another order."""
        same = list(order) == list(range(len(order)))
        return name if same else self.op("Transpose", name, perm=list(order))

    def scalar(self, value: Val) -> str:
        """The number that fills a constant whose shape varies."""
        numbers = np.unique(np.concatenate([v.ravel() for v in value.variants]))
        if numbers.size != 1:
            raise OpenSizeError(message(self.where, "a constant follows from a size that is unknown", FIX))
        return self.number(numbers[0], value.dtype)

    def operand(self, value: Val) -> str:
        """The name of `value` for a step that broadcasts."""
        return self.scalar(value) if value.variants else self.plain(value)

    def aligned_first(self, value: Val, rank: int) -> str:
        """`value`, which is broadcast to `rank` axes, as it must be where channels stand behind the batch."""
        if value.rank == rank and not value.variants:
            return self.first(value)
        if value.variants:
            return self.scalar(value)
        if value.rank == 0:
            return self.plain(value)
        if value.data is not None:
            shape = (1,) * (rank - value.rank) + value.data.shape
            return self.array(np.transpose(value.data.reshape(shape), to_first(rank)), value.name)
        wide = self.op("Unsqueeze", self.plain(value), self.ints(range(rank - value.rank)))
        return self.transposed(wide, to_first(rank))

    # shapes -----------------------------------------------------------------------------------------------------------

    def sizes(self, shape: Sequence[Any]) -> str:
        """A vector of sizes; those that vary are read off a value that has them."""
        if is_known(tuple(shape)):
            return self.ints(list(shape))
        return self.op("Concat", *(self._size(n) for n in shape), axis=0)

    def _size(self, size: Any) -> str:
        if not isinstance(size, Varying):
            return self.ints([size])
        if size not in self._sources:
            raise OpenSizeError(message(self.where, "a size follows from one that is unknown", FIX))
        name, axis = self._sources[size]
        return self.op("Shape", name, start=axis, end=axis + 1)

    def reshape(self, name: str, before: Sequence[Any], after: Sequence[Any]) -> str:
        """`name`, of sizes `before`, with sizes `after`; one that varies is the input's own or what is left."""
        if is_known(tuple(after)):
            return self.op("Reshape", name, self.ints(list(after)), allowzero=int(0 in after))
        own = [axis < len(before) and isinstance(n, Varying) and before[axis] == n for axis, n in enumerate(after)]
        left = [isinstance(n, Varying) and not same for n, same in zip(after, own, strict=True)]
        if sum(left) > 1 or 0 in after:
            return self.op("Reshape", name, self.sizes(after), allowzero=1)
        numbers = [0 if same else -1 if open_ else n for n, same, open_ in zip(after, own, left, strict=True)]
        return self.op("Reshape", name, self.ints(numbers))
