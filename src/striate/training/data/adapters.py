"""One adapter per kind of data: what an epoch is, how many batches it has, how it can be gone on with."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol

import numpy as np

from striate.core import tree
from striate.training.data.arrays import (
    arrays_of,
    as_array,
    check_class_weight,
    cut,
    is_array,
    samples_of,
    taken,
    weighted,
    whole_weights,
)
from striate.utils.py_dataset import PyDataset, ordered_batches


class Adapter(Protocol):
    """Data as epochs of batches.

    Attributes:
        num_batches: of an epoch; None if unknown.
        num_samples: of an epoch; None if unknown.
    """

    num_samples: int | None

    @property
    def num_batches(self) -> int | None:
        """See above."""

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[tuple[Any, ...]]:
        """The batches `(x,)`, `(x, y)` or `(x, y, sample_weight)` of an epoch, nests of arrays, the first `skip` left
        out.

        Where data are shuffled, their order follows from `seed` and `number`, so that it can be had again.
        """

    def on_epoch_begin(self) -> None:
        """Called before an epoch."""

    def on_epoch_end(self) -> None:
        """Called after an epoch."""

    def close(self) -> None:
        """Ends what runs in the background."""


def adapt(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    steps: int | None = None,
    shuffle: Any = False,
    class_weight: Any = None,
    where: str = "fit",
) -> Adapter:
    """The adapter for `x`.

    Args:
        x: arrays `(samples, ...)`, a nest of them, a `PyDataset`, or an iterable of batches (a generator, a PyTorch
            `DataLoader`, a `tf.data.Dataset`): each `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`.
        y, sample_weight: for arrays only.
        batch_size: of arrays; 32 by default, or, with `steps`, as many samples as make so many batches.
        steps: batches of an epoch, where they shall be fewer than there are, or the iterable is endless.
        shuffle: whether samples (of a `PyDataset`: batches) come in another order each epoch; "batch" shuffles the
            order of batches only.
        class_weight: a dict from a class's number to the weight of its samples.
        where: names the method in messages.

    Raises:
        ValueError: data that don't fit together, or arguments that don't fit the data.
        TypeError: `class_weight` is no dict.
    """
    _check_count("batch_size", batch_size)
    _check_count("steps", steps)
    if class_weight is not None:
        check_class_weight(class_weight)
    if isinstance(shuffle, str) and shuffle != "batch":
        raise ValueError(f"`shuffle` must be True, False or 'batch'. Received: shuffle={shuffle!r}")
    if x is None:
        raise ValueError(f"`{where}` got no data: x is None.")
    arrays = arrays_of(x)
    if arrays is not None:
        data = (arrays, *(None if v is None else arrays_of(v) for v in (y, sample_weight)))
        total = samples_of(data, where)
        size = int(batch_size) if batch_size is not None else 32 if steps is None else -(-total // steps)
        return ArrayAdapter(data, total, size, steps, shuffle, class_weight, where)
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            kind = "PyDataset" if isinstance(x, PyDataset) else "generator or other iterable of batches"
            raise ValueError(
                f"When providing `x` as a {kind}, `{name}` should not be passed. Instead, it should be included as "
                "part of the batches."
            )
    if isinstance(x, PyDataset):
        return PyDatasetAdapter(x, steps, bool(shuffle), class_weight, inputs_only=where == "predict")
    return IterableAdapter(x, steps, class_weight, inputs_only=where == "predict")


def _check_count(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1):
        raise ValueError(f"`{name}` must be a positive integer or None. Received: {name}={value!r}")


class _Quiet:
    """What most adapters do around an epoch: nothing."""

    def on_epoch_begin(self) -> None:
        pass

    def on_epoch_end(self) -> None:
        pass

    def close(self) -> None:
        pass


class ArrayAdapter(_Quiet):
    """Arrays `(x, y, sample_weight)`, cut into batches.

    With `steps` an epoch has so many batches, and the next one goes on where it ended.
    """

    def __init__(
        self,
        data: tuple[Any, ...],
        total: int,
        size: int,
        steps: int | None,
        shuffle: Any,
        class_weight: Any,
        where: str,
    ) -> None:
        x, y, weight = data
        self.total, self.size = total, size
        if class_weight is not None:
            self.data: tuple[Any, ...] = weighted(tuple(v for v in (x, y, weight) if v is not None), class_weight)
        else:
            weight = whole_weights(y, weight)
            self.data = (x,) if y is None and weight is None else (x, y) if weight is None else (x, y, weight)
        self.passes = -(-self.total // size)
        if steps is not None and steps >= self.passes:
            if steps > self.passes:
                warnings.warn(f"{OUT_OF_DATA} The arrays give {self.passes} batches, not {steps}.", stacklevel=5)
            steps = None
        if where != "fit" and steps is not None:
            self.total, self.passes, steps = min(total, steps * size), steps, None
        self.shuffle, self.steps = shuffle, steps
        self.num_batches: int | None = self.steps or self.passes
        self.num_samples: int | None = min(self.total, self.num_batches * size)

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[tuple[Any, ...]]:
        if self.steps is None:
            return self._pass(number, seed, skip)
        return self._part(number * self.steps + skip, self.steps - skip, seed)

    def _part(self, first: int, count: int, seed: int) -> Iterator[tuple[Any, ...]]:
        """`count` batches from number `first` on, counted over all passes through the data."""
        while count > 0:
            begin = first % self.passes
            here = min(count, self.passes - begin)
            yield from islice(self._pass(first // self.passes, seed, begin), here)
            first, count = first + here, count - here

    def _pass(self, number: int, seed: int, skip: int) -> Iterator[tuple[Any, ...]]:
        if self.shuffle == "batch":
            starts = np.random.default_rng([seed, number]).permutation(self.passes)
            order = np.concatenate([np.arange(s * self.size, min((s + 1) * self.size, self.total)) for s in starts])
            bounds = np.cumsum([0, *(min(self.size, self.total - s * self.size) for s in starts)])
            rows = (order[a:b] for a, b in zip(bounds[skip:-1], bounds[skip + 1 :], strict=True))
            return (taken(self.data, r) for r in rows)
        mixed = np.random.default_rng([seed, number]).permutation(self.total) if self.shuffle else None
        return cut(self.data, mixed, self.size, self.total, skip)


class PyDatasetAdapter:
    """A `PyDataset`; its workers read ahead."""

    num_samples: int | None = None

    def __init__(
        self, dataset: PyDataset, steps: int | None, shuffle: bool, class_weight: Any, inputs_only: bool
    ) -> None:
        self.dataset, self.steps, self.shuffle, self.class_weight = dataset, steps, shuffle, class_weight
        self.inputs_only = inputs_only
        self._open: Any = None

    @property
    def num_batches(self) -> int | None:
        return self.steps or self.dataset.num_batches

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[tuple[Any, ...]]:
        self.close()
        if hasattr(self.dataset, "go_to_epoch"):  # one that shuffles by itself, in an order that can be had again
            self.dataset.go_to_epoch(number)
        count = self.dataset.num_batches
        order: Any = range(count) if count is not None else _numbers()
        if self.shuffle and count is not None:
            order = np.random.default_rng([seed, number]).permutation(count).tolist()
        self._open = ordered_batches(self.dataset, islice(order, skip, self.steps))
        return (_batch(b, self.class_weight, self.inputs_only) for b in self._open)

    def on_epoch_begin(self) -> None:
        self.dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.dataset.on_epoch_end()

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


class IterableAdapter(_Quiet):
    """An iterable of batches. One that can be iterated again starts anew with each epoch, unless `steps` are given."""

    num_samples: int | None = None

    def __init__(self, source: Any, steps: int | None, class_weight: Any, inputs_only: bool) -> None:
        self.source, self.steps, self.class_weight, self.inputs_only = source, steps, class_weight, inputs_only
        length = _length(source)
        self.num_batches: int | None = steps or length
        self._running: Iterator[Any] | None = None

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[tuple[Any, ...]]:
        if self._running is None or self.steps is None:
            self._running = _iterator(self.source)
        return self._batches(self._running, skip)

    def _batches(self, source: Iterator[Any], skip: int) -> Iterator[tuple[Any, ...]]:
        done = 0
        while self.steps is None or done < self.steps:
            batch = next(source, _END)
            if batch is _END:
                if self.steps is not None:
                    self._running = None
                    warnings.warn(OUT_OF_DATA, stacklevel=2)
                elif done:
                    self.num_batches = done
                return
            done += 1
            if done > skip:
                yield _batch(batch, self.class_weight, self.inputs_only)


_END = object()
OUT_OF_DATA = (
    "Your input ran out of data; interrupting training. Make sure that your dataset or generator can generate at least "
    "`steps_per_epoch * epochs` batches. You may need to use the `.repeat()` function when building your dataset."
)


def _length(source: Any) -> int | None:
    try:
        return len(source)
    except TypeError:  # no length, or an unknown one, which tf.data says so
        return None


def _iterator(source: Any) -> Iterator[Any]:
    if hasattr(source, "__iter__"):
        return iter(source)
    return (source[i] for i in range(len(source)))


def _batch(batch: Any, class_weight: Any, inputs_only: bool) -> tuple[Any, ...]:
    """A batch as a tuple of nests of arrays: the inputs, and, unless they alone are asked for, what stands behind."""
    if isinstance(batch, list) and 1 < len(batch) <= 3:  # what a DataLoader collates
        batch = tuple(batch)
    parts = batch if isinstance(batch, tuple) else (batch,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(
            f"Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`, found a tuple of "
            f"{len(parts)}."
        )
    made = tuple(tree.map_structure(_leaf, part) for part in (parts[:1] if inputs_only else parts))
    _check_rows(made)
    return made if class_weight is None else weighted(made, class_weight)


def _leaf(x: Any) -> Any:
    return None if x is None else as_array(x if is_array(x) else np.asarray(x))


def _check_rows(parts: tuple[Any, ...]) -> None:
    leaves = [a for a in tree.flatten(parts) if a is not None]
    if any(a.ndim == 0 for a in leaves):
        raise ValueError(
            "When passing a dataset to a Keras model, the arrays must be at least rank 1. Received batches with shapes "
            f"{[a.shape for a in leaves]}. A batch needs a batch axis."
        )
    if len({len(a) for a in leaves}) > 1:
        raise ValueError(
            f"Data cardinality is ambiguous: the arrays of a batch have shapes {[a.shape for a in leaves]}. Make sure "
            "all arrays contain the same number of samples."
        )
