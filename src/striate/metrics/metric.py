"""The base of metrics: values that are gathered over batches in variables, and read as a result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from striate import initializers, ops
from striate.core.errors import message
from striate.core.registry import export
from striate.losses.reduction import computing_dtype
from striate.trace import Variable, auto_name, name_scope


@export("keras.Metric", "keras.metrics.Metric")
class Metric:
    """A quantity that is followed over many batches: `update_state` takes a batch in, `result` gives the value so
    far, `reset_state` starts anew. Calling the metric does the first two.

    Subclasses make their variables with `add_variable`, change them only with `assign`, and compute with `striate.ops`;
    then the metric runs on arrays and inside a compiled train step alike.

    Args:
        dtype: the dtype of the computation; a dtype policy stands for its compute dtype. Defaults to `floatx()`.
        name: by default the class's name in snake case, numbered.
    """

    _is_metric = True
    _variables: list[Variable]
    _metrics: list[Any]
    _containers: list[Any]

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.__dict__.update(_variables=[], _metrics=[], _containers=[])
        self.name = name or auto_name(type(self).__name__)
        self._dtype = computing_dtype(_policy_name(dtype))

    @property
    def dtype(self) -> str:
        """The name of the dtype that the metric computes in."""
        return self._dtype

    def add_variable(
        self, shape: Sequence[int], initializer: Any, dtype: Any = None, aggregation: str | None = "sum",
        name: str | None = None,
    ) -> Variable:  # fmt: skip
        """A new variable that belongs to the metric.

        Args:
            shape: its shape, all sizes known.
            initializer: an initializer, or its name.
            dtype: defaults to `floatx()`.
            aggregation: kept in the variable; of no effect on one machine.
            name: by default numbered automatically.
        """
        self._check_super_called()
        with name_scope(self.name.replace("/", ">")):
            made = Variable(
                initializers.get(initializer), tuple(shape), dtype, trainable=False, autocast=False,
                aggregation=aggregation, synchronization="on_read", name=name,
            )  # fmt: skip
        self._variables.append(made)
        return made

    def add_weight(
        self, shape: Sequence[int] = (), initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> Variable:
        """As `add_variable`; the initializer defaults to zeros."""
        return self.add_variable(shape, "zeros" if initializer is None else initializer, dtype, name=name)

    @property
    def variables(self) -> list[Variable]:
        """The metric's own variables in the order of their making, then those of the metrics it holds."""
        held = [*self._metrics, *(m for c in self._containers for m in _found(c, _is_metric))]
        own = [*self._variables, *(v for c in self._containers for v in _found(c, _is_variable))]
        return _unique([*own, *(v for m in _unique(held) for v in m.variables)])

    def reset_state(self) -> None:
        """Sets all variables to zero."""
        for v in self.variables:
            v.assign(ops.zeros(v.shape, v.dtype))

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Takes a batch in; subclasses override it."""
        raise NotImplementedError(message(type(self).__name__, "it has no `update_state` method", "Write one"))

    def result(self) -> Any:
        """The value so far, or a dict of values; subclasses override it."""
        raise NotImplementedError(message(type(self).__name__, "it has no `result` method", "Write one"))

    def stateless_update_state(self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """The variables' values after `update_state`, from the given ones; the metric itself stays as it is.

        Raises:
            ValueError: not one value per variable.
        """
        with self._state(metric_variables):
            self.update_state(*args, **kwargs)
            return [v.value for v in self.variables]

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """The result for the given values of the variables; ValueError if there is not one per variable."""
        with self._state(metric_variables):
            return self.result()

    def stateless_reset_state(self) -> list[Any]:
        """The variables' values after `reset_state`; the metric itself stays as it is."""
        with self._state([v.value for v in self.variables]):
            self.reset_state()
            return [v.value for v in self.variables]

    @contextmanager
    def _state(self, values: Sequence[Any]) -> Iterator[None]:
        variables = self.variables
        if len(values) != len(variables):
            raise ValueError(
                "Argument `metric_variables` must be a list of tensors corresponding 1:1 to "
                f"{type(self).__name__}().variables. Received list with length {len(values)}, but expected "
                f"{len(variables)} variables."
            )
        before = [v.value for v in variables]
        try:
            _assign(variables, values)
            yield
        finally:
            _assign(variables, before)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._check_super_called()
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same metric again."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A metric made from what `get_config` returned."""
        return cls(**config)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_containers" in self.__dict__:
            self._track(value)
        super().__setattr__(name, value)

    def _track(self, value: Any) -> None:
        kept = (
            self._variables if _is_variable(value) else self._metrics if _is_metric(value)
            else self._containers if isinstance(value, list | tuple | dict | set) else None
        )  # fmt: skip
        if kept is not None and not any(v is value for v in kept):
            kept.append(value)

    def _check_super_called(self) -> None:
        if "_containers" not in self.__dict__:
            raise RuntimeError("You forgot to call `super().__init__()` in the `__init__()` method. Go add it!")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _policy_name(dtype: Any) -> Any:
    """What a policy's config dictionary names; anything else as it is."""
    return dtype.get("config", dtype).get("name") if isinstance(dtype, dict) else dtype


def _assign(variables: Sequence[Variable], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _is_variable(value: Any) -> bool:
    return isinstance(value, Variable)


def _is_metric(value: Any) -> bool:
    return isinstance(value, Metric)


def _found(container: Any, wanted: Any) -> Iterator[Any]:
    for item in container.values() if isinstance(container, dict) else container:
        if wanted(item):
            yield item
        elif isinstance(item, list | tuple | dict | set):
            yield from _found(item, wanted)


def _unique(items: Sequence[Any]) -> list[Any]:
    return list({id(item): item for item in items}.values())
