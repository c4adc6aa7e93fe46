"""`keras.config`: settings of the process."""

from striate.core.config import conv_precision, num_threads, set_conv_precision, set_num_threads
from striate.core.lazy import exported

_get, _dir = exported(
    __name__,
    "keras.config",
    ("striate.core.config", "striate.core.interactive", "striate.layers.policy", "striate.saving.deserialization"),
)
__getattr__ = _get
__all__ = ["conv_precision", "num_threads", "set_conv_precision", "set_num_threads"]


def __dir__() -> list[str]:
    return _dir()
