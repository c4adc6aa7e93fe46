"""Lion and Lamb: steps whose size does not depend on that of the gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate import ops
from striate.core.errors import message
from striate.core.registry import export
from striate.optimizers.adam import bias_left, complement, towards
from striate.optimizers.optimizer import Optimizer, shared
from striate.trace import Variable


@export("keras.optimizers.Lion")
class Lion(Optimizer):
    """w <- w - learning_rate sign(beta_1 m + (1 - beta_1) g), m <- beta_2 m + (1 - beta_2) g.

    After Chen et al., "Symbolic discovery of optimization algorithms", 2023.

    Args:
        learning_rate: defaults to 0.001.
        beta_1, beta_2: default to 0.9 and 0.99.
        weight_decay, clipnorm, ...: see `Optimizer`.

    Raises:
        ValueError: `beta_1` is not in (0, 1].
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
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
        if not 0 < beta_1 <= 1:
            problem = (
                "Argument `beta_1` must be in the [0, 1] range. Otherwise, the optimizer degenerates to SignSGD. "
                f"Received: beta_1={beta_1}. 0 itself is excluded"
            )
            raise ValueError(message(type(self).__name__, problem, "0.9 is usual"))
        self.beta_1, self.beta_2 = beta_1, beta_2

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._momentums = self.add_optimizer_variables(var_list, "momentum")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        dtype, momentum = variable.dtype, self._momentums[self._get_variable_index(variable)]
        rate = self.once(learning_rate, dtype, lambda: ops.convert_to_tensor(learning_rate, dtype))
        gradient = ops.cast(gradient, dtype)
        mixed = ops.add(ops.multiply(momentum, self.beta_1), ops.multiply(gradient, complement(self.beta_1, dtype)))
        variable.assign(ops.subtract(variable, ops.multiply(ops.sign(mixed), rate)))
        kept = ops.multiply(momentum, self.beta_2)
        momentum.assign(ops.add(kept, ops.multiply(gradient, complement(self.beta_2, dtype))))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2}


def _norm(x: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(x)))


@export("keras.optimizers.Lamb")
class Lamb(Optimizer):
    """Adam's step u, scaled to the size of the weights: w <- w - learning_rate |w| / |u| u (without |w| / |u| where one
    of them is 0).

    After You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", 2020.

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

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        dtype, i = variable.dtype, self._get_variable_index(variable)
        left = self.once(learning_rate, dtype, lambda: self._bias_left(dtype))
        gradient = ops.cast(gradient, dtype)
        m = towards(self._momentums[i], gradient, 1 - self.beta_1)
        v = towards(self._velocities[i], ops.square(gradient), 1 - self.beta_2)
        root = ops.add(ops.sqrt(ops.divide(v, left[1])), self.epsilon)
        step = ops.divide(ops.divide(m, left[0]), root)
        rate = ops.multiply(self._ratio(_norm(variable), _norm(step)), ops.convert_to_tensor(learning_rate, dtype))
        variable.assign(ops.subtract(variable, ops.multiply(step, rate)))

    def _bias_left(self, dtype: str) -> tuple[Any, Any]:
        step = ops.add(self.iterations, 1)
        return bias_left(self.beta_1, step, dtype), bias_left(self.beta_2, step, dtype)

    def _ratio(self, of_weights: Any, of_step: Any) -> Any:
        both = ops.logical_and(ops.greater(of_weights, 0), ops.greater(of_step, 0))
        return ops.where(both, ops.divide(of_weights, ops.where(both, of_step, ops.ones_like(of_step))), 1.0)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
