"""`EarlyStopping`: the end of a training that no longer gets better."""

from __future__ import annotations

import warnings
from typing import Any

from striate.callbacks.callback import Logs
from striate.callbacks.monitor import MonitorCallback
from striate.core.interactive import show
from striate.core.registry import export


@export("keras.callbacks.EarlyStopping")
class EarlyStopping(MonitorCallback):
    """Stops training when a value has not got better for some epochs.

    Args:
        monitor: the value's name in the logs (default "val_loss").
        min_delta: by how much it must be better to count (default 0).
        patience: how many epochs without that to allow (default 0).
        verbose: 1 to say when training stops (default 0).
        mode: "min", "max" or "auto" (default): by the metric.
        baseline: patience starts anew only with values better than this; None (default) for any.
        restore_best_weights: whether the model gets the weights of the best epoch back (default False).
        start_from_epoch: the first epoch that counts (default 0).

    Attributes:
        best, best_epoch, stopped_epoch: the best value, its epoch, and the epoch after which training stopped (0 for
            none).

    Raises (in `fit`):
        ValueError: with `mode="auto"`, when the metric does not say which way is better.
    """

    _kept = ("wait", "best", "best_epoch", "stopped_epoch", "best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best_weights: Any = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = None

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.monitor_op is None:
            self._set_monitor_op()
        value = self.get_monitor_value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:  # a first value of nan is no improvement
            self._keep(epoch)
        self.wait += 1
        if self._is_improvement(value, self.best):
            self._note(epoch, value)
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _note(self, epoch: int, value: Any) -> None:
        self.best, self.best_epoch = value, epoch
        if self.restore_best_weights:
            self._keep(epoch)
        if self.baseline is None or self._is_improvement(value, self.baseline):
            self.wait = 0

    def _keep(self, epoch: int) -> None:
        self.best_weights, self.best_epoch = self.model.get_weights(), epoch

    def on_train_end(self, logs: Logs = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            show(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                show(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)

    def get_monitor_value(self, logs: Logs) -> Any:
        """The watched value; None, with a warning, if the logs don't hold it."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"Early stopping conditioned on metric `{self.monitor}` which is not available. Available metrics are: "
                f"{','.join(logs or {})}",
                stacklevel=2,
            )
        return value
