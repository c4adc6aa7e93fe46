"""The loops behind `fit` and `evaluate`: epochs, batches, callbacks, validation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import closing
from itertools import chain, islice
from typing import Any

import numpy as np

from striate.callbacks import CallbackList
from striate.training.data import adapt, train_validation_split, unpack_x_y_sample_weight
from striate.training.data.adapters import OUT_OF_DATA, IterableAdapter
from striate.training.labels import check_labels
from striate.training.limits import limited_epochs, limited_steps
from striate.training.steps import as_logs


class Source:
    """The batches of an adapter; the first one can be looked at before they are asked for.

    Args:
        adapter: see `training.data`.
        seed: of the shuffling.
    """

    def __init__(self, adapter: Any, seed: int = 0) -> None:
        self.adapter, self.seed = adapter, seed
        self._held: tuple[int, Any, Iterator[Any]] | None = None

    def first(self, epoch: int, where: str) -> Any:
        """The first batch of `epoch`; ValueError if there is none."""
        batches = iter(self.adapter.epoch(epoch, self.seed))
        batch = next(batches, None)
        if batch is None:
            raise ValueError(f"`{where}` got no batches: the data are empty. A generator can be used only once.")
        self._held = (epoch, batch, batches)
        return batch

    def epoch(self, number: int, skip: int = 0) -> Iterator[Any]:
        """The batches of an epoch but the first `skip`."""
        held, self._held = self._held, None
        if held is not None and held[0] == number:
            return islice(chain([held[1]], held[2]), skip, None)
        return iter(self.adapter.epoch(number, self.seed, skip))

    def go_on(self, epoch: int, seed: int, first: int) -> None:
        """Prepares for `epoch` of a training that began, with this seed, in the epoch `first`."""
        held, self.seed = self._held, seed
        if not isinstance(self.adapter, IterableAdapter):
            self._held = None  # it was shuffled with another seed
        elif self.adapter.steps is None:
            self._held = held and (epoch, *held[1:])  # every epoch begins as this one does
        else:
            for number in range(first, epoch):
                for _ in self.epoch(number):
                    pass


class Fitting:
    """One call of `fit`; see there for the options."""

    def __init__(self, model: Any, **options: Any) -> None:
        self.model, self.options = model, {**options, "epochs": limited_epochs(options["epochs"])}
        self.verbose = options["verbose"]
        x, y, w = options["x"], options["y"], options["sample_weight"]
        validation = options["validation_data"]
        if options["validation_split"] and validation is None:
            (x, y, w), validation = train_validation_split((x, y, w), options["validation_split"])
        self.source = Source(
            adapt(
                x, y, w, batch_size=options["batch_size"], steps=limited_steps(options["steps_per_epoch"]),
                shuffle=options["shuffle"], class_weight=options["class_weight"], where="fit",
            ),
            seed=int(np.random.randint(2**31)),
        )  # fmt: skip
        self.validation = None if validation is None else self._validation(validation)
        self._check_frequency(options["validation_freq"])
        self._warned = False

    def _validation(self, data: Any) -> Any:
        x, y, w = unpack_x_y_sample_weight(data)
        size = self.options["validation_batch_size"] or self.options["batch_size"]
        steps = limited_steps(self.options["validation_steps"])
        return adapt(x, y, w, batch_size=size, steps=steps, where="fit (validation_data)")

    def _check_frequency(self, every: Any) -> None:
        if not isinstance(every, int | list | tuple | set):
            raise ValueError(
                f"Expected `validation_freq` to be a list or int. Received: validation_freq={every} of the type "
                f"{type(every)}."
            )

    def run(self) -> Any:
        """Trains; returns the model's `History`."""
        with closing(self.source.adapter):
            return self._run()

    def _run(self) -> Any:
        model, first = self.model, self.options["initial_epoch"]
        if not model._is_ready() or (model.optimizer is not None and not model.optimizer.built):
            model._build_for(self.source.first(first, "fit"))
        if not model.trainable_variables:
            warnings.warn("The model does not have any trainable weights.", stacklevel=4)
        callbacks = self._callbacks()
        model.stop_training, model._resume = False, None
        model._position = {"epoch": first, "step": 0, "seed": self.source.seed}
        callbacks.on_train_begin()
        try:
            logs = self._epochs(callbacks, model._initial_epoch or first)
        finally:
            if model.optimizer is not None and self.options["epochs"] > 0:
                model.optimizer.finalize_variable_values(model.trainable_variables)
        callbacks.on_train_end(logs)
        return model.history

    def _callbacks(self) -> CallbackList:
        given = self.options["callbacks"]
        if isinstance(given, CallbackList):
            return given
        return CallbackList(
            given, add_history=True, add_progbar=self.verbose != 0, model=self.model, verbose=self.verbose,
            epochs=self.options["epochs"], steps=self.source.adapter.num_batches,
        )  # fmt: skip

    def _epochs(self, callbacks: CallbackList, first: int) -> dict[str, Any]:
        model, resume, skip = self.model, self.model._resume, 0
        if resume is not None:
            self.source.go_on(resume["epoch"], resume["seed"], first)
            first, skip = resume["epoch"], resume["step"]
        logs: dict[str, Any] = {}
        for epoch in range(first, self.options["epochs"]):
            if not skip:
                model.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            found = self._epoch(epoch, skip, callbacks)
            if found is None:  # a generator is used up; what it gave has been learned
                warnings.warn(OUT_OF_DATA, stacklevel=5)
                break
            logs, skip = found, 0
            if self.validation is not None and self._is_due(epoch):
                held_out = evaluation(model, self.validation, callbacks, self.verbose)
                logs = {**logs, **{f"val_{k}": v for k, v in held_out.items()}}
            model._position = {"epoch": epoch + 1, "step": 0, "seed": self.source.seed}
            callbacks.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        return logs

    def _is_due(self, epoch: int) -> bool:
        every = self.options["validation_freq"]
        return (epoch + 1) % every == 0 if isinstance(every, int) else epoch + 1 in every

    def _epoch(self, epoch: int, skip: int, callbacks: CallbackList) -> dict[str, Any] | None:
        """The logs of the last batch; None where there was none after an epoch that had some."""
        model, logs = self.model, None
        self.source.adapter.on_epoch_begin()
        batches, step = self.source.epoch(epoch, skip), skip
        while group := list(islice(batches, model.steps_per_execution)):
            callbacks.on_train_batch_begin(step)
            for batch in group:
                logs = self._batch(batch, epoch, step)
                step += 1
            model._position = {"epoch": epoch, "step": step, "seed": self.source.seed}
            callbacks.on_train_batch_end(step - 1, logs)
            if model.stop_training:
                break
        self.source.adapter.on_epoch_end()
        if logs is None and not skip:
            if int(model._position["epoch"]) > self.options["initial_epoch"]:
                return None
            raise ValueError("`fit` got no batches: the data are empty. A generator can be used only once.")
        return as_logs(model.get_metrics_result(), "get_metrics_result") if logs is None else logs

    def _batch(self, batch: Any, epoch: int, step: int) -> dict[str, Any]:
        check_labels(self.model, batch, f"batch {step} of epoch {epoch}")
        logs = as_logs(self.model._step("train_step")(batch, announce=self.verbose != 0), "train_step")
        loss = logs.get("loss")
        if isinstance(loss, float) and not math.isfinite(loss) and not self._warned:
            self._warned = True
            warnings.warn(_not_finite(self.model, batch, loss, epoch, step), RuntimeWarning, stacklevel=6)
        return logs


def evaluation(model: Any, adapter: Any, callbacks: Any, verbose: Any) -> dict[str, Any]:
    """Runs `test_step` on all batches; the metrics at the end, by name."""
    source = Source(adapter)
    if not model._is_ready():
        model._build_for(source.first(0, "evaluate"))
    if not isinstance(callbacks, CallbackList):
        callbacks = CallbackList(
            callbacks, add_progbar=verbose != 0, model=model, verbose=verbose, epochs=1, steps=adapter.num_batches
        )
    model.stop_evaluating = False
    callbacks.on_test_begin()
    model.reset_metrics()
    logs = _evaluated(model, source, callbacks, verbose)
    callbacks.on_test_end(logs)
    return logs


def _evaluated(model: Any, source: Source, callbacks: CallbackList, verbose: Any) -> dict[str, Any]:
    logs: dict[str, Any] | None = None
    step = 0
    source.adapter.on_epoch_begin()
    batches = source.epoch(0)
    while group := list(islice(batches, model.steps_per_execution)):
        callbacks.on_test_batch_begin(step)
        for batch in group:
            check_labels(model, batch, f"batch {step}")
            logs = as_logs(model._step("test_step")(batch, announce=verbose != 0), "test_step")
            step += 1
        callbacks.on_test_batch_end(step - 1, logs)
        if model.stop_evaluating:
            break
    source.adapter.on_epoch_end()
    if logs is None:
        raise ValueError("`evaluate` got no batches: the data are empty. A generator can be used only once.")
    return logs


def _not_finite(model: Any, batch: Any, loss: float, epoch: int, step: int) -> str:
    where = f"The loss became {loss} in batch {step} of epoch {epoch}"
    for what, nest in zip(("x", "y", "sample_weight"), unpack_x_y_sample_weight(batch), strict=True):
        if not _finite(nest):
            return f"{where}: `{what}` holds values that are not finite in that batch. Replace or leave them out."
    rate = getattr(model.optimizer, "learning_rate", None)
    now = "" if rate is None else f" (now {float(np.asarray(rate)):g})"
    return (
        f"{where}. Lower the learning rate{now}, clip the gradients (clipnorm=1.0), or scale the inputs; the "
        "callback TerminateOnNaN stops at once."
    )


def _finite(nest: Any) -> bool:
    leaves = nest.values() if isinstance(nest, dict) else nest if isinstance(nest, list | tuple) else [nest]
    arrays = [v for v in leaves if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    return all(bool(np.isfinite(a).all()) for a in arrays)
