"""`load_weights` and `save_weights`: which of the layouts a file has, or is to have."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import Any

from striate.core.errors import message
from striate.core.registry import export
from striate.saving import h5, keras_file
from striate.saving.legacy_h5 import is_legacy, read_group
from striate.saving.models import may_write, path_of
from striate.saving.weights_h5 import read_tree, save_weights_to_tree

SUFFIXES = (".h5", ".hdf5", ".keras")


@export("keras.saving.load_weights")
def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
    """Load weights from a `.weights.h5` or `.keras` file, or a `.h5` or `.hdf5` file of the legacy layout.

    On any error the model is unchanged. The HDF5 layout is found out from the file's content. A compiled model also
    gets the state of its optimizer, if the file has it.

    Args:
        model: a built model.
        filepath: the file.
        skip_mismatch: leave out, with a warning, what does not fit (default False: an error).
        **kwargs: `by_name=True` matches layers by name (legacy layout only); `objects_to_skip`, a list of layers to
            leave as they are (`.weights.h5` only).

    Raises:
        ValueError: an unknown suffix or argument, or a file that does not fit the model.
        FileNotFoundError, OSError: no such file; not HDF5, or cut short.
    """
    by_name, skip = kwargs.pop("by_name", None), kwargs.pop("objects_to_skip", None)
    if kwargs:
        problem = f"Invalid keyword arguments: {kwargs}"
        raise ValueError(message("load_weights", problem, "Known: skip_mismatch, by_name, objects_to_skip"))
    name = path_of(filepath, "load_weights")
    if not name.endswith(SUFFIXES):
        fix = "Use a '.weights.h5' or '.keras' file, or a legacy '.h5' or '.hdf5' file"
        raise ValueError(message("load_weights", f"File format not supported: filepath={name!r}", fix))
    if name.endswith(".keras"):
        _refuse_others(name, by_name, skip)
        _check_built(model)
        with closing(keras_file.opened(name)) as members:
            keras_file.load_state(members, model, skip_mismatch, "load_weights")
        return
    _load_hdf5(model, name, skip_mismatch, by_name, skip)


def _load_hdf5(model: Any, name: str, skip_mismatch: bool, by_name: Any, skip: Iterable[Any] | None) -> None:
    with h5.opened(name, "load_weights") as root:
        legacy = is_legacy(root)
        if by_name and not legacy:
            problem = f"`by_name` only supports loading legacy '.h5' or '.hdf5' files. Received: {name!r}"
            raise ValueError(message("load_weights", problem))
        if legacy and skip is not None:
            raise ValueError(
                message(
                    "load_weights", f"`objects_to_skip` only supports loading '.weights.h5' files. Received: {name!r}"
                )
            )
        if legacy:
            h5.assign_all(read_group(root, model, bool(by_name), skip_mismatch))
        else:
            _check_built(model)
            read_tree(root, model, skip_mismatch, skip or ())


def _check_built(model: Any) -> None:
    if not getattr(model, "built", True):
        problem = f"You are loading weights into a model that has not yet been built. Received: {model.name!r}"
        raise ValueError(message("load_weights", problem, "Build it first: call it on some data, or use `build()`"))


def _refuse_others(name: str, by_name: Any, skip: Any) -> None:
    for argument, value in (("by_name", by_name), ("objects_to_skip", skip)):
        if value is not None:
            others = {"by_name": "legacy '.h5' or '.hdf5'", "objects_to_skip": "'.weights.h5'"}[argument]
            problem = f"`{argument}` only supports loading {others} files. Received: {name!r}"
            raise ValueError(message("load_weights", problem))


@export("keras.saving.save_weights")
def save_weights(
    model: Any, filepath: Any, overwrite: bool = True, max_shard_size: float | None = None, **kwargs: Any
) -> None:
    """Save a model's weights, and its optimizer's state if it is compiled, beside the target and then moved into place.

    Args:
        model: a built model.
        filepath: ends in `.weights.h5`.
        overwrite: replace a file that is there (default True).
        max_shard_size: None; weights are always kept in one file here.
        **kwargs: `objects_to_skip`, a list of layers to leave out.

    Raises:
        ValueError: another suffix, or the model is not built. FileExistsError: the file is there, and is to stay.
    """
    skip = kwargs.pop("objects_to_skip", None)
    if kwargs:
        raise TypeError(message("save_weights", f"unexpected keyword arguments: {kwargs}"))
    name = path_of(filepath, "save_weights")
    if not name.endswith(".weights.h5"):
        problem = f"The filename must end in `.weights.h5`. Received: filepath={name}"
        raise ValueError(message("save_weights", problem))
    if max_shard_size is not None:
        raise ValueError(message("save_weights", "weights in several files are not written here", "Leave it out"))
    if not getattr(model, "built", True):
        problem = "You are saving a model that has not yet been built"
        raise ValueError(message("save_weights", problem, "Call it on some data first, or use `build()`"))
    if may_write(name, overwrite, "save_weights"):
        save_weights_to_tree(name, model, skip or ())
