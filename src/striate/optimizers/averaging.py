"""Gradients averaged over several steps, and moving averages of the weights. What happens in a step depends on its
number, which is a tensor: both outcomes are computed and one is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from striate import ops
from striate.core.errors import message
from striate.optimizers.decay import WithWeightDecay
from striate.optimizers.state import overwritten
from striate.trace import Variable


class WithAverages(WithWeightDecay):
    """What an optimizer knows of averages of gradients and weights."""

    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    gradient_accumulation_steps: int | None
    iterations: Any
    _model_variables_moving_average: list[Variable | None]
    _accumulated_gradients: list[Variable]

    def _change(self, grads: list[Any], variables: list[Variable]) -> None:
        raise NotImplementedError("an optimizer is made from `Optimizer`, not from its parts")

    def _is_update_step(self) -> Any:
        """Whether the accumulated gradients are used in this step."""
        steps = self.gradient_accumulation_steps
        return ops.equal(ops.mod(ops.add(self._iterations, 1), steps), 0)

    def _accumulators_of(self, variables: Sequence[Variable]) -> list[Variable]:
        return [self._accumulated_gradients[self._get_variable_index(v)] for v in variables]

    def _accumulate(self, grads: list[Any], variables: list[Variable]) -> None:
        """Adds the gradients up; every so many steps the variables change by their mean."""
        now, sums = self._is_update_step(), self._accumulators_of(variables)
        totals = [ops.add(g, s) for g, s in zip(grads, sums, strict=True)]
        changing = [*variables, *(v for v in self.variables if not _among(v, sums))]
        means = [ops.divide(t, self.gradient_accumulation_steps) for t in totals]
        only_if(now, changing, lambda: self._change(means, variables))
        for accumulator, total in zip(sums, totals, strict=True):
            accumulator.assign(ops.where(now, ops.zeros_like(total), total))

    def _overwrite_variables_directly_with_gradients(
        self, pairs: list[tuple[Any, Variable]]
    ) -> list[tuple[Any, Variable]]:
        """Variables that take the value of their gradient get it; the other pairs are returned."""
        for gradient, variable in pairs:
            if overwritten(variable):
                self._overwrite(gradient, variable)
        return [(g, v) for g, v in pairs if not overwritten(v)]

    def _overwrite(self, gradient: Any, variable: Variable) -> None:
        if not self.gradient_accumulation_steps:
            variable.assign(gradient)
            return
        now, (accumulator,) = self._is_update_step(), self._accumulators_of([variable])
        largest = ops.maximum(gradient, accumulator)
        variable.assign(ops.where(now, largest, variable))
        accumulator.assign(ops.where(now, ops.zeros_like(largest), largest))

    def _averaged(self) -> list[tuple[Variable, Variable]]:
        """Variables, each with its average."""
        pairs = zip(self._trainable_variables, self._model_variables_moving_average, strict=True)
        return [(variable, average) for variable, average in pairs if average is not None]

    def _update_moving_averages(self) -> None:
        """average <- momentum * average + (1 - momentum) * variable, where the first step counts fully."""
        later = ops.not_equal(self.iterations, 0)
        for variable, average in self._averaged():
            momentum = ops.multiply(ops.cast(later, variable.dtype), self.ema_momentum)
            kept, new = ops.multiply(momentum, average), ops.multiply(ops.subtract(1, momentum), variable)
            average.assign(ops.add(kept, new))
        if self.ema_overwrite_frequency:
            due = ops.equal(ops.mod(ops.add(self.iterations, 1), self.ema_overwrite_frequency), 0)
            for variable, average in self._averaged():
                variable.assign(ops.where(due, average, variable))

    def _overwrite_model_variables_with_average_value(self, trainable_variables: Sequence[Variable]) -> None:
        averages = self._model_variables_moving_average
        if len(trainable_variables) != len(averages):
            problem = (
                f"The length of model variables ({len(trainable_variables)}) to override does not match the length of "
                f"model variables stored in the optimizer ({len(averages)})"
            )
            fix = "Please check if the optimizer was called on your model"
            raise ValueError(message(f"Optimizer '{self.name}'", problem, fix))
        for variable, average in zip(trainable_variables, averages, strict=True):
            if average is not None:
                variable.assign(average)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """What is left to do when training ends: with `use_ema` the variables get their averages.

        Raises:
            ValueError: another number of variables than the optimizer was built with.
        """
        if self.use_ema:
            self._overwrite_model_variables_with_average_value(var_list)


def only_if(condition: Any, variables: Sequence[Variable], change: Callable[[], None]) -> None:
    """Runs `change`; where the scalar `condition` is false, `variables` keep what they had before."""
    before = [v.value for v in variables]
    change()
    for variable, old in zip(variables, before, strict=True):
        new = variable.value
        if new is not old:
            variable.assign(ops.where(condition, new, old))


def _among(variable: Variable, variables: Sequence[Variable]) -> bool:
    return any(v is variable for v in variables)
