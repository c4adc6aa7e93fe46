"""RMSprop, Adagrad, Adadelta: steps divided by the root of squared gradients, averaged or summed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate import initializers, ops
from striate.core.registry import export
from striate.optimizers.optimizer import Optimizer, shared
from striate.trace import Variable


def average(variable: Variable, value: Any, rho: float) -> Any:
    """variable <- rho * variable + (1 - rho) * value; returns its new value."""
    return variable.assign(ops.add(ops.multiply(variable, rho), ops.multiply(value, 1 - rho)))


@export("keras.optimizers.RMSprop")
class RMSprop(Optimizer):
    """v <- rho v + (1 - rho) g^2, w <- w - learning_rate g / sqrt(v + epsilon).

    With `momentum` the steps are summed up, older ones weaker: b <- momentum b + step, w <- w - b. With `centered` the
    square of the gradients' own average is taken from v in the root.

    After Hinton, "Neural networks for machine learning", lecture 6, 2012.

    Args:
        learning_rate: defaults to 0.001.
        rho: defaults to 0.9.
        momentum: defaults to 0.
        epsilon: defaults to 1e-7.
        centered: defaults to False.
        weight_decay, clipnorm, ...: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
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
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._velocities = self.add_optimizer_variables(var_list, "velocity")
        self._momentums = self.add_optimizer_variables(var_list, "momentum") if self.momentum > 0 else []
        self._average_gradients = self.add_optimizer_variables(var_list, "average_gradient") if self.centered else []

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        dtype, i = variable.dtype, self._get_variable_index(variable)
        gradient = ops.cast(gradient, dtype)
        spread = average(self._velocities[i], ops.square(gradient), self.rho)
        if self.centered:
            spread = ops.subtract(spread, ops.square(average(self._average_gradients[i], gradient, self.rho)))
        rate = self.once(learning_rate, dtype, lambda: ops.convert_to_tensor(learning_rate, dtype))
        step = ops.divide(ops.multiply(gradient, rate), ops.sqrt(ops.add(spread, self.epsilon)))
        if self.momentum > 0:
            step = self._momentums[i].assign(ops.add(ops.multiply(self._momentums[i], self.momentum), step))
        variable.assign(ops.subtract(variable, step))

    def get_config(self) -> dict[str, Any]:
        names = ("rho", "momentum", "epsilon", "centered")
        return super().get_config() | {name: getattr(self, name) for name in names}


@export("keras.optimizers.Adagrad")
class Adagrad(Optimizer):
    """s <- s + g^2, w <- w - learning_rate g / sqrt(s + epsilon).

    After Duchi et al., "Adaptive subgradient methods for online learning and stochastic optimization", 2011.

    Args:
        learning_rate: defaults to 0.001.
        initial_accumulator_value: the first s. Defaults to 0.1.
        epsilon: defaults to 1e-7.
        weight_decay, clipnorm, ...: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
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
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        first = initializers.Constant(self.initial_accumulator_value)
        self._accumulators = self.add_optimizer_variables(var_list, "accumulator", initializer=first)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        dtype, accumulator = variable.dtype, self._accumulators[self._get_variable_index(variable)]
        rate = self.once(learning_rate, dtype, lambda: ops.convert_to_tensor(learning_rate, dtype))
        gradient = ops.cast(gradient, dtype)
        total = accumulator.assign(ops.add(accumulator, ops.square(gradient)))
        step = ops.divide(ops.multiply(gradient, rate), ops.sqrt(ops.add(total, self.epsilon)))
        variable.assign(ops.subtract(variable, step))

    def get_config(self) -> dict[str, Any]:
        own = {"initial_accumulator_value": self.initial_accumulator_value, "epsilon": self.epsilon}
        return super().get_config() | own


@export("keras.optimizers.Adadelta")
class Adadelta(Optimizer):
    """s <- rho s + (1 - rho) g^2, step = g sqrt(d + epsilon) / sqrt(s + epsilon), d <- rho d + (1 - rho) step^2,
    w <- w - learning_rate step.

    After Zeiler, "ADADELTA: an adaptive learning rate method", 2012, who has learning_rate = 1.

    Args:
        learning_rate: defaults to 0.001.
        rho: defaults to 0.95.
        epsilon: defaults to 1e-7.
        weight_decay, clipnorm, ...: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
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
        self.rho, self.epsilon = rho, epsilon

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        names = ["accumulated_grad", "accumulated_delta_var"]
        self._accumulated_grads, self._accumulated_delta_vars = self.add_optimizer_variables(var_list, names)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        dtype, i = variable.dtype, self._get_variable_index(variable)
        steps = self._accumulated_delta_vars[i]
        gradient = ops.cast(gradient, dtype)
        spread = average(self._accumulated_grads[i], ops.square(gradient), self.rho)
        step = ops.divide(ops.multiply(self._root(steps), gradient), self._root(spread))
        average(steps, ops.square(step), self.rho)
        rate = self.once(learning_rate, dtype, lambda: ops.convert_to_tensor(learning_rate, dtype))
        variable.assign(ops.subtract(variable, ops.multiply(step, rate)))

    def _root(self, x: Any) -> Any:
        return ops.sqrt(ops.add(x, self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rho": self.rho, "epsilon": self.epsilon}
