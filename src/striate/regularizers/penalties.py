"""Penalties that are added to the loss of a training."""

from __future__ import annotations

import math
from typing import Any

from striate import ops
from striate.core.objects import deserialize_object, lookup, names_of, serialize_object
from striate.core.registry import export


@export("keras.regularizers.Regularizer", "keras.Regularizer")
class Regularizer:
    """Base of penalties: a callable from weights to a number, with a config."""

    def __call__(self, x: Any) -> Any:
        """The penalty of the weights `x`; subclasses override it."""
        return 0.0

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same penalty again; subclasses that can be saved override it."""
        raise NotImplementedError(f"{type(self).__name__} cannot be saved: it has no `get_config` method. Write one.")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A penalty made from what `get_config` returned."""
        return cls(**config)


def _factor(value: Any, name: str) -> float:
    right = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    if not right:
        raise ValueError(f"Invalid value for argument {name}: expected a non-negative float. Received: {name}={value}")
    return float(value)


def _absolute_sum(x: Any, factor: float) -> Any:
    return ops.multiply(ops.sum(ops.absolute(x)), factor)


def _square_sum(x: Any, factor: float) -> Any:
    return ops.multiply(ops.sum(ops.square(x)), factor)


@export("keras.regularizers.L1L2", "keras.regularizers.l1_l2")
class L1L2(Regularizer):
    """l1 * sum(|x|) + l2 * sum(x^2).

    Args:
        l1, l2: the factors. Default to 0; None counts as 0.

    Raises:
        ValueError: a factor that is negative or not finite.
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1, self.l2 = _factor(l1 or 0.0, "l1"), _factor(l2 or 0.0, "l2")

    def __call__(self, x: Any) -> Any:
        first = _absolute_sum(x, self.l1) if self.l1 else ops.zeros((), ops.dtype(x))
        return ops.add(first, _square_sum(x, self.l2)) if self.l2 else first

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


@export("keras.regularizers.L1", "keras.regularizers.l1")
class L1(Regularizer):
    """l1 * sum(|x|); `l1` defaults to 0.01. ValueError for a factor that is negative or not finite."""

    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = _factor(0.01 if l1 is None else l1, "l1")

    def __call__(self, x: Any) -> Any:
        return _absolute_sum(x, self.l1)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


@export("keras.regularizers.L2", "keras.regularizers.l2")
class L2(Regularizer):
    """l2 * sum(x^2); `l2` defaults to 0.01. ValueError for a factor that is negative or not finite."""

    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = _factor(0.01 if l2 is None else l2, "l2")

    def __call__(self, x: Any) -> Any:
        return _square_sum(x, self.l2)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


@export("keras.regularizers.OrthogonalRegularizer", "keras.regularizers.orthogonal_regularizer")
class OrthogonalRegularizer(Regularizer):
    """`factor` times the mean of |cos| of the angles between the rows (or columns) of a matrix.

    Args:
        factor: defaults to 0.01.
        mode: "rows" (default) or "columns".

    Raises:
        ValueError: a negative factor, another mode, weights that are no matrix.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _factor(factor, "factor")
        if mode not in ("rows", "columns"):
            raise ValueError(
                f'Invalid value for argument `mode`. Expected one of {{"rows", "columns"}}. Received: mode={mode}'
            )
        self.mode = mode

    def __call__(self, inputs: Any) -> Any:
        if len(inputs.shape) != 2:
            raise ValueError(f"Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape={inputs.shape}")
        rows = ops.convert_to_tensor(inputs) if self.mode == "rows" else ops.transpose(inputs)
        rows = ops.normalize(rows, axis=1)
        size = rows.shape[0]
        cosines = ops.absolute(ops.matmul(rows, ops.transpose(rows)))
        pairs = max(size * (size - 1) / 2, 1)  # a single row has no angles, and no penalty
        between = ops.sum(ops.multiply(cosines, ops.subtract(1.0, ops.eye(size, dtype=ops.dtype(rows)))))
        return ops.multiply(between, self.factor * 0.5 / pairs)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


_TABLE = names_of(Regularizer, L1, L2, L1L2, OrthogonalRegularizer, l1l2=L1L2)


@export("keras.regularizers.serialize")
def serialize(regularizer: Regularizer | None) -> dict[str, Any] | None:
    """The config dictionary of a penalty."""
    return serialize_object(regularizer)


@export("keras.regularizers.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The penalty that a config dictionary or a name stands for; ValueError if it is not known."""
    return deserialize_object(config, _TABLE, "regularizer", custom_objects)


@export("keras.regularizers.get")
def get(identifier: Any) -> Any:
    """The penalty for a name, a config dictionary, a class or an object; None stays None; else ValueError."""
    return lookup(identifier, _TABLE, "regularizer")
