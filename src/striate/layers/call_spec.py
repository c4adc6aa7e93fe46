"""The arguments of one call of a layer: which are tensors, and how `build` is told their shapes."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from striate.core import tree
from striate.ir import Value
from striate.trace import KerasTensor, Variable, current_fill

_CONTEXT = threading.local()


@lru_cache(maxsize=1024)
def signature_of(fn: Any) -> inspect.Signature:
    """The signature of a function (not of a bound method, so that caching keeps no layer alive)."""
    return inspect.signature(fn)


@lru_cache(maxsize=1024)
def accepts(fn: Any, name: str) -> bool:
    """Whether `fn` has a parameter `name` or takes any keyword."""
    parameters = signature_of(fn).parameters
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


@lru_cache(maxsize=1024)
def names(fn: Any, name: str) -> bool:
    """Whether `fn` has a parameter `name`."""
    return name in signature_of(fn).parameters


@lru_cache(maxsize=1024)
def default(fn: Any, name: str) -> Any:
    """The default of `fn`'s parameter `name`; None without one."""
    found = signature_of(fn).parameters.get(name)
    return None if found is None or found.default is inspect.Parameter.empty else found.default


def is_tensor(x: Any) -> bool:
    """Whether `x` counts as a tensor argument of a layer."""
    return isinstance(x, KerasTensor | np.ndarray | Value | Variable)


class CallSpec:
    """A call's bound arguments.

    Attributes:
        arguments: by name, without defaults; `first` is the value of the first one.
        tensors: those that are tensors or nests of tensors.
    """

    def __init__(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        signature = signature_of(type(layer).call)
        bound = signature.bind(layer, *args, **kwargs)
        names = list(signature.parameters)
        self.arguments = {k: v for k, v in bound.arguments.items() if k != names[0]}
        self.first = next(iter(self.arguments.values()), None)
        self.tensors = {k: v for k, v in self.arguments.items() if _holds_tensors(v)}

    def shapes(self) -> dict[str, Any]:
        """`{"inputs_shape": ..., ...}`: for each tensor argument the shape, or the nest of shapes."""
        unknown = current_fill()
        return {f"{k}_shape": _unfilled(shape_of(v), unknown) for k, v in self.tensors.items()}


def _unfilled(shape: Any, unknown: int | None) -> Any:
    """While shapes are inferred, the number that stands for unknown sizes is None again: `build` must not see it."""
    return shape if unknown is None else tree.map_structure(lambda n: None if n == unknown else n, shape)


def _holds_tensors(x: Any) -> bool:
    leaves = tree.flatten(x)
    return bool(leaves) and all(is_tensor(v) or v is None for v in leaves) and any(is_tensor(v) for v in leaves)


def shape_of(x: Any) -> Any:
    """The shape of a tensor, or the nest of shapes of a nest of tensors."""
    return tree.map_structure(lambda t: None if t is None else tuple(t.shape), x)


@contextmanager
def training_scope(training: bool | None) -> Iterator[None]:
    """Layers called inside, without being told, take `training` from here."""
    before = getattr(_CONTEXT, "training", None)
    _CONTEXT.training = training
    try:
        yield
    finally:
        _CONTEXT.training = before


def ambient_training() -> bool | None:
    """What the enclosing call says of `training`; None outside one."""
    return getattr(_CONTEXT, "training", None)
