"""`PyDataset`: batches by number, which threads or processes may prepare ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from typing import Any

from striate.core.registry import export


@export("keras.utils.PyDataset", "keras.utils.Sequence")
class PyDataset:
    """Batches of training data by number. Subclasses define `__getitem__` and `__len__`.

    Args:
        workers: how many threads (or processes) prepare batches ahead. Defaults to 1: none beside the caller.
        use_multiprocessing: whether they are processes; the data set is then copied to each.
        max_queue_size: how many batches may wait.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        for name, value in (("workers", workers), ("max_queue_size", max_queue_size)):
            if not isinstance(value, int) or value < (name == "max_queue_size"):
                raise ValueError(f"PyDataset: `{name}` must be a whole number of at least 1. Received: {value!r}")
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    # what a subclass has whose `__init__` does not call this one
    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __getitem__(self, index: int) -> Any:
        """The batch at `index`: `x`, `(x, y)` or `(x, y, sample_weight)`."""
        raise NotImplementedError(f"{type(self).__name__} has no `__getitem__(self, index)`. Write one.")

    @property
    def num_batches(self) -> int | None:
        """How many batches there are, by `__len__`; override it to return None if they never end.

        Raises:
            NotImplementedError: there is no `__len__`.
        """
        if not hasattr(self, "__len__"):
            raise NotImplementedError(
                f"{type(self).__name__} has neither `__len__` nor `num_batches`. Write one: how many batches there are "
                "(None from `num_batches`: endless)."
            )
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


def ordered_batches(dataset: PyDataset, indices: Iterable[int]) -> Iterator[Any]:
    """The batches of `dataset` at `indices`, in that order, prepared ahead by its workers.

    An exception of `__getitem__` reaches the caller with a note that says which batch it was. When the iterator is
    closed or left by an exception, nothing more is prepared.
    """
    if dataset.workers <= 1 and not dataset.use_multiprocessing:
        for index in indices:
            yield _batch(dataset, index)
        return
    numbers = iter(indices)
    executor = _executor(dataset)
    waiting: deque[Future[Any]] = deque()
    try:
        ahead = max(dataset.workers, dataset.max_queue_size)
        waiting.extend(_submit(executor, dataset, i) for i in islice(numbers, ahead))
        while waiting:
            batch = waiting.popleft().result()
            waiting.extend(_submit(executor, dataset, i) for i in islice(numbers, 1))
            yield batch
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _batch(dataset: PyDataset, index: int) -> Any:
    try:
        return dataset[index]
    except Exception as error:
        error.add_note(f"In batch {index} of {type(dataset).__name__}.")
        raise


def _executor(dataset: PyDataset) -> Executor:
    if dataset.use_multiprocessing:
        return ProcessPoolExecutor(max(dataset.workers, 1), initializer=_keep, initargs=(dataset,))
    return ThreadPoolExecutor(dataset.workers, thread_name_prefix="striate-data")


def _submit(executor: Executor, dataset: PyDataset, index: int) -> Future[Any]:
    if dataset.use_multiprocessing:
        return executor.submit(_kept_batch, index)
    return executor.submit(_batch, dataset, index)


_KEPT: list[PyDataset] = []  # in a worker's process: the data set, sent once


def _keep(dataset: PyDataset) -> None:
    _KEPT[:] = [dataset]


def _kept_batch(index: int) -> Any:
    return _batch(_KEPT[0], index)
