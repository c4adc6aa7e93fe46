"""striate: convolutional networks with the Keras 3 API on NumPy arrays, by an engine of its own.

Everything here is loaded when it is first used.
"""

from striate.core.lazy import attach

__version__ = "0.1.0"

_MODULES = (
    "activations", "applications", "backend", "callbacks", "config", "constraints", "core", "datasets",
    "dtype_policies", "engines", "explain", "initializers", "layers", "losses", "metrics", "mixed_precision", "models",
    "ops", "optimizers", "preprocessing", "random", "regularizers", "saving", "tree", "utils",
)  # fmt: skip
_NAMES = {
    "DTypePolicy": "striate.layers.policy",
    "Function": "striate.models",
    "Initializer": "striate.initializers",
    "Input": "striate.layers",
    "InputSpec": "striate.layers",
    "KerasTensor": "striate.trace",
    "Layer": "striate.layers",
    "Model": "striate.models",
    "Operation": "striate.trace",
    "Optimizer": "striate.optimizers",
    "Regularizer": "striate.regularizers",
    "RematScope": "striate.trace.remat",
    "Sequential": "striate.models",
    "Variable": "striate.trace",
    "grad": "striate.trace",
    "install_as_keras": "striate.alias",
    "jit": "striate.trace",
    "name_scope": "striate.trace",
    "transposed_of": "striate.explain",
    "remat": "striate.layers.remat",
    "value_and_grad": "striate.trace",
}

__getattr__, _dir = attach(__name__, _MODULES, _NAMES)
__all__ = sorted(("__version__", "version", *_MODULES, *_NAMES))


def version() -> str:
    """The version of striate."""
    return __version__


def __dir__() -> list[str]:
    return [*_dir()]
