"""What CIFAR-10 and CIFAR-100 share: batches of pictures in Python's pickle format, read without running anything."""

from __future__ import annotations

import codecs
import pickle
from typing import Any

import numpy as np

from striate.core import config
from striate.core.errors import message
from striate.datasets.mnist import Split

# All that such a file needs: NumPy's arrays and their dtypes, and bytes as Python 2 wrote them.
_ALLOWED: dict[tuple[str, str], Any] = {("_codecs", "encode"): codecs.encode}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_module, "_reconstruct"] = np.ndarray.__reduce__(np.empty(0))[0]
_ALLOWED["numpy", "ndarray"], _ALLOWED["numpy", "dtype"] = np.ndarray, np.dtype


class _Unpickler(pickle.Unpickler):
    """Finds no class and no function but those of the table."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no such file needs")
        return _ALLOWED[module, name]


def read_batch(path: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """The pictures `(n, 3, 32, 32)` and labels `(n,)` of a file, both uint8.

    Raises:
        ValueError: no such file, or a damaged one.
    """
    try:
        with open(path, "rb") as file:
            held = _Unpickler(file, encoding="bytes").load()
        pictures = np.asarray(held[b"data"], np.uint8).reshape(-1, 3, 32, 32)
        numbers = np.asarray(held[labels.encode()], np.uint8)
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError, AttributeError, MemoryError) as error:
        raise ValueError(
            message("cifar", f"{path!r} is no batch of pictures: {error}", "Delete it, and load again")
        ) from error
    if numbers.shape != (len(pictures),):
        raise ValueError(message("cifar", f"{path!r} has {len(pictures)} pictures and labels of {numbers.shape}"))
    return pictures, numbers


def arranged(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> Split:
    """Pictures in the layout of `image_data_format()`, labels `(n, 1)`."""
    return _arranged(*train), _arranged(*test)


def _arranged(pictures: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if config.image_data_format() == "channels_last":
        pictures = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))
    return pictures, labels[:, None]
