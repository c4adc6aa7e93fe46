"""The variables of an optimizer: which there are, what they are called, how they are saved."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from striate import initializers
from striate.core.errors import message
from striate.trace import Variable, current_path, name_scope


class OptimizerState:
    """Makes and keeps variables: the counter of steps, the learning rate, and what belongs to each trained variable.

    Variables set as attributes (also in lists, tuples and dictionaries) are kept as well, in the order in which they
    come.
    """

    name: str
    built: bool
    _variables: list[Variable]
    _trainable_variables: list[Variable]
    _indices: dict[int, int]

    def _start(self, name: str) -> None:
        """Must run before any other attribute is set."""
        self.__dict__.update(_lock=False, _variables=[], _trainable_variables=[], _indices={})
        self.name = name

    @property
    def variables(self) -> list[Variable]:
        """All variables of the optimizer: `iteration`, `learning_rate` unless it is a schedule, then the others."""
        return self._variables[:]

    def __setattr__(self, name: str, value: Any) -> None:
        self._check_super_called()
        for variable in _variables_in(value):
            self._track_variable(variable)
        super().__setattr__(name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy knows its own variables, not those of the original."""
        self.__dict__.update(state)
        self.__dict__["_indices"] = {id(v): i for i, v in enumerate(self._trainable_variables)}

    def _check_super_called(self) -> None:
        if "_lock" not in self.__dict__:
            problem = "you forgot to call `super().__init__()` as the first statement in the `__init__()` method"
            raise RuntimeError(message(f"In optimizer '{type(self).__name__}'", problem, "Go add it"))

    def _track_variable(self, variable: Variable) -> None:
        if not any(v is variable for v in self._variables):
            self._variables.append(variable)

    def _untrack_variable(self, variable: Variable) -> None:
        self._variables[:] = [v for v in self._variables if v is not variable]

    def _scope(self) -> Any:
        """The name scope of the optimizer, opened once however often it is entered."""
        path = current_path()
        entered = path == self.name or path.endswith("/" + self.name)
        return name_scope("" if entered else self.name)

    def _remember(self, variables: Sequence[Variable]) -> None:
        """`variables` are those that this optimizer trains."""
        self.__dict__["_trainable_variables"] = list(variables)
        self.__dict__["_indices"] = {id(v): i for i, v in enumerate(variables)}

    def _obj_type(self) -> str:
        return "Optimizer"

    def _var_key(self, variable: Variable) -> int:
        return id(variable)

    def _get_variable_index(self, variable: Variable) -> int:
        return self._indices[id(variable)]

    def _check_variables_are_known(self, variables: Sequence[Variable]) -> None:
        for v in variables:
            if id(v) not in self._indices:
                problem = (
                    f"Unknown variable: {getattr(v, 'path', v)}. This optimizer can only be called for the variables "
                    "it was originally built with"
                )
                fix = "When working with a new set of variables, you should recreate a new optimizer instance"
                raise ValueError(message(f"Optimizer '{self.name}'", problem, fix))

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str | None = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A new variable of the optimizer.

        Args:
            shape: all sizes known.
            initializer: its name, or an initializer. Defaults to "zeros".
            dtype: defaults to `floatx()`.
            aggregation, layout: accepted for Keras's sake.
            name: what it is called behind the optimizer's name.
        """
        self._check_super_called()
        made = initializers.get(initializer)
        with self._scope():
            variable = Variable(made, shape, dtype=dtype, trainable=False, aggregation=aggregation, name=name)
        self._track_variable(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """A new variable with the shape and dtype of `reference_variable`.

        It is called by that one's path, with `_` for `/`, then `_`, then `name` (by default "var").
        """
        of = str(getattr(reference_variable, "path", reference_variable.name)).replace("/", "_").replace(":", "_")
        full = f"{of}_{name or 'var'}"
        return self.add_variable(
            reference_variable.shape, initializer=initializer, dtype=reference_variable.dtype, name=full
        )

    def add_optimizer_variables(
        self, trainable_variables: Sequence[Variable], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """New variables for each of `trainable_variables`, None for those with `overwrite_with_gradient`.

        Args:
            trainable_variables: what is trained.
            name: what the new variables are called, or several names.
            initializer: for all, or a list of one per name. Defaults to "zeros".

        Returns:
            a list, or for several names a tuple of lists.

        Raises:
            ValueError: not one initializer per name.
        """
        names = [name] if isinstance(name, str) else list(name)
        several = isinstance(initializer, list | tuple)
        made = list(initializer) if several else [initializer] * len(names)
        if len(made) != len(names):
            raise ValueError(
                "The number of provided names must match the number of provided initializers. "
                f"Received name='{name}', initializer='{initializer}'"
            )
        lists: tuple[list[Any], ...] = tuple([] for _ in names)
        for variable in trainable_variables:
            skipped = overwritten(variable)
            for made_list, its_name, its_initializer in zip(lists, names, made, strict=True):
                slot = None if skipped else self.add_variable_from_reference(variable, its_name, its_initializer)
                made_list.append(slot)
        return lists[0] if isinstance(name, str) else lists

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Assigns `weights`, arrays in the order of `variables`.

        Raises:
            ValueError: the optimizer is not built yet, or another shape.
        """
        if not self.built:
            problem = "You are calling `set_weights()` on an optimizer that has not yet been built"
            raise ValueError(message(f"Optimizer '{self.name}'", problem, _BUILD))
        for variable, weight in zip(self._variables, weights, strict=False):
            if tuple(variable.shape) != tuple(weight.shape):
                raise ValueError(
                    f"Optimizer variable {variable.path} has shape {variable.shape} not compatible with provided "
                    f"weight shape {tuple(weight.shape)}."
                )
            variable.assign(weight)

    def save_own_variables(self, store: Any) -> None:
        """Puts the variables into `store` under "0", "1", ..."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Takes the variables from `store`; where their number differs, warns and leaves them as they are."""
        mine, theirs = len(self.variables), len(store.keys())
        if mine == theirs:
            for i, variable in enumerate(self.variables):
                variable.assign(store[str(i)])
            return
        text = (
            f"Skipping variable loading for optimizer '{self.name}', because it has {mine} variables whereas the saved "
            f"optimizer has {theirs} variables."
        )
        hint = " This is likely because the optimizer has not been called/built yet." if mine == 0 else ""
        warnings.warn(text + hint, stacklevel=2)


_BUILD = "Please call `optimizer.build(trainable_variables)` to create its variables first"


def overwritten(variable: Any) -> bool:
    """Whether `variable` takes the value of its gradient instead of a step along it."""
    return bool(getattr(variable, "overwrite_with_gradient", False))


def _variables_in(value: Any) -> Iterator[Variable]:
    if isinstance(value, Variable):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _variables_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _variables_in(item)
