"""`install_as_keras()`: from then on `import keras` (and `tensorflow.keras`) gives striate's own modules."""

from __future__ import annotations

import sys

from ._alias.finder import KerasFinder, KerasModule, TensorFlowModule

__all__ = ["install_as_keras"]


def install_as_keras() -> None:
    """Answers `import keras`, `from keras import ...` and `tensorflow.keras` with striate in this process.

    `keras.layers` is then the module `striate.layers` itself, and so with every other module below `keras`. The top
    module `keras` has striate's names and, as `__version__`, the version of Keras that striate follows.
    Calling it again does nothing.

    Raises:
        RuntimeError: Keras or TensorFlow itself is already imported, so that names of both would be mixed.
    """
    if any(isinstance(finder, KerasFinder) for finder in sys.meta_path):
        return
    for name, ours in (("keras", KerasModule), ("tensorflow", TensorFlowModule)):
        module = sys.modules.get(name)
        if module is not None and not isinstance(module, ours):
            raise RuntimeError(_already(name, getattr(module, "__file__", None)))
    sys.meta_path.insert(0, KerasFinder())


def _already(name: str, file: str | None) -> str:
    place = f" (from {file})" if file else ""
    return (
        f"install_as_keras: {name} itself is already imported in this process{place}. Call striate.install_as_keras() "
        f"before the first import of {name}, in a notebook after a restart of the kernel, or use `striate run FILE`."
    )
