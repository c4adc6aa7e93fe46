"""`load_weights` and `save_weights`: which of the HDF5 layouts a file has, or is to have."""

from __future__ import annotations

import os
from typing import Any

from striate.core.errors import message
from striate.core.registry import export
from striate.saving import h5
from striate.saving.legacy_h5 import is_legacy, read_group
from striate.saving.weights_h5 import read_tree, save_weights_to_tree

SUFFIXES = (".h5", ".hdf5")


@export("keras.saving.load_weights")
def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
    """Load weights from a `.weights.h5` file, or a `.h5` or `.hdf5` file of the legacy layout, into a built model.

    On any error the model is unchanged. The layout is found out from the file's content.

    Args:
        model: the model.
        filepath: the file.
        skip_mismatch: leave out, with a warning, what does not fit (default False: an error).
        **kwargs: `by_name=True` matches layers by name (legacy layout only).

    Raises:
        ValueError: an unknown suffix or argument, or a file that does not fit the model.
        FileNotFoundError, OSError: no such file; not HDF5, or cut short.
    """
    by_name = kwargs.pop("by_name", None)
    if kwargs:
        problem = f"unknown arguments {sorted(kwargs)}"
        raise ValueError(message("load_weights", problem, "Known: skip_mismatch, by_name"))
    name = _name(filepath, "load_weights")
    if not name.endswith(SUFFIXES):
        fix = "Use a '.weights.h5' file, or a legacy '.h5' or '.hdf5' file"
        raise ValueError(message("load_weights", f"file format not supported: {name!r}", fix))
    with h5.opened(name, "load_weights") as root:
        legacy = is_legacy(root)
        if by_name and not legacy:
            raise ValueError(message("load_weights", f"by_name is for the legacy layout, {name!r} has the newer one"))
        if legacy:
            h5.assign_all(read_group(root, model, bool(by_name), skip_mismatch))
        else:
            read_tree(root, model, skip_mismatch)


@export("keras.saving.save_weights")
def save_weights(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Save a model's weights, written beside the target and moved into place.

    Args:
        model: a built model.
        filepath: ends in `.weights.h5`.
        overwrite: replace a file that is there (default True).

    Raises:
        ValueError: another suffix. FileExistsError: the file is there and `overwrite` is False.
    """
    name = _name(filepath, "save_weights")
    if not name.endswith(".weights.h5"):
        raise ValueError(message("save_weights", f"the file name must end in '.weights.h5', received {name!r}"))
    if not overwrite and os.path.exists(name):
        raise FileExistsError(message("save_weights", f"{name!r} is there", "Pass overwrite=True to replace it"))
    save_weights_to_tree(name, model)


def _name(filepath: Any, where: str) -> str:
    if not isinstance(filepath, str | os.PathLike):
        raise ValueError(message(where, f"filepath must be a path, received {type(filepath).__name__}"))
    return os.fspath(filepath)
