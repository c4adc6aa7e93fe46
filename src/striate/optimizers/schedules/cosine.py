"""Schedules along a cosine, after Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts",
2017."""

from __future__ import annotations

import math
from typing import Any

from striate import ops
from striate.core.registry import export
from striate.optimizers.schedules.base import LearningRateSchedule, check_steps, rate


def _bend(fraction: Any) -> Any:
    """Half a cosine: 1 at 0, 0 at 1."""
    return ops.multiply(ops.add(ops.cos(ops.multiply(fraction, math.pi)), 1.0), 0.5)


@export("keras.optimizers.schedules.CosineDecay")
class CosineDecay(LearningRateSchedule):
    """Down from `initial_learning_rate` to `alpha` times it along half a cosine, after a linear warm-up if one is asked
    for.

    Args:
        initial_learning_rate: the rate of step 0.
        decay_steps: how many steps the way down takes.
        alpha: the last rate as a fraction of the highest one. Defaults to 0.
        warmup_target: the rate at the end of the warm-up, from which it goes down; None (default) for no warm-up.
        warmup_steps: how many steps the warm-up takes. Defaults to 0.

    Raises:
        ValueError: `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: Any,
        decay_steps: Any,
        alpha: Any = 0.0,
        name: str = "CosineDecay",
        warmup_target: Any = None,
        warmup_steps: Any = 0,
    ) -> None:
        check_steps(decay_steps, "CosineDecay")
        self.initial_learning_rate, self.decay_steps, self.alpha = initial_learning_rate, decay_steps, alpha
        self.name, self.warmup_target, self.warmup_steps = name, warmup_target, warmup_steps

    def __call__(self, step: Any) -> Any:
        first = rate(self.initial_learning_rate)
        step = ops.cast(step, first.dtype)
        if self.warmup_target is None:
            return self._down(first, step)
        highest = ops.convert_to_tensor(self.warmup_target, first.dtype)
        after = self._down(highest, ops.subtract(step, self.warmup_steps))
        if not self.warmup_steps:
            return after
        rise = ops.multiply(ops.subtract(highest, first), ops.divide(step, self.warmup_steps))
        return ops.where(ops.less(step, self.warmup_steps), ops.add(rise, first), after)

    def _down(self, highest: Any, step: Any) -> Any:
        bend = _bend(ops.divide(ops.minimum(step, self.decay_steps), self.decay_steps))
        return ops.multiply(highest, ops.add(ops.multiply(bend, 1 - self.alpha), self.alpha))

    def get_config(self) -> dict[str, Any]:
        names = ("initial_learning_rate", "decay_steps", "alpha", "name", "warmup_target", "warmup_steps")
        return {name: getattr(self, name) for name in names}


@export("keras.optimizers.schedules.CosineDecayRestarts")
class CosineDecayRestarts(LearningRateSchedule):
    """Down along half a cosine, again and again: each time from `m_mul` times the height, over `t_mul` times the steps.

    Args:
        initial_learning_rate: the rate of step 0.
        first_decay_steps: how many steps the first way down takes.
        t_mul: defaults to 2.
        m_mul: defaults to 1.
        alpha: the lowest rate as a fraction of `initial_learning_rate`. Defaults to 0.

    Raises:
        ValueError: `first_decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: Any,
        first_decay_steps: Any,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: Any = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        check_steps(first_decay_steps, "CosineDecayRestarts", "first_decay_steps")
        self.initial_learning_rate, self.first_decay_steps = initial_learning_rate, first_decay_steps
        self._t_mul, self._m_mul, self.alpha, self.name = t_mul, m_mul, alpha, name

    def __call__(self, step: Any) -> Any:
        first = rate(self.initial_learning_rate)
        restarts, fraction = self._position(ops.divide(ops.cast(step, first.dtype), self.first_decay_steps))
        height = ops.power(ops.convert_to_tensor(self._m_mul, first.dtype), restarts)
        bend = ops.multiply(height, _bend(fraction))
        return ops.multiply(first, ops.add(ops.multiply(bend, 1 - self.alpha), self.alpha))

    def _position(self, done: Any) -> tuple[Any, Any]:
        """How many restarts there were, and which fraction of the present way down is done."""
        if float(self._t_mul) == 1.0:
            restarts = ops.floor(done)
            return restarts, ops.subtract(done, restarts)
        growth = ops.convert_to_tensor(self._t_mul, done.dtype)
        # The ways before number i take 1 + t + ... + t^(i-1) = (1 - t^i) / (1 - t) times the first one's steps.
        reached = ops.subtract(1.0, ops.multiply(done, ops.subtract(1.0, growth)))
        restarts = ops.floor(ops.divide(ops.log(reached), ops.log(growth)))
        length = ops.power(growth, restarts)
        before = ops.divide(ops.subtract(1.0, length), ops.subtract(1.0, growth))
        return restarts, ops.divide(ops.subtract(done, before), length)

    def get_config(self) -> dict[str, Any]:
        own = {"t_mul": self._t_mul, "m_mul": self._m_mul}
        names = ("initial_learning_rate", "first_decay_steps", "alpha", "name")
        return {name: getattr(self, name) for name in names} | own
