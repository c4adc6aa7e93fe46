"""The downloadable sets: small files in the real layouts, served from this machine; nothing in them is executed."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import os
import pickle
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import striate
from striate.datasets import cifar10, cifar100, fashion_mnist, mnist

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8)
LABELS = np.arange(5, dtype=np.uint8)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the URL under which it is served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, directory=str(tmp_path), **kwargs)

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield tmp_path, f"http://127.0.0.1:{made.server_port}/"
        made.shutdown()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_mnist(server: tuple[Path, str], monkeypatch: Any, keras_home: Path) -> None:
    folder, url = server
    np.savez(folder / "mnist.npz", x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:2], y_test=LABELS[:2])
    monkeypatch.setattr(mnist, "ORIGIN", url)
    with pytest.raises(ValueError, match="hash"):
        mnist.load_data()
    monkeypatch.setattr(mnist, "HASH", sha256(folder / "mnist.npz"))
    (x, y), (x_test, _) = striate.datasets.mnist.load_data()
    np.testing.assert_array_equal(x, IMAGES)
    np.testing.assert_array_equal(y, LABELS)
    assert x_test.shape == (2, 28, 28) and (keras_home / "datasets" / "mnist.npz").exists()
    monkeypatch.setattr(mnist, "ORIGIN", "http://127.0.0.1:9/")  # nobody there: the cache answers
    assert mnist.load_data()[0][0].shape == (5, 28, 28)


def test_offline_is_said(monkeypatch: Any) -> None:
    monkeypatch.setattr(mnist, "ORIGIN", "http://127.0.0.1:9/")
    with pytest.raises(OSError, match=r"mnist\.npz"):
        mnist.load_data()


def idx(array: np.ndarray) -> bytes:
    """An IDX file of uint8, compressed."""
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes())


def test_fashion_mnist(server: tuple[Path, str], monkeypatch: Any, keras_home: Path) -> None:
    folder, url = server
    monkeypatch.setattr(fashion_mnist, "ORIGIN", url)
    for name, count in (("train", 5), ("t10k", 3)):
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(idx(IMAGES[:count]))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(idx(LABELS[:count]))
    (x, _), (_, y_test) = fashion_mnist.load_data()
    np.testing.assert_array_equal(x, IMAGES)
    np.testing.assert_array_equal(y_test, LABELS[:3])
    held = keras_home / "datasets" / "fashion-mnist" / "train-images-idx3-ubyte.gz"
    for damage in (held.read_bytes()[:-40], idx(LABELS), b"no gzip", gzip.compress(b"\0\0\x08\x03")):
        held.write_bytes(damage)
        with pytest.raises(ValueError, match="is damaged"):
            fashion_mnist.load_data()


def batch(count: int, **labels: list[int]) -> bytes:
    """A batch as Python 2 wrote it: protocol 2, keys of bytes."""
    data = RNG.integers(0, 256, (count, 3072), dtype=np.uint8)
    held = {b"data": data, **{k.encode(): v for k, v in labels.items()}}
    return pickle.dumps(held, protocol=2)


def archive(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_cifar10(server: tuple[Path, str], monkeypatch: Any, layout: str) -> None:
    folder, url = server
    parts = {f"data_batch_{i}": batch(2, labels=[i, i + 1]) for i in range(1, 6)} | {"test_batch": batch(1, labels=[9])}
    archive(folder / "cifar-10-python.tar.gz", {f"cifar-10-batches-py/{k}": v for k, v in parts.items()})
    monkeypatch.setattr(cifar10, "ORIGIN", url + "cifar-10-python.tar.gz")
    monkeypatch.setattr(cifar10, "HASH", sha256(folder / "cifar-10-python.tar.gz"))
    striate.config.set_image_data_format(layout)
    try:
        (x, y), (x_test, y_test) = cifar10.load_data()
    finally:
        striate.config.set_image_data_format("channels_last")
    first = pickle.loads(parts["data_batch_1"])[b"data"][0].reshape(3, 32, 32)
    np.testing.assert_array_equal(x[0] if layout == "channels_first" else x[0].transpose(2, 0, 1), first)
    assert y[:, 0].tolist() == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6] and y_test.tolist() == [[9]]
    assert x.dtype == y.dtype == "uint8" and x_test.shape[0] == 1


def test_cifar100(server: tuple[Path, str], monkeypatch: Any) -> None:
    folder, url = server
    parts = {n: batch(2, fine_labels=[99, 3], coarse_labels=[19, 1]) for n in ("train", "test")}
    archive(folder / "cifar-100-python.tar.gz", {f"cifar-100-python/{k}": v for k, v in parts.items()})
    monkeypatch.setattr(cifar100, "ORIGIN", url + "cifar-100-python.tar.gz")
    monkeypatch.setattr(cifar100, "HASH", sha256(folder / "cifar-100-python.tar.gz"))
    assert cifar100.load_data()[0][1].tolist() == [[99], [3]]
    assert cifar100.load_data("coarse")[1][1].tolist() == [[19], [1]]
    with pytest.raises(ValueError, match="label_mode"):
        cifar100.load_data("medium")


class Forged:
    """An array whose dtype, as the file says, holds pointers."""

    def __reduce__(self) -> Any:
        state = (3, "|", None, ("f",), {"f": (np.dtype("O"), 0)}, 8, 1, 27)
        return np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, (1,), Void(state), False, b"\x41" * 8)


class Void:
    def __init__(self, state: Any) -> None:
        self.state = state

    def __reduce__(self) -> Any:
        return np.dtype, ("V8", 0, 1), self.state


class Attack:
    def __reduce__(self) -> Any:
        return os.system, ("touch stolen",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Attack()),
        pickle.dumps({b"data": 3}),
        b"\x80\x04.",
        b"",
        b"\0" * 99,
        pickle.dumps({b"data": Forged(), b"labels": [1]}, 2),
        pickle.dumps({b"data": np.array([print]), b"labels": []}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072), "f8"), b"labels": [1, 2]}, 2),
        pickle.dumps({b"data": np.zeros((1, 7), "u1")}, 2),
    ],
)
def test_nothing_in_a_batch_is_run(content: bytes, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_bytes(content)
    with pytest.raises(ValueError, match="no batch of pictures"):
        striate.datasets.cifar.read_batch(str(tmp_path / "data"), "labels")
    assert not (tmp_path / "stolen").exists()


def test_origins_and_hashes_are_those_of_keras(real_keras: Any) -> None:
    import inspect

    for ours in (mnist, cifar10, cifar100):
        theirs = inspect.getsource(getattr(real_keras.datasets, ours.__name__.rpartition(".")[2]).load_data)
        assert ours.HASH in theirs and ours.ORIGIN in theirs
    assert mnist.ORIGIN in inspect.getsource(real_keras.datasets.fashion_mnist.load_data)
