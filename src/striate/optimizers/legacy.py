"""Keras's `optimizers.legacy`: names that say what to use instead."""

from __future__ import annotations

from typing import Any

from striate.core.registry import export


@export(*(f"keras.optimizers.legacy.{n}" for n in ("Adagrad", "Adam", "Ftrl", "Optimizer", "RMSprop", "SGD")))
class LegacyOptimizer:
    """There are no legacy optimizers: making one raises ImportError."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ImportError(
            "`keras.optimizers.legacy` is not supported in Keras 3, and so not here. Use the optimizer of the same "
            "name in `keras.optimizers`; instead of `decay` it takes a schedule."
        )


Adagrad = Adam = Ftrl = Optimizer = RMSprop = SGD = LegacyOptimizer
