"""`save_model` and `load_model`: which format a path stands for."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Mapping
from typing import Any

from striate.core.errors import message
from striate.core.registry import export
from striate.saving import keras_file, legacy_model
from striate.saving.members import CONFIG

LEGACY = (".h5", ".hdf5")
_DEPRECATED = "The `save_format` argument is deprecated in Keras 3. Remove it and pass a path that ends in '.keras'"


@export("keras.saving.save_model", "keras.models.save_model")
def save_model(model: Any, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any) -> None:
    """Saves a model: architecture, weights, and, if it is compiled, losses, metrics and the optimizer with its state.

    The file is written beside its target and moved into place when it is on the disk.

    Args:
        model: the model.
        filepath: a path that ends in `.keras`, or in `.h5` for the legacy format; or an open binary file.
        overwrite: whether a file that is there is replaced (default True).
        zipped: False writes a folder with the same contents instead of one file.
        **kwargs: `include_optimizer` (default True, legacy format only).

    Raises:
        ValueError: another ending, or an unknown argument. FileExistsError: the file is there, and is to stay.
    """
    include_optimizer = kwargs.pop("include_optimizer", True)
    if kwargs.pop("save_format", None) and not str(filepath).endswith((".keras", *LEGACY)):
        raise ValueError(message("save_model", _DEPRECATED))
    if kwargs:
        problem = f"The following argument(s) are not supported: {list(kwargs)}"
        raise ValueError(message("save_model", problem, "Known: overwrite, zipped, include_optimizer"))
    if hasattr(filepath, "write"):
        keras_file.save_zip(model, filepath)
        return
    name = path_of(filepath, "save_model")
    _check_name(name, zipped)
    if not may_write(name, overwrite, "save_model"):
        return
    if zipped is False:
        keras_file.save_folder(model, name)
    elif name.endswith(".keras"):
        keras_file.save_zip(model, name)
    else:
        legacy_model.save_model_to_hdf5(model, name, include_optimizer)


def _check_name(name: str, zipped: bool | None) -> None:
    if name.startswith("hf://"):
        raise ValueError(message("save_model", f"{name!r}: nothing is uploaded from here", "Save it to a file"))
    if zipped is False and name.endswith(".keras"):
        problem = f"When using `zipped=False`, the `filepath` argument should not end in `.keras`. Received: {name!r}"
        raise ValueError(message("save_model", problem))
    if zipped is not False and not name.endswith((".keras", *LEGACY)):
        problem = f"Invalid filepath extension for saving: {name!r}"
        fix = "Please add either a `.keras` extension for the native Keras format (recommended) or a `.h5` extension"
        raise ValueError(message("save_model", problem, fix))


@export("keras.saving.load_model", "keras.models.load_model")
def load_model(
    filepath: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, safe_mode: bool = True
) -> Any:
    """The model in a `.keras` file, in its unzipped form, or in a legacy `.h5` file.

    Nothing in a file is ever run or imported: classes and functions are those of Keras, registered ones, and those in
    `custom_objects`. A `Lambda` layer whose function the file holds as bytecode is refused, with `safe_mode=False` too;
    give its function under the layer's name in `custom_objects`.

    Args:
        filepath: a path, or an open binary file.
        custom_objects: names and the classes or functions they stand for.
        compile: whether the model is compiled as it was when it was saved (default True).
        safe_mode: accepted for Keras's sake; it changes nothing.

    Returns:
        The model, with its weights, and, if it was compiled, the optimizer with its state.

    Raises:
        ValueError: anything wrong with the file, or a class that is not known.
    """
    if hasattr(filepath, "read"):
        return keras_file.load(filepath, custom_objects, compile, safe_mode)
    name = path_of(filepath, "load_model")
    if os.path.isdir(name) and os.path.exists(os.path.join(name, CONFIG)):
        return keras_file.load(name, custom_objects, compile, safe_mode)
    if name.endswith((".keras", *LEGACY)) and not os.path.isfile(name):
        problem = f"File not found: filepath={name}"
        raise MissingFileError(message("load_model", problem, "Please ensure the file is an accessible file"))
    if name.endswith(LEGACY):
        return legacy_model.load_model_from_hdf5(name, custom_objects, compile)
    if name.endswith(".keras") or (os.path.isfile(name) and zipfile.is_zipfile(name)):
        return keras_file.load(name, custom_objects, compile, safe_mode)
    problem = f"File format not supported: filepath={name}"
    fix = "Keras 3 only supports V3 `.keras` files and legacy H5 format files (`.h5` extension)"
    raise ValueError(message("load_model", problem, fix))


class MissingFileError(ValueError, FileNotFoundError):
    """There is no such file. (Keras raises a ValueError for a missing `.keras` file.)"""


def path_of(filepath: Any, where: str) -> str:
    """The path as a string; ValueError for what is none."""
    if not isinstance(filepath, str | os.PathLike):
        raise ValueError(message(where, f"filepath must be a path, received {type(filepath).__name__}"))
    return str(os.fspath(filepath))


def may_write(name: str, overwrite: bool, where: str) -> bool:
    """Whether a file may be written: where one is there that is to stay, a person at the terminal is asked.

    Raises:
        FileExistsError: it is there, and nobody can be asked.
    """
    if overwrite or not os.path.exists(name):
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise FileExistsError(message(where, f"{name!r} is there", "Pass overwrite=True to replace it"))
    answer = ""
    while answer not in ("y", "n"):
        answer = input(f"[WARNING] {name} already exists - overwrite? [y/n] ").strip().lower()
    return answer == "y"
