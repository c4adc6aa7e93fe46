"""Public namespaces that load what they offer when it is asked for (PEP 562), so that `import striate` stays light."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from striate.core.registry import module_objects

Access = tuple[Callable[[str], Any], Callable[[], list[str]]]


def attach(package: str, submodules: Sequence[str], names: Mapping[str, str]) -> Access:
    """`__getattr__` and `__dir__` of `package`.

    Args:
        submodules: modules below it that are imported when they are asked for.
        names: where each other name is defined, such as `{"Model": "striate.models"}`.
    """

    def get(name: str) -> Any:
        if name in submodules:
            return importlib.import_module(f"{package}.{name}")
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(names[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*submodules, *names, *vars(sys.modules[package])})

    return get, listed


def exported(package: str, space: str, providers: Sequence[str]) -> Access:
    """`__getattr__` and `__dir__` of a namespace whose names stand in the registry.

    Args:
        package: the module, such as `"striate.config"`.
        space: what was exported into it, such as `"keras.config"`.
        providers: the modules that export into it.
    """

    def load() -> dict[str, Any]:
        for provider in providers:
            importlib.import_module(provider)
        return module_objects(space)

    def get(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = load()
        if name not in found:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, found[name])
        return found[name]

    def listed() -> list[str]:
        return sorted({*load(), *vars(sys.modules[package])})

    return get, listed
