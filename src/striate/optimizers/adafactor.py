"""Adafactor: Adam's divisor kept as a product of two vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate import ops
from striate.core.registry import export
from striate.optimizers.optimizer import Optimizer, shared
from striate.optimizers.state import overwritten
from striate.trace import Variable


def _rms(x: Any) -> Any:
    return ops.sqrt(ops.mean(ops.square(x)))


def _blend(variable: Variable, value: Any, share: Any) -> Any:
    """variable <- share * variable + (1 - share) * value; returns its new value."""
    new = ops.multiply(value, ops.subtract(1, share))
    return variable.assign(ops.add(ops.multiply(variable, share), new))


@export("keras.optimizers.Adafactor")
class Adafactor(Optimizer):
    """Steps relative to the size of the weights. For variables of two or more axes the mean squared gradients are kept
    by rows and by columns only.

    After Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018.

    Args:
        learning_rate: the largest relative step. Defaults to 0.001.
        beta_2_decay: in step t the share of older squares is 1 - t^beta_2_decay. Defaults to -0.8.
        epsilon_1: added to squares. Defaults to 1e-30.
        epsilon_2: the smallest size that weights count as. Defaults to 0.001.
        clip_threshold: the largest root mean square of a step. Defaults to 1.
        relative_step: whether a `learning_rate` that is a number is at most 1 / sqrt(t). Defaults to True.
        weight_decay, clipnorm, ...: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
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
        self.beta_2_decay, self.epsilon_1, self.epsilon_2 = beta_2_decay, epsilon_1, epsilon_2
        self.clip_threshold, self.relative_step = clip_threshold, relative_step

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self._r: list[Variable | None] = []
        self._c: list[Variable | None] = []
        self._v: list[Variable | None] = []
        for variable in var_list:
            self._add_slots(variable)

    def _add_slots(self, variable: Variable) -> None:
        rows, columns, velocity = self._factors_of(variable), None, None
        if rows is not None:
            rows, columns = rows
        if not overwritten(variable):
            velocity = self.add_variable_from_reference(variable, name="velocity")
        for slots, slot in ((self._r, rows), (self._c, columns), (self._v, velocity)):
            slots.append(slot)

    def _factors_of(self, variable: Variable) -> Any:
        """The variables for rows and columns; scalars that stay 0 where there are no rows, as Keras's files have
        them."""
        shape, name = variable.shape, variable.name
        if len(shape) < 2:
            return self._placeholder(name), self._placeholder(name)
        if overwritten(variable):
            return None
        shapes = shape[:-1], (*shape[:-2], shape[-1])
        return tuple(self.add_variable(s, dtype=variable.dtype, name=name) for s in shapes)

    def _placeholder(self, name: str) -> Variable:
        made = Variable(0, name=name, trainable=False)
        self._track_variable(made)
        return made

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        dtype = variable.dtype
        share, rate = self.once(learning_rate, dtype, lambda: self._share_and_rate(learning_rate, dtype))
        gradient = ops.cast(gradient, dtype)
        size = ops.multiply(ops.maximum(_rms(variable), self.epsilon_2), rate)
        spread = self._spread(ops.add(ops.square(gradient), self.epsilon_1), variable, share)
        step = ops.divide(gradient, ops.sqrt(spread))
        step = ops.divide(step, ops.maximum(ops.divide(_rms(step), self.clip_threshold), 1))
        variable.assign(ops.subtract(variable, ops.multiply(step, size)))

    def _share_and_rate(self, learning_rate: Any, dtype: str) -> tuple[Any, Any]:
        step = ops.cast(ops.add(self.iterations, 1), dtype)
        rate = ops.minimum(ops.convert_to_tensor(learning_rate, dtype), ops.divide(1, ops.sqrt(step)))
        return ops.subtract(1, ops.power(step, self.beta_2_decay)), rate

    def _spread(self, squares: Any, variable: Variable, share: Any) -> Any:
        """The new mean squared gradients."""
        i = self._get_variable_index(variable)
        rows, columns, velocity = self._r[i], self._c[i], self._v[i]
        if rows is None or columns is None or velocity is None:
            raise ValueError(f"Adafactor: variable '{variable.path}' was marked `overwrite_with_gradient` before.")
        if len(variable.shape) < 2:
            return _blend(velocity, squares, share)
        by_rows = _blend(rows, ops.mean(squares, axis=-1), share)
        by_columns = _blend(columns, ops.mean(squares, axis=-2), share)
        relative = ops.divide(by_rows, ops.mean(by_rows, axis=-1, keepdims=True))
        return velocity.assign(ops.multiply(ops.expand_dims(relative, -1), ops.expand_dims(by_columns, -2)))

    def get_config(self) -> dict[str, Any]:
        names = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")
        return super().get_config() | {name: getattr(self, name) for name in names}
