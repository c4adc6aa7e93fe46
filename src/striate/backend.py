"""`keras.backend`: floats' defaults, dtypes, tensors and a fresh start."""

from __future__ import annotations

import importlib
from typing import Any

from striate.core.lazy import exported

SUPPORTS_SPARSE_TENSORS = SUPPORTS_RAGGED_TENSORS = SUPPORTS_COMPLEX_DTYPES = False

_PROVIDERS = (
    "striate.core.config", "striate.core.dtypes", "striate.trace", "striate.trace.masks", "striate.models.session",
)  # fmt: skip
_MODULES = {
    "config": "striate.config", "image": "striate.ops.image", "linalg": "striate.ops.linalg",
    "math": "striate.ops.math",
    "nn": "striate.ops.nn", "numpy": "striate.ops.numpy", "random": "striate.random",
}  # fmt: skip
# What stands elsewhere in striate, under the names by which code written for Keras's backends asks for it.
_NAMES = {
    "AutocastScope": ("striate.trace", "autocast"),
    "KerasTensor": ("striate.trace", "KerasTensor"),
    "compute_output_spec": ("striate.trace", "infer_spec"),
    "name_scope": ("striate.trace", "name_scope"),
    "standardize_shape": ("striate.trace", "standardize_shape"),
    **{name: ("striate.ops", name) for name in ("cast", "convert_to_numpy", "convert_to_tensor", "is_tensor", "shape")},
}
_exported, _listed = exported(__name__, "keras.backend", _PROVIDERS)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _NAMES:
        module, own = _NAMES[name]
        return getattr(importlib.import_module(module), own)
    return _exported(name)


def __dir__() -> list[str]:
    return sorted({*_listed(), *_MODULES, *_NAMES})
