"""The members of a `.keras` file, whether it is a zip or a folder, with nothing taken on trust."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from striate.core.errors import message

CONFIG, METADATA, WEIGHTS, ASSETS = "config.json", "metadata.json", "model.weights.h5", "assets"
IN_MEMORY = 64 << 20  # bytes up to which the weights on their way out of or into a zip are kept in memory
FLOOR = 256 << 20  # below 256 MiB a member is read whatever its compression
EXPANSION = 100  # above it, at most so many times the bytes it takes in the file
WHERE = "load_model"


class Zip:
    """A zip for reading. Checked when it is opened: names, kinds and sizes of all members.

    Raises:
        ValueError: no zip, damaged, members twice or with names that lead out of it, bombs.
    """

    def __init__(self, source: Any, name: str) -> None:
        self.name = name
        try:
            self._zip = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            fix = "Save or download it again"
            raise ValueError(message(WHERE, f"{name!r} is no whole `.keras` file ({error})", fix)) from error
        self._known: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            self._check(info)
            self._known[info.filename] = info

    def _check(self, info: zipfile.ZipInfo) -> None:
        member, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
        problem = None
        if member in self._known:
            problem = f"holds {member!r} twice"
        elif kind and kind not in (stat.S_IFREG, stat.S_IFDIR):
            problem = f"holds {member!r}, which is a link or a device, not a file"
        elif not _stays_inside(member):
            problem = f"holds {member!r}, which leads out of its folder"
        elif info.flag_bits & 1:
            problem = f"holds {member!r} encrypted"
        elif info.file_size > FLOOR and info.file_size > EXPANSION * max(info.compress_size, 1):
            problem = f"holds {member!r}, which claims {info.file_size:,} bytes but stores {info.compress_size:,}"
        if problem:
            self._zip.close()
            raise ValueError(message(WHERE, f"{self.name!r} {problem}; refused"))

    def names(self) -> list[str]:
        """All members but folders."""
        return [name for name in self._known if not name.endswith("/")]

    def read(self, member: str) -> bytes:
        """The bytes of a member; ValueError if it is missing or damaged."""
        with self.open(member) as file:
            return file.read()

    @contextmanager
    def open(self, member: str) -> Iterator[BinaryIO]:
        """A member's content as a file that can be searched, checked against its sum."""
        if member not in self._known:
            raise missing(self.name, member)
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as copy:
            try:
                with self._zip.open(self._known[member]) as file:
                    shutil.copyfileobj(file, copy, 1 << 20)
            except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, OSError, zlib.error) as error:
                problem = f"{member!r} in {self.name!r} is damaged ({error})"
                raise ValueError(message(WHERE, problem, "Save or download it again")) from error
            copy.seek(0)
            yield copy  # type: ignore[misc]

    def size(self, member: str) -> int:
        """How many bytes of the file a member takes."""
        return self._known[member].compress_size

    def close(self) -> None:
        """Closes the file."""
        self._zip.close()


def _stays_inside(member: str) -> bool:
    parts = member.rstrip("/").split("/")
    plain = "\\" not in member and "\0" not in member and not os.path.splitdrive(member)[0]
    return plain and all(part not in ("", ".", "..") for part in parts)


class Folder:
    """The unzipped form: a folder with the same members."""

    def __init__(self, path: str) -> None:
        self.name = path

    def names(self) -> list[str]:
        """All files, by their paths below the folder; links are not followed."""
        found = []
        for folder, _, files in os.walk(self.name):
            found += [os.path.relpath(os.path.join(folder, f), self.name).replace(os.sep, "/") for f in files]
        return found

    def read(self, member: str) -> bytes:
        """The bytes of a member; ValueError if it is missing or no file."""
        with self.open(member) as file:
            return file.read()

    @contextmanager
    def open(self, member: str) -> Iterator[BinaryIO]:
        """A member as an open file."""
        path = os.path.join(self.name, member)
        if not os.path.isfile(path):
            raise missing(self.name, member)
        inside = os.path.realpath(self.name) + os.sep
        if not os.path.realpath(path).startswith(inside):
            raise ValueError(message(WHERE, f"{path!r} is a link that leads out of its folder; refused"))
        with open(path, "rb") as file:
            yield file

    def size(self, member: str) -> int:
        """How many bytes a member takes."""
        return os.path.getsize(os.path.join(self.name, member))

    def close(self) -> None:
        """Nothing is open."""


def missing(name: str, member: str) -> ValueError:
    """The error for a member that is not there."""
    return ValueError(message(WHERE, f"{name!r} holds no {member!r}", "Is it a file that Keras or striate has saved?"))


@contextmanager
def assets_of(members: Zip | Folder) -> Iterator[str | None]:
    """A temporary folder with the members below `assets/`; None if there are none."""
    found = [name for name in members.names() if name.startswith(f"{ASSETS}/")]
    if not found:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in found:
            path = os.path.join(folder, *name.split("/")[1:])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with members.open(name) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        yield folder
