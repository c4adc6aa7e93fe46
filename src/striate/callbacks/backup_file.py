"""The file of a backup: the values of variables and a place in the training, as an uncompressed `.npz`.

The entry `about` holds JSON (`format`, `version`, `position`, `batches`, and for each variable its path, shape and
dtype; `callbacks` the state of callbacks); the entries `0`, `1`, ... the values, with checksums. It is data only, and
replaced as a whole.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.core.errors import message

WHERE = "BackupAndRestore"
FORMAT, VERSION = "striate backup", 1


@dataclass(frozen=True)
class Backup:
    """What a file holds: values in the order of the model's variables, the place, the number of batches per epoch, the
    states of callbacks as pairs of a class's name and values by name."""

    values: list[np.ndarray]
    position: dict[str, int]
    batches: int | None
    callbacks: list[tuple[str, dict[str, Any]]]


def write_backup(
    path: str,
    variables: Sequence[Any],
    position: dict[str, int],
    batches: int | None,
    callbacks: Sequence[tuple[str, dict[str, Any]]] = (),
) -> None:
    """Writes the backup beside `path` and moves it into place, so that there is a whole one at any moment."""
    arrays = [v.array for v in variables]
    states = [[name, {k: _packed(v, arrays) for k, v in state.items()}] for name, state in callbacks]
    about = {
        "format": FORMAT,
        "version": VERSION,
        "position": position,
        "batches": batches,
        "variables": [_described(v) for v in variables],
        "callbacks": states,
    }
    entries = {str(i): array for i, array in enumerate(arrays)}
    part = f"{path}.part"  # one name, so that runs that were killed leave no pile of them
    with open(part, "wb") as file:
        np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **entries)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def read_backup(path: str, variables: Sequence[Any]) -> Backup:
    """The backup at `path`, which must be one of a model with such variables.

    Raises:
        OSError: the file is damaged. ValueError: it is no backup, or that of another model.
    """
    try:
        return _read(path, variables)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:
        fix = "Delete it to start from the beginning"
        raise OSError(message(WHERE, f"the backup {path!r} is damaged ({error})", fix)) from error


def _read(path: str, variables: Sequence[Any]) -> Backup:
    if not zipfile.is_zipfile(path):
        raise zipfile.BadZipFile("it is cut short, or no file of this kind")
    with np.load(path, allow_pickle=False) as entries:
        if "about" not in entries:
            raise _foreign(path, "it is no backup of striate")
        about = json.loads(bytes(entries["about"]).decode())
        _check(path, about, [_described(v) for v in variables])
        values = [entries[str(i)] for i in range(len(variables))]
        states = [(name, {k: _unpacked(v, entries) for k, v in state.items()}) for name, state in about["callbacks"]]
    for value, variable in zip(values, variables, strict=True):
        if value.shape != variable.shape or value.dtype != variable.array.dtype:
            raise zipfile.BadZipFile(f"the value of '{variable.path}' has shape {value.shape}, dtype {value.dtype}")
    return Backup(values, {k: int(v) for k, v in about["position"].items()}, about["batches"], states)


def _packed(value: Any, arrays: list[np.ndarray]) -> Any:
    """A plain value as JSON takes it; the items of a list of arrays go to `arrays`."""
    if isinstance(value, list) and any(isinstance(item, np.ndarray) for item in value):
        arrays += value
        return {"first": len(arrays) - len(value), "count": len(value)}
    return value.item() if isinstance(value, np.ndarray | np.generic) else value


def _unpacked(value: Any, entries: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return [entries[str(i)] for i in range(value["first"], value["first"] + value["count"])]


def _described(variable: Any) -> list[Any]:
    return [variable.path, list(variable.shape), str(variable.array.dtype)]


def _check(path: str, about: Any, expected: list[list[Any]]) -> None:
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise _foreign(path, "it is no backup of striate")
    if about["version"] != VERSION:
        raise _foreign(path, f"its version is {about['version']}, expected {VERSION}")
    found = about["variables"]
    if len(found) != len(expected):
        raise _foreign(path, f"it is of another model: it holds {len(found)} variables, this one has {len(expected)}")
    for (name, *had), (own, *has) in zip(found, expected, strict=True):  # names may be numbered otherwise
        if had != has:
            problem = f"it is of another model: '{name}' has shape {tuple(had[0])} and dtype {had[1]}, "
            raise _foreign(path, f"{problem}here '{own}' has shape {tuple(has[0])} and dtype {has[1]}")


def _foreign(path: str, problem: str) -> ValueError:
    fix = "Use another `backup_dir`, or delete the file to start from the beginning"
    return ValueError(message(WHERE, f"cannot go on from {path!r}: {problem}", fix))
