"""CIFAR-10: 60,000 small pictures of ten kinds of things (Krizhevsky 2009)."""

from __future__ import annotations

import os

import numpy as np

from striate.core.registry import export
from striate.datasets.cifar import arranged, read_batch
from striate.datasets.mnist import Split
from striate.utils.files import get_file

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
HASH = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


@export("keras.datasets.cifar10.load_data")
def load_data() -> Split:
    """The pictures, downloaded once into Keras's cache.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: uint8 pictures `(50000, 32, 32, 3)` and `(10000, 32, 32, 3)` (channels
        first if that is the default layout), uint8 labels `(n, 1)`.

    Raises:
        ValueError: a file is damaged.
        OSError: the archive is not in the cache and can't be downloaded.
    """
    folder = get_file(fname="cifar-10-batches-py-target", origin=ORIGIN, extract=True, file_hash=HASH)
    folder = os.path.join(folder, "cifar-10-batches-py")
    parts = [read_batch(os.path.join(folder, f"data_batch_{i}"), "labels") for i in range(1, 6)]
    pictures, labels = (np.concatenate(p) for p in zip(*parts, strict=True))
    return arranged((pictures, labels), read_batch(os.path.join(folder, "test_batch"), "labels"))
