"""Schedules as config dictionaries, and back."""

from __future__ import annotations

from typing import Any

from striate.core.objects import deserialize_object, serialize_object
from striate.core.registry import export
from striate.optimizers.schedules.base import LearningRateSchedule
from striate.optimizers.schedules.cosine import CosineDecay, CosineDecayRestarts
from striate.optimizers.schedules.decay import (
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

_CLASSES = (CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay)
_TABLE: dict[str, Any] = {cls.__name__: cls for cls in (*_CLASSES, PolynomialDecay)}


@export("keras.optimizers.schedules.serialize")
def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any] | None:
    """The config dictionary of a schedule."""
    return serialize_object(learning_rate_schedule)


@export("keras.optimizers.schedules.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The schedule that a config dictionary stands for; ValueError if it is not known."""
    return deserialize_object(config, _TABLE, "learning rate schedule", custom_objects)
