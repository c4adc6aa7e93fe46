"""The `metrics` and `weighted_metrics` of `compile`: which belong to which output, and their names in the logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from striate import metrics
from striate.core import tree
from striate.training.outputs import label_kind, like_outputs, names_for, object_name, shape_of_nest

_ACCURACIES = {
    "binary": metrics.BinaryAccuracy,
    "sparse": metrics.SparseCategoricalAccuracy,
    "categorical": metrics.CategoricalAccuracy,
}


class _OfOutput(NamedTuple):
    """The metrics of one output, and the name that stands before theirs (None: a single output)."""

    metrics: list[Any]
    output_name: str | None


class CompileMetrics(metrics.Metric):
    """All metrics of a compiled model. It is built when it first sees targets and outputs.

    Args:
        metrics, weighted_metrics: a list for a single output; else a list or dict with a metric or a list of them
            for each output. The weighted ones are given the sample weights.
        output_names: the names of the model's outputs.
    """

    def __init__(
        self, metrics: Any, weighted_metrics: Any, name: str = "compile_metrics", output_names: Any = None
    ) -> None:
        super().__init__(name=name)
        for what, given in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if given and not isinstance(given, list | tuple | dict):
                raise ValueError(
                    f"Expected `{what}` argument to be a list, tuple, or dict. Received instead: {what}={given} of "
                    f"type {type(given)}"
                )
        self._user = {"metrics": metrics, "weighted_metrics": weighted_metrics}
        self.output_names: Sequence[str] | None = output_names
        self._found: dict[str, list[_OfOutput | None]] = {"metrics": [], "weighted_metrics": []}
        self.built = False

    @property
    def metrics(self) -> list[Any]:
        """The single metrics, the weighted ones last; none before it is built."""
        return [m for found in self._found.values() for group in found if group for m in group.metrics]

    @property
    def variables(self) -> list[Any]:
        """Those of the single metrics."""
        return [v for m in self.metrics for v in m.variables]

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Finds each output's metrics, by the shapes of its targets where "accuracy" is asked for."""
        names = names_for(y_pred, self.output_names)
        self._found = {what: self._groups(what, given, y_true, y_pred, names) for what, given in self._user.items()}
        self.built = True

    def _groups(self, what: str, given: Any, y_true: Any, y_pred: Any, names: Any) -> list[_OfOutput | None]:
        preds, trues = tree.flatten(y_pred), tree.flatten(y_true)
        if not given:
            return [None] * len(preds)
        if len(preds) == 1:
            return [_group(tree.flatten(given), trues[0], preds[0], None)]
        try:
            listed = self._per_output(given, y_pred, names)
            return [_group(m, t, p, n) for m, t, p, n in zip(listed, trues, preds, names, strict=True)]
        except (TypeError, ValueError) as error:
            raise ValueError(self._mismatch(what, given, y_pred, error)) from error

    def _per_output(self, given: Any, y_pred: Any, names: list[str | None]) -> list[Any]:
        """What was given for each leaf of `y_pred`, in order."""
        flat = isinstance(y_pred, list | tuple | dict) and not any(map(tree.is_nested, _values(y_pred)))
        if flat and isinstance(given, list | tuple) and len(given) == len(names):
            if isinstance(y_pred, dict) and self.output_names and set(self.output_names) == set(y_pred):
                given = dict(zip(self.output_names, given, strict=True))
                return [given[name] for name in names]
            return list(given)
        if flat and isinstance(given, dict) and None not in names and set(given) <= set(names):
            return [given.get(name) for name in names]
        return list(_up_to(y_pred, given))

    def _mismatch(self, what: str, given: Any, y_pred: Any, error: Exception) -> str:
        names = self.output_names
        by_name = f"either be a dict or a list matching the output names of the functional model {names} or "
        return (
            f"{error}\nInvalid `{what}`. `{what}` should contain metrics objects and {by_name if names else ''}match "
            f"the output structure of the model: {shape_of_nest(y_pred, 'X')}.\nReceived: {what}={given}"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch to all metrics, the sample weights to the weighted ones."""
        y_true = like_outputs(y_true, y_pred, self.output_names)
        if not self.built:
            self.build(y_true, y_pred)
        trues, preds = tree.flatten(y_true), tree.flatten(y_pred)
        weights = self._weights(sample_weight, y_pred, len(preds))
        for i, (true, pred) in enumerate(zip(trues, preds, strict=True)):
            for m in _of(self._found["metrics"][i]):
                m.update_state(true, pred)
            for m in _of(self._found["weighted_metrics"][i]):
                m.update_state(true, pred, sample_weight=weights[i])

    def _weights(self, sample_weight: Any, y_pred: Any, count: int) -> list[Any]:
        if not tree.is_nested(sample_weight):
            return [sample_weight] * count
        flat = tree.flatten(sample_weight)
        return [flat[0]] * count if len(flat) == 1 else tree.flatten(
            like_outputs(sample_weight, y_pred, self.output_names)
        )  # fmt: skip

    def reset_state(self) -> None:
        """Sets all metrics to the start."""
        for m in self.metrics:
            m.reset_state()

    def result(self) -> dict[str, Any]:
        """The values by the names that the logs show: the output's name before the metric's, numbered if needed.

        Raises:
            ValueError: it has not seen a batch.
        """
        if not self.built:
            raise ValueError("Cannot get result() since the metric has not yet been built.")
        taken: dict[str, int] = {}
        results = {}
        for what, found in self._found.items():
            for group in found:
                for m in _of(group):
                    results[_free_name(m.name, group, what == "weighted_metrics", taken)] = m.result()
        return results

    def get_config(self) -> dict[str, Any]:
        """Not offered: the model's compile config holds what this was made of."""
        raise TypeError("CompileMetrics has no config of its own: see `Model.get_compile_config`.")


def _free_name(own: str, group: Any, weighted: bool, taken: dict[str, int]) -> str:
    prefix = f"{group.output_name}_" if group.output_name else ""
    name = prefix + own
    if weighted and name in taken:
        name = f"{prefix}weighted_{own}"
    count = taken.get(name, 0)
    taken[name] = count + 1
    return f"{name}_{count}" if count else name


def _of(group: _OfOutput | None) -> list[Any]:
    return group.metrics if group else []


def _values(nest: Any) -> Any:
    return nest.values() if isinstance(nest, dict) else nest


def _up_to(structure: Any, nest: Any) -> Iterator[Any]:
    """What `nest` holds at each leaf of `structure`."""
    if not tree.is_nested(structure):
        yield nest
        return
    keyed = isinstance(structure, dict)
    fits = isinstance(nest, dict) and set(nest) == set(structure) if keyed else isinstance(nest, list | tuple)
    if not fits or len(nest) != len(structure):
        raise ValueError(f"{nest!r} does not have the structure {shape_of_nest(structure, 'X')}.")
    for key in sorted(structure) if keyed else range(len(structure)):
        yield from _up_to(structure[key], nest[key])


def _group(given: Any, y_true: Any, y_pred: Any, output_name: str | None) -> _OfOutput | None:
    if given is None:
        return None
    listed = given if isinstance(given, list | tuple) else [given]
    return _OfOutput([_metric(m, y_true, y_pred) for m in listed], output_name)


def _metric(identifier: Any, y_true: Any, y_pred: Any) -> Any:
    if identifier is None:
        raise ValueError("Expected metric, received `None`")
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        return _ACCURACIES[label_kind(y_true, y_pred)](name=identifier)
    found = metrics.get(identifier)
    name = identifier if isinstance(identifier, str) else object_name(found)
    made = found if isinstance(found, metrics.Metric) else metrics.MeanMetricWrapper(found, name=name)
    made.name = name
    return made
