"""Keras 3's own format for whole models: a zip (or a folder) of the config, the weights and what objects add to it."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from striate.core.errors import message
from striate.core.limits import largest_variable
from striate.saving import atomic, h5
from striate.saving.deserialization import deserialize_keras_object, sharing
from striate.saving.members import (
    ASSETS,
    CONFIG,
    EXPANSION,
    FLOOR,
    IN_MEMORY,
    METADATA,
    WEIGHTS,
    Folder,
    Zip,
    assets_of,
    missing,
)
from striate.saving.saveables import owners
from striate.saving.serialization import serialize_shared
from striate.saving.weights_h5 import read_tree, write_tree

FOLLOWED = "3.15.1"  # the version of Keras whose format this is
Members = Zip | Folder


# ------------------------------------------------------------------------------------------------------------- writing


def save_zip(model: Any, target: Any) -> None:
    """Writes a `.keras` file, beside the target and then moved into place, or into an open binary file."""
    _warn_unbuilt(model)
    if hasattr(target, "write"):
        _write_zip(model, target)
        return
    with atomic.replacing(target) as temporary, open(temporary, "wb") as file:
        _write_zip(model, file)


def _write_zip(model: Any, file: Any) -> None:
    config, metadata = _texts(model)
    with _assets(model) as assets, tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as weights:
        _write_weights(model, weights)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(METADATA, metadata)
            archive.writestr(CONFIG, config)
            weights.seek(0)
            with archive.open(WEIGHTS, "w", force_zip64=True) as member:
                shutil.copyfileobj(weights, member, 1 << 20)
            for path, name in _files(assets):
                archive.write(path, f"{ASSETS}/{name}")


def save_folder(model: Any, path: str) -> None:
    """Writes the unzipped form; each file is replaced as a whole, the config last."""
    _warn_unbuilt(model)
    config, metadata = _texts(model)
    with _assets(model) as assets:
        h5.write(os.path.join(path, WEIGHTS), lambda root: write_tree(root, model), "save_model")
        for source, name in _files(assets):
            with atomic.replacing(os.path.join(path, ASSETS, name)) as temporary:
                shutil.copyfile(source, temporary)
    atomic.write_bytes(os.path.join(path, METADATA), metadata.encode())
    atomic.write_bytes(os.path.join(path, CONFIG), config.encode())


def _warn_unbuilt(model: Any) -> None:
    if not model.built:
        text = "You are saving a model that has not yet been built. It might not contain any weights yet. "
        warnings.warn(text + "Consider building the model first by calling it on some data.", stacklevel=5)


def _texts(model: Any) -> tuple[str, str]:
    config = serialize_shared(model)
    saved = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    try:
        return json.dumps(config), json.dumps({"keras_version": FOLLOWED, "date_saved": saved})
    except TypeError as error:
        problem = f"the config of {model.name!r} holds something that JSON cannot hold ({error})"
        fix = "Let `get_config()` return numbers, strings, lists, dictionaries and objects with `get_config()`"
        raise TypeError(message("save_model", problem, fix)) from error


def _write_weights(model: Any, file: Any) -> None:
    with h5.h5py_module("save_model").File(file, "w") as root:
        write_tree(root, model)


@contextmanager
def _assets(model: Any) -> Iterator[str]:
    """A temporary folder with what the objects in the model save of themselves."""
    with tempfile.TemporaryDirectory() as folder:
        for path, owner in owners(model):
            if hasattr(owner, "save_assets"):
                below = os.path.join(folder, *path.split("/")) if path else folder
                os.makedirs(below, exist_ok=True)
                owner.save_assets(below)
        yield folder


def _files(folder: str) -> list[tuple[str, str]]:
    found = []
    for above, _, files in os.walk(folder):
        paths = [os.path.join(above, name) for name in sorted(files)]
        found += [(path, os.path.relpath(path, folder).replace(os.sep, "/")) for path in paths]
    return found


# ------------------------------------------------------------------------------------------------------------- reading


def load(source: Any, custom_objects: Mapping[str, Any] | None, compile: bool, safe_mode: bool) -> Any:
    """The model in a `.keras` file, an open binary file with one, or a folder.

    Raises:
        ValueError: anything wrong with the file; bytecode; classes that are not known.
    """
    with closing(opened(source)) as members:
        config = _config(members, compile)
        if WEIGHTS not in members.names():
            raise missing(members.name, WEIGHTS)
        most = max(FLOOR, EXPANSION * members.size(WEIGHTS)) // 4
        with _naming_version(members), sharing(), largest_variable(most):
            model = deserialize_keras_object(config, custom_objects, safe_mode=safe_mode)
        if not hasattr(model, "layers"):
            raise ValueError(message("load_model", f"{members.name!r} describes {model!r}, expected a model"))
        load_state(members, model)
        _load_assets(members, model)
    return model


def opened(source: Any) -> Members:
    """The members of a file or folder."""
    if hasattr(source, "read"):
        return Zip(source, getattr(source, "name", None) or "the file")
    name = os.fspath(source)
    return Folder(name) if os.path.isdir(name) else Zip(name, name)


def load_state(members: Members, model: Any, skip_mismatch: bool = False, where: str = "load_model") -> None:
    """Gives a model the weights that the file has for it; on an error it is unchanged."""
    name = f"{members.name}:{WEIGHTS}"
    try:
        with members.open(WEIGHTS) as file, h5.opened_inside(file, name, where) as root:
            read_tree(root, model, skip_mismatch, where=where)
    except OSError as error:
        raise ValueError(str(error)) from error


def _load_assets(members: Members, model: Any) -> None:
    with assets_of(members) as folder:
        for path, owner in owners(model) if folder else ():
            if hasattr(owner, "load_assets"):
                below = os.path.join(str(folder), *path.split("/")) if path else str(folder)
                _load_own_assets(owner, below if os.path.exists(below) else None, members.name)


def _load_own_assets(owner: Any, folder: str | None, name: str) -> None:
    try:
        owner.load_assets(folder)
    except Exception as error:
        problem = f"the assets of {type(owner).__name__} in {name!r} could not be loaded: {error}"
        raise ValueError(message("load_model", problem)) from error


def _config(members: Members, compile: bool) -> dict[str, Any]:
    config = _json(members, CONFIG)
    if METADATA in members.names():
        _check_version(members, _json(members, METADATA))
    return config if compile else without_compiling(config)


def _json(members: Members, member: str) -> dict[str, Any]:
    try:
        found = json.loads(members.read(member).decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        problem = f"{member!r} in {members.name!r} is no JSON ({type(error).__name__}: {error})"
        raise ValueError(message("load_model", problem)) from error
    if not isinstance(found, dict):
        raise ValueError(message("load_model", f"{member!r} in {members.name!r} holds no dictionary"))
    return found


def without_compiling(config: Any) -> Any:
    """`config` without its `compile_config`, nested models' included."""
    if isinstance(config, list):
        return [without_compiling(x) for x in config]
    if not isinstance(config, dict):
        return config
    return {k: without_compiling(v) for k, v in config.items() if k != "compile_config"}


def _check_version(members: Members, metadata: dict[str, Any]) -> None:
    version = str(metadata.get("keras_version", FOLLOWED))
    major = version.split(".")[0]
    if major.isdigit() and int(major) > int(FOLLOWED.split(".")[0]):
        problem = (
            f"{members.name!r} was written by Keras {version}, a newer format than that of Keras 3, which is known"
        )
        raise ValueError(message("load_model", problem, "Save it with Keras 3, or update striate"))


@contextmanager
def _naming_version(members: Members) -> Iterator[None]:
    """Errors in the config say which version wrote the file, where it is newer than the one that is followed."""
    try:
        yield
    except RecursionError as error:
        raise ValueError(message("load_model", f"the config in {members.name!r} is nested too deep")) from error
    except (KeyError, AttributeError, IndexError) as error:
        problem = f"the config in {members.name!r} is incomplete or wrong ({type(error).__name__}: {error})"
        raise ValueError(message("load_model", problem)) from error
    except Exception as error:
        version = _version(members)
        if version > _parts(FOLLOWED):
            text = ".".join(map(str, version))
            error.add_note(f"The file was written by Keras {text}; what is known here is Keras {FOLLOWED}.")
        raise


def _version(members: Members) -> tuple[int, ...]:
    if METADATA not in members.names():
        return ()
    return _parts(str(_json(members, METADATA).get("keras_version", "")))


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
