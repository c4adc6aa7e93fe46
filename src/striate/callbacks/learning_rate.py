"""Callbacks that set the learning rate: by the epoch, or when a value stops getting better."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from striate.callbacks.callback import Callback, Logs
from striate.callbacks.monitor import MonitorCallback
from striate.core.interactive import show
from striate.core.registry import export


def optimizers_of(optimizer: Any) -> Iterator[tuple[str, Any]]:
    """The optimizers that an optimizer consists of, with their names; a plain one itself, with no name."""
    parts = getattr(optimizer, "optimizers", None)
    if parts is None:
        yield "", optimizer
    for part in parts or ():
        yield part.name, part


def rate_of(optimizer: Any) -> float:
    """The current learning rate."""
    return float(np.asarray(optimizer.learning_rate))


def learning_rates(optimizer: Any) -> dict[str, float]:
    """The current learning rates by the name that they have in logs."""
    return {f"learning_rate_{n}" if n else "learning_rate": rate_of(o) for n, o in optimizers_of(optimizer)}


@export("keras.callbacks.LearningRateScheduler")
class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch; the logs get its value as "learning_rate".

    Args:
        schedule: a function of the epoch (from 0) and the current rate that returns the new rate; a function of the
            epoch alone will do.
        verbose: 1 to say what was set (default 0).

    Raises (in `fit`):
        ValueError: the function returns no float, or the optimizer has no learning rate.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        for name, optimizer in optimizers_of(self.model.optimizer):
            rate = self._set(optimizer, epoch)
            if self.verbose > 0:
                whose = f"{name} " if name else ""
                show(f"\nEpoch {epoch + 1}: LearningRateScheduler setting {whose}learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if logs is not None:
            logs.update(learning_rates(self.model.optimizer))

    def _set(self, optimizer: Any, epoch: int) -> Any:
        if not hasattr(optimizer, "learning_rate"):
            raise ValueError('Optimizer must have a "learning_rate" attribute.')
        try:
            rate = self.schedule(epoch, rate_of(optimizer))
        except TypeError:  # a function of the epoch alone
            rate = self.schedule(epoch)
        if not isinstance(rate, float | np.float32):  # np.float64 is a float
            raise ValueError(f"The output of the `schedule` function should be a float. Got: {rate}")
        optimizer.learning_rate = rate
        return rate


@export("keras.callbacks.ReduceLROnPlateau")
class ReduceLROnPlateau(MonitorCallback):
    """Lowers the learning rate when a value has not got better for some epochs.

    new rate = max(rate * factor, min_lr). The logs get the rate as "learning_rate".

    Args:
        monitor: the value's name in the logs (default "val_loss").
        factor: what the rate is multiplied by, below 1 (default 0.1).
        patience: how many epochs without a better value to allow (default 10).
        verbose: 1 to say when the rate is lowered (default 0).
        mode: "min", "max" or "auto" (default): by the metric.
        min_delta: by how much the value must be better to count (default 1e-4).
        cooldown: for how many epochs not to count after the rate was lowered (default 0).
        min_lr: the lowest rate (default 0).

    Raises:
        ValueError: `factor` is 1 or more; in `fit`, with `mode="auto"`, when the metric does not say which way is
            better.
    """

    _kept = ("wait", "best", "cooldown_counter")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. Received factor={factor}")
        self.factor, self.min_lr, self.patience, self.verbose = factor, min_lr, patience, verbose
        self.cooldown = cooldown
        self.cooldown_counter = self.wait = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        self.best = None
        self.cooldown_counter = self.wait = 0

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.monitor_op is None:
            self._set_monitor_op()
        logs = {} if logs is None else logs
        logs.update(learning_rates(self.model.optimizer))
        value = logs.get(self.monitor)
        if value is None:
            warnings.warn(
                f"Learning rate reduction is conditioned on metric `{self.monitor}` which is not available. Available "
                f"metrics are: {','.join(logs)}.",
                stacklevel=2,
            )
        else:
            self._note(epoch, value)

    def _note(self, epoch: int, value: Any) -> None:
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(value, self.best):
            self.best, self.wait = value, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter, self.wait = self.cooldown, 0

    def _reduce(self, epoch: int) -> bool:
        """Lowers the rates that are not at their lowest yet; whether there were any."""
        parts = [(n, o) for n, o in optimizers_of(self.model.optimizer) if rate_of(o) > np.float32(self.min_lr)]
        for name, optimizer in parts:
            rate = max(rate_of(optimizer) * self.factor, self.min_lr)
            optimizer.learning_rate = rate
            if self.verbose > 0:
                whose = f" {name}" if name else ""
                show(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing{whose} learning rate to {rate}.")
        return bool(parts)

    def in_cooldown(self) -> bool:
        """Whether the epochs since the rate was lowered are still too few to count."""
        return self.cooldown_counter > 0
