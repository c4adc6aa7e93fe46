"""`ModelCheckpoint`: the model, or its weights, saved while it trains."""

from __future__ import annotations

import os
import re
import warnings
from typing import Any

from striate.callbacks.batches_seen import BatchCounter
from striate.callbacks.callback import Logs
from striate.callbacks.monitor import MonitorCallback
from striate.core.interactive import show
from striate.core.registry import export


@export("keras.callbacks.ModelCheckpoint")
class ModelCheckpoint(MonitorCallback):
    """Saves the model after each epoch, or every so many batches. Files are moved into place when they are whole.

    Args:
        filepath: the file, which ends in ".weights.h5" with `save_weights_only`, else in ".keras" (or ".h5"). It may
            hold fields of `str.format`: `{epoch}` (from 1), `{batch}` (from 1, with a number as `save_freq`) and the
            names of the logs, as in "{epoch:02d}-{val_loss:.2f}.keras".
        monitor: the value of the logs that says which model is best (default "val_loss").
        verbose: 1 to say what is saved (default 0).
        save_best_only: whether only models better than all before are saved (default False).
        save_weights_only: whether only weights are saved (default False).
        mode: "min", "max" or "auto" (default): by the metric.
        save_freq: "epoch" (default), or a number of batches.
        initial_value_threshold: with `save_best_only` the value to be better than at first; None (default) for any.

    Raises:
        ValueError: another ending, another `save_freq`; in `fit`, with `mode="auto"`, when the metric does not say
            which way is better. In `fit` also KeyError: a field that is not in the logs; OSError: no such file can be
            written.
    """

    _kept = ("best", "_batches")

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.verbose, self.filepath = verbose, os.fspath(filepath)
        self.save_best_only, self.save_weights_only, self.save_freq = save_best_only, save_weights_only, save_freq
        text = f"Unrecognized save_freq: {save_freq}. Expected save_freq are 'epoch' or integer values"
        self._counter = BatchCounter(save_freq, text)
        self._current_epoch = 0
        _check_ending(self.filepath, save_weights_only)

    @property
    def _batches(self) -> list[int]:
        return self._counter.state

    @_batches.setter
    def _batches(self, value: list[int]) -> None:
        self._counter.state = value

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self._counter.is_due(batch):
            self._save_model(self._current_epoch, batch, logs or {})

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._current_epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._find_op()
        if self.save_freq == "epoch":
            self._save_model(epoch, None, logs or {})

    def _find_op(self) -> None:
        if self.monitor_op is None:
            self._set_monitor_op()

    def _save_model(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> None:
        path = self._get_file_path(epoch, batch, logs)
        if not self._should_save_model(epoch, logs, path):
            return
        try:
            self._write(path)
        except OSError as error:
            if not os.path.isdir(path):
                raise
            raise OSError(
                "Please specify a non-directory filepath for ModelCheckpoint. Filepath used is an existing directory: "
                f"{path}"
            ) from error
        if self.verbose > 0:
            show(f"\nEpoch {epoch + 1}: finished saving model to {path}")

    def _write(self, path: str) -> None:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(path, overwrite=True)

    def _should_save_model(self, epoch: int, logs: dict[str, Any], path: str) -> bool:
        if self.save_best_only:
            return self._is_best(epoch, logs, path)
        if self.verbose > 0:
            show(f"\nEpoch {epoch + 1}: saving model to {path}")
        return True

    def _is_best(self, epoch: int, logs: dict[str, Any], path: str) -> bool:
        value = logs.get(self.monitor)
        if value is None:
            warnings.warn(f"Can save best model only with {self.monitor} available.", stacklevel=5)
            return True
        if getattr(value, "ndim", 0):
            text = f"Can save best model only when `monitor` is a scalar value. Received: {value}. Falling back to "
            warnings.warn(f"{text}`save_best_only=False`.", stacklevel=5)
            return True
        self._find_op()
        better = self._is_improvement(value, self.best)
        self._tell(epoch, value, path if better else None)
        self.best = value if better else self.best
        return better

    def _tell(self, epoch: int, value: Any, path: str | None) -> None:
        if self.verbose <= 0:
            return
        before = "None" if self.best is None else f"{self.best:.5f}"
        if path is None:
            show(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {before}")
        else:
            show(f"\nEpoch {epoch + 1}: {self.monitor} improved from {before} to {value:.5f}, saving model to {path}")

    def _get_file_path(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> str:
        known = {"batch": batch + 1, **logs} if batch is not None else logs
        try:
            return self.filepath.format(epoch=epoch + 1, **known)
        except KeyError as error:
            raise KeyError(f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}') from None

    def _checkpoint_exists(self, filepath: str) -> bool:
        return os.path.exists(filepath)

    def _get_most_recently_modified_file_matching_pattern(self, pattern: str) -> str | None:
        """The newest file whose name fits `pattern`; of several that are equally new the last one by name."""
        folder, name = os.path.split(pattern)
        fits = re.compile(".*".join(re.escape(part) for part in re.split(r"{.*?}", name)))
        if not os.path.isdir(folder or "."):
            return None
        found = [os.path.join(folder, n) for n in os.listdir(folder or ".") if fits.fullmatch(n)]
        return max(found, key=lambda path: (os.path.getmtime(path), path), default=None)


def _check_ending(path: str, weights_only: bool) -> None:
    if weights_only and not path.endswith(".weights.h5"):
        raise ValueError(
            "When using `save_weights_only=True` in `ModelCheckpoint`, the filepath provided must end in `.weights.h5` "
            f"(Keras weights format). Received: filepath={path}"
        )
    if not weights_only and not path.endswith((".keras", ".h5")):
        raise ValueError(f"The filepath provided must end in `.keras` (Keras model format). Received: filepath={path}")
