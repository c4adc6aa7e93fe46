"""The data that `fit`, `evaluate` and `predict` take, as batches of arrays."""

from striate.training.data.adapters import Adapter, adapt
from striate.training.data.arrays import train_validation_split
from striate.utils.unpack import unpack_x_y_sample_weight

__all__ = ["Adapter", "adapt", "train_validation_split", "unpack_x_y_sample_weight"]
