"""Convolution made visible: drawings of windows with their numbers, and the formulas with the numbers filled in.

Each function returns a drawing that a notebook shows; `striate.core.window` gives every size in it.
"""

from striate.core.lazy import attach

_NAMES = {
    "Drawing": "striate.explain.drawing",
    "arithmetic": "striate.explain.arithmetic",
    "profile": "striate.explain.profiling",
    "show_both": "striate.explain.numbers",
    "show_channels": "striate.explain.numbers",
    "show_convolution": "striate.explain.numbers",
    "show_layers": "striate.explain.sizes",
    "show_pooling": "striate.explain.numbers",
    "show_transposed": "striate.explain.sizes",
    "show_window": "striate.explain.sizes",
}

__getattr__, _dir = attach(__name__, (), _NAMES)
__all__ = sorted(_NAMES)


def __dir__() -> list[str]:
    return _dir()
