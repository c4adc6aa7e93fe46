"""`keras.backend`: floats' defaults, dtypes, and a fresh start."""

from striate.core.lazy import exported

_PROVIDERS = ("striate.core.config", "striate.core.dtypes", "striate.trace", "striate.models.session")
__getattr__, __dir__ = exported(__name__, "keras.backend", _PROVIDERS)
