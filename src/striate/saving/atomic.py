"""Files that are either the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

ABANDONED = 3600.0  # seconds since the last write, after which a part is what a killed process left behind


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """The path of a temporary file beside `path`, which takes its place when the block ends without an error.

    The bytes are on the disk before the name changes, so that also a crash of the machine leaves one whole file.
    Folders that are missing are made.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    name = os.path.abspath(os.fspath(path))
    folder, base = os.path.split(os.path.realpath(name) if os.path.islink(name) else name)
    os.makedirs(folder, exist_ok=True)
    _clear_abandoned(folder, base)
    handle, temporary = tempfile.mkstemp(prefix=f".{base}.", suffix=".part", dir=folder)
    os.close(handle)
    try:
        yield temporary
        _like_a_new_file(temporary)
        _to_disk(temporary)
        os.replace(temporary, os.path.join(folder, base))
        _to_disk(folder)
    finally:
        with suppress(FileNotFoundError):
            os.remove(temporary)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a whole file: all of it or nothing."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(content)


def _clear_abandoned(folder: str, base: str) -> None:
    for entry in os.scandir(folder):
        if entry.name.startswith(f".{base}.") and entry.name.endswith(".part"):
            with suppress(OSError):  # somebody else's, or gone meanwhile
                if time.time() - entry.stat().st_mtime > ABANDONED:
                    os.remove(entry.path)


def _like_a_new_file(path: str) -> None:
    """Temporary files are private; the result gets the rights that any new file gets."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, 0o666 & ~mask)


def _to_disk(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # file systems that cannot do it for folders
            os.fsync(handle)
    finally:
        os.close(handle)
