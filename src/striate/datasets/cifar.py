"""What CIFAR-10 and CIFAR-100 share: batches of pictures in Python's pickle format, read without running anything."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np

from striate.core import config
from striate.core.errors import message
from striate.datasets.mnist import Split


class _Refused(ValueError):
    """The file holds what no batch of pictures needs."""


class _Bytes:
    """What stands for `numpy.dtype` while a file is read: only unsigned bytes."""

    def __init__(self, code: Any, *flags: Any) -> None:
        if code not in ("u1", b"u1", "|u1", b"|u1"):
            raise _Refused(f"values of dtype {code!r}")

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment, which bytes don't have."""


class _Pictures:
    """What stands for `numpy.ndarray`: NumPy's own would follow whatever a forged dtype says."""

    values: np.ndarray

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        whole = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)
        if not (whole and isinstance(dtype, _Bytes) and isinstance(raw, bytes) and not fortran):
            raise _Refused("an array that is no plain one of bytes")
        if math.prod(shape) != len(raw):
            raise _Refused(f"an array of shape {shape} with {len(raw)} bytes")
        self.values = np.frombuffer(raw, np.uint8).reshape(shape)


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Pictures:
    if kind is not _Pictures:
        raise _Refused("an array of another class")
    return _Pictures()


def _encode(text: Any, coding: Any) -> bytes:
    if not isinstance(text, str) or coding not in ("latin1", b"latin1"):
        raise _Refused("text in another coding")
    return text.encode("latin1")


_STANDS_FOR: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encode,  # how Python 3 writes bytes for Python 2
    ("numpy", "dtype"): _Bytes,
    ("numpy", "ndarray"): _Pictures,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}


class _Unpickler(pickle.Unpickler):
    """Finds no class and no function of Python's or NumPy's, only the stand-ins above."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STANDS_FOR:
            raise _Refused(f"{module}.{name}")
        return _STANDS_FOR[module, name]


_DAMAGE = (pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError, AttributeError, MemoryError)


def read_batch(path: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """The pictures `(n, 3, 32, 32)` and labels `(n,)` of a file, both uint8.

    Raises:
        ValueError: no such batch, a damaged one, or one that asks for anything else than bytes and lists.
        OSError: the file can't be opened.
    """
    with open(path, "rb") as file:
        try:
            held = _Unpickler(file, encoding="bytes").load()
            pictures = held[b"data"].values.reshape(-1, 3, 32, 32)
            numbers = np.asarray(held[labels.encode()], np.uint8)
        except _DAMAGE as error:
            problem = f"{path!r} is no batch of pictures: it holds {error}"
            raise ValueError(message("cifar", problem, "Delete it, and load again")) from error
    if numbers.shape != (len(pictures),):
        raise ValueError(message("cifar", f"{path!r} has {len(pictures)} pictures and labels of {numbers.shape}"))
    return pictures, numbers


def arranged(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> Split:
    """Pictures in the layout of `image_data_format()`, labels `(n, 1)`."""
    return _arranged(*train), _arranged(*test)


def _arranged(pictures: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    channels_last = config.image_data_format() == "channels_last"
    return np.array(pictures.transpose(0, 2, 3, 1) if channels_last else pictures, order="C"), labels[:, None]
