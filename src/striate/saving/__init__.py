"""Weight files: `.weights.h5` and the legacy HDF5 layout. Files are data: nothing in them is ever run."""

from striate.saving.weights import load_weights, save_weights

__all__ = ["load_weights", "save_weights"]
