"""The import hook: `keras[.x.y]` and `tensorflow.keras[.x.y]` are the modules `striate[.x.y]`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from . import messages
from .names import KERAS_VERSION, NAMES

ROOT = "striate"


class KerasModule(ModuleType):
    """The top module `keras`: striate's names, with the version of Keras that striate follows."""

    def __init__(self) -> None:
        super().__init__("keras", f"Keras {KERAS_VERSION}'s names, answered by striate.")
        self.__path__: list[str] = []
        self.__version__ = KERAS_VERSION

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__all__", "__file__"):
            raise AttributeError(f"module 'keras' has no attribute '{name}'")
        root = importlib.import_module(ROOT)
        try:
            value = getattr(root, name)
        except AttributeError:
            if name in dir(root) or name.startswith("_"):
                raise
            raise _no_attribute(messages.missing(name, dir(root)), name) from None
        return answering(value) if isinstance(value, ModuleType) else value

    def __dir__(self) -> list[str]:
        return sorted({*dir(importlib.import_module(ROOT)), *vars(self)})

    def version(self) -> str:
        """The version of Keras whose names these are."""
        return KERAS_VERSION


class TensorFlowModule(ModuleType):
    """The top module `tensorflow`, which has nothing but `keras`."""

    def __init__(self) -> None:
        super().__init__("tensorflow", "Only tensorflow.keras, answered by striate.")
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name == "keras":
            return importlib.import_module("keras")
        if name.startswith("__") and name != "__version__":
            raise AttributeError(f"module 'tensorflow' has no attribute '{name}'")
        raise _no_attribute(messages.tensorflow(name), name)


class _Namespace(ModuleType):
    """The class that a module of striate gets once it answers as a module of Keras too: a missing name is explained."""

    def __getattr__(self, name: str) -> Any:
        tail = self.__name__.partition(".")[2]
        if not name.startswith("_") and tail in NAMES and name not in dir(self):
            raise _no_attribute(messages.missing(f"{tail}.{name}", dir(self)), name)
        own = vars(self).get("__getattr__")
        if own is not None:
            return own(name)  # raises again, with the module's own words
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")


def _no_attribute(text: str, name: str) -> AttributeError:
    """With an object named, so that Python adds no second suggestion to the one in the text."""
    return AttributeError(text, name=name, obj=None)


def answering(module: ModuleType) -> ModuleType:
    """Makes a module of striate explain the names of Keras that it lacks."""
    if type(module) is ModuleType and module.__name__.startswith(ROOT + "."):
        module.__class__ = _Namespace
    return module


class KerasFinder(MetaPathFinder, Loader):
    """Finds and loads `keras`, `tensorflow` and what stands below them; explains what striate does not have."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        top, _, rest = name.partition(".")
        if top == "tensorflow":
            return self._tensorflow(name, rest)
        if top == "keras":
            return self._keras(name, rest)
        if top == ROOT and rest:
            return self._own(name, rest, path, target)
        return None

    def _tensorflow(self, name: str, rest: str) -> ModuleSpec:
        below, _, tail = rest.partition(".")
        if below not in ("", "keras"):
            raise ModuleNotFoundError(messages.tensorflow(rest), name="tensorflow")
        return self._keras(name, tail) if below else ModuleSpec(name, self, is_package=True)

    def _keras(self, name: str, tail: str) -> ModuleSpec:
        if tail and tail != "src" and not _exists(_public(tail)):
            raise ModuleNotFoundError(messages.missing(tail, _names_beside(tail)), name=f"{ROOT}.{tail}")
        return ModuleSpec(name, self, is_package=True)

    def _own(self, name: str, tail: str, path: Any, target: ModuleType | None) -> ModuleSpec | None:
        """`from keras.layers import X` asks for the module `striate.layers.X` once the attribute is found missing."""
        space, _, leaf = tail.rpartition(".")
        if space not in NAMES or leaf.startswith("_"):
            return None
        others = (f for f in sys.meta_path if f is not self)
        spec = next((s for s in (f.find_spec(name, path, target) for f in others) if s is not None), None)
        if spec is None:
            raise ImportError(messages.missing(tail, _names_beside(tail)), name=f"keras.{tail}")
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return {"keras": KerasModule, "tensorflow": TensorFlowModule}.get(spec.name, lambda: None)()

    def exec_module(self, module: ModuleType) -> None:
        """Puts the module of striate in the place of the empty one, so that both names give one object."""
        name = module.__name__
        if name in ("keras", "tensorflow"):
            return
        tail = _public(name.partition(".")[2].removeprefix("keras.")) if name not in _TOPS else ""
        sys.modules[name] = _load(tail) if tail else importlib.import_module("keras")


_TOPS = ("tensorflow.keras", "keras.src", "tensorflow.keras.src")


def _public(tail: str) -> str:
    """`"src.layers"` is `"layers"`: Keras keeps its code there, and some programs import from it."""
    return tail.removeprefix("src.")


def _exists(tail: str) -> bool:
    try:
        if importlib.util.find_spec(f"{ROOT}.{tail}") is not None:
            return True
    except ImportError:
        pass
    return isinstance(_attribute(tail), ModuleType)


def _load(tail: str) -> ModuleType:
    attribute = _attribute(tail)
    return answering(attribute if isinstance(attribute, ModuleType) else importlib.import_module(f"{ROOT}.{tail}"))


def _attribute(tail: str) -> Any:
    """What `striate.<tail>` is as an attribute, or None: public namespaces need not be modules of the same name."""
    value: Any = importlib.import_module(ROOT)
    for part in tail.split("."):
        value = getattr(value, part, None)
    return value


def _names_beside(tail: str) -> list[str]:
    space = tail.rpartition(".")[0]
    return dir(_attribute(space) if space else importlib.import_module(ROOT))
