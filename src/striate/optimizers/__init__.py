"""Optimizers and learning-rate schedules."""

from striate.optimizers import schedules
from striate.optimizers.adam import Adam, AdamW
from striate.optimizers.lookup import deserialize, get, serialize
from striate.optimizers.optimizer import Optimizer
from striate.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "deserialize", "get", "schedules", "serialize"]
