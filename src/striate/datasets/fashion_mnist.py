"""Fashion-MNIST: 70,000 pictures of clothes (Xiao et al. 2017)."""

from __future__ import annotations

import gzip
import os
import zlib

import numpy as np

from striate.core.errors import message
from striate.core.registry import export
from striate.datasets.mnist import ORIGIN, Split
from striate.utils.files import get_file


@export("keras.datasets.fashion_mnist.load_data")
def load_data() -> Split:
    """The pictures, downloaded once into Keras's cache.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: uint8 images `(60000, 28, 28)` and `(10000, 28, 28)`, uint8 labels of
        ten classes.

    Raises:
        ValueError: a file is damaged.
        OSError: a file is not in the cache and can't be downloaded.
    """
    return _part("train"), _part("t10k")


def _part(name: str) -> tuple[np.ndarray, np.ndarray]:
    labels = _numbers(f"{name}-labels-idx1-ubyte.gz", 1)
    images = _numbers(f"{name}-images-idx3-ubyte.gz", 3)
    if len(labels) != len(images):
        raise ValueError(message("fashion_mnist.load_data", f"{len(images)} images, but {len(labels)} labels"))
    return images, labels


def _numbers(name: str, rank: int) -> np.ndarray:
    """An IDX file: two zero bytes, 8 for uint8, the rank, the sizes as big-endian int32, the values."""
    path = get_file(name, origin=ORIGIN + name, cache_subdir=os.path.join("datasets", "fashion-mnist"))
    try:
        with gzip.open(path, "rb") as file:
            raw = file.read()
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(_damaged(path, str(error))) from error
    start = 4 + 4 * rank
    sizes = [int(n) for n in np.frombuffer(raw, ">i4", count=rank, offset=4)] if len(raw) >= start else []
    if raw[:4] != bytes((0, 0, 8, rank)) or len(raw) - start != int(np.prod(sizes)):
        raise ValueError(_damaged(path, f"no IDX file of rank {rank}, or not whole"))
    return np.frombuffer(raw, np.uint8, offset=start).reshape(sizes)


def _damaged(path: str, problem: str) -> str:
    return message("fashion_mnist.load_data", f"{path!r} is damaged: {problem}", "Delete it, and load again")
