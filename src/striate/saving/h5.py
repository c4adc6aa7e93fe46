"""HDF5 files as data only: opened, walked and read with nothing taken on trust, and written beside their target.

A file may claim anything: links to other files, datasets whose content lies elsewhere, sizes that no disk holds, Python
objects. Each is refused here with a ValueError, so that the readers above see only plain numbers of the wanted shape.
h5py is imported when the first file is touched.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from striate.core.errors import message
from striate.saving.atomic import replacing

FLOOR = 256 << 20  # below 256 MiB a dataset is read whatever its compression
EXPANSION = 1000  # above it, at most so many times the bytes it takes in the file
Values = list[tuple[Any, np.ndarray]]  # variables and what is to be assigned to them
MAGIC = b"\x89HDF\r\n\x1a\n"
_NAMES: dict[str, str] = {}  # what open files are called in messages
NAMES = 1_000_000  # more names than any model has layers or weights


def h5py_module(where: str) -> Any:
    """The module `h5py`; ImportError that names what to install when it is not there."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(message(where, "h5py is not installed", "Install the package 'h5py'")) from error
    return h5py


@contextmanager
def opened(path: str | os.PathLike[str], where: str = "load_weights") -> Iterator[Any]:
    """The file's root group, for reading; what is wrong with the file becomes an OSError also inside the `with`.

    Raises:
        FileNotFoundError: no such file. IsADirectoryError: a folder. OSError: not HDF5, or cut short.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        raise IsADirectoryError(message(where, f"{name!r} is a folder, expected an HDF5 file"))
    if not os.path.exists(name):
        raise FileNotFoundError(message(where, f"there is no file {name!r}", "Check the path"))
    with open(name, "rb") as file:
        whole = file.read(8) == MAGIC
    with _opened(name, name, whole, where) as root:
        yield root


@contextmanager
def opened_inside(file: Any, name: str, where: str = "load_model") -> Iterator[Any]:
    """As `opened`, for an open binary file; `name` is what errors call it.

    Raises:
        OSError: not HDF5, or cut short.
    """
    whole = file.read(8) == MAGIC
    file.seek(0)
    with _opened(file, name, whole, where) as root:
        yield root


@contextmanager
def _opened(source: Any, name: str, whole: bool, where: str) -> Iterator[Any]:
    module = h5py_module(where)
    try:
        file = module.File(source, "r")
    except OSError as error:
        kind = "cut short or damaged" if whole else "no HDF5 file"
        raise OSError(message(where, f"{name!r} is {kind} ({error})", "Download or save it again")) from error
    _NAMES[str(file.filename)] = name
    with file:
        try:
            yield file
        except (KeyError, RuntimeError) as error:  # how h5py reports damage, depending on where it lies
            problem = f"{name!r} is cut short or damaged ({error})"
            raise OSError(message(where, problem, "Download or save it again")) from error
        finally:
            _NAMES.pop(str(file.filename), None)


def file_name(group: Any) -> str:
    """The file that a group or dataset belongs to, for messages."""
    known = str(group.file.filename)
    return repr(_NAMES.get(known, known))


# --------------------------------------------------------------------------------------------------- walking the file


def get_group(group: Any, path: str, where: str) -> Any:
    """The group at `path` below `group`; ValueError if it is missing, a link or no group."""
    found = _walk(group, path, where)
    if not isinstance(found, h5py_module(where).Group):
        raise _wrong(found, where, f"{found.name!r} is a dataset, expected a group")
    return found


def get_dataset(group: Any, path: str, where: str, kinds: str = "fiubV") -> Any:
    """The dataset at `path` below `group`; ValueError if it is missing, a link, or not plain numbers (`kinds` of
    dtypes)."""
    found = _walk(group, path, where)
    if not isinstance(found, h5py_module(where).Dataset):
        raise _wrong(found, where, f"{found.name!r} is a group, expected a dataset")
    if found.external or found.is_virtual:
        raise _wrong(found, where, f"the values of {found.name!r} lie in another file, which is not allowed")
    plain = found.shape is not None and found.dtype.kind in kinds and not found.dtype.fields
    if not plain or _is_reference(found.dtype, where):
        raise _wrong(found, where, f"{found.name!r} holds {found.dtype}, expected numbers")
    return found


def _is_reference(dtype: np.dtype, where: str) -> bool:
    module = h5py_module(where)
    return dtype.hasobject or bool(module.check_ref_dtype(dtype)) or dtype.subdtype is not None


def _walk(group: Any, path: str, where: str) -> Any:
    module = h5py_module(where)
    for name in path.split("/"):
        if name in ("", ".", ".."):
            raise _wrong(group, where, f"{path!r} is no path below {group.name!r}")
        link = group.get(name, getlink=True) if isinstance(group, module.Group) else None
        if link is None:
            raise _wrong(group, where, f"{group.name!r} holds no {name!r}", "Is this the weight file of another model?")
        if not isinstance(link, module.HardLink):
            raise _wrong(group, where, f"{name!r} in {group.name!r} is a {type(link).__name__}, which is not allowed")
        group = _open(group, name, where)
    return group


def _open(group: Any, name: str, where: str) -> Any:
    try:
        return group[name]
    except (KeyError, OSError, RuntimeError) as error:
        raise OSError(message(where, f"{file_name(group)} is cut short or damaged at {name!r} ({error})")) from error


def has(group: Any, path: str) -> bool:
    """Whether there is something at `path` below `group`, be it only a link; no link is followed."""
    module = h5py_module("load_weights")
    for name in filter(None, path.split("/")):
        link = group.get(name, getlink=True) if isinstance(group, module.Group) else None
        if not isinstance(link, module.HardLink):
            return link is not None
        group = _open(group, name, "load_weights")
    return True


def _wrong(at: Any, where: str, problem: str, fix: str | None = None) -> ValueError:
    return ValueError(message(where, f"{file_name(at)}: {problem}", fix))


def names(group: Any, attribute: str, where: str) -> list[str]:
    """A list of names kept as an attribute, or, when it is long, in the numbered attributes `attribute0`, ...

    Raises:
        ValueError: the attribute is there but does not hold names.
    """
    if attribute in group.attrs:
        return _texts(group, attribute, where)
    found: list[str] = []
    chunk = 0
    while f"{attribute}{chunk}" in group.attrs and len(found) < NAMES:
        found += _texts(group, f"{attribute}{chunk}", where)
        chunk += 1
    return found


def _texts(group: Any, attribute: str, where: str) -> list[str]:
    problem = f"the attribute {attribute!r} of {group.name!r} does not hold a list of names"
    try:
        value = np.asarray(group.attrs[attribute])
        flat = value.tolist() if value.ndim == 1 and value.size <= NAMES else None
        texts = [v.decode("utf-8") if isinstance(v, bytes) else v for v in flat or []]
    except (OSError, RuntimeError, TypeError, ValueError, KeyError) as error:
        raise _wrong(group, where, f"{problem} ({error})") from error
    plain = flat is not None and all(isinstance(text, str) for text in texts)
    if value.size and not plain:  # an empty list of names may have any dtype
        raise _wrong(group, where, problem)
    return texts


def read(dataset: Any, where: str) -> np.ndarray:
    """The dataset's values; ValueError for a bomb, OSError where the file is damaged."""
    declared = int(np.prod(dataset.shape, dtype=object)) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if declared > FLOOR and declared > EXPANSION * stored:
        raise _wrong(dataset, where, f"{dataset.name!r} claims {declared:,} bytes but stores {stored:,}; refused")
    try:
        return _numbers(np.asarray(dataset[()]))
    except (OSError, RuntimeError) as error:
        problem = f"{file_name(dataset)} is cut short or damaged at {dataset.name!r} ({error})"
        raise OSError(message(where, problem, "Download or save it again")) from error


def _numbers(value: np.ndarray) -> np.ndarray:
    """Keras writes bfloat16, which NumPy lacks, as two raw bytes: the upper half of a float32."""
    if value.dtype.kind != "V" or value.dtype.itemsize != 2:
        return value
    return (value.view("<u2").astype("<u4") << 16).view("<f4")


# ------------------------------------------------------------------------------------------------------ into the model


def warn(text: str) -> None:
    """A warning that points at the caller of `Model.load_weights`, as far as that can be told."""
    warnings.warn(text, stacklevel=7)


def read_all(pairs: Sequence[tuple[Any, Any]], where: str) -> Values:
    """Variables with the values of their datasets, all read (the shapes have been checked) before any is assigned."""
    return [(variable, read(dataset, where)) for variable, dataset in pairs]


def assign_all(values: Values) -> None:
    """Assigns every value, or, if one fails (or Ctrl-C comes), none."""
    with unchanged_on_error([variable for variable, _ in values]):
        for variable, value in values:
            variable.assign(value)


@contextmanager
def unchanged_on_error(variables: Iterable[Any]) -> Iterator[None]:
    """Gives the variables their values back if the block ends with an error."""
    before = [(variable, variable.array) for variable in variables]
    try:
        yield
    except BaseException:
        for variable, array in before:
            variable.commit(array)
        raise


# ------------------------------------------------------------------------------------------------------------- writing


def write(path: str | os.PathLike[str], fill: Callable[[Any], None], where: str = "save_weights") -> None:
    """Writes an HDF5 file: `fill(root)` into a temporary file beside, which is then moved into place."""
    module = h5py_module(where)
    with replacing(path) as temporary, module.File(temporary, "w") as file:
        fill(file)
