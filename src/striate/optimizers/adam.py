"""Adam and AdamW: steps divided by the root of the mean squared gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate import ops
from striate.core.errors import message
from striate.core.registry import export
from striate.optimizers.optimizer import Optimizer, shared
from striate.trace import Variable


def towards(variable: Variable, target: Any, fraction: Any) -> Any:
    """Moves `variable` by `fraction` of the way to `target`; returns its new value."""
    return variable.assign(ops.add(variable, ops.multiply(ops.subtract(target, variable), fraction)))


def bias_left(beta: float, step: Any, dtype: str) -> Any:
    """1 - beta^step: how much of a mean that started at 0 comes from gradients."""
    return ops.subtract(1, ops.power(ops.convert_to_tensor(beta, dtype), ops.cast(step, dtype)))


def complement(beta: float, dtype: str) -> Any:
    """1 - beta, computed in `dtype` as Keras does in some optimizers: in float32, 1 - 0.999 is 1.3e-5 off 0.001."""
    return ops.subtract(1, ops.convert_to_tensor(beta, dtype))


def adam_rate(learning_rate: Any, betas: tuple[float, float], step: Any, dtype: str) -> Any:
    """learning_rate * sqrt(1 - beta_2^step) / (1 - beta_1^step): the size of a step of Adam, both biases corrected."""
    root = ops.sqrt(bias_left(betas[1], step, dtype))
    return ops.divide(ops.multiply(ops.convert_to_tensor(learning_rate, dtype), root), bias_left(betas[0], step, dtype))


@export("keras.optimizers.Adam")
class Adam(Optimizer):
    """m <- m + (1 - beta_1)(g - m), v <- v + (1 - beta_2)(g^2 - v), w <- w - a m / (sqrt(v) + epsilon), with
    a = learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) in step t.

    After Kingma and Ba, "Adam: a method for stochastic optimization", 2015 (`epsilon` is the epsilon-hat of their
    section 2), and Reddi et al., "On the convergence of Adam and beyond", 2018.

    Args:
        learning_rate: defaults to 0.001.
        beta_1, beta_2: default to 0.9 and 0.999.
        epsilon: defaults to 1e-7.
        amsgrad: whether the largest v so far is used. Defaults to False.
        weight_decay, clipnorm, ...: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._momentums, self._velocities = self.add_optimizer_variables(var_list, ["momentum", "velocity"])
        if self.amsgrad:
            self._velocity_hats = self.add_optimizer_variables(var_list, "velocity_hat")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        dtype, i = variable.dtype, self._get_variable_index(variable)
        betas, step = (self.beta_1, self.beta_2), ops.add(self.iterations, 1)
        rate = self.once(learning_rate, dtype, lambda: adam_rate(learning_rate, betas, step, dtype))
        gradient = ops.cast(gradient, dtype)
        m = towards(self._momentums[i], gradient, 1 - self.beta_1)
        v = towards(self._velocities[i], ops.square(gradient), 1 - self.beta_2)
        if self.amsgrad:
            v = self._velocity_hats[i].assign(ops.maximum(self._velocity_hats[i], v))
        change = ops.divide(ops.multiply(m, rate), ops.add(ops.sqrt(v), self.epsilon))
        variable.assign(ops.subtract(variable, change))

    def get_config(self) -> dict[str, Any]:
        names = ("beta_1", "beta_2", "epsilon", "amsgrad")
        return super().get_config() | {name: getattr(self, name) for name in names}


@export("keras.optimizers.AdamW")
class AdamW(Adam):
    """Adam with weight decay: see `Adam` and `Optimizer`. `weight_decay` defaults to 0.004.

    After Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.

    Raises:
        ValueError: `weight_decay` is None.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        super().__init__(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, amsgrad=amsgrad, **shared(locals()))
        if weight_decay is None:
            problem = "Argument `weight_decay` must be a float. Received: weight_decay=None"
            raise ValueError(message(type(self).__name__, problem, "Use Adam for no decay"))
