"""`keras.dtype_policies`: in which dtype layers compute."""

from striate.core.lazy import exported

__getattr__, __dir__ = exported(__name__, "keras.dtype_policies", ("striate.layers.policy",))
