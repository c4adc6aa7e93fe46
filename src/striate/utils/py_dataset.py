"""`PyDataset`: batches by number, which threads or processes may prepare ahead."""

from __future__ import annotations

import multiprocessing
import pickle
import queue
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
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
    closed or left by an exception, nothing more is prepared, and nothing keeps the program from ending.
    """
    if dataset.use_multiprocessing:
        return _from_processes(dataset, iter(indices))
    return _from_threads(dataset, iter(indices)) if dataset.workers > 1 else (_batch(dataset, i) for i in indices)


def _batch(dataset: PyDataset, index: int) -> Any:
    try:
        return dataset[index]
    except Exception as error:
        error.add_note(f"In batch {index} of {type(dataset).__name__}.")
        raise


class _Ahead:
    """Batches that threads make, by their place in the order. Daemons: a program need not wait for them to end."""

    def __init__(self, dataset: PyDataset, numbers: Iterator[int]) -> None:
        self.dataset, self.numbers = dataset, numbers
        self.room = max(dataset.workers, dataset.max_queue_size)
        self.begun = self.taken = 0  # places given out, and handed over
        self.ended = self.stopped = False
        self.made: dict[int, tuple[bool, Any]] = {}
        self.changed = threading.Condition()
        for n in range(dataset.workers):
            threading.Thread(target=self._work, name=f"striate-data-{n}", daemon=True).start()

    def _work(self) -> None:
        while (task := self._next_task()) is not None:
            place, index = task
            try:
                result = True, _batch(self.dataset, index)
            except BaseException as error:  # whatever it is, the caller gets it
                result = False, error
            with self.changed:
                self.made[place] = result
                self.changed.notify_all()

    def _next_task(self) -> tuple[int, int] | None:
        with self.changed:
            while not (self.stopped or self.ended) and self.begun >= self.taken + self.room:
                self.changed.wait()
            index = None if self.stopped or self.ended else next(self.numbers, None)
            if index is None:
                self.ended = True
                self.changed.notify_all()
                return None
            self.begun += 1
            return self.begun - 1, index

    def take(self) -> tuple[bool, Any] | None:
        """Whether the next batch was made, and it or the exception; None after the last."""
        with self.changed:
            while self.taken not in self.made and not (self.ended and self.taken >= self.begun):
                self.changed.wait()
            if self.taken not in self.made:
                return None
            self.taken += 1
            self.changed.notify_all()
            return self.made.pop(self.taken - 1)

    def stop(self) -> None:
        """No more batches are begun."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


def _from_threads(dataset: PyDataset, numbers: Iterator[int]) -> Iterator[Any]:
    ahead = _Ahead(dataset, numbers)
    try:
        while (found := ahead.take()) is not None:
            is_batch, value = found
            if not is_batch:
                raise value
            yield value
    finally:
        ahead.stop()


def _from_processes(dataset: PyDataset, numbers: Iterator[int]) -> Iterator[Any]:
    tasks: Any = multiprocessing.Queue()
    results: Any = multiprocessing.Queue()
    tasks.cancel_join_thread()  # what nobody takes any more is not waited for
    workers = [
        multiprocessing.Process(target=_serve, args=(dataset, tasks, results), daemon=True)
        for _ in range(max(dataset.workers, 1))
    ]
    made: dict[int, tuple[bool, Any]] = {}
    waiting = deque(_handed_out(tasks, numbers, 0, max(dataset.workers, dataset.max_queue_size)))
    try:
        for worker in workers:
            worker.start()
        while waiting:
            place = waiting.popleft()
            while place not in made:
                found, *result = pickle.loads(_received(results, workers))
                made[found] = result[0], result[1]
            is_batch, value = made.pop(place)
            if not is_batch:
                raise value
            waiting.extend(_handed_out(tasks, numbers, waiting[-1] + 1 if waiting else place + 1, 1))
            yield value
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()


def _handed_out(tasks: Any, numbers: Iterator[int], first: int, count: int) -> list[int]:
    """The places of the next `count` batches, which are now the workers' to make."""
    places = []
    for place, index in enumerate(islice(numbers, count), start=first):
        tasks.put((place, index))
        places.append(place)
    return places


def _received(results: Any, workers: list[Any]) -> bytes:
    """The next result; RuntimeError where a worker has died, for its batch would never come."""
    while True:
        try:
            return results.get(timeout=1.0)
        except queue.Empty:
            dead = [w.exitcode for w in workers if w.exitcode is not None]
            if dead:
                raise RuntimeError(
                    f"a process that prepares batches ended with exit code {dead[0]} (-9: killed, often for lack of "
                    "memory). Use fewer workers, or use_multiprocessing=False."
                ) from None


def _serve(dataset: PyDataset, tasks: Any, results: Any) -> None:
    """In a worker's process: makes batches until it is ended. Ctrl-C is the parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        place, index = tasks.get()
        results.put(_packed(place, dataset, index))


def _packed(place: int, dataset: PyDataset, index: int) -> bytes:
    try:
        return pickle.dumps((place, True, _batch(dataset, index)))
    except Exception as error:
        try:
            return pickle.dumps((place, False, error))
        except Exception:  # an exception that can't be sent
            return pickle.dumps((place, False, RuntimeError(f"in batch {index}: {error!r}")))
