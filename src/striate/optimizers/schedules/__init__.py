"""Learning rates that change from step to step."""

from striate.optimizers.schedules.base import LearningRateSchedule
from striate.optimizers.schedules.cosine import CosineDecay, CosineDecayRestarts
from striate.optimizers.schedules.decay import (
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
from striate.optimizers.schedules.lookup import deserialize, serialize

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]
