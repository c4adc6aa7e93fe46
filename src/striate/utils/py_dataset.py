"""`PyDataset`: batches by number, which threads or processes may prepare ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from striate.core.registry import export


@export("keras.utils.PyDataset", "keras.utils.Sequence")
class PyDataset:
    """Batches of training data by number. Subclasses define `__getitem__` and `__len__`.

    Args:
        workers: how many threads (or processes) prepare batches ahead. Defaults to 1: none beside the caller.
        use_multiprocessing: whether they are processes.
        max_queue_size: how many batches may wait.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __getitem__(self, index: int) -> Any:
        """The batch at `index`."""
        raise NotImplementedError(f"{type(self).__name__} has no `__getitem__(self, index)`. Write one.")

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; None if they never end."""
        return len(self) if hasattr(self, "__len__") else None

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


def ordered_batches(dataset: PyDataset, indices: Iterable[int]) -> Iterator[Any]:
    """The batches of `dataset` at `indices`, in that order."""
    for index in indices:
        yield dataset[index]
