"""The tour: the chapter from the first convolution to the transposed ones, run and put on one page."""

from striate.core.lazy import attach

_NAMES = {
    "PARTS": "striate.explain.tour.table",
    "build_page": "striate.explain.tour.build",
    "options_for": "striate.explain.tour.build",
}

__getattr__, _dir = attach(__name__, (), _NAMES)
__all__ = sorted(_NAMES)


def __dir__() -> list[str]:
    return _dir()
