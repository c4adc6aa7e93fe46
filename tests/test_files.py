"""`get_file` against a server on loopback that breaks, resumes, lies and hangs; archives that try to get out."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest

from striate.utils import archive, download, get_file
from striate.utils.download import DownloadError

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `content`; its attributes say how it misbehaves. `seen` keeps the requests' Range and If-Range."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.dated = CONTENT, '"one"', False
        self.break_after: list[int] = []  # for the next answers: bytes after which the connection breaks
        self.ranges, self.status, self.hang, self.length, self.lie_about_range = True, 200, 0.0, True, False
        self.seen: list[tuple[str | None, str | None]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/folder/data.bin"

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are what these tests are about: no tracebacks."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, span, condition = self.server, self.headers.get("Range"), self.headers.get("If-Range")
        server.seen.append((span, condition))
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and server.ranges else 0
        if condition not in (None, server.etag, "Sun, 01 Jan 2023 00:00:00 GMT" if server.dated else server.etag):
            start = 0
        if server.status != 200 or start > len(server.content):
            self.send_error(416 if server.status == 200 else server.status)
            return
        start = 5 if start and server.lie_about_range else start
        self.send_head(start)
        self.send_body(server.content[start:])

    def send_head(self, start: int) -> None:
        server = self.server
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        if server.length:
            self.send_header("Content-Length", str(len(server.content) - start))
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.dated:
            self.send_header("Last-Modified", "Sun, 01 Jan 2023 00:00:00 GMT")
        self.end_headers()

    def send_body(self, body: bytes) -> None:
        server = self.server
        if server.break_after:
            body = body[: server.break_after.pop(0)]
        self.wfile.write(body)
        self.wfile.flush()
        if server.hang:
            server.released.wait(server.hang)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.released.set()
    made.shutdown()
    made.server_close()


def left(home: pathlib.Path) -> list[str]:
    """The names of all files below the cache."""
    return sorted(p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file())


# ------------------------------------------------------------------------------------------------------- the plain way


def test_a_file_is_downloaded_once_and_lies_where_keras_puts_it(
    server: Server, keras_home: pathlib.Path, capsys
) -> None:
    path = get_file(origin=server.url)
    assert pathlib.Path(path) == keras_home / "datasets" / "data.bin"
    assert pathlib.Path(path).read_bytes() == CONTENT
    assert f"Downloading data from {server.url}" in capsys.readouterr().out
    assert get_file(origin=server.url) == path
    assert capsys.readouterr().out == "" and len(server.seen) == 1
    assert left(keras_home) == ["datasets/data.bin"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666 & ~mask


def test_names_folders_and_forced_downloads(server: Server, tmp_path: pathlib.Path) -> None:
    path = get_file("mine.bin", server.url, cache_subdir="models", cache_dir=tmp_path, file_hash=MD5)
    assert pathlib.Path(path) == tmp_path / "models" / "mine.bin"
    assert get_file("mine.bin", server.url, cache_subdir=str(tmp_path / "abs")) == str(tmp_path / "abs" / "mine.bin")
    get_file("mine.bin", server.url, cache_subdir="models", cache_dir=tmp_path, force_download=True)
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        {"file_hash": MD5},
        {"md5_hash": MD5},
        {"file_hash": SHA256},
        {"file_hash": SHA256.upper(), "hash_algorithm": "sha256"},
    ],
)
def test_right_hashes_pass_and_are_checked_again_in_the_cache(server: Server, arguments: dict) -> None:
    path = get_file(origin=server.url, **arguments)
    get_file(origin=server.url, **arguments)
    assert len(server.seen) == 1
    pathlib.Path(path).write_bytes(CONTENT[:-1])  # spoilt in the cache
    assert pathlib.Path(get_file(origin=server.url, **arguments)).read_bytes() == CONTENT
    assert len(server.seen) == 2


def test_a_wrong_hash_deletes_the_file_and_says_both(server: Server, keras_home: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=rf"md5 of {server.url} is {MD5}, expected {'0' * 32}; the file was deleted"):
        get_file(origin=server.url, file_hash="0" * 32)
    assert left(keras_home) == []


@pytest.mark.parametrize("arguments", [{"file_hash": "abc"}, {"file_hash": MD5, "hash_algorithm": "sha256"}])
def test_hashes_that_are_none(server: Server, arguments: dict) -> None:
    with pytest.raises(ValueError, match="An MD5 has 32 hexadecimal digits"):
        get_file(origin=server.url, **arguments)
    assert not server.seen


def test_a_file_url_and_an_answer_without_length(server: Server, tmp_path: pathlib.Path) -> None:
    (tmp_path / "x.bin").write_bytes(CONTENT)
    assert pathlib.Path(get_file(origin=(tmp_path / "x.bin").as_uri())).read_bytes() == CONTENT
    server.length = False
    assert pathlib.Path(get_file(origin=server.url, file_hash=MD5)).read_bytes() == CONTENT


@pytest.mark.parametrize("arguments", [{}, {"origin": "data.bin"}, {"origin": "http://127.0.0.1/"},
    {"origin": "http://127.0.0.1/a", "fname": "../a"}, {"origin": "http://127.0.0.1/a", "fname": ".."}])  # fmt: skip
def test_wrong_arguments(arguments: dict) -> None:
    with pytest.raises(ValueError, match=r"origin|file name|without folders"):
        get_file(**arguments)


# ------------------------------------------------------------------------------------------------- breaks and resuming


def test_a_break_is_resumed_within_the_call(server: Server, keras_home: pathlib.Path) -> None:
    server.break_after = [100_000, 50_000]
    assert pathlib.Path(get_file(origin=server.url)).read_bytes() == CONTENT
    assert server.seen == [(None, None), ("bytes=100000-", '"one"'), ("bytes=150000-", '"one"')]
    assert left(keras_home) == ["datasets/data.bin"]


def test_a_connection_that_keeps_breaking_is_resumed_by_the_next_call(server: Server, keras_home: pathlib.Path) -> None:
    server.break_after = [10_000] * download.TRIES
    with pytest.raises(DownloadError, match=r"broke after 50,000 of 300,000 bytes \(50,000 bytes are kept"):
        get_file(origin=server.url)
    assert "datasets/data.bin" not in left(keras_home) and "datasets/data.bin.part" in left(keras_home)
    assert pathlib.Path(get_file(origin=server.url)).read_bytes() == CONTENT
    assert server.seen[-1] == ("bytes=50000-", '"one"')


def half(server: Server, **arguments: str) -> None:
    server.break_after = [20_000, 0]
    with pytest.raises(DownloadError):
        get_file(origin=server.url, **arguments)


def test_a_server_that_knows_no_ranges_starts_again(server: Server) -> None:
    half(server)
    server.ranges = False
    assert pathlib.Path(get_file(origin=server.url)).read_bytes() == CONTENT
    assert server.seen[-1][0] == "bytes=20000-"


def test_a_file_that_changed_meanwhile_starts_again(server: Server) -> None:
    half(server)
    server.content, server.etag = CONTENT[::-1], '"two"'
    assert pathlib.Path(get_file(origin=server.url)).read_bytes() == CONTENT[::-1]


def test_a_file_of_another_length_starts_again_although_its_tag_is_the_same(server: Server) -> None:
    half(server)
    server.content = CONTENT[::-1][:-7]
    assert pathlib.Path(get_file(origin=server.url)).read_bytes() == CONTENT[::-1][:-7]


def test_a_shorter_file_than_the_part_starts_again(server: Server) -> None:
    half(server)
    server.content = b"short"
    assert pathlib.Path(get_file(origin=server.url)).read_bytes() == b"short"


def test_a_wrong_content_range_starts_again(server: Server) -> None:
    half(server)
    server.lie_about_range = True
    assert pathlib.Path(get_file(origin=server.url)).read_bytes() == CONTENT


def test_without_tag_and_date_only_a_hash_makes_resuming_safe(server: Server) -> None:
    server.etag = None  # type: ignore[assignment]
    half(server)
    get_file(origin=server.url)
    assert server.seen[-1] == (None, None)
    half(server, fname="b", file_hash=MD5)
    get_file("b", server.url, file_hash=MD5)
    assert server.seen[-1] == ("bytes=20000-", None)


def test_a_date_serves_as_the_tag(server: Server) -> None:
    server.etag, server.dated = None, True  # type: ignore[assignment]
    half(server)
    assert pathlib.Path(get_file(origin=server.url)).read_bytes() == CONTENT
    assert server.seen[-1] == ("bytes=20000-", "Sun, 01 Jan 2023 00:00:00 GMT")


def test_old_bytes_that_spoil_the_hash_are_thrown_away_once(server: Server, keras_home: pathlib.Path) -> None:
    half(server)
    (keras_home / "datasets" / "data.bin.part").write_bytes(b"x" * 20_000)
    assert pathlib.Path(get_file(origin=server.url, file_hash=MD5)).read_bytes() == CONTENT


def test_a_part_from_another_url_or_with_broken_notes_is_not_used(server: Server, keras_home: pathlib.Path) -> None:
    half(server)
    notes = keras_home / "datasets" / "data.bin.part.json"
    notes.write_text(json.dumps({**json.loads(notes.read_text()), "origin": "http://other"}))
    get_file(origin=server.url)
    assert server.seen[-1] == (None, None)
    (keras_home / "datasets" / "data.bin.part").write_bytes(b"zzz")
    notes.write_text("[1, 2")
    assert pathlib.Path(get_file(origin=server.url, force_download=True)).read_bytes() == CONTENT


# --------------------------------------------------------------------------------------------------------- no way there


@pytest.mark.parametrize("status", [403, 404, 500])
def test_http_errors(server: Server, status: int, keras_home: pathlib.Path) -> None:
    server.status = status
    with pytest.raises(DownloadError, match=f"URL fetch failure on {server.url}: HTTP {status}"):
        get_file(origin=server.url)
    assert left(keras_home) == []


def test_a_server_that_says_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    server.break_after, server.hang = [0], 5.0
    with pytest.raises(DownloadError, match=r"no answer within 0\.2 s"):
        get_file(origin=server.url)


def test_without_a_network_the_error_says_which_file_to_put_where(keras_home: pathlib.Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/w.h5"
    target = keras_home / "models" / "w.h5"
    with pytest.raises(OSError, match=rf"failure on {url}.*put the file here: {target}") as caught:
        get_file(origin=url, cache_subdir="models")
    assert isinstance(caught.value, DownloadError)
    target.write_bytes(b"weights")
    assert pathlib.Path(get_file(origin=url, cache_subdir="models")).read_bytes() == b"weights"


def test_a_name_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(DownloadError, match=r"name resolution.*Without a network"):
        get_file(origin="https://storage.example.org/a/b.bin")


def test_a_full_disk_is_not_blamed_on_the_network(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: io.BufferedWriter, chunk: bytes) -> None:
        raise OSError(28, "No space left on device", file.name)

    monkeypatch.setattr(download, "_write", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        get_file(origin=server.url)
    assert not isinstance(caught.value, DownloadError)


def test_a_failed_renewal_keeps_the_old_file(server: Server) -> None:
    path = pathlib.Path(get_file(origin=server.url))
    server.status = 500
    with pytest.raises(DownloadError):
        get_file(origin=server.url, force_download=True)
    assert path.read_bytes() == CONTENT


# ---------------------------------------------------------------------------------------------- processes and terminals

SCRIPT = "import sys; from striate.utils import get_file; print(get_file(origin=sys.argv[1]))"


def test_ctrl_c_leaves_a_part_that_the_next_call_resumes(server: Server, keras_home: pathlib.Path) -> None:
    server.break_after, server.hang = [30_000], 20.0
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, server.url], stderr=subprocess.PIPE, text=True)
    part = keras_home / "datasets" / "data.bin.part"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (part.exists() and part.stat().st_size == 30_000):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in error
    assert left(keras_home) == ["datasets/data.bin.part", "datasets/data.bin.part.json"]
    server.hang = 0.0
    assert pathlib.Path(get_file(origin=server.url)).read_bytes() == CONTENT
    assert server.seen[-1][0] == "bytes=30000-"


def test_two_processes_and_threads_download_once(server: Server, keras_home: pathlib.Path) -> None:
    server.hang = 0.5
    others = [subprocess.Popen([sys.executable, "-c", SCRIPT, server.url]) for _ in range(2)]
    threads = [threading.Thread(target=get_file, kwargs={"origin": server.url}) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [other.wait(20) for other in others] == [0, 0]
    assert len(server.seen) == 1 and left(keras_home) == ["datasets/data.bin"]
    assert (keras_home / "datasets" / "data.bin").read_bytes() == CONTENT


def test_a_terminal_sees_a_progress_bar(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setenv("TERM", "xterm")
    get_file(origin=server.url)
    assert "300.0/300.0 kB" in shown.getvalue()


def test_a_cache_that_may_only_be_read_is_used(server: Server, keras_home: pathlib.Path, monkeypatch) -> None:
    path = pathlib.Path(get_file(origin=server.url))
    monkeypatch.setattr(os, "access", lambda *args, **kwargs: False)  # root may write anywhere, so pretend
    assert get_file(origin=server.url) == str(path)


# ------------------------------------------------------------------------------------------------------------ archives


def tar(path: pathlib.Path, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz") -> pathlib.Path:
    with tarfile.open(path, mode) as made:
        for info, data in members:
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_archives_are_unpacked_where_keras_unpacks_them(tmp_path: pathlib.Path, keras_home: pathlib.Path) -> None:
    members = [(member("top/a.txt"), b"a"), (member("top/b.txt", tarfile.SYMTYPE, "a.txt"), b"")]
    url = tar(tmp_path / "set.tar.gz", members).as_uri()
    plain = keras_home / "datasets"
    assert get_file(origin=url, extract=True) == str(plain / "set.tar.gz")
    assert (plain / "set.tar.gz" / "top" / "b.txt").read_text() == "a"
    assert get_file("set.tar.gz", url, untar=True, cache_subdir="d") == str(keras_home / "d" / "set_extracted")
    assert get_file("flowers", url, extract=True) == str(plain / "flowers")
    (plain / "flowers" / "top" / "mine.txt").write_text("kept")
    (plain / "flowers" / "top" / "a.txt").unlink()
    get_file("flowers", url, extract=True)
    assert (plain / "flowers" / "top" / "mine.txt").exists() and (
        plain / "flowers" / "top" / "a.txt"
    ).read_text() == "a"
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as made:
        made.writestr("x/y.txt", "y")
    folder = get_file(origin=(tmp_path / "z.zip").as_uri(), extract=True)
    assert (pathlib.Path(folder) / "x" / "y.txt").read_text() == "y"


@pytest.mark.parametrize(
    "members",
    [
        [(member("../out.txt"), b"x")],
        [(member("a/../../out.txt"), b"x")],
        [(member("/tmp-striate/out.txt"), b"x")],
        [(member("link", tarfile.SYMTYPE, "../.."), b""), (member("link/out.txt"), b"x")],
        [
            (member("top/ok"), b"k"),
            (member("deep/er/up", tarfile.SYMTYPE, "../../top"), b""),
            (member("out", tarfile.SYMTYPE, "deep/er/up/../.."), b""),
            (member("out/out.txt"), b"x"),
        ],
        [(member("link", tarfile.SYMTYPE, "/etc"), b"")],
        [(member("hard", tarfile.LNKTYPE, "../../secret"), b"")],
        [(member("pipe", tarfile.FIFOTYPE), b"")],
        [(member("C:/out.txt"), b"x")],
    ],
    ids=["up", "up-inside", "absolute", "through-link", "through-links", "link-out", "hard-link", "device", "drive"],
)
def test_a_tar_that_leaves_its_folder_is_refused(tmp_path: pathlib.Path, members: list) -> None:
    (tmp_path / "in").mkdir()
    path = tar(tmp_path / "in" / "a.tar.gz", [(member("ok"), b"k"), *members])
    with pytest.raises(ValueError, match=r"a\.tar\.gz was refused"):
        archive.extract_archive(str(path), str(tmp_path / "in" / "to"))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar.gz", "in"]


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a/../../out.txt", "..\\out.txt", "C:\\out.txt"])
def test_a_zip_that_leaves_its_folder_is_refused(tmp_path: pathlib.Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("ok", "k")
        made.writestr(name, "x")
    with pytest.raises(ValueError, match=r"leaves the folder"):
        archive.extract_archive(str(tmp_path / "a.zip"), str(tmp_path / "to"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_bombs_are_refused(tmp_path: pathlib.Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FLOOR", 1 << 16)
    path = tmp_path / f"bomb.{kind}"
    if kind == "tar":
        tar(path, [(member(f"m{i}"), b"\0" * 1_000_000) for i in range(4)])
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("m", b"\0" * 4_000_000)
    with pytest.raises(ValueError, match="would unpack to more than"):
        archive.extract_archive(str(path), str(tmp_path / "to"))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_damaged_archive_and_one_that_is_none(tmp_path: pathlib.Path) -> None:
    path = tar(tmp_path / "a.tar.gz", [(member("m"), np.random.default_rng(0).bytes(100_000))])
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(OSError, match="damaged"):
        archive.extract_archive(str(path), str(tmp_path / "to"))
    (tmp_path / "text.zip").write_text("text")
    with pytest.warns(UserWarning, match="no archive"):
        get_file(origin=(tmp_path / "text.zip").as_uri(), extract=True)
    with pytest.raises(ValueError, match="received 'rar'"):
        archive.extract_archive(str(path), str(tmp_path / "to"), "rar")
    assert not (tmp_path / "to").exists()
