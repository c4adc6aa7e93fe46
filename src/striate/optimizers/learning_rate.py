"""The learning rate of an optimizer: a variable, a schedule, or a function."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core.config import floatx
from striate.core.errors import message
from striate.core.objects import serialize_object
from striate.optimizers import schedules
from striate.optimizers.schedules import LearningRateSchedule
from striate.optimizers.state import OptimizerState
from striate.trace import Variable


class WithLearningRate(OptimizerState):
    """What an optimizer knows of its learning rate."""

    _iterations: Variable
    _learning_rate: Any

    def _set_first_learning_rate(self, learning_rate: Any) -> None:
        if not callable(learning_rate) and not isinstance(learning_rate, float):
            problem = (
                "Argument `learning_rate` should be float, or an instance of LearningRateSchedule, or a callable "
                "(that takes no arguments and returns the learning rate). "
                f"Received instead: learning_rate={learning_rate!r}"
            )
            raise ValueError(message(type(self).__name__, problem, "Pass a float such as 0.001"))
        if callable(learning_rate):
            self._learning_rate = learning_rate
            return
        with self._scope():
            self._learning_rate = Variable(learning_rate, dtype=floatx(), trainable=False, name="learning_rate")

    @property
    def learning_rate(self) -> Any:
        """The present learning rate: the variable that holds it, or what the schedule or function gives.

        Setting it takes a number (unless it is a schedule: TypeError), a schedule or a function.
        """
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        before = self._learning_rate
        if callable(learning_rate):
            self._learning_rate = learning_rate
            if isinstance(before, Variable):
                self._untrack_variable(before)
        elif isinstance(before, Variable):
            before.assign(learning_rate)
        else:
            problem = (
                "This optimizer was created with a `LearningRateSchedule` object (or a function) as its "
                "`learning_rate` constructor argument, hence its learning rate is not settable"
            )
            fix = "If you need it to be settable, make the optimizer with a float `learning_rate`"
            raise TypeError(message(f"Optimizer '{self.name}'", problem, fix))

    def _get_current_learning_rate(self) -> Any:
        if isinstance(self._learning_rate, LearningRateSchedule):
            return self._learning_rate(self._iterations)
        return self._learning_rate() if callable(self._learning_rate) else self._learning_rate

    def _learning_rate_config(self) -> Any:
        """As a config has it: a number, or a dictionary."""
        value = self._learning_rate
        if isinstance(value, Variable) or ops.is_tensor(value):
            return float(value.array) if isinstance(value, Variable) else float(value)
        return serialize_object(value)


def learning_rate_from_config(config: Any, custom_objects: Any = None) -> Any:
    """What `_learning_rate_config` stood for."""
    return schedules.deserialize(config, custom_objects) if isinstance(config, dict) else config
