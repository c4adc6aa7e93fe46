"""`keras.saving`: files of models and weights in Keras's formats, and the registry. Nothing in a file is ever run."""

from striate.core.lazy import exported
from striate.saving.models import save_model
from striate.saving.weights import load_weights, save_weights

__all__ = ["load_model", "load_weights", "save_model", "save_weights"]

# A file may hold any of the classes that `striate.models` brings with it, which stands above: they are loaded with the
# first name that is asked for here.
_PROVIDERS = ("striate.core.registry", "striate.saving.serialization", "striate.models")
__getattr__, _dir = exported(__name__, "keras.saving", _PROVIDERS)


def __dir__() -> list[str]:
    return _dir()
