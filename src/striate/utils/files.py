"""`get_file`: a file from the web, kept in Keras's own cache (`$KERAS_HOME` or `~/.keras`) and checked by its hash."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.parse
import warnings
from typing import Any

from striate.core import config
from striate.core.errors import message
from striate.core.registry import export
from striate.utils.archive import extract_archive
from striate.utils.download import Expected, download, locked

HASH_LENGTHS = {32: "md5", 64: "sha256"}
CHUNK = 1 << 20


@export("keras.utils.get_file")
def get_file(
    fname: str | os.PathLike[str] | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | list[str] | None = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
) -> str:
    """The path of a file in the cache, downloaded from `origin` when it is not there yet.

    The download goes to a `.part` file beside the target, which a later call resumes, and is moved into place when it
    is whole and its hash is right.

    Args:
        fname: name in the cache; None (default) takes the last part of the URL. With `extract`, the folder's name.
        origin: the URL.
        untar: like `extract`, for tar archives only (default False).
        md5_hash: the expected MD5; use `file_hash`.
        file_hash: the expected MD5 or SHA-256 in hexadecimal digits; None (default) checks nothing.
        cache_subdir: folder below the cache, default 'datasets'; an absolute path is taken as it is.
        hash_algorithm: 'auto' (default: by the hash's length), 'md5' or 'sha256'.
        extract: unpack the archive and return the folder (default False).
        archive_format: 'auto' (default: tar, zip), 'tar', 'zip', a list of them, or None for none.
        cache_dir: the cache; None (default) for `$KERAS_HOME`, else `~/.keras`.
        force_download: download although the file is there (default False).

    Returns:
        The path of the file, or of the folder when `extract` or `untar` is set.

    Raises:
        ValueError: no `origin`, a `fname` with folders, a wrong hash, an archive that leaves its folder.
        striate.utils.download.DownloadError: (an OSError) no network, no such URL, a connection that keeps breaking.
    """
    if not isinstance(origin, str) or not urllib.parse.urlsplit(origin).scheme:
        raise ValueError(message("get_file", f"origin must be the URL of the file, received {origin!r}"))
    name = _file_name(fname, origin)
    target_name, folder_name = _names(name, given=bool(fname), unpack=extract or untar)
    expected = expected_hash(file_hash or md5_hash, "md5" if md5_hash and not file_hash else hash_algorithm)
    folder = _cache_folder(cache_dir, cache_subdir, target_name)
    target = os.path.join(folder, target_name)
    if force_download or not _is_cached(target, expected):
        _download(origin, target, expected, force_download)
    return _unpack(target, folder, folder_name, "tar" if untar else archive_format) if folder_name else target


def _file_name(fname: str | os.PathLike[str] | None, origin: str) -> str:
    name = os.fspath(fname) if fname else os.path.basename(urllib.parse.urlsplit(origin).path)
    if not name:
        raise ValueError(message("get_file", f"the URL {origin!r} ends in no file name", "Pass fname='...'"))
    if os.sep in name or "/" in name or name in (".", ".."):
        problem = f"fname must be a name without folders, received {name!r}"
        raise ValueError(message("get_file", problem, "Name the folder with cache_dir and cache_subdir"))
    return name


def _names(name: str, given: bool, unpack: bool) -> tuple[str, str]:
    """The names, by Keras's rules, of the downloaded file and of the folder it is unpacked to ('' for none)."""
    if not unpack:
        return name, ""
    if given and "." in name:
        return name, f"{name[: name.find('.')]}_extracted"
    return f"{name}_archive", name


def _cache_folder(cache_dir: str | os.PathLike[str] | None, subdir: str, name: str) -> str:
    """The folder to keep the file in: the cache, or one for temporary files where the cache cannot be written."""
    base = os.path.expanduser(os.fspath(cache_dir) if cache_dir is not None else config.keras_home())
    folder = os.path.join(base, subdir)
    if os.path.exists(os.path.join(folder, name)) and not os.access(folder, os.W_OK):
        return folder  # a cache that others filled and that may only be read
    try:
        os.makedirs(folder, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return _substitute(folder, subdir)


def _substitute(folder: str, subdir: str) -> str:
    substitute = os.path.join(tempfile.gettempdir(), ".keras", subdir)
    warnings.warn(f"get_file: cannot write to {folder}; using {substitute}. Set KERAS_HOME.", stacklevel=4)
    os.makedirs(substitute, exist_ok=True)
    return substitute


# -------------------------------------------------------------------------------------------------------------- hashes


def expected_hash(file_hash: str | None, algorithm: str = "auto") -> Expected | None:
    """What the file's hash must be; ValueError for an unknown algorithm or a hash of the wrong length."""
    if file_hash is None:
        return None
    digest = str(file_hash).strip().lower()
    by_length = HASH_LENGTHS.get(len(digest))
    name = by_length if algorithm == "auto" else algorithm
    if name is None or name not in HASH_LENGTHS.values():
        problem = f"hash_algorithm must be 'auto', 'md5' or 'sha256', received {algorithm!r} for {file_hash!r}"
        raise ValueError(message("get_file", problem, "An MD5 has 32 hexadecimal digits, a SHA-256 has 64"))
    if name != by_length:
        problem = f"{file_hash!r} with its {len(digest)} digits is no {name}"
        raise ValueError(message("get_file", problem, "An MD5 has 32 hexadecimal digits, a SHA-256 has 64"))
    return Expected(name, digest)


def hash_file(path: str | os.PathLike[str], algorithm: str = "sha256") -> str:
    """The file's MD5 or SHA-256 in hexadecimal digits."""
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def _is_cached(target: str, expected: Expected | None) -> bool:
    return os.path.exists(target) and (expected is None or hash_file(target, expected.algorithm) == expected.digest)


def _download(origin: str, target: str, expected: Expected | None, force: bool) -> None:
    with locked(target):
        if not force and _is_cached(target, expected):
            return  # another process was faster
        if not force and expected and os.path.exists(target):
            print(f"{target} is there, but its {expected.algorithm} is not {expected.digest}: downloading it again")
        download(origin, target, expected)


def _unpack(target: str, folder: str, name: str, archive_format: Any) -> str:
    unpacked = os.path.join(folder, name)
    if not extract_archive(target, unpacked, archive_format):
        warnings.warn(f"get_file: {target} is no archive of format {archive_format!r}; not unpacked.", stacklevel=3)
    return unpacked
