"""Weight decay: weights shrink by a fraction in each step, except those that are excluded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from striate import ops
from striate.optimizers.learning_rate import WithLearningRate
from striate.trace import Variable


class WithWeightDecay(WithLearningRate):
    """What an optimizer knows of weight decay."""

    weight_decay: float | None

    def exclude_from_weight_decay(
        self, var_list: Sequence[Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Weights that do not decay. Call it before the first step: a compiled train step keeps what held when it was
        made.

        Args:
            var_list: the variables themselves.
            var_names: words; a variable whose name has one of them (they are regular expressions) is excluded.
        """
        self.__dict__["_not_decayed"] = list(var_list or ())
        self.__dict__["_not_decayed_names"] = re.compile("|".join(var_names)) if var_names else None

    def _use_weight_decay(self, variable: Variable) -> bool:
        pattern = self.__dict__.get("_not_decayed_names")
        listed = any(v is variable for v in self.__dict__.get("_not_decayed", ()))
        return not listed and (pattern is None or pattern.search(variable.name) is None)

    def _decay_of(self, variable: Variable) -> float | None:
        """The decay of one variable; None for none."""
        return self.weight_decay

    def _apply_weight_decay(self, variables: Sequence[Variable]) -> None:
        """w <- w - w * decay * learning_rate, after Loshchilov and Hutter, "Decoupled weight decay regularization",
        2019."""
        for variable in variables:
            decay = self._decay_of(variable)
            if decay is not None and self._use_weight_decay(variable):
                self._shrink(variable, decay)

    def _shrink(self, variable: Variable, decay: float) -> None:
        rate: Any = ops.convert_to_tensor(self.learning_rate, variable.dtype)
        lost = ops.multiply(ops.multiply(variable, ops.convert_to_tensor(decay, variable.dtype)), rate)
        variable.assign(ops.subtract(variable, lost))
