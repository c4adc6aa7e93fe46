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


def without_training(fn: Any, kwargs: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """`kwargs` without a `training` that `fn` has no parameter for, and that one: it counts for the layers inside."""
    if "training" not in kwargs or names(fn, "training"):
        return kwargs, None
    return {k: v for k, v in kwargs.items() if k != "training"}, kwargs["training"]


@lru_cache(maxsize=1024)
def default(fn: Any, name: str) -> Any:
    """The default of `fn`'s parameter `name`; None without one."""
    found = signature_of(fn).parameters.get(name)
    return None if found is None or found.default is inspect.Parameter.empty else found.default


@lru_cache(maxsize=1024)
def _plain_parameters(fn: Any) -> tuple[tuple[str, ...], int]:
    """The names that arguments by position go to, without `self`, and how many there must be."""
    found = [p for p in signature_of(fn).parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][
        1:
    ]
    keyword_only = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in signature_of(fn).parameters.values())
    least = sum(p.default is p.empty for p in found)
    return tuple(p.name for p in found), len(found) + 1 if keyword_only else least


def is_tensor(x: Any) -> bool:
    """Whether `x` counts as a tensor argument of a layer."""
    return isinstance(x, KerasTensor | np.ndarray | Value | Variable)


class CallSpec:
    """A call's bound arguments.

    Attributes:
        arguments: by name, without defaults; `first` is the value of the first one.
    """

    def __init__(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        names, least = _plain_parameters(type(layer).call)
        if not kwargs and least <= len(args) <= len(names):
            self.arguments = dict(zip(names, args, strict=False))
        else:
            self.arguments = _bound(layer, args, kwargs)
        self.first = next(iter(self.arguments.values()), None)

    def explain(self, error: Exception, layer: Any) -> None:
        """Notes on `error` where it came up: the innermost layer, and the shapes it was called on."""
        if getattr(error, "__notes__", None) or f"'{layer.name}'" in str(error):
            return
        shapes = ", ".join(f"{k}={v}" for k, v in self.shapes().items())
        error.add_note(f"In the call of layer '{layer.name}' ({type(layer).__name__}) with {shapes or 'no tensors'}.")

    @property
    def tensors(self) -> dict[str, Any]:
        """The arguments that are tensors or nests of tensors."""
        return {k: v for k, v in self.arguments.items() if _holds_tensors(v)}

    def shapes(self) -> dict[str, Any]:
        """`{"inputs_shape": ..., ...}`: for each tensor argument the shape, or the nest of shapes."""
        unknown = current_fill()
        return {f"{k}_shape": _unfilled(shape_of(v), unknown) for k, v in self.tensors.items()}


def _bound(layer: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    try:
        bound = signature_of(type(layer).call).bind(layer, *args, **kwargs).arguments
    except TypeError as error:
        raise TypeError(f"{type(layer).__name__} '{layer.name}': {error}.") from None
    return dict(list(bound.items())[1:])


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
    before, depth = getattr(_CONTEXT, "training", None), getattr(_CONTEXT, "depth", 0)
    _CONTEXT.training, _CONTEXT.depth = training, depth + 1
    try:
        yield
    finally:
        _CONTEXT.training, _CONTEXT.depth = before, depth


def outermost() -> bool:
    """Whether no layer's call is under way."""
    return getattr(_CONTEXT, "depth", 0) == 0


def ambient_training() -> bool | None:
    """What the enclosing call says of `training`; None outside one."""
    return getattr(_CONTEXT, "training", None)
