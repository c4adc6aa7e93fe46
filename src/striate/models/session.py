"""A fresh start: names are counted from the beginning again."""

from __future__ import annotations

import gc

from striate.core.registry import export
from striate.trace import naming


@export("keras.backend.clear_session", "keras.utils.clear_session")
def clear_session(free_memory: bool = True) -> None:
    """Starts counting automatic names anew; models that exist stay as they are.

    Args:
        free_memory: collect garbage as well (default True).
    """
    naming.reset()
    if free_memory:
        gc.collect()


@export("keras.backend.get_uid")
def get_uid(prefix: str = "") -> int:
    """How often this was asked for `prefix`, this time included."""
    return naming.count(prefix)
