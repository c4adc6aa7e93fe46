"""`Callback`: the hooks that `fit`, `evaluate` and `predict` call."""

from __future__ import annotations

from typing import Any

from striate.core.registry import export

Logs = dict[str, Any] | None


@export("keras.callbacks.Callback")
class Callback:
    """Base of what is called while a model trains, is evaluated or predicts. Subclasses override the hooks they need.

    `logs` maps names to values: in the hooks at the end of a batch those of the epoch so far, at the end of an epoch
    also those of the validation, with `val_` before their names. `batch` counts from 0 in each epoch, `epoch` from 0.

    Attributes:
        model: the model.
        params: a dict with "verbose", "epochs" and "steps".
    """

    _kept: tuple[str, ...] = ()  # attributes that belong into a backup: plain values or lists of arrays
    _outermost = False  # whether it is before the others at beginnings, and after them at the end

    def __init__(self) -> None:
        self.params: Any = None
        self._model: Any = None

    def set_params(self, params: dict[str, Any]) -> None:
        """Called before the first hook, with the options of the run."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Called before the first hook."""
        self._model = model

    @property
    def model(self) -> Any:
        """The model that is trained, evaluated or predicts."""
        return self._model

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """An older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """An older name of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Called before an epoch of training."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Called after an epoch of training and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before a batch of training (with `steps_per_execution=n` before every n-th)."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after a batch of training (with `steps_per_execution=n` after every n-th)."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before a batch of `evaluate` or of a validation."""

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after a batch of `evaluate` or of a validation."""

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after a batch of `predict`; `logs` holds its "outputs"."""

    def on_train_begin(self, logs: Logs = None) -> None:
        """Called before the first epoch."""

    def on_train_end(self, logs: Logs = None) -> None:
        """Called after the last epoch, with its logs; not when training was broken off by an error or Ctrl-C."""

    def on_test_begin(self, logs: Logs = None) -> None:
        """Called before `evaluate` or a validation."""

    def on_test_end(self, logs: Logs = None) -> None:
        """Called after `evaluate` or a validation."""

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Called before `predict`."""

    def on_predict_end(self, logs: Logs = None) -> None:
        """Called after `predict`."""
