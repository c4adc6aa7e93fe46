"""`timeseries_dataset_from_array` and `split_dataset`: data sets made from arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from striate.core import tree
from striate.core.registry import export
from striate.utils.py_dataset import PyDataset


class Windows(PyDataset):
    """Windows over a series, in batches: `(batch, length, ...)`, with the target of each one's start."""

    def __init__(self, data: Any, targets: Any, starts: np.ndarray, offsets: np.ndarray, size: int | None) -> None:
        super().__init__()
        self.data, self.targets, self.starts, self.offsets, self.size = data, targets, starts, offsets, size

    def __len__(self) -> int:
        return -(-len(self.starts) // (self.size or 1))

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} batches, and no number {index}")
        size = self.size or 1
        starts = self.starts[index * size : (index + 1) * size]
        if self.size is None:
            starts = starts[0]
        windows = self.data[np.asarray(starts)[..., None] + self.offsets]
        return windows if self.targets is None else (windows, self.targets[starts])

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))


@export(
    "keras.utils.timeseries_dataset_from_array",
    "keras.preprocessing.timeseries_dataset_from_array",
)
def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str = "tf",
) -> Windows:
    """Sliding windows over a series, as batches for `fit`, or to iterate over.

    Window i holds `data[s], data[s + sampling_rate], ...` (`sequence_length` of them) with
    `s = start_index + i * sequence_stride`, and its target is `targets[s]`.

    Args:
        data: `(time, ...)`.
        targets: `(time, ...)`, or None.
        sequence_length: how many samples a window has.
        sequence_stride: how far apart windows start.
        sampling_rate: how far apart the samples of a window are.
        batch_size: None for single windows.
        shuffle, seed: whether, and with which seed, windows come in another order.
        start_index, end_index: the part of the series that is used.
        format: accepted for Keras's sake.

    Raises:
        ValueError: a number out of its range.
    """
    data = np.asarray(data)
    for name, number in (("sampling_rate", sampling_rate), ("sequence_stride", sequence_stride)):
        if number <= 0:
            raise ValueError(f"`{name}` must be higher than 0. Received: {name}={number}")
        if number >= len(data):
            raise ValueError(
                f"`{name}` must be lower than the length of the data. Received: {name}={number}, for data of length "
                f"{len(data)}"
            )
    first, last = _bounds(len(data), start_index, end_index)
    targets = None if targets is None else np.asarray(targets)[first:last]
    count = last - first - (sequence_length - 1) * sampling_rate
    count = count if targets is None else min(count, len(targets))
    starts = np.arange(0, max(count, 0), sequence_stride)
    if shuffle:
        np.random.RandomState(np.random.randint(10**6) if seed is None else seed).shuffle(starts)
    return Windows(data[first:last], targets, starts, np.arange(sequence_length) * sampling_rate, batch_size)


def _bounds(length: int, start: int | None, end: int | None) -> tuple[int, int]:
    if start is not None and not 0 <= start < max(length, 1):
        raise ValueError(
            "`start_index` must be 0 or greater, and lower than the length of the data. Received: "
            f"start_index={start}, for data of length {length}"
        )
    if end is not None and not (start or 0) < end < length:
        raise ValueError(
            "`end_index` must be higher than `start_index` and lower than the length of the data. Received: "
            f"start_index={start}, end_index={end}, for data of length {length}"
        )
    return start or 0, length if end is None else end


class Samples(PyDataset):
    """Single samples, one after another."""

    def __init__(self, samples: list[Any]) -> None:
        super().__init__()
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.samples)


@export("keras.utils.split_dataset")
def split_dataset(
    dataset: Any,
    left_size: Any = None,
    right_size: Any = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: Any = None,
) -> tuple[Samples, Samples]:
    """A data set in two halves, such as one to train on and one to test.

    Args:
        dataset: an array, a nest of arrays with one number of samples, or an iterable of samples.
        left_size, right_size: a fraction between 0 and 1, or a number of samples; one of them may be left out.
        shuffle, seed: whether, and with which seed, the samples are shuffled first.
        preferred_backend: accepted for Keras's sake.

    Returns:
        Two data sets of single samples.

    Raises:
        TypeError: no data set.
        ValueError: sizes that are out of range or don't fit together.
    """
    samples = _samples(dataset)
    left, right = _sizes(len(samples), left_size, right_size)
    if shuffle:
        order = np.random.RandomState(np.random.randint(10**6) if seed is None else seed).permutation(len(samples))
        samples = [samples[i] for i in order]
    return Samples(samples[:left]), Samples(samples[len(samples) - right :] if right else [])


def _samples(dataset: Any) -> list[Any]:
    leaves = [np.asarray(leaf) for leaf in tree.flatten(dataset)] if _holds_arrays(dataset) else []
    if leaves:
        if len({len(leaf) for leaf in leaves}) > 1:
            raise ValueError(f"all arrays must have one number of samples. Received: {[len(leaf) for leaf in leaves]}")
        return [tree.pack(dataset, [leaf[i] for leaf in leaves]) for i in range(len(leaves[0]))]
    if isinstance(dataset, str | bytes) or not isinstance(dataset, Iterable):
        raise TypeError(
            "The `dataset` argument must be an array, a list, tuple or dict of arrays, or an iterable of samples. "
            f"Received: {dataset!r} of type {type(dataset).__name__}"
        )
    return list(dataset)


def _holds_arrays(dataset: Any) -> bool:
    if not (isinstance(dataset, np.ndarray) or tree.is_nested(dataset)):
        return False
    return all(isinstance(leaf, np.ndarray) and leaf.ndim for leaf in tree.flatten(dataset))


def _sizes(total: int, left: Any, right: Any) -> tuple[int, int]:
    if left is None and right is None:
        raise ValueError("At least one of the `left_size` or `right_size` must be specified. Received: both None")
    if total == 0:
        raise ValueError("Received an empty dataset. Please provide a non-empty dataset.")
    counts = [_count(name, size, total) for name, size in (("left", left), ("right", right))]
    first = total - (counts[1] or 0) if counts[0] is None else counts[0]
    second = total - first if counts[1] is None else counts[1]
    if first + second > total:
        raise ValueError(
            f"The sum of `left_size` and `right_size` must not exceed the {total} samples. Received: left_size={left}, "
            f"right_size={right}"
        )
    if first == 0 or second == 0:
        raise ValueError(
            f"With a dataset of length {total}, left_size={left} and right_size={right}, one of the halves would be "
            "empty. Adjust the sizes."
        )
    return first, second


def _count(name: str, size: Any, total: int) -> int | None:
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int | float):
        raise TypeError(
            f"Invalid `{name}_size` type. Expected: integer or float. Received: {name}_size={size} of type {type(size)}"
        )
    if isinstance(size, float):
        if not 0 < size < 1:
            raise ValueError(f"`{name}_size` must be between 0 and 1 if it is a float. Received: {size}")
        return round(size * total)
    if not 0 < size < total:
        raise ValueError(f"`{name}_size` must be between 1 and {total - 1}. Received: {size}")
    return size
