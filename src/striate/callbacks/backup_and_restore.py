"""`BackupAndRestore`: a training that goes on where it was killed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from striate.callbacks.backup_file import WHERE, Backup, read_backup, write_backup
from striate.callbacks.batches_seen import BatchCounter
from striate.callbacks.callback import Callback, Logs
from striate.callbacks.history import History
from striate.callbacks.progbar_logger import ProgbarLogger
from striate.core.errors import message
from striate.core.registry import export
from striate.saving.h5 import assign_all

NAME = "latest.backup.npz"
OF_KERAS = "training_metadata.json"


@export("keras.callbacks.BackupAndRestore")
class BackupAndRestore(Callback):
    """Keeps a backup of the training in a file. When the same program is run again after it was killed, `fit` goes on
    from there, with the batch after the last one of the backup, and ends with the weights, to the bit, of a run that
    was not disturbed. The data must be arrays, a `PyDataset`, or batches that come in the same order again.

    The file holds the weights, the states of random generators, the optimizer, the metrics, the place, and what the
    other callbacks of striate have counted (the patience of `EarlyStopping`); it is always whole.

    Args:
        backup_dir: the folder of the file, of this training alone.
        save_freq: "epoch" (default), or after how many batches to save.
        double_checkpoint: whether the backup before the last one is kept too, for when the last one is damaged
            (default False).
        delete_checkpoint: whether the files are deleted when training is complete (default True).

    Raises:
        ValueError: an empty `backup_dir`, another `save_freq`; in `fit`: a model that is not built, or a file that is
            no backup of this model and these data. In `fit` also OSError: a damaged file.
    """

    _outermost = True

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: Any = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not backup_dir:
            raise ValueError("Empty `backup_dir` argument passed")
        self.backup_dir, self.save_freq = os.fspath(backup_dir), save_freq
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint
        text = (
            f"Invalid value for argument `save_freq`. Received: save_freq={save_freq}. Expected either 'epoch' or an "
            "integer value."
        )
        self._counter = BatchCounter(save_freq, text)
        self._current_epoch = 0
        # Keras's names of its two files, which are one here.
        self._weights_path = self._training_metadata_path = os.path.join(self.backup_dir, NAME)
        self._prev_weights_path = self._prev_training_metadata_path = f"{self._weights_path}.bkp"
        self._restored: Backup | None = None  # until the first batch after it
        self._siblings: Sequence[Any] = ()

    def on_train_begin(self, logs: Logs = None) -> None:
        self._counter.start(0)
        self._restored = self._read()
        if self._restored is None:
            return
        self._assign(self._restored)
        self._counter.start(self._restored.position["step"])
        self.model._resume = self._restored.position

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if self._restored is None:
            return
        _restore_states(self._siblings, self._restored.callbacks)  # which they have reset when training began
        if not self._restored.position["step"]:
            self._restored = None

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._settle()

    def on_test_begin(self, logs: Logs = None) -> None:
        self._settle()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self._counter.is_due(batch):
            self._save()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._settle()
        self._current_epoch = epoch + 1
        if self.save_freq == "epoch":
            self._save()

    def _after_epoch(self) -> None:
        """Saves again if callbacks behind this one may have changed something at the epoch's end."""
        behind = self._siblings[list(self._siblings).index(self) + 1 :]
        if self.save_freq == "epoch" and any(not isinstance(c, History | ProgbarLogger) for c in behind):
            self._save(twice=True)

    def on_train_end(self, logs: Logs = None) -> None:
        if not self.delete_checkpoint:
            return
        for path in (self._weights_path, self._prev_weights_path, f"{self._weights_path}.part"):
            with suppress(FileNotFoundError):
                os.remove(path)
        with suppress(OSError):  # others keep files there
            os.rmdir(self.backup_dir)

    def _settle(self) -> None:
        """Undoes what callbacks did at the beginning of the epoch: in the backup they had done it already."""
        if self._restored is not None:
            self._assign(self._restored)
            self._restored = None

    def _assign(self, backup: Backup) -> None:
        assign_all(list(zip(self.model._training_state(), backup.values, strict=True)))

    def _read(self) -> Backup | None:
        if not self.model.built:
            raise ValueError(
                "To use the BackupAndRestore callback, your model must be built before you call `fit()`. Model "
                f"{self.model} is unbuilt. You can build it beforehand by calling it on a batch of data."
            )
        there = [path for path in (self._weights_path, self._prev_weights_path) if os.path.exists(path)]
        if not there:
            self._refuse_keras()
            return None
        return self._checked(self._first_whole(there))

    def _first_whole(self, paths: list[str]) -> Backup:
        try:
            return read_backup(paths[0], self.model._training_state())
        except OSError as error:
            if len(paths) == 1:
                raise
            warnings.warn(f"{error} Going on from the backup before it.", stacklevel=6)
            return self._first_whole(paths[1:])

    def _refuse_keras(self) -> None:
        if os.path.exists(os.path.join(self.backup_dir, OF_KERAS)):
            problem = f"{self.backup_dir!r} holds a backup of Keras, which does not say where exactly training was"
            fix = "Use another `backup_dir`; `model.load_weights` reads its 'latest.weights.h5'"
            raise ValueError(message(WHERE, problem, fix))

    def _checked(self, backup: Backup) -> Backup:
        """The backup, if its place in the middle of an epoch means the same in this run."""
        now, step = (self.params or {}).get("steps"), backup.position["step"]
        if step and now != backup.batches:
            made = f"was made with {backup.batches} batches per epoch"
            problem = f"the backup {self._weights_path!r} {made}, now there are {now}"
            raise ValueError(message(WHERE, problem, "Use the same data and batch size, or delete the file"))
        return backup

    def _save(self, twice: bool = False) -> None:
        os.makedirs(self.backup_dir, exist_ok=True)
        if self.double_checkpoint and not twice and os.path.exists(self._weights_path):
            os.replace(self._weights_path, self._prev_weights_path)
        batches = (self.params or {}).get("steps")
        states = [(type(c).__name__, {name: getattr(c, name) for name in c._kept}) for c in _keeping(self._siblings)]
        write_backup(self._weights_path, self.model._training_state(), dict(self.model._position), batches, states)


def _keeping(callbacks: Sequence[Any]) -> list[Any]:
    return [c for c in callbacks if getattr(c, "_kept", ())]


def _restore_states(callbacks: Sequence[Any], states: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Gives the callbacks their states back: the first of each class the first of that name, and so on."""
    left = list(states)
    for callback in _keeping(callbacks):
        found = next((pair for pair in left if pair[0] == type(callback).__name__), None)
        if found is not None:
            left.remove(found)
            for name in callback._kept:
                setattr(callback, name, found[1][name])
