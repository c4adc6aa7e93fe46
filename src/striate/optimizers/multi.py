"""Several optimizers, each for some of the variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

from striate.core.errors import message
from striate.core.objects import deserialize_object, serialize_object
from striate.core.registry import custom_object_scope, export
from striate.optimizers.config import deserialize, serialize
from striate.optimizers.loss_scale import LossScaleOptimizer
from striate.optimizers.optimizer import Optimizer
from striate.trace import Variable


@export("keras.optimizers.OptimizerMap")
class OptimizerMap(MutableMapping[str, Optimizer]):
    """Which optimizer trains which variable.

    Keys are variables' paths, or regular expressions for whole paths: `"encoder/.*"` is everything in `encoder`.

    Args:
        default_optimizer: for variables that no key fits.
        optimizer_map: a dictionary to start with.

    Raises:
        TypeError: no optimizer, or no dictionary.
    """

    def __init__(self, default_optimizer: Optimizer, optimizer_map: dict[str, Optimizer] | None = None) -> None:
        if not isinstance(default_optimizer, Optimizer):
            problem = f"default_optimizer must be a Keras Optimizer instance. Received: {default_optimizer}"
            raise TypeError(message("OptimizerMap", problem))
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise TypeError(message("OptimizerMap", f"optimizer_map must be a dictionary. Received: {optimizer_map}"))
        self._default_optimizer = default_optimizer
        self._optimizer_map = optimizer_map or {}

    @property
    def default_optimizer(self) -> Optimizer:
        """For variables that no key fits."""
        return self._default_optimizer

    def __getitem__(self, key: str) -> Optimizer:
        """The optimizer of the variable with path `key`; ValueError if several patterns fit it."""
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        fitting = [pattern for pattern in self._optimizer_map if re.fullmatch(pattern, key)]
        if len(fitting) > 1:
            problem = f"Multiple optimizers assigned to variable {key}: the patterns {fitting} fit it"
            raise ValueError(message("OptimizerMap", problem, "Make them exclude each other, or add its whole path"))
        return self._optimizer_map[fitting[0]] if fitting else self._default_optimizer

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        """Adds an optimizer; ValueError for a key that is there already, or for no optimizer."""
        if key in self._optimizer_map:
            problem = f"'{key}' already exists in the OptimizerMap with value {self._optimizer_map[key]}"
            raise ValueError(message("OptimizerMap", problem, "Please make sure to not use duplicated keys"))
        if not isinstance(key, str):
            raise ValueError(message("OptimizerMap", f"key must be a string. Received: {key}"))
        _check(optimizer, "optimizer")
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._optimizer_map[key]

    def __len__(self) -> int:
        return len(self._optimizer_map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._optimizer_map)

    def __call__(self, variable: Variable) -> Optimizer:
        """The optimizer of `variable`."""
        return self[variable.path]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same map again."""
        inner = {key: serialize(optimizer) for key, optimizer in self._optimizer_map.items()}
        return {"default_optimizer": serialize(self._default_optimizer), "optimizer_map": inner}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> OptimizerMap:
        """A map made from what `get_config` returned."""
        inner = {key: deserialize(entry, custom_objects) for key, entry in config["optimizer_map"].items()}
        return cls(deserialize(config["default_optimizer"], custom_objects), inner)


def _check(optimizer: Any, what: str) -> None:
    if not isinstance(optimizer, Optimizer):
        raise ValueError(message("", f"{what} must be a Keras Optimizer instance. Received: {optimizer!r}"))
    for kind in (LossScaleOptimizer, MultiOptimizer):
        if isinstance(optimizer, kind):
            problem = f"{what} cannot be {kind.__name__}. {kind.__name__} cannot be used inside an MultiOptimizer"
            raise ValueError(message("", problem, "Wrap the MultiOptimizer, or pass it `loss_scale_factor`"))


@export("keras.optimizers.MultiOptimizer")
class MultiOptimizer(Optimizer):
    """Trains each variable with the optimizer that `optimizer_map` says.

    Args:
        optimizer_map: an `OptimizerMap`, or a function from a variable to its optimizer.
        loss_scale_factor: takes the place of the optimizers' own.
    """

    _inner_optimizers: list[Optimizer]

    def __init__(
        self,
        optimizer_map: OptimizerMap | Callable[[Variable], Optimizer],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        self._make_room()
        super().__init__(learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._optimizer_map = optimizer_map
        self._var_to_optimizer_idx: dict[int, int] = {}
        known = list(optimizer_map.values()) if isinstance(optimizer_map, OptimizerMap) else []
        default = getattr(optimizer_map, "default_optimizer", None)
        for optimizer in known if default is None else [*known, default]:
            self._number_of(optimizer)

    def _make_room(self) -> None:
        """Before the base class sets anything: `loss_scale_factor` already looks at the inner optimizers."""
        self.__dict__["_inner_optimizers"] = []

    def _number_of(self, optimizer: Optimizer) -> int:
        """The place of `optimizer` among the inner ones, to which it is added the first time."""
        if not any(known is optimizer for known in self._inner_optimizers):
            optimizer.loss_scale_factor = self.loss_scale_factor
            self._inner_optimizers.append(optimizer)
        return next(i for i, known in enumerate(self._inner_optimizers) if known is optimizer)

    def build(self, var_list: Sequence[Variable]) -> None:
        if self.built:
            return
        for variable in var_list:
            optimizer = self._optimizer_map(variable)
            _check(optimizer, f"Optimizer for variable '{variable.path}'")
            self._var_to_optimizer_idx[id(variable)] = self._number_of(optimizer)
        for optimizer, variables in self._split(var_list, var_list):
            optimizer.build(variables)
        super().build(var_list)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._var_to_optimizer_idx = dict(zip(self._indices, state["_var_to_optimizer_idx"].values(), strict=True))

    def _split(self, variables: Sequence[Variable], values: Sequence[Any]) -> list[tuple[Optimizer, list[Any]]]:
        """Each inner optimizer with those of `values` that belong to its variables; those without any left out."""
        parts: list[list[Any]] = [[] for _ in self._inner_optimizers]
        for variable, value in zip(variables, values, strict=True):
            parts[self._var_to_optimizer_idx[id(variable)]].append(value)
        return [(o, part) for o, part in zip(self._inner_optimizers, parts, strict=True) if part]

    @property
    def optimizers(self) -> list[Optimizer]:
        """The inner optimizers."""
        return self._inner_optimizers

    @property
    def variables(self) -> list[Variable]:
        """Its own variables, then those of the inner optimizers."""
        return [*self._variables, *(v for optimizer in self._inner_optimizers for v in optimizer.variables)]

    @property
    def learning_rate(self) -> Any:
        """There is none: AttributeError."""
        raise AttributeError(
            "Learning rate cannot be accessed on a MultiOptimizer. Access it on the individual sub-optimizers instead: "
            "`optimizer.optimizers[0].learning_rate`."
        )

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        raise AttributeError(
            "Learning rate cannot be set on a MultiOptimizer. Set it on the individual sub-optimizers instead: "
            "`optimizer.optimizers[0].learning_rate = ...`."
        )

    @property
    def loss_scale_factor(self) -> float | None:
        """That of all the inner optimizers."""
        return self.__dict__.get("_loss_scale_factor")

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        self._loss_scale_factor = value
        for optimizer in self._inner_optimizers:
            optimizer.loss_scale_factor = value

    @property
    def iterations(self) -> Variable:
        """The counter of its own steps."""
        return self._iterations

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """A step of each inner optimizer with the gradients of its variables; see `Optimizer.apply`."""
        if len(grads) == 0:
            return
        variables = self._variables_for(grads, trainable_variables)
        if len(grads) != len(self._trainable_variables):
            problem = (
                "Gradients must match trainable variables one-to-one. "
                f"Received {len(grads)} gradients and {len(self._trainable_variables)} variables"
            )
            raise ValueError(message(f"Optimizer '{self.name}'", problem, "Put None where there is no gradient"))
        for optimizer, pairs in self._split(variables, list(zip(grads, variables, strict=True))):
            optimizer.apply([g for g, _ in pairs], [v for _, v in pairs])
        self._iterations.assign_add(1)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        for optimizer, variables in self._split(var_list, var_list):
            optimizer.finalize_variable_values(variables)

    def set_weights(self, weights: Sequence[Any]) -> None:
        if not self.built:
            super().set_weights(weights)
        for variable, weight in zip(self.variables, weights, strict=False):
            variable.assign(weight)

    def get_config(self) -> dict[str, Any]:
        own = {"loss_scale_factor": self.loss_scale_factor, "name": self.name}
        return {"optimizer_map": serialize_object(self._optimizer_map)} | own

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        table = {"OptimizerMap": OptimizerMap}
        with custom_object_scope(custom_objects):
            made = deserialize_object(config["optimizer_map"], table, "optimizer map")
        return cls(**(config | {"optimizer_map": made}))
