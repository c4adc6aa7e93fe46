"""The base of all initializers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from striate.core.registry import export

Call = TypeVar("Call", bound=Callable[..., Any])


@export("keras.initializers.Initializer", "keras.Initializer")
class Initializer:
    """A callable from a shape and a dtype to a tensor, with a config."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A tensor of `shape`; subclasses override it."""
        raise NotImplementedError(f"{type(self).__name__} has no `__call__` method. Write one.")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same initializer again."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """An initializer made from what `get_config` returned."""
        return cls(**config)

    def clone(self) -> Any:
        """Another initializer with the same config."""
        return type(self).from_config(self.get_config())


def makes_new(call: Call) -> Call:
    """Marks a `__call__` whose result nobody else keeps: a variable takes it over without a copy."""
    call.makes_new = True  # type: ignore[attr-defined]
    return call
