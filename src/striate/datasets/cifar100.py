"""CIFAR-100: 60,000 small pictures of a hundred kinds of things in twenty groups (Krizhevsky 2009)."""

from __future__ import annotations

import os

from striate.core.registry import export
from striate.datasets.cifar import arranged, read_batch
from striate.datasets.mnist import Split
from striate.utils.files import get_file

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
HASH = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"


@export("keras.datasets.cifar100.load_data")
def load_data(label_mode: str = "fine") -> Split:
    """The pictures, downloaded once into Keras's cache.

    Args:
        label_mode: "fine" for the hundred kinds, "coarse" for the twenty groups.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: see `cifar10.load_data`.

    Raises:
        ValueError: another `label_mode`, or a damaged file.
        OSError: the archive is not in the cache and can't be downloaded.
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(f'`label_mode` must be one of `"fine"`, `"coarse"`. Received: label_mode={label_mode}.')
    folder = get_file(fname="cifar-100-python-target", origin=ORIGIN, extract=True, file_hash=HASH)
    folder = os.path.join(folder, "cifar-100-python")
    train, test = (read_batch(os.path.join(folder, name), f"{label_mode}_labels") for name in ("train", "test"))
    return arranged(train, test)
