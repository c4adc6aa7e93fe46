"""The limits of `keras.config` on epochs and steps, for quick tries of a script."""

from __future__ import annotations

import warnings

from striate.core import config


def limited_epochs(epochs: int) -> int:
    """`epochs`, or what `keras.config.set_max_epochs` allows, with a warning."""
    most = config.max_epochs()
    if not most or most >= epochs:
        return epochs
    warnings.warn(f"Limiting epochs to {most}: see keras.config.set_max_epochs.", stacklevel=5)
    return most


def limited_steps(steps: int | None) -> int | None:
    """`steps` of an epoch, or what `keras.config.set_max_steps_per_epoch` allows, with a warning."""
    most = config.max_steps_per_epoch()
    if not most or (steps and most >= steps):
        return steps
    warnings.warn(f"Limiting steps_per_epoch to {most}: see keras.config.set_max_steps_per_epoch.", stacklevel=5)
    return most
