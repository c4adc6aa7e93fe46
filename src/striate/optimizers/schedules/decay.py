"""Schedules by a power, a polynomial, a quotient, and from a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate import ops
from striate.core.errors import message
from striate.core.registry import export
from striate.optimizers.schedules.base import LearningRateSchedule, check_steps, rate


class _Decay(LearningRateSchedule):
    """Schedules of an initial rate, a time constant and a factor."""

    def __init__(
        self, initial_learning_rate: Any, decay_steps: Any, decay_rate: Any, staircase: bool = False, name: str = ""
    ) -> None:
        check_steps(decay_steps, type(self).__name__)
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.decay_rate, self.staircase, self.name = decay_rate, staircase, name

    def _times(self, step: Any, dtype: Any) -> Any:
        """step / decay_steps, rounded down for a staircase."""
        times = ops.divide(ops.cast(step, dtype), self.decay_steps)
        return ops.floor(times) if self.staircase else times

    def get_config(self) -> dict[str, Any]:
        names = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name")
        return {name: getattr(self, name) for name in names}


@export("keras.optimizers.schedules.ExponentialDecay")
class ExponentialDecay(_Decay):
    """initial_learning_rate * decay_rate ** (step / decay_steps).

    Args:
        initial_learning_rate: the rate of step 0.
        decay_steps: after how many steps the rate is `decay_rate` times what it was.
        decay_rate: that factor.
        staircase: whether the exponent is rounded down, so that the rate falls in jumps. Defaults to False.

    Raises:
        ValueError: `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: Any,
        decay_steps: Any,
        decay_rate: Any,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step: Any) -> Any:
        first = rate(self.initial_learning_rate)
        factor = ops.power(ops.convert_to_tensor(self.decay_rate, first.dtype), self._times(step, first.dtype))
        return ops.multiply(first, factor)


@export("keras.optimizers.schedules.InverseTimeDecay")
class InverseTimeDecay(_Decay):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps).

    Args:
        initial_learning_rate: the rate of step 0.
        decay_steps: the unit in which steps are counted.
        decay_rate: how fast the rate falls.
        staircase: whether step / decay_steps is rounded down. Defaults to False.

    Raises:
        ValueError: `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: Any,
        decay_steps: Any,
        decay_rate: Any,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step: Any) -> Any:
        first = rate(self.initial_learning_rate)
        return ops.divide(first, ops.add(ops.multiply(self._times(step, first.dtype), self.decay_rate), 1))


@export("keras.optimizers.schedules.PolynomialDecay")
class PolynomialDecay(LearningRateSchedule):
    """(initial_learning_rate - end_learning_rate) * (1 - step / decay_steps) ** power + end_learning_rate.

    Args:
        initial_learning_rate: the rate of step 0.
        decay_steps: how many steps the way down takes; from then on the rate stays.
        end_learning_rate: the last rate. Defaults to 0.0001.
        power: defaults to 1, a straight line.
        cycle: whether, instead of staying, `decay_steps` is doubled, tripled ... when `step` has passed it.

    Raises:
        ValueError: `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: Any,
        decay_steps: Any,
        end_learning_rate: Any = 0.0001,
        power: Any = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        check_steps(decay_steps, "PolynomialDecay")
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.end_learning_rate, self.power, self.cycle, self.name = end_learning_rate, power, cycle, name

    def __call__(self, step: Any) -> Any:
        first = rate(self.initial_learning_rate)
        last = ops.convert_to_tensor(self.end_learning_rate, first.dtype)
        left = ops.subtract(1, self._done(ops.cast(step, first.dtype)))
        shape = ops.power(left, ops.convert_to_tensor(self.power, first.dtype))
        return ops.add(ops.multiply(ops.subtract(first, last), shape), last)

    def _done(self, step: Any) -> Any:
        if not self.cycle:
            return ops.divide(ops.minimum(step, self.decay_steps), self.decay_steps)
        rounds = ops.maximum(ops.ceil(ops.divide(step, self.decay_steps)), 1)  # step 0 belongs to the first
        return ops.divide(step, ops.multiply(rounds, self.decay_steps))

    def get_config(self) -> dict[str, Any]:
        names = ("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle", "name")
        return {name: getattr(self, name) for name in names}


@export("keras.optimizers.schedules.PiecewiseConstantDecay")
class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and with step boundaries[0], then values[1] up to boundaries[1], ..., at last values[-1].

    Args:
        boundaries: steps, in rising order.
        values: one more than boundaries.

    Raises:
        ValueError: another number of values.
    """

    def __init__(self, boundaries: Sequence[Any], values: Sequence[Any], name: str = "PiecewiseConstant") -> None:
        if len(boundaries) != len(values) - 1:
            problem = (
                "The length of boundaries should be 1 less than the length of values. "
                f"Received: boundaries={boundaries} of length {len(boundaries)}, "
                f"and values={values} of length {len(values)}"
            )
            raise ValueError(message("PiecewiseConstantDecay", problem, "Each boundary stands between two values"))
        self.boundaries, self.values, self.name = boundaries, values, name

    def __call__(self, step: Any) -> Any:
        values = [rate(v) for v in self.values]
        step, found = ops.convert_to_tensor(step), values[-1]
        for boundary, value in zip(reversed(self.boundaries), reversed(values[:-1]), strict=True):
            found = ops.where(ops.less_equal(step, ops.cast(boundary, step.dtype)), value, found)
        return found

    def get_config(self) -> dict[str, Any]:
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}
