"""`predict`: a model on batches of arrays, as one compiled plan per shape of batch."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np

from striate.callbacks import CallbackList
from striate.core import tree
from striate.training.data import Adapter, adapt
from striate.training.data.adapters import ArrayAdapter
from striate.training.data.arrays import arrays_of
from striate.training.limits import limited_steps
from striate.training.steps import Step
from striate.utils.progbar import Progbar


class Predictor:
    """Runs a model's `predict_step` on batches.

    See `training.steps` for how one batch is computed.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.step = Step(model, "predict_step", quiet=True)

    def __call__(self, x: Any, batch_size: Any, verbose: Any, steps: Any, callbacks: Any) -> Any:
        data = adapt(x, batch_size=batch_size, steps=limited_steps(steps), where="predict")
        shown = _verbosity(verbose)
        if not shown and not callbacks and isinstance(data, ArrayAdapter) and data.passes == 1:
            return self.step(data.data[0])
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(callbacks, model=self.model, verbose=shown, epochs=1, steps=data.num_batches)
        bar = Progbar(data.num_batches, verbose=shown) if shown else None
        with closing(data):
            return self._loop(data, callbacks, bar)

    def _loop(self, data: Adapter, callbacks: CallbackList, bar: Progbar | None) -> Any:
        results, count = Results(data.num_samples), data.num_batches
        self.model.stop_predicting = False
        callbacks.on_predict_begin()
        data.on_epoch_begin()
        done, batches = 0, iter(data.epoch(0, 0))
        while group := list(islice(batches, self.model.steps_per_execution)):
            callbacks.on_predict_batch_begin(done)
            parts = [self.step(batch[0]) for batch in group]
            for outputs in parts:
                results.add(outputs)
            done += len(parts)
            callbacks.on_predict_batch_end(done - 1, {"outputs": _joined(parts)})
            if bar is not None:
                bar.update(done, finalize=done == count)
            if self.model.stop_predicting:
                break
        if bar is not None and done != count:
            bar.update(done, finalize=True)
        data.on_epoch_end()
        callbacks.on_predict_end()
        return results.joined()

    def on_batch(self, x: Any) -> Any:
        """The outputs for one batch, given as `predict` takes it."""
        batch = arrays_of(x)
        if batch is None:
            raise ValueError(f"`predict_on_batch` needs an array or a nest of arrays, got {type(x).__name__}.")
        return self.step(batch)


def _joined(parts: list[Any]) -> Any:
    """The outputs of several batches as those of one."""
    if len(parts) == 1:
        return parts[0]
    return tree.map_structure(lambda *leaves: None if leaves[0] is None else _concatenated(leaves), *parts)


def _verbosity(verbose: Any) -> int:
    if verbose == "auto":
        return 1
    if isinstance(verbose, str) or verbose not in (0, 1, 2):
        raise ValueError(f"`verbose` must be 'auto', 0, 1 or 2. Received: verbose={verbose!r}")
    return int(verbose)


class Results:
    """Collects the outputs of batches: into one array each when the number of samples is known."""

    def __init__(self, samples: int | None) -> None:
        self.samples, self._filled = samples, 0
        self._whole: Any = None
        self._parts: list[Any] = []

    def add(self, outputs: Any) -> None:
        """Appends the outputs of the next batch."""
        leaves = tree.flatten(outputs)
        rows = {a.shape[0] if a.ndim else -1 for a in leaves if a is not None}
        first = not self._parts and self._whole is None
        if first and self.samples is not None and len(rows) == 1 and 0 <= max(rows) < self.samples:
            self._whole = tree.map_structure(
                lambda a: None if a is None else np.empty((self.samples, *a.shape[1:]), a.dtype), outputs
            )
        if self._whole is not None and self._fits(leaves, rows):
            self._fill(leaves, rows.pop())
        else:
            self._unpack()
            self._parts.append(outputs)

    def _fits(self, leaves: list[Any], rows: set[int]) -> bool:
        """Whether the batch has the sizes of the first one (images of another size give other feature maps)."""
        same = all(
            a is None or a.shape[1:] == w.shape[1:] for a, w in zip(leaves, tree.flatten(self._whole), strict=True)
        )
        return same and len(rows) == 1 and min(rows) >= 0 and self._filled + max(rows) <= (self.samples or 0)

    def _fill(self, leaves: list[Any], rows: int) -> None:
        for part, whole in zip(leaves, tree.flatten(self._whole), strict=True):
            if part is not None:
                whole[self._filled : self._filled + rows] = part
        self._filled += rows

    def _unpack(self) -> None:
        if self._whole is not None:
            self._parts = [tree.map_structure(lambda w: None if w is None else w[: self._filled], self._whole)]
            self._whole = None

    def joined(self) -> Any:
        """The outputs of all batches.

        Raises:
            ValueError: there was no batch.
        """
        if self._whole is not None:
            return tree.map_structure(
                lambda w: w if w is None or len(w) == self._filled else w[: self._filled], self._whole
            )
        if not self._parts:
            raise ValueError("`predict` got no batches: the iterable was empty. A generator can be used only once.")
        if len(self._parts) == 1:
            return self._parts[0]
        return tree.map_structure(lambda *parts: None if parts[0] is None else _concatenated(parts), *self._parts)


def _concatenated(parts: tuple[np.ndarray, ...]) -> np.ndarray:
    if parts[0].ndim == 0:
        return np.stack(parts)
    if len({p.shape[1:] for p in parts}) > 1:
        raise ValueError(
            f"`predict` cannot join outputs of shapes {parts[0].shape} and "
            f"{next(p.shape for p in parts if p.shape[1:] != parts[0].shape[1:])}. Call the model on each batch "
            "instead."
        )
    return np.concatenate(parts)
