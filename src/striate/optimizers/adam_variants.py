"""Adamax and Nadam: Adam with a maximum, and with Nesterov's momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate import ops
from striate.core.config import floatx
from striate.core.registry import export
from striate.optimizers.adam import bias_left, complement, towards
from striate.optimizers.optimizer import Optimizer, shared
from striate.trace import Variable


@export("keras.optimizers.Adamax")
class Adamax(Optimizer):
    """m as in Adam, u <- max(beta_2 u, |g|), w <- w - learning_rate / (1 - beta_1^t) m / (u + epsilon) in step t.

    After Kingma and Ba, "Adam: a method for stochastic optimization", 2015, section 7.

    Args:
        learning_rate: defaults to 0.001.
        beta_1, beta_2: default to 0.9 and 0.999.
        epsilon: defaults to 1e-7.
        weight_decay, clipnorm, ...: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
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
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._m, self._u = self.add_optimizer_variables(var_list, ["momentum", "norm"])

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        dtype, i = variable.dtype, self._get_variable_index(variable)
        rate = self.once(learning_rate, dtype, lambda: self._rate(learning_rate, dtype))
        gradient = ops.cast(gradient, dtype)
        m = towards(self._m[i], gradient, 1 - self.beta_1)
        u = self._u[i].assign(ops.maximum(ops.multiply(self._u[i], self.beta_2), ops.absolute(gradient)))
        change = ops.divide(ops.multiply(m, rate), ops.add(u, self.epsilon))
        variable.assign(ops.subtract(variable, change))

    def _rate(self, learning_rate: Any, dtype: str) -> Any:
        left = bias_left(self.beta_1, ops.add(self.iterations, 1), dtype)
        return ops.divide(ops.convert_to_tensor(learning_rate, dtype), left)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


@export("keras.optimizers.Nadam")
class Nadam(Optimizer):
    """Adam whose step looks ahead along the momentum: with u_t = beta_1 (1 - 0.96^t / 2) and U_t = u_1 ... u_t,
    w <- w - learning_rate (u_(t+1) m / (1 - U_(t+1)) + (1 - u_t) g / (1 - U_t)) / (sqrt(v / (1 - beta_2^t)) + epsilon).

    After Dozat, "Incorporating Nesterov momentum into Adam", 2016.

    Args:
        learning_rate: defaults to 0.001.
        beta_1, beta_2: default to 0.9 and 0.999.
        epsilon: defaults to 1e-7.
        weight_decay, clipnorm, ...: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
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
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._momentums, self._velocities = self.add_optimizer_variables(var_list, ["momentum", "velocity"])
        self._u_product = Variable(1.0, dtype=var_list[0].dtype if var_list else floatx())

    def _backend_update_step(self, grads: list[Any], variables: list[Variable], learning_rate: Any) -> None:
        self._u_product.assign(ops.multiply(self._u_product, self._momentum_of(1, self._u_product.dtype)))
        super()._backend_update_step(grads, variables, learning_rate)

    def _momentum_of(self, ahead: int, dtype: str) -> Any:
        """u of the step that comes `ahead` steps after those that were made."""
        step = ops.cast(ops.add(self.iterations, ahead), dtype)
        warm = ops.subtract(1.0, ops.multiply(ops.power(ops.convert_to_tensor(0.96, dtype), step), 0.5))
        return ops.multiply(warm, self.beta_1)

    def _factors(self, dtype: str) -> tuple[Any, Any, Any]:
        """Of the momentum, of the gradient, and of the velocity (a divisor)."""
        now, following = self._momentum_of(1, dtype), self._momentum_of(2, dtype)
        product = ops.cast(self._u_product, dtype)
        of_momentum = ops.divide(following, ops.subtract(1, ops.multiply(product, following)))
        of_gradient = ops.divide(ops.subtract(1, now), ops.subtract(1, product))
        return of_momentum, of_gradient, bias_left(self.beta_2, ops.add(self.iterations, 1), dtype)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        dtype, i = variable.dtype, self._get_variable_index(variable)
        of_momentum, of_gradient, left = self.once(learning_rate, dtype, lambda: self._factors(dtype))
        gradient = ops.cast(gradient, dtype)
        m = towards(self._momentums[i], gradient, complement(self.beta_1, dtype))
        v = towards(self._velocities[i], ops.square(gradient), complement(self.beta_2, dtype))
        ahead = ops.add(ops.multiply(m, of_momentum), ops.multiply(gradient, of_gradient))
        root = ops.add(ops.sqrt(ops.divide(v, left)), self.epsilon)
        variable.assign(
            ops.subtract(variable, ops.divide(ops.multiply(ahead, ops.convert_to_tensor(learning_rate, dtype)), root))
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
