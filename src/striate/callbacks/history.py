"""`History`: what `fit` returns."""

from __future__ import annotations

from typing import Any

from striate.callbacks.callback import Callback, Logs
from striate.core.registry import export


@export("keras.callbacks.History")
class History(Callback):
    """Keeps the logs of all epochs. Every `fit` has one, and returns it.

    Attributes:
        history: maps each name to the list of its values, one per epoch.
        epoch: the epochs' numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}

    def on_train_begin(self, logs: Logs = None) -> None:
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        self.model.history = self
