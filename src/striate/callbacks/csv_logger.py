"""`CSVLogger`: a table of the epochs in a file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from striate.callbacks.callback import Callback, Logs
from striate.core.registry import export


@export("keras.callbacks.CSVLogger")
class CSVLogger(Callback):
    """Writes the logs of each epoch as a row of a CSV file; the columns are "epoch" and the names of the first epoch's
    logs. A row is on the disk when its epoch is over.

    Args:
        filename: the file.
        separator: between the columns (default ",").
        append: whether to go on with a file that is there (default False: to replace it).
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename, self.sep, self.append = os.fspath(filename), separator, append
        self.append_header = True
        self.writer: Any = None
        self.keys: list[str] | None = None
        self.csv_file: Any = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self._close()
        if self.append and os.path.exists(self.filename):
            with open(self.filename, encoding="utf-8") as file:
                self.append_header = not file.readline()
        self.csv_file = open(self.filename, "a" if self.append else "w", encoding="utf-8", newline="")  # noqa: SIM115
        self.writer = self.keys = None

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        if self.keys is None:
            self.keys = _columns(logs)
        if self.writer is None:
            self.writer = csv.DictWriter(self.csv_file, ["epoch", *self.keys], delimiter=self.sep)
            if self.append_header:
                self.writer.writeheader()
        self.writer.writerow({"epoch": epoch, **{key: _cell(logs.get(key, "NA")) for key in self.keys}})
        self.csv_file.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        self._close()

    def _close(self) -> None:
        if self.csv_file is not None:
            self.csv_file.close()
        self.writer = None

    def __del__(self) -> None:
        if getattr(self, "csv_file", None) is not None:  # training that was broken off
            self.csv_file.close()


def _columns(logs: dict[str, Any]) -> list[str]:
    """The names of the logs; when the first epoch has no validation also those that later ones may have."""
    keys = sorted(logs)
    validated = any(key.startswith("val_") for key in keys)
    return keys if validated else [*keys, *(f"val_{key}" for key in keys)]


def _cell(value: Any) -> Any:
    several = isinstance(value, Iterable) and not isinstance(value, str)
    if not several or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value
    return f'"[{", ".join(map(str, value))}]"'
