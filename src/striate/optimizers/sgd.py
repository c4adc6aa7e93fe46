"""Gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate import ops
from striate.core.errors import message
from striate.core.registry import export
from striate.optimizers.optimizer import Optimizer, shared
from striate.trace import Variable


@export("keras.optimizers.SGD")
class SGD(Optimizer):
    """w <- w - learning_rate * g; with momentum v <- momentum * v - learning_rate * g, w <- w + v, and with Nesterov's
    w <- w + momentum * v - learning_rate * g.

    Args:
        learning_rate: defaults to 0.01.
        momentum: a float in [0, 1]. Defaults to 0.
        nesterov: defaults to False.
        weight_decay, clipnorm, ...: see `Optimizer`.

    Raises:
        ValueError: `momentum` is no float, or out of range.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
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
        if not isinstance(momentum, float) or not 0 <= momentum <= 1:
            problem = f"`momentum` must be a float between [0, 1]. Received: momentum={momentum!r}"
            raise ValueError(message(type(self).__name__, problem, "0.9 is usual"))
        self.momentum, self.nesterov = momentum, nesterov

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum") if self.momentum else []

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        rate = self.once(learning_rate, variable.dtype, lambda: ops.convert_to_tensor(learning_rate, variable.dtype))
        step = ops.multiply(ops.cast(gradient, variable.dtype), rate)
        if not self.momentum:
            variable.assign(ops.subtract(variable, step))
            return
        velocity = self.momentums[self._get_variable_index(variable)]
        moved = velocity.assign(ops.subtract(ops.multiply(velocity, self.momentum), step))
        if self.nesterov:
            moved = ops.subtract(ops.multiply(moved, self.momentum), step)
        variable.assign(ops.add(variable, moved))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"momentum": self.momentum, "nesterov": self.nesterov}
