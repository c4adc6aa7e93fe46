"""Archives are unpacked only when every member stays inside the folder and the whole has a sane size."""

from __future__ import annotations

import importlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from striate.core.errors import message

if TYPE_CHECKING:
    import tarfile
    import zipfile

FLOOR = 1 << 30  # below 1 GiB nothing is a bomb
EXPANSION = 200  # above it, at most so many times the archive's size (deflate can reach 1032)
MEMBERS = 2_000_000
FORMATS = ("tar", "zip")


def extract_archive(path: str, folder: str, archive_format: str | Sequence[str] | None = "auto") -> bool:
    """Unpack a tar (plain, gz, bz2, xz) or zip archive into `folder`; False when it is neither.

    The members are unpacked to a temporary folder beside and then moved, so that a refused archive leaves nothing.

    Raises:
        ValueError: a member or link leaves the folder, is a device, or the archive is a bomb; an unknown format.
        OSError: the archive is damaged, or the disk is full.
    """
    kind = next((name for name in _formats(archive_format) if _is(name, path)), None)
    if kind is None:
        return False
    parent = os.path.dirname(os.path.abspath(folder))
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=parent) as temporary:
        inside = os.path.join(temporary, "content")
        os.mkdir(inside)
        _extract(kind, path, inside)
        _move(inside, folder)
    return True


def _formats(archive_format: str | Sequence[str] | None) -> Sequence[str]:
    if archive_format is None or archive_format == "auto":
        return FORMATS if archive_format else ()
    names = [archive_format] if isinstance(archive_format, str) else list(archive_format)
    if unknown := [name for name in names if name not in FORMATS]:
        raise ValueError(message("get_file", f"archive_format must be 'auto', 'tar' or 'zip', received {unknown[0]!r}"))
    return names


def _module(kind: str) -> Any:
    """`tarfile` or `zipfile`, imported when there is something to unpack: they bring in every compression."""
    return importlib.import_module(f"{kind}file")


def _is(kind: str, path: str) -> bool:
    return getattr(_module(kind), f"is_{kind}file")(path)


def _extract(kind: str, path: str, folder: str) -> None:
    tarfile, zipfile = _module("tar"), _module("zip")
    try:
        if kind == "tar":
            with tarfile.open(path) as archive:
                _extract_tar(archive, path, folder)
        else:
            with zipfile.ZipFile(path) as archive_zip:
                archive_zip.extractall(folder, members=list(_safe_zip(archive_zip, path)))
    except (getattr(tarfile, "FilterError", zipfile.LargeZipFile), zipfile.LargeZipFile) as error:
        raise _refused(path, str(error)) from error
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise OSError(message("get_file", f"the archive {path} is damaged or encrypted ({error})")) from error


def _extract_tar(archive: tarfile.TarFile, path: str, folder: str) -> None:
    members = list(_safe_tar(archive, path))
    if hasattr(_module("tar"), "data_filter"):
        return archive.extractall(folder, members=members, filter="data")
    for info in members:  # Python before 3.11.4: what that filter does
        _check_place(info, path, folder)
        archive.extract(info, folder, set_attrs=False)
        if info.isfile():
            os.chmod(os.path.join(folder, info.name), info.mode & 0o755 | 0o600)


def _check_place(info: tarfile.TarInfo, path: str, folder: str) -> None:
    """Refuses a member that leaves the folder by way of links that were unpacked before it."""
    ends = [os.path.join(folder, info.name)]
    if info.issym() or info.islnk():
        ends.append(os.path.join(os.path.dirname(ends[0]) if info.issym() else folder, info.linkname))
    root = os.path.realpath(folder)
    if any(os.path.commonpath([root, os.path.realpath(end)]) != root for end in ends):
        raise _refused(path, f"{info.name!r} leaves the folder")


def _move(source: str, folder: str) -> None:
    if not os.path.lexists(folder):
        os.rename(source, folder)
        return
    for name in os.listdir(source):  # unpacked before: lay the files over those that are there
        old, new = os.path.join(source, name), os.path.join(folder, name)
        if os.path.isdir(old) and not os.path.islink(old) and os.path.isdir(new) and not os.path.islink(new):
            _move(old, new)
        else:
            _replace(old, new)


def _replace(old: str, new: str) -> None:
    if os.path.isdir(new) and not os.path.islink(new):
        shutil.rmtree(new)
    os.replace(old, new)


# ---------------------------------------------------------------------------------------------------------- the checks


def _safe_tar(archive: tarfile.TarFile, path: str) -> Iterator[tarfile.TarInfo]:
    budget = _Budget(path)
    for info in archive:  # reads header by header, so that a bomb is refused before its content is unpacked
        budget.spend(info.size)
        if info.isdev():
            raise _refused(path, f"{info.name!r} is a device")
        base = "" if info.islnk() else os.path.dirname(info.name)
        names = [info.name] + ([os.path.join(base, info.linkname)] if info.issym() or info.islnk() else [])
        if any(_leaves(name) for name in names):
            raise _refused(path, f"{' -> '.join([info.name, info.linkname][: len(names)])!r} leaves the folder")
        yield info


def _safe_zip(archive: zipfile.ZipFile, path: str) -> Iterator[zipfile.ZipInfo]:
    budget = _Budget(path)
    for info in archive.infolist():
        budget.spend(info.file_size)
        if _leaves(info.filename):
            raise _refused(path, f"{info.filename!r} leaves the folder")
        yield info


def _leaves(name: str) -> bool:
    windows = pathlib.PureWindowsPath(name)
    inside = os.path.normpath(name.replace("\\", "/"))
    return bool(windows.drive or windows.root) or inside.split("/")[0] == ".."


class _Budget:
    """Adds up the members' sizes and refuses what no honest archive of this size holds."""

    def __init__(self, path: str) -> None:
        self.path, self.bytes, self.members = path, 0, 0
        self.limit = max(FLOOR, EXPANSION * os.path.getsize(path))

    def spend(self, size: int) -> None:
        self.bytes, self.members = self.bytes + max(size, 0), self.members + 1
        if self.bytes > self.limit or self.members > MEMBERS:
            problem = f"it would unpack to more than {self.limit:,} bytes or {MEMBERS:,} members"
            raise _refused(self.path, problem)


def _refused(path: str, reason: str) -> ValueError:
    return ValueError(message("get_file", f"the archive {path} was refused: {reason}", "Nothing was unpacked"))
