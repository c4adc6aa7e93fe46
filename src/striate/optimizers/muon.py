"""Muon: steps along momentum matrices whose singular values are made equal."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from striate import ops
from striate.core.errors import message
from striate.core.registry import export
from striate.optimizers.adam import adam_rate, towards
from striate.optimizers.optimizer import Optimizer, shared
from striate.optimizers.state import overwritten
from striate.trace import Variable


@export("keras.optimizers.Muon")
class Muon(Optimizer):
    """For matrices: m <- momentum m + g, and a step along m with its singular values brought near 1. For everything
    else: Adam with weight decay.

    After Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, with the scaling of Liu et
    al., "Muon is scalable for LLM training", 2025.

    Args:
        learning_rate: defaults to 0.001.
        adam_beta_1, adam_beta_2, epsilon, adam_weight_decay: of Adam; default to 0.9, 0.999, 1e-7, 0.004.
        weight_decay: of the matrices. Defaults to 0.004.
        exclude_layers: regular expressions; matrices whose path one of them fits are left to Adam.
        exclude_embeddings: whether those with "embedding" in their path are. Defaults to True.
        muon_a, muon_b, muon_c: of the iteration x <- a x + (b A + c A A) x with A = x x^T, `ns_steps` (5) times.
        adam_lr_ratio: of Adam's learning rate to `learning_rate`. Defaults to 1.
        momentum: defaults to 0.95.
        nesterov: whether the step is along g + momentum m. Defaults to True.
        rms_rate: steps are scaled by sqrt(longer side) times this. Defaults to 0.2; None for no scaling.
        clipnorm, ...: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**shared(locals()))
        self.adam_beta_1, self.adam_beta_2, self.epsilon = adam_beta_1, adam_beta_2, epsilon
        self.adam_weight_decay, self.adam_lr_ratio = adam_weight_decay, adam_lr_ratio
        self.muon_a, self.muon_b, self.muon_c, self.ns_steps = muon_a, muon_b, muon_c, ns_steps
        self.momentum, self.nesterov, self.rms_rate = momentum, nesterov, rms_rate
        self.exclude_embeddings, self.exclude_layers = exclude_embeddings, exclude_layers or []

    def _should_use_adamw(self, variable: Variable) -> bool:
        if len(variable.shape) != 2:
            return True
        embedding = self.exclude_embeddings and "embedding" in variable.path.lower()
        return embedding or any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        made = [self._slots_of(v) for v in var_list]
        self.momentums, self.adam_velocities = [m for m, _ in made], [v for _, v in made]

    def _slots_of(self, variable: Variable) -> tuple[Variable | None, Variable | None]:
        if overwritten(variable):
            return None, None
        momentum = self.add_variable_from_reference(variable, name="momentum")
        adam = self._should_use_adamw(variable)
        return momentum, self.add_variable_from_reference(variable, name="velocity") if adam else None

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        i = self._get_variable_index(variable)
        momentum, velocity = self.momentums[i], self.adam_velocities[i]
        gradient = ops.cast(gradient, variable.dtype)
        if momentum is None:
            raise ValueError(f"Muon: variable '{variable.path}' was marked `overwrite_with_gradient` before.")
        if velocity is None:
            self._muon_step(gradient, variable, learning_rate, momentum)
        else:
            self._adam_step(gradient, variable, learning_rate, momentum, velocity)

    def _muon_step(self, gradient: Any, variable: Variable, learning_rate: Any, momentum: Variable) -> None:
        m = momentum.assign(ops.add(ops.multiply(momentum, self.momentum), gradient))
        along = ops.add(ops.multiply(m, self.momentum), gradient) if self.nesterov else m
        step = self.zeropower_via_newtonschulz5(along, self.ns_steps)
        step = ops.multiply(step, ops.convert_to_tensor(learning_rate, variable.dtype))
        variable.assign(ops.subtract(variable, self.lr_adjust(step)))

    def lr_adjust(self, x: Any) -> Any:
        """`x`, a step, times sqrt(its longer side) times `rms_rate`."""
        return x if self.rms_rate is None else ops.multiply(x, math.sqrt(max(x.shape[:2])) * self.rms_rate)

    def _adam_step(
        self, gradient: Any, variable: Variable, learning_rate: Any, momentum: Variable, velocity: Variable
    ) -> None:
        dtype, betas = variable.dtype, (self.adam_beta_1, self.adam_beta_2)
        step, scaled = ops.add(self.iterations, 1), ops.multiply(learning_rate, self.adam_lr_ratio)
        rate = self.once(learning_rate, dtype, lambda: adam_rate(scaled, betas, step, dtype))
        m = towards(momentum, gradient, 1 - self.adam_beta_1)
        v = towards(velocity, ops.square(gradient), 1 - self.adam_beta_2)
        change = ops.divide(ops.multiply(m, rate), ops.add(ops.sqrt(v), self.epsilon))
        variable.assign(ops.subtract(variable, change))

    def transpose_last_axis(self, X: Any) -> Any:
        """`X` with its last two axes exchanged."""
        return ops.swapaxes(X, -2, -1)

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """The matrix `x` with singular values near 1, by Newton and Schulz's iteration.

        Raises:
            ValueError: `x` has fewer than two axes.
        """
        if len(x.shape) < 2:
            problem = f"Expected gradient or momentum to have at least 2 dimensions. Received: shape={tuple(x.shape)}"
            raise ValueError(message("Muon", problem))
        tall = x.shape[-2] > x.shape[-1]  # the product of the shorter sides is the smaller one
        x = self.transpose_last_axis(x) if tall else x
        norm = ops.sqrt(ops.sum(ops.square(x), axis=(-2, -1), keepdims=True))
        x = ops.divide(x, ops.add(norm, 1e-7))
        for _ in range(steps):
            square = ops.matmul(x, self.transpose_last_axis(x))
            mixed = ops.add(ops.multiply(square, self.muon_b), ops.matmul(ops.multiply(square, self.muon_c), square))
            x = ops.add(ops.multiply(x, self.muon_a), ops.matmul(mixed, x))
        return self.transpose_last_axis(x) if tall else x

    def _decay_of(self, variable: Variable) -> float | None:
        return self.adam_weight_decay if self._should_use_adamw(variable) else self.weight_decay

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {name: getattr(self, name) for name in _NAMES}


_NAMES = (
    "adam_beta_1", "adam_beta_2", "epsilon", "exclude_layers", "muon_a", "muon_b", "muon_c", "adam_lr_ratio",
    "momentum", "ns_steps", "nesterov", "exclude_embeddings", "adam_weight_decay", "rms_rate",
)  # fmt: skip
