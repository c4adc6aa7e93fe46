"""MNIST: 70,000 handwritten digits (LeCun et al. 1998)."""

from __future__ import annotations

import numpy as np

from striate.core.errors import message
from striate.core.registry import export
from striate.utils.files import get_file

Split = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
HASH = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
NAMES = ("x_train", "y_train", "x_test", "y_test")


@export("keras.datasets.mnist.load_data")
def load_data(path: str = "mnist.npz") -> Split:
    """The digits, downloaded once into Keras's cache.

    Args:
        path: the file's name in the cache.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: uint8 images `(60000, 28, 28)` and `(10000, 28, 28)`, uint8 labels.

    Raises:
        ValueError: the file is damaged.
        OSError: it is not in the cache and can't be downloaded.
    """
    file = get_file(fname=path, origin=f"{ORIGIN}mnist.npz", file_hash=HASH)
    with np.load(file, allow_pickle=False) as held:
        missing = [name for name in NAMES if name not in held]
        if missing:
            raise ValueError(message("mnist.load_data", f"{file!r} lacks {missing}", "Delete it, and load again"))
        x_train, y_train, x_test, y_test = (held[name] for name in NAMES)
    return (x_train, y_train), (x_test, y_test)
