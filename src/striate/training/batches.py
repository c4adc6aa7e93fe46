"""What `predict` takes, as a sequence of batches: arrays and nests of arrays cut into pieces, or iterables of
batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from striate.core import tree
from striate.trace import Variable


class Batches:
    """The batches of `x`.

    Args:
        x: an array `(samples, ...)`, a nest of arrays, or an iterable of batches (each `x`, `(x,)`, `(x, y)`, `(x,
        y, w)`).
        batch_size: of arrays; 32 by default.
        steps: how many batches to take at most; needed for an endless iterable.

    Attributes:
        samples, count: the numbers of samples and of batches; None if unknown.

    Raises:
        ValueError: no samples, arrays of different lengths, or values that are no arrays.
    """

    def __init__(self, x: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        if batch_size is not None and (not isinstance(batch_size, int | np.integer) or batch_size < 1):
            raise ValueError(f"`batch_size` must be a positive integer or None. Received: batch_size={batch_size!r}")
        if steps is not None and (not isinstance(steps, int | np.integer) or steps < 1):
            raise ValueError(f"`steps` must be a positive integer or None. Received: steps={steps!r}")
        self.samples: int | None = None
        self._arrays = arrays_of(x)
        if self._arrays is None:
            self._iterable = _iterable(x)
            length = len(x) if hasattr(x, "__len__") else None
            self.count = steps if length is None else length if steps is None else min(steps, length)
            return
        leaves = tree.flatten(self._arrays)
        size = int(batch_size or 32)
        total = _samples(leaves)
        self.count = -(-total // size) if steps is None else min(int(steps), -(-total // size))
        self.samples, self.size = min(total, self.count * size), size

    def __iter__(self) -> Iterator[Any]:
        if self._arrays is None:
            return map(_inputs_of, islice(self._iterable, self.count))
        return (self._cut(i * self.size, (i + 1) * self.size) for i in range(self.count or 0))

    def _cut(self, start: int, stop: int) -> Any:
        return tree.map_structure(lambda a: None if a is None else a[start:stop], self._arrays)


def arrays_of(x: Any) -> Any:
    """`x` with its leaves as arrays, or None if it is an iterable of batches; ValueError for anything else."""
    if _is_array(x):
        return _array(x)
    if isinstance(x, list | tuple | dict):
        leaves = tree.flatten(x)
        if not leaves or not all(leaf is None or _is_array(leaf) for leaf in leaves):
            raise ValueError(_UNKNOWN.format(type(x).__name__, _kinds(leaves)))
        return tree.map_structure(lambda leaf: None if leaf is None else _array(leaf), x)
    if isinstance(x, str | bytes) or not (hasattr(x, "__iter__") or hasattr(x, "__getitem__")):
        raise ValueError(_UNKNOWN.format(type(x).__name__, repr(x)[:80]))
    return None


_UNKNOWN = (
    "Unrecognized data type: got a {} of {}. Pass a NumPy array of shape (samples, ...), a list or dict of arrays "
    "(one per "
    "input of the model), or an iterable of batches."
)


def _kinds(leaves: list[Any]) -> str:
    return ", ".join(sorted({type(leaf).__name__ for leaf in leaves})) or "nothing"


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray | Variable) or (hasattr(x, "__array__") and hasattr(x, "shape"))


def _array(x: Any) -> np.ndarray:
    array = x if isinstance(x, np.ndarray) else np.asarray(x)
    if array.dtype.kind not in "biufc":
        raise ValueError(f"expected an array of numbers, got one of dtype {array.dtype}. Convert it to numbers first.")
    return array


def _samples(leaves: list[Any]) -> int:
    lengths = {a.shape[0] if a.ndim else None for a in leaves if a is not None}
    shapes = [a.shape for a in leaves if a is not None]
    if None in lengths:
        raise ValueError(f"expected arrays with a batch axis, got shapes {shapes}. Add one: x[None, ...].")
    if len(lengths) != 1:
        raise ValueError(
            f"Data cardinality is ambiguous. Make sure all arrays contain the same number of samples: {shapes}."
        )
    total = int(lengths.pop() or 0)
    if total == 0:
        raise ValueError(f"`predict` got no samples: the input has shape {shapes[0]}. Pass at least one.")
    return total


def _iterable(x: Any) -> Any:
    if hasattr(x, "__getitem__") and hasattr(x, "__len__"):
        return (x[i] for i in range(len(x)))
    return x


def _inputs_of(batch: Any) -> Any:
    """The inputs in a batch: targets and sample weights that stand behind them in a tuple are dropped."""
    return batch[0] if isinstance(batch, tuple) and 1 <= len(batch) <= 3 else batch
