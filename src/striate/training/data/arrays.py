"""Arrays and nests of arrays: checks, weights, and the cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from striate.core import dtypes, tree
from striate.trace import Variable


def is_array(x: Any) -> bool:
    """Whether `x` is an array or something like one: a tensor of another library, a frame of pandas."""
    return isinstance(x, np.ndarray | Variable) or (hasattr(x, "__array__") and hasattr(x, "shape"))


def as_array(x: Any) -> np.ndarray:
    """`x` as a NumPy array of numbers, floats as `floatx()`.

    Raises:
        ValueError: it holds something else.
    """
    array = x if isinstance(x, np.ndarray) else _foreign(x)
    if array.dtype.kind not in "biufc":
        raise ValueError(
            f"expected an array of numbers, got one of dtype {array.dtype}. Convert it to numbers first, such as with "
            "`x.astype('float32')`."
        )
    wanted = dtypes.as_numpy(dtypes.standardize(None))
    return array.astype(wanted) if array.dtype.kind == "f" and array.dtype != wanted else array


def _foreign(x: Any) -> np.ndarray:
    if hasattr(x, "iloc"):  # pandas: a series is one column
        return _columns(x if hasattr(x, "columns") else x.to_frame())
    if hasattr(x, "detach"):  # PyTorch: off the graph and onto the CPU
        x = x.detach().cpu()
    return np.asarray(x)


def _columns(frame: Any) -> np.ndarray:
    """The columns of a frame side by side, each of numbers."""
    parts = {name: frame.iloc[:, i].to_numpy() for i, name in enumerate(frame.columns)}
    wrong = [name for name, part in parts.items() if part.dtype.kind not in "biuf"]
    if wrong:
        raise ValueError(f"the columns {wrong} don't hold numbers. Leave them out, or convert them to numbers first.")
    return np.stack([parts[name] for name in frame.columns], axis=1)


def arrays_of(x: Any) -> Any:
    """`x` with its leaves as arrays, or None if it is an iterable of batches.

    Raises:
        ValueError: neither.
    """
    if is_array(x):
        return as_array(x)
    if isinstance(x, list | tuple | dict):
        leaves = tree.flatten(x)
        if not leaves or not all(leaf is None or is_array(leaf) for leaf in leaves):
            raise ValueError(_UNKNOWN.format(type(x).__name__, _kinds(leaves)))
        return tree.map_structure(lambda leaf: None if leaf is None else as_array(leaf), x)
    if isinstance(x, str | bytes) or not (hasattr(x, "__iter__") or hasattr(x, "__getitem__")):
        raise ValueError(_UNKNOWN.format(type(x).__name__, repr(x)[:80]))
    return None


_UNKNOWN = (
    "Unrecognized data type: got a {} of {}. Pass a NumPy array of shape (samples, ...), a list or dict of arrays (one "
    "per input of the model), or an iterable of batches."
)


def _kinds(leaves: list[Any]) -> str:
    return ", ".join(sorted({type(leaf).__name__ for leaf in leaves})) or "nothing"


def samples_of(data: tuple[Any, ...], where: str) -> int:
    """How many samples all arrays in `(x, y, sample_weight)` have.

    Raises:
        ValueError: none, or not all the same number.
    """
    shapes = [a.shape for a in tree.flatten(data) if a is not None]
    if any(not shape for shape in shapes):
        raise ValueError(f"expected arrays with a batch axis, got shapes {shapes}. Add one: x[None, ...].")
    lengths = {shape[0] for shape in shapes}
    if len(lengths) != 1:
        named = zip(("x", "y", "sample_weight"), data, strict=False)
        sizes = [
            f"'{name}' sizes: {', '.join(str(len(a)) for a in tree.flatten(nest) if a is not None)}"
            for name, nest in named
            if nest is not None
        ]
        raise ValueError(
            "Data cardinality is ambiguous. Make sure all arrays contain the same number of samples. "
            + "; ".join(sizes)
            + "."
        )
    if lengths == {0}:
        raise ValueError(f"`{where}` got no samples: the input has shape {shapes[0]}. Pass at least one.")
    return lengths.pop()


def weighted(batch: tuple[Any, ...], class_weight: dict[int, float]) -> tuple[Any, ...]:
    """`(x, y)` with the weights of the samples' classes; classes that are not named count 1.

    Raises:
        ValueError: several targets, or weights of the samples beside them.
    """
    if len(batch) < 2 or tree.is_nested(batch[1]):
        raise ValueError("`class_weight` is only supported for Models with a single output, given `y`.")
    if len(batch) > 2 and batch[2] is not None:
        raise ValueError("You cannot use `class_weight` and `sample_weight` at the same time. Multiply them yourself.")
    y = np.asarray(batch[1])
    if y.ndim > 1:
        y = y.argmax(-1) if y.shape[-1] != 1 else y[..., 0]
    numbers, place = np.unique(np.rint(y).astype(np.int64), return_inverse=True)
    table = np.array([class_weight.get(int(n), 1.0) for n in numbers], dtypes.as_numpy(dtypes.standardize(None)))
    return batch[0], batch[1], table[place].reshape(y.shape)


def check_class_weight(class_weight: Any) -> None:
    """TypeError unless it is a dict from numbers to numbers."""
    if not isinstance(class_weight, dict) or not all(_is_number(v) for kv in class_weight.items() for v in kv):
        raise TypeError(
            f"`class_weight` must be a dict from class numbers to weights, such as {{0: 1.0, 1: 5.0}}. Received: "
            f"class_weight={class_weight!r}"
        )


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float | np.integer | np.floating)


def whole_weights(y: Any, weights: Any) -> Any:
    """Sample weights in the structure of `y`; outputs for which None was given get ones."""
    if not tree.is_nested(weights) or not any(w is None for w in tree.flatten(weights)):
        return weights
    given = iter(tree.flatten(weights))
    filled = []
    for leaf in tree.flatten(y):
        weight = next(given, None)
        filled.append(np.ones(len(leaf), dtypes.as_numpy(dtypes.standardize(None))) if weight is None else weight)
    return tree.pack(y, filled)


def cut(data: tuple[Any, ...], order: np.ndarray | None, size: int, total: int, skip: int) -> Iterator[tuple[Any, ...]]:
    """Batches of `size` samples in `order` (None: as they stand), without the first `skip`."""
    for start in range(skip * size, total, size):
        rows: Any = slice(start, min(start + size, total)) if order is None else order[start : start + size]
        yield taken(data, rows)


def taken(data: tuple[Any, ...], rows: Any) -> tuple[Any, ...]:
    """The samples at `rows` of all arrays."""
    return tuple(tree.map_structure(lambda a: None if a is None else a[rows], nest) for nest in data)


def train_validation_split(data: tuple[Any, ...], validation_split: float) -> tuple[Any, Any]:
    """`(x, y, sample_weight)` in two: all but the last fraction of the samples, and that fraction.

    Raises:
        ValueError: no arrays, or a fraction that leaves one part empty.
    """
    if data[0] is None or arrays_of(data[0]) is None:
        raise ValueError(
            "Argument `validation_split` is only supported for arrays. Received data of "
            f"{type(data[0]).__name__}. Pass `validation_data` instead."
        )
    arrays = tuple(None if nest is None else arrays_of(nest) for nest in data)
    total = samples_of(arrays, "fit")
    first = int(np.floor(total * (1.0 - validation_split)))
    if not 0 < first < total:
        raise ValueError(
            f"Training data contains {total} samples, which is not sufficient to split it into a validation and "
            f"training set as specified by `validation_split={validation_split}`. Either provide more data, or a "
            "different value for the `validation_split` argument."
        )
    return taken(arrays, slice(None, first)), taken(arrays, slice(first, None))
