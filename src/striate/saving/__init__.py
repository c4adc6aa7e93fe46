"""`keras.saving`: files of models and weights in Keras's formats, and the registry. Nothing in a file is ever run."""

from striate.core.lazy import exported
from striate.saving.models import load_model, save_model
from striate.saving.weights import load_weights, save_weights

__all__ = ["load_model", "load_weights", "save_model", "save_weights"]

__getattr__, _dir = exported(__name__, "keras.saving", ("striate.core.registry", "striate.saving.serialization"))


def __dir__() -> list[str]:
    return _dir()
