"""`keras.preprocessing`: older names of functions in `keras.utils`."""

from striate.core.lazy import exported
from striate.preprocessing import image, sequence

__all__ = ["image", "sequence"]

_PROVIDERS = ("striate.utils.timeseries", "striate.datasets.images")
__getattr__, _dir = exported(__name__, "keras.preprocessing", _PROVIDERS)


def __dir__() -> list[str]:
    return _dir()
