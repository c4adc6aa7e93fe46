"""One download over urllib: resumed after a break, checked, and moved into place when it is whole.

While it runs, `TARGET.part` holds the bytes, and `TARGET.part.json` what the server said (ETag, date, length). A later
call asks with `Range` and `If-Range` for the rest. A server that knows no ranges, or whose file has changed, answers
with the whole file, and the download starts again.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from striate.core.errors import message

try:
    import fcntl
except ImportError:  # a system without file locks: each process then has a `.part` file of its own, never resumed
    fcntl = None  # type: ignore[assignment]

TIMEOUT = 60.0  # seconds without a byte
TRIES = 5  # connections in one call; each after the first only if the one before brought bytes
CHUNK = 1 << 16


def _web(name: str) -> Any:
    """`http.client`, `urllib.request` and the like: with ssl below them, too heavy to be imported for nothing."""
    return importlib.import_module(name)


class DownloadError(OSError):
    """A download that failed for want of network, of the file at its URL, or of a connection that lasts."""


class _Broken(Exception):
    """The connection broke after bytes had come: worth another try."""


class _StartAgain(Exception):
    """What the server has does not continue what is here."""


@dataclass(frozen=True)
class Expected:
    """The hash that the whole file must have."""

    algorithm: str
    digest: str


@dataclass
class Part:
    """The unfinished file: its path, and what the server said about the whole one."""

    path: str
    origin: str
    validator: str | None = None  # a strong ETag or a date, for If-Range
    length: int | None = None
    sure: bool = field(default=False)  # the bytes here come from this very call

    @property
    def size(self) -> int:
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def remember(self) -> None:
        with open(self.path + ".json", "w", encoding="utf-8") as file:
            json.dump({"origin": self.origin, "validator": self.validator, "length": self.length}, file)

    def recall(self) -> None:
        """Takes up what an earlier call left; forgets it if it came from elsewhere."""
        try:
            with open(self.path + ".json", encoding="utf-8") as file:
                known = json.load(file)
            if known["origin"] != self.origin:
                raise ValueError(known["origin"])
            self.validator, self.length = known["validator"], known["length"]
        except (OSError, ValueError, KeyError, TypeError):
            self.remove()

    def remove(self) -> None:
        self.validator, self.length = None, None
        for path in (self.path, self.path + ".json"):
            with suppress(FileNotFoundError):
                os.remove(path)


def download(origin: str, target: str, expected: Expected | None = None) -> None:
    """Download `origin` to the path `target`.

    Raises:
        DownloadError: no network, an HTTP error, a timeout, or a connection that keeps breaking. What has come stays
            in `TARGET.part` and is resumed by the next call.
        ValueError: the file's hash is not the expected one (the file is deleted), or `origin` is no URL.
    """
    part = Part(target + (".part" if fcntl else f".{os.getpid()}.part"), origin)
    part.recall()
    print(f"Downloading data from {origin}", flush=True)
    resumed = _fetch_all(part, target, expected)
    found = _hash(part.path, expected)
    if found and resumed:  # perhaps the old bytes were the wrong ones
        part.remove()
        _fetch_all(part, target, expected)
        found = _hash(part.path, expected)
    if found and expected:
        part.remove()
        problem = f"the {expected.algorithm} of {origin} is {found}, expected {expected.digest}; the file was deleted"
        raise ValueError(message("get_file", problem, "Try again, or check the hash with the file's publisher"))
    os.replace(part.path, target)
    part.remove()


def _hash(path: str, expected: Expected | None) -> str:
    """The file's hash if it is not the expected one, else ''."""
    if expected is None:
        return ""
    hasher = hashlib.new(expected.algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return "" if hasher.hexdigest() == expected.digest else hasher.hexdigest()


def _fetch_all(part: Part, target: str, expected: Expected | None) -> bool:
    """Fetches until all is there; whether bytes of an earlier call were kept."""
    before = part.size
    tries = 0
    while True:
        tries += 1
        have = part.size
        try:
            return _fetch(part, resume=part.sure or bool(part.validator or expected)) and before > 0
        except _StartAgain:
            part.remove()
            part.sure, before = False, 0
            if tries >= TRIES:
                raise _failure(part.origin, target, "the server's answers contradict one another") from None
        except _Broken as error:
            if tries >= TRIES or part.size <= have:
                raise _failure(part.origin, target, str(error), part.size) from error
            part.sure = True
        except (OSError, _web("http.client").HTTPException) as error:
            if _is_local(error):
                raise
            raise _failure(part.origin, target, _reason(error), part.size) from error


def _is_local(error: BaseException) -> bool:
    """Whether it is this machine's files that failed, such as a full disk, and not the network."""
    remote = isinstance(error, _web("urllib.error").URLError)
    return not remote and getattr(error, "filename", None) is not None


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    if code := getattr(error, "code", None):
        return f"HTTP {code} {reason}"
    return f"no answer within {TIMEOUT:g} s" if isinstance(reason, TimeoutError) else f"{reason}"


def _failure(origin: str, target: str, reason: str, kept: int = 0) -> DownloadError:
    resume = f" ({kept:,} bytes are kept in {target}.part and the next call goes on from there)" if kept else ""
    fix = f"Without a network, download {origin} elsewhere and put the file here: {target}"
    return DownloadError(message("get_file", f"URL fetch failure on {origin}: {reason}{resume}", fix))


# ------------------------------------------------------------------------------------------------------ one connection


def _fetch(part: Part, resume: bool) -> bool:
    """One connection; whether it continued the bytes that were there."""
    have = part.size if resume else 0
    if have and have == part.length:
        return True
    try:
        response = _web("urllib.request").urlopen(_request(part, have), timeout=TIMEOUT)
    except _web("urllib.error").HTTPError as error:
        if error.code == 416:  # what is here is not the beginning of what is there
            raise _StartAgain from error
        raise
    with response:
        continues = getattr(response, "status", 200) == 206
        _check_range(response, part, have) if continues else _take_note(response, part)
        _receive(response, part, have if continues else 0)
    return continues


def _request(part: Part, have: int) -> Any:
    headers = {"User-Agent": "striate", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if part.validator:
            headers["If-Range"] = part.validator
    return _web("urllib.request").Request(part.origin, headers=headers)


def _take_note(response: Any, part: Part) -> None:
    etag = response.headers.get("ETag")
    strong = etag if etag and not etag.startswith("W/") else None
    length = response.headers.get("Content-Length", "")
    part.validator = strong or response.headers.get("Last-Modified")
    part.length = int(length) if length.isdigit() else None
    part.remember()


def _check_range(response: Any, part: Part, have: int) -> None:
    """`Content-Range: bytes FIRST-LAST/TOTAL` must go on where the part ends, in a file of the same length."""
    unit, _, value = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = value.partition("/")
    length = int(total) if total.isdigit() else part.length
    if unit != "bytes" or span.partition("-")[0] != str(have) or part.length not in (None, length):
        raise _StartAgain
    part.length = length


def _receive(response: Any, part: Part, have: int) -> None:
    with open(part.path, "r+b" if have else "wb") as file, _progress(part.length, have) as advance:
        file.seek(have)
        file.truncate()
        while chunk := _read(response):
            _write(file, chunk)
            advance(len(chunk))
    if part.length is not None and part.size != part.length:
        raise _Broken(f"the connection broke after {part.size:,} of {part.length:,} bytes")


def _read(response: Any) -> bytes:
    try:
        return response.read1(CHUNK) if hasattr(response, "read1") else response.read(CHUNK)
    except (OSError, _web("http.client").HTTPException) as error:
        raise _Broken(f"the connection broke ({_reason(error)})") from error


def _write(file: Any, chunk: bytes) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:  # a full disk is not the network's fault
        error.filename = file.name
        raise


@contextmanager
def _progress(total: int | None, have: int) -> Iterator[Callable[[int], None]]:
    """A progress bar in a terminal; elsewhere nothing more than the line that was printed."""
    if not (hasattr(sys.stdout, "isatty") and sys.stdout.isatty()):
        yield lambda count: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    with Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("", total=total, completed=have)
        yield lambda count: bar.advance(task, count)


# ------------------------------------------------------------------------------------------------------- two processes


@contextmanager
def locked(target: str) -> Iterator[None]:
    """Holds other processes and threads off the same target; does nothing where files cannot be locked."""
    descriptor = _lock(target + ".lock")
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                os.remove(target + ".lock")
            os.close(descriptor)


def _lock(path: str) -> int | None:
    while fcntl is not None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except FileNotFoundError:
            pass  # its last owner has just removed it: lock the new one
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError):  # a file system without locks
                return None
            raise
        os.close(descriptor)
    return None
