"""Optimizers and learning-rate schedules."""

from striate.optimizers import legacy, schedules
from striate.optimizers.adafactor import Adafactor
from striate.optimizers.adam import Adam, AdamW
from striate.optimizers.adam_variants import Adamax, Nadam
from striate.optimizers.adaptive import Adadelta, Adagrad, RMSprop
from striate.optimizers.config import deserialize, get, serialize
from striate.optimizers.ftrl import Ftrl
from striate.optimizers.loss_scale import LossScaleOptimizer
from striate.optimizers.multi import MultiOptimizer, OptimizerMap
from striate.optimizers.muon import Muon
from striate.optimizers.optimizer import Optimizer
from striate.optimizers.schedule_free import ScheduleFreeAdamW
from striate.optimizers.sgd import SGD
from striate.optimizers.signs import Lamb, Lion

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "OptimizerMap",
    "RMSprop",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "legacy",
    "schedules",
    "serialize",
]
