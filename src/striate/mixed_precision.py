"""`keras.mixed_precision`: older names of the dtype policies."""

from striate.core.lazy import exported

__getattr__, __dir__ = exported(__name__, "keras.mixed_precision", ("striate.layers.policy", "striate.optimizers"))
