"""`OrbaxCheckpoint`: what to use in its place."""

from __future__ import annotations

from typing import Any

from striate.callbacks.callback import Callback
from striate.core.errors import message
from striate.core.registry import export


@export("keras.callbacks.OrbaxCheckpoint")
class OrbaxCheckpoint(Callback):
    """Orbax saves JAX arrays, which striate does not have: making one raises an ImportError that names the callbacks to
    use in its place."""

    def __init__(self, directory: Any, *args: Any, **kwargs: Any) -> None:
        raise ImportError(
            message(
                "OrbaxCheckpoint",
                "Orbax saves arrays of JAX, and striate computes without JAX",
                "Use ModelCheckpoint to save models, or BackupAndRestore to go on after a stop",
            )
        )
