"""`keras.utils`: pictures, files and labels, and, loaded when asked for, the names that other modules add to it."""

from striate.core.lazy import exported
from striate.utils.files import get_file
from striate.utils.image import array_to_img, img_to_array, load_img, save_img
from striate.utils.numerical import normalize, to_categorical

__all__ = ["array_to_img", "get_file", "img_to_array", "load_img", "normalize", "save_img", "to_categorical"]

_PROVIDERS = (
    "striate.core.registry",
    "striate.core.dtypes",
    "striate.core.interactive",
    "striate.utils.progbar",
    "striate.utils.py_dataset",
    "striate.utils.sequences",
    "striate.utils.timeseries",
    "striate.utils.unpack",
    "striate.trace",
    "striate.random",
    "striate.models",
    "striate.datasets.images",
    "striate.explain.diagram",
    "striate.explain.dot",
)
__getattr__, _dir = exported(__name__, "keras.utils", _PROVIDERS)


def __dir__() -> list[str]:
    return _dir()
