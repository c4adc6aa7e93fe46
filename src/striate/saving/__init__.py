"""`keras.saving`: weight files in both HDF5 layouts, and the registry of classes. Nothing in a file is ever run."""

from striate.core.lazy import exported
from striate.saving.weights import load_weights, save_weights

__all__ = ["load_weights", "save_weights"]

__getattr__, _dir = exported(__name__, "keras.saving", ("striate.core.registry", "striate.saving.serialization"))


def __dir__() -> list[str]:
    return _dir()
