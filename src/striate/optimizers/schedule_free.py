"""Schedule-free AdamW: the average of the weights replaces a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from striate import ops
from striate.core.registry import export
from striate.optimizers.adam import bias_left, complement, towards
from striate.optimizers.optimizer import Optimizer, shared
from striate.trace import Variable


@export("keras.optimizers.ScheduleFreeAdamW")
class ScheduleFreeAdamW(Optimizer):
    """Adam steps on z, whose average over all steps is x; gradients are taken at w = (1 - beta_1) z + beta_1 x:

        v <- beta_2 v + (1 - beta_2) g^2,  z <- z - learning_rate g / (sqrt(v / (1 - beta_2^t)) + epsilon)
        x <- (1 - 1/t) x + z / t

    x is not kept: it follows from w and z. After Defazio et al., "The road less scheduled", 2024.

    Args:
        learning_rate: defaults to 0.0025.
        beta_1, beta_2: default to 0.9 and 0.999.
        epsilon: defaults to 1e-8.
        warmup_steps: over how many steps the learning rate rises from 0. Defaults to 0.
        weight_decay, clipnorm, ...: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**shared(locals()))
        self.beta_1, self.beta_2, self.epsilon, self.warmup_steps = beta_1, beta_2, epsilon, warmup_steps

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._momentums, self._velocities = self.add_optimizer_variables(var_list, ["momentum", "velocity"])
        for momentum, variable in zip(self._momentums, var_list, strict=True):
            if momentum is not None:
                momentum.commit(np.array(variable.array))  # also in a trace, whose later runs must not repeat it

    def _factors(self, learning_rate: Any, dtype: str) -> tuple[Any, Any, Any]:
        """The learning rate, 1 - beta_2^t and 1/t."""
        step, rate = ops.cast(ops.add(self.iterations, 1), dtype), ops.convert_to_tensor(learning_rate, dtype)
        if self.warmup_steps > 0:
            rate = ops.multiply(rate, ops.minimum(ops.divide(step, self.warmup_steps), 1.0))
        return rate, bias_left(self.beta_2, step, dtype), ops.divide(1.0, step)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        dtype, i = variable.dtype, self._get_variable_index(variable)
        rate, left, weight = self.once(learning_rate, dtype, lambda: self._factors(learning_rate, dtype))
        gradient, before = ops.cast(gradient, dtype), self._momentums[i].value
        v = towards(self._velocities[i], ops.square(gradient), complement(self.beta_2, dtype))
        root = ops.add(ops.sqrt(ops.divide(v, left)), self.epsilon)
        z = self._momentums[i].assign(ops.subtract(before, ops.divide(ops.multiply(gradient, rate), root)))
        rest = complement(self.beta_1, dtype)
        average = ops.divide(ops.subtract(variable, ops.multiply(before, rest)), self.beta_1)
        average = ops.add(ops.multiply(average, ops.subtract(1, weight)), ops.multiply(z, weight))
        variable.assign(ops.add(ops.multiply(z, rest), ops.multiply(average, self.beta_1)))

    def get_config(self) -> dict[str, Any]:
        names = ("beta_1", "beta_2", "epsilon", "warmup_steps")
        return super().get_config() | {name: getattr(self, name) for name in names}
