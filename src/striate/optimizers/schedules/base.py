"""What learning-rate schedules have in common."""

from __future__ import annotations

from typing import Any

from striate.core.errors import message
from striate.core.registry import export
from striate.ops.base import as_float


@export("keras.optimizers.schedules.LearningRateSchedule")
class LearningRateSchedule:
    """Base of schedules: a callable from the number of the step, counted from 0, to the learning rate, with a config.

    Own schedules override `__call__(step)`, written with `striate.ops`, and `get_config`.
    """

    def __call__(self, step: Any) -> Any:
        """The learning rate of step number `step`; subclasses override it."""
        raise NotImplementedError(f"{type(self).__name__} has no `__call__(step)` method. Write one.")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same schedule again; subclasses that can be saved override it."""
        raise NotImplementedError(f"{type(self).__name__} cannot be saved: it has no `get_config` method. Write one.")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A schedule made from what `get_config` returned."""
        return cls(**config)


def rate(value: Any) -> Any:
    """A learning rate as a scalar tensor of a float dtype."""
    return as_float(value)


def check_steps(steps: Any, where: str, name: str = "decay_steps") -> None:
    """ValueError unless `steps` is positive."""
    if steps <= 0:
        problem = f"Argument `{name}` must be > 0. Received: {name}={steps}"
        raise ValueError(message(where, problem, "It is the number of steps that the decay takes"))
