"""Arithmetic operators and indexing for symbolic tensors and variables.

The ops stand above this layer: `ops` fills `OPS` when it is imported, by the names used here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

OPS: dict[str, Callable[..., Any]] = {}

_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "mod", "pow": "power", "matmul": "matmul",
    "and": "logical_and", "or": "logical_or", "xor": "logical_xor",
}  # fmt: skip
_COMPARE = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "ne": "not_equal", "eq": "equal",
}  # fmt: skip
_UNARY = {"neg": "negative", "abs": "absolute", "invert": "logical_not"}


class TensorOperators:
    """Python's operators in terms of `striate.ops`. NumPy arrays on the left defer to these."""

    __array_priority__ = 100

    def __pos__(self) -> Any:
        return self

    def __getitem__(self, key: Any) -> Any:
        return OPS["get_item"](self, key)

    def __round__(self, ndigits: int | None = None) -> Any:
        return OPS["round"](self, ndigits or 0)

    @property
    def T(self) -> Any:
        """The transpose: all axes in reverse order."""
        return OPS["transpose"](self)

    def reshape(self, *shape: Any) -> Any:
        """See `striate.ops.reshape`."""
        return OPS["reshape"](self, shape[0] if len(shape) == 1 else shape)

    def squeeze(self, axis: Any = None) -> Any:
        """See `striate.ops.squeeze`."""
        return OPS["squeeze"](self, axis)

    def astype(self, dtype: Any) -> Any:
        """See `striate.ops.cast`."""
        return OPS["cast"](self, dtype)


def _forward(op: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: OPS[op](self, other)


def _backward(op: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: OPS[op](other, self)


def _unary(op: str) -> Callable[[Any], Any]:
    return lambda self: OPS[op](self)


for _name, _op in _BINARY.items():
    setattr(TensorOperators, f"__{_name}__", _forward(_op))
    setattr(TensorOperators, f"__r{_name}__", _backward(_op))
for _name, _op in _COMPARE.items():
    setattr(TensorOperators, f"__{_name}__", _forward(_op))
for _name, _op in _UNARY.items():
    setattr(TensorOperators, f"__{_name}__", _unary(_op))
# Comparing makes a tensor, so identity stays the only sensible key.
TensorOperators.__hash__ = object.__hash__  # type: ignore[method-assign]
