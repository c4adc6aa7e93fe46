"""Projections of weights: they are applied after each step of a training."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core.config import epsilon
from striate.core.objects import deserialize_object, lookup, names_of, serialize_object
from striate.core.registry import export


@export("keras.constraints.Constraint")
class Constraint:
    """Base of constraints: a callable from weights to weights, with a config."""

    def __call__(self, w: Any) -> Any:
        """The weights nearest to `w` that are allowed: here `w` itself; subclasses override it."""
        return w

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same constraint again."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A constraint made from what `get_config` returned."""
        return cls(**config)


def _norms(w: Any, axis: Any) -> Any:
    """The L2 norms of `w` along `axis`, which keeps its place."""
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


def _scaled(w: Any, norms: Any, desired: Any) -> Any:
    return ops.multiply(w, ops.divide(desired, ops.add(norms, epsilon())))


@export("keras.constraints.MaxNorm", "keras.constraints.max_norm")
class MaxNorm(Constraint):
    """Weights with larger norms are scaled down.

    Args:
        max_value: the largest norm. Defaults to 2.
        axis: along which axis, or axes, norms are taken: 0 for a Dense kernel, [0, 1, 2] for a Conv2D kernel.
    """

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        return _scaled(w, norms, ops.clip(norms, 0, self.max_value))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


@export("keras.constraints.NonNeg", "keras.constraints.non_neg")
class NonNeg(Constraint):
    """Negative weights become 0."""

    def __call__(self, w: Any) -> Any:
        return ops.maximum(w, 0)


@export("keras.constraints.UnitNorm", "keras.constraints.unit_norm")
class UnitNorm(Constraint):
    """Weights are scaled to norm 1; `axis` as in MaxNorm."""

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        return ops.divide(w, ops.add(_norms(w, self.axis), epsilon()))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


@export("keras.constraints.MinMaxNorm", "keras.constraints.min_max_norm")
class MinMaxNorm(Constraint):
    """Weights with norms outside [min_value, max_value] are scaled towards it.

    Args:
        min_value, max_value: the range of norms. Default to 0 and 1.
        rate: how far towards it in one step: 1 (default) for all the way.
        axis: as in MaxNorm.
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0) -> None:
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        inside = ops.clip(norms, self.min_value, self.max_value)
        return _scaled(w, norms, ops.add(ops.multiply(inside, self.rate), ops.multiply(norms, 1 - self.rate)))

    def get_config(self) -> dict[str, Any]:
        return {"min_value": self.min_value, "max_value": self.max_value, "rate": self.rate, "axis": self.axis}


_TABLE = names_of(Constraint, MaxNorm, NonNeg, UnitNorm, MinMaxNorm)


@export("keras.constraints.serialize")
def serialize(constraint: Constraint | None) -> dict[str, Any] | None:
    """The config dictionary of a constraint."""
    return serialize_object(constraint)


@export("keras.constraints.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The constraint that a config dictionary or a name stands for; ValueError if it is not known."""
    return deserialize_object(config, _TABLE, "constraint", custom_objects)


@export("keras.constraints.get")
def get(identifier: Any) -> Any:
    """The constraint for a name, a config dictionary, a class or an object; None stays None; else ValueError."""
    return lookup(identifier, _TABLE, "constraint")
