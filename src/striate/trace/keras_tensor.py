"""Symbolic tensors of the layer graph: a shape, in which sizes may be None, and a dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from striate.core import dtypes
from striate.core.registry import export
from striate.trace.naming import auto_name
from striate.trace.operators import TensorOperators


@export("keras.KerasTensor", "keras.utils.KerasTensor")
class KerasTensor(TensorOperators):
    """A placeholder in the graph of layers: what `Input` returns and what layers return for it.

    Args:
        shape: sizes, each an int or None (not known before the call).
        dtype: name of the dtype.
        name: by default numbered automatically.
    """

    def __init__(
        self,
        shape: Sequence[int | None],
        dtype: Any = "float32",
        sparse: bool = False,
        ragged: bool = False,
        record_history: bool = True,
        name: str | None = None,
    ) -> None:
        self._shape = standardize_shape(shape)
        self._dtype = dtypes.standardize(dtype)
        self.sparse, self.ragged, self.record_history = bool(sparse), bool(ragged), record_history
        self.name = name or auto_name(type(self).__name__)
        self._keras_history: Any = None

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The sizes; None where unknown."""
        return self._shape

    @shape.setter
    def shape(self, value: Any) -> NoReturn:
        raise AttributeError("The `shape` attribute of KerasTensor is immutable. Make a new KerasTensor instead.")

    @property
    def dtype(self) -> str:
        """The name of the dtype."""
        return self._dtype

    @dtype.setter
    def dtype(self, value: Any) -> NoReturn:
        raise AttributeError("The `dtype` attribute of KerasTensor is immutable. Use `ops.cast` instead.")

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._shape)

    def __repr__(self) -> str:
        return (
            f"<KerasTensor shape={self.shape}, dtype={self.dtype}, sparse={self.sparse}, "
            f"ragged={self.ragged}, name={self.name}>"
        )

    def __eq__(self, other: object) -> bool:  # as Keras has it: so that `x in model.inputs` works
        return self is other

    __hash__ = object.__hash__

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise ValueError(_SYMBOLIC.format("a NumPy array") + _WAY_OUT)

    def __int__(self) -> NoReturn:
        raise ValueError(_SYMBOLIC.format("an int"))

    def __float__(self) -> NoReturn:
        raise ValueError(_SYMBOLIC.format("a float"))

    def __index__(self) -> NoReturn:
        raise ValueError(_SYMBOLIC.format("an index"))

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "A symbolic KerasTensor cannot be used as a boolean: it has no value. Use `ops.where` or `ops.cond`."
        )

    def __iter__(self) -> NoReturn:
        raise NotImplementedError("Iterating over a symbolic KerasTensor is not supported. Use `ops.unstack`.")

    def __len__(self) -> int:
        raise TypeError("A symbolic KerasTensor has no length. Use its `shape`.")


_SYMBOLIC = (
    "A KerasTensor is symbolic: it stands for a shape and a dtype and has no values. It cannot be converted to {}."
)
_WAY_OUT = (
    " A function of NumPy or of another library was probably called on it: use the function of the same name in "
    "`striate.ops`, or put the computation in a `Layer`."
)


def standardize_shape(shape: Any) -> tuple[int | None, ...]:
    """`shape` as a tuple of ints and Nones; ValueError for anything else and for negative sizes."""
    if not isinstance(shape, list | tuple) and not hasattr(shape, "__iter__"):
        raise ValueError(
            f"Cannot convert {shape!r} to a shape. Expected a tuple of ints and Nones, such as (32, 32, 3)."
        )
    return tuple(_size(n, shape) for n in shape)


def _size(n: Any, shape: Any) -> int | None:
    if n is None:
        return None
    if isinstance(n, bool) or not hasattr(n, "__index__") or isinstance(n, KerasTensor):
        raise ValueError(
            f"Cannot convert {shape!r} to a shape. Found invalid entry {n!r} of type {type(n)}. Use ints or None."
        )
    if int(n) < 0:
        raise ValueError(
            f"Cannot convert {shape!r} to a shape. Negative dimensions are not allowed. Use None if unknown."
        )
    return int(n)


def any_symbolic(*structures: Any) -> bool:
    """Whether a KerasTensor is among the leaves of `structures`."""
    for item in structures:
        if isinstance(item, KerasTensor):
            return True
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list | tuple) else ()
        if children and any_symbolic(*children):
            return True
    return False
