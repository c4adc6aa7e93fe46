"""FTRL: weights that many steps' gradients and an L1 penalty decide together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate import initializers, ops
from striate.core.registry import export
from striate.optimizers.optimizer import Optimizer, shared
from striate.trace import Variable


@export("keras.optimizers.Ftrl")
class Ftrl(Optimizer):
    """Follow the regularized leader: with n' = n + g^2 and p = -learning_rate_power,

        z <- z + g + 2 l2_shrinkage w - (n'^p - n^p) w / learning_rate
        w <- (clip(z, -l1, l1) - z) / (n'^p / learning_rate + 2 l2 + beta / learning_rate)

    After McMahan et al., "Ad click prediction: a view from the trenches", 2013.

    Args:
        learning_rate: defaults to 0.001.
        learning_rate_power: 0 or less. Defaults to -0.5.
        initial_accumulator_value: the first n, 0 or more. Defaults to 0.1.
        l1_regularization_strength, l2_regularization_strength: 0 or more. Default to 0.
        l2_shrinkage_regularization_strength: 0 or more. Defaults to 0.
        beta: defaults to 0.
        weight_decay, clipnorm, ...: see `Optimizer`.

    Raises:
        ValueError: one of them has the wrong sign.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
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
        self.learning_rate_power, self.initial_accumulator_value = learning_rate_power, initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        self._check_signs()

    def _check_signs(self) -> None:
        for name in _NAMES[:-1]:
            value, negative = getattr(self, name), name == "learning_rate_power"
            if value > 0 if negative else value < 0:
                wanted = "negative or zero" if negative else "positive or zero"
                raise ValueError(f"`{name}` needs to be {wanted}. Received: {name}={value}.")

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        first = [initializers.Constant(self.initial_accumulator_value), "zeros"]
        made = self.add_optimizer_variables(var_list, ["accumulator", "linear"], initializer=first)
        self._accumulators, self._linears = made

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        dtype, i = variable.dtype, self._get_variable_index(variable)
        rate = self.once(learning_rate, dtype, lambda: ops.convert_to_tensor(learning_rate, dtype))
        gradient = ops.cast(gradient, dtype)
        total = ops.add(self._accumulators[i], ops.square(gradient))
        power = self._power(total)
        pull = ops.divide(ops.subtract(power, self._power(self._accumulators[i])), rate)
        linear = self._add_to_linear(i, gradient, variable, pull)
        self._accumulators[i].assign(total)
        l1 = self.l1_regularization_strength
        left = ops.subtract(ops.clip(linear, -l1, l1), linear)
        variable.assign(ops.divide(left, ops.add(ops.divide(power, rate), self._twice_l2(rate, dtype))))

    def _add_to_linear(self, i: int, gradient: Any, variable: Variable, pull: Any) -> Any:
        shrinkage = 2 * self.l2_shrinkage_regularization_strength
        total = ops.add(gradient, ops.multiply(variable, shrinkage)) if shrinkage else gradient
        total = ops.subtract(total, ops.multiply(pull, variable))
        return self._linears[i].assign(ops.add(self._linears[i], total))

    def _power(self, x: Any) -> Any:
        return ops.sqrt(x) if self.learning_rate_power == -0.5 else ops.power(x, -self.learning_rate_power)

    def _twice_l2(self, rate: Any, dtype: str) -> Any:
        l2 = self.l2_regularization_strength
        return self.once(rate, ("l2", dtype), lambda: ops.add(ops.divide(self.beta, rate), 2 * l2))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {name: getattr(self, name) for name in _NAMES}


_NAMES = (
    "learning_rate_power",
    "initial_accumulator_value",
    "l1_regularization_strength",
    "l2_regularization_strength",
    "l2_shrinkage_regularization_strength",
    "beta",
)
