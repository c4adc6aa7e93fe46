"""Loss scaling: gradients in 16 bits stay in range because the loss is multiplied by a factor that adapts itself."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from striate import initializers, ops
from striate.core.errors import message
from striate.core.registry import export
from striate.optimizers.averaging import only_if
from striate.optimizers.config import deserialize, serialize
from striate.optimizers.optimizer import Optimizer
from striate.optimizers.state import overwritten
from striate.trace import Variable


@export("keras.optimizers.LossScaleOptimizer", "keras.mixed_precision.LossScaleOptimizer")
class LossScaleOptimizer(Optimizer):
    """Another optimizer whose loss is scaled: by twice as much after `dynamic_growth_steps` steps with finite
    gradients; by half as much after a step with others, which changes nothing else.

    Args:
        inner_optimizer: the other one.
        initial_scale: the first factor. Defaults to 2^15.
        dynamic_growth_steps: defaults to 2000.

    Raises:
        ValueError: an argument that belongs to the inner optimizer.
    """

    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        _check_arguments(kwargs)
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale, self.dynamic_growth_steps = initial_scale, dynamic_growth_steps
        self.inner_optimizer.loss_scale_factor = None  # gradients are divided here

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        scale = initializers.Constant(self.initial_scale)
        self.step_counter = self.add_variable((), dtype="int32", name="step_counter")
        self.dynamic_scale = self.add_variable((), dtype="float32", initializer=scale, name="dynamic_scale")
        self.inner_optimizer.build(var_list)
        super().build(var_list)

    @property
    def variables(self) -> list[Variable]:
        """Its own variables, then those of the inner optimizer."""
        return self._variables + self.inner_optimizer.variables

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """A step of the inner optimizer if all gradients are finite; see `Optimizer.apply`."""
        variables = self._variables_for(grads, trainable_variables)
        finite, scale = self.check_finite(grads), self.dynamic_scale.value
        pairs = zip(grads, variables, strict=True)
        unscaled = [g if g is None or overwritten(v) else ops.divide(g, ops.cast(scale, g.dtype)) for g, v in pairs]
        changing = [*variables, *self.inner_optimizer.variables]
        only_if(finite, changing, lambda: self.inner_optimizer.apply(unscaled, variables))
        self._adapt(finite)

    def _adapt(self, finite: Any) -> None:
        """The next factor, and how many good steps there were with it."""
        grown = ops.equal(self.step_counter, self.dynamic_growth_steps - 1)
        restart = ops.logical_or(grown, ops.logical_not(finite))
        factor = ops.where(finite, ops.where(grown, 2.0, 1.0), 0.5)
        self.dynamic_scale.assign(ops.multiply(self.dynamic_scale, ops.cast(factor, "float32")))
        self.step_counter.assign(ops.where(restart, 0, ops.add(self.step_counter, 1)))

    def check_finite(self, grads: Sequence[Any]) -> Any:
        """Whether no gradient holds an infinity or a NaN, a scalar."""
        return ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in grads if g is not None]))

    @property
    def learning_rate(self) -> Any:
        """That of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """Those of the inner optimizer."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the present factor."""
        return ops.multiply(loss, self.dynamic_scale if self.built else self.initial_scale)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        own = {"initial_scale": self.initial_scale, "dynamic_growth_steps": self.dynamic_growth_steps}
        return {"name": self.name, "inner_optimizer": serialize(self.inner_optimizer)} | own

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        given = dict(config)
        return cls(deserialize(given.pop("inner_optimizer"), custom_objects), **given)


_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(Optimizer.__init__).parameters.items()
    if name not in ("self", "learning_rate", "name", "kwargs")
}


def _check_arguments(kwargs: dict[str, Any]) -> None:
    """Refuses what the inner optimizer decides; its defaults stand in older files and are dropped."""
    if not kwargs.pop("dynamic", True):
        problem = "LossScaleOptimizer no longer supports `dynamic=False`"
        raise ValueError(message("", problem, "Instead, set `loss_scale_factor` directly on the `inner_optimizer`"))
    unknown = [f"`{name}`" for name in kwargs if name not in _DEFAULTS]
    if unknown:
        raise ValueError(f"LossScaleOptimizer does not support arguments: {', '.join(unknown)}.")
    for name, value in kwargs.items():
        if value != _DEFAULTS[name]:
            fix = f"Instead, set `{name}` on the `inner_optimizer`"
            raise ValueError(message("", f"LossScaleOptimizer does not support `{name}`", fix))
