"""The `loss` of `compile`: which loss belongs to which output, with which weight, and their sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from striate import losses, metrics
from striate.core import tree
from striate.trace import OPS
from striate.training.outputs import at, label_kind, like_outputs, names_for, object_name, same_structure

_BY_LABELS = {
    "binary": "binary_crossentropy",
    "sparse": "sparse_categorical_crossentropy",
    "categorical": "categorical_crossentropy",
}


_GUESSED = ("crossentropy", "ce")  # which of them it is follows from the shapes


class Entry(NamedTuple):
    """One loss: the path of its output, the loss, its weight (None: 1), the name of the output.

    `classes` is how many there are where labels are their numbers, else None.
    """

    path: tuple[Any, ...]
    loss: Any
    weight: Any
    name: str
    classes: int | None


class CompileLoss(losses.Loss):
    """The weighted sum of the losses of all outputs. It is built when it first sees targets and outputs.

    Args:
        loss: a name, a function or a `Loss` for all outputs, or a list or dict that gives one to each (None: none).
        loss_weights: numbers in the same structure, or a flat list, or one number for a single output.
        output_names: the names of the model's outputs.
    """

    def __init__(
        self,
        loss: Any,
        loss_weights: Any = None,
        reduction: str | None = "sum_over_batch_size",
        output_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name="compile_loss", reduction=reduction)
        if loss_weights and not isinstance(loss_weights, list | tuple | dict | float):
            raise ValueError(
                "Expected `loss_weights` argument to be a float (single output case) or a list, tuple, or dict "
                f"(multiple output case). Received instead: loss_weights={loss_weights} of type {type(loss_weights)}"
            )
        for named in tree.flatten(loss):
            if isinstance(named, str) and named.lower() not in _GUESSED:
                losses.get(named)  # an unknown name is said at once, not after the first batch
        self._user_loss, self._user_weights, self.output_names = loss, loss_weights, output_names
        self.entries: list[Entry] = []
        self.metrics: list[Any] = []
        self.built = False

    @property
    def variables(self) -> list[Any]:
        """Those of the metrics that keep the losses of the single outputs."""
        return [v for m in self.metrics for v in m.variables]

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Finds each output's loss; `y_true` has the structure of `y_pred`."""
        spec = self._spread(self._user_loss, y_pred)
        weights = self._weights_like(spec, y_pred)
        self.entries = []
        self._visit(spec, weights, y_true, y_pred, self._names(y_pred), ())
        if len(self.entries) > 1:
            self.metrics = [metrics.Mean(name=f"{entry.name}_loss") for entry in self.entries]
        self.built = True

    def _names(self, y_pred: Any) -> Any:
        return tree.pack(y_pred, names_for(y_pred, self.output_names))

    def _spread(self, loss: Any, y_pred: Any) -> Any:
        """The `loss` argument in the structure of the outputs, as far as it says which one it means."""
        names = self.output_names
        if isinstance(loss, dict) and not isinstance(y_pred, dict) and names:
            if set(loss) - set(names) or (set(names) - set(loss) and len(names) == 1):
                raise ValueError(f"Expected keys {list(names)} in loss dict, but found loss.keys()={list(loss)}")
            listed = [loss.get(name) for name in names]
            return tree.pack(y_pred, listed) if tree.is_nested(y_pred) else listed[0]
        if not tree.is_nested(loss):
            return tree.map_structure(lambda _: loss, y_pred)
        flat = isinstance(loss, list | tuple) and not any(map(tree.is_nested, loss))
        return tree.pack(y_pred, list(loss)) if flat and len(loss) == len(tree.flatten(y_pred)) else loss

    def _weights_like(self, spec: Any, y_pred: Any) -> Any:
        weights = self._user_weights
        if weights is None:
            return tree.map_structure(lambda _: None, spec)
        if isinstance(weights, dict) and not isinstance(spec, dict) and self.output_names:
            weights = [weights.get(name) for name in self.output_names]
        flat = tree.flatten(weights)
        if len(flat) != len(tree.flatten(spec)):
            raise ValueError(
                f"`loss_weights` must match the number of losses, got {len(tree.flatten(spec))} losses and "
                f"{len(flat)} weights."
            )
        return weights if same_structure(weights, spec) else tree.pack(spec, flat)

    def _visit(self, loss: Any, weight: Any, y_true: Any, y_pred: Any, name: Any, path: tuple[Any, ...]) -> None:
        if loss is None:
            return
        if not tree.is_nested(loss):
            made = _loss_object(loss, y_true, y_pred)
            self.entries.append(Entry(path, made, weight, _entry_name(path, name, made), _classes(made, y_pred)))
            return
        if _are_several(loss, y_pred):
            for one, w in zip(loss, weight, strict=True):
                self._visit(one, w, y_true, y_pred, name, path)
            return
        if not tree.is_nested(y_pred):
            raise KeyError(
                f"The path: {path} in the `loss` argument, can't be found in the model's output (`y_pred`): it is one "
                "tensor there. Give it one loss."
            )
        for key in loss if isinstance(loss, dict) else range(len(loss)):
            if loss[key] is None:
                continue
            if not (_has(y_pred, key, loss) and _has(y_true, key, loss)):
                raise KeyError(
                    f"The path: {(*path, key)} in the `loss` argument, can't be found in either the model's output "
                    "(`y_pred`) or in the labels (`y_true`)."
                )
            self._visit(loss[key], weight[key], y_true[key], y_pred[key], name[key], (*path, key))

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return self.call(y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The sum over the outputs, of shape (); None if no output has a loss."""
        if y_true is None:
            raise ValueError("there is a loss, but no targets. Pass `y`, or batches `(x, y)`.")
        y_true = like_outputs(y_true, y_pred, self.output_names, self._user_loss)
        if not self.built:
            self.build(y_true, y_pred)
        if tree.is_nested(sample_weight) and tree.is_nested(y_pred):
            sample_weight = like_outputs(sample_weight, y_pred, self.output_names, self._user_loss)
        elif tree.is_nested(sample_weight):
            sample_weight = tree.flatten(sample_weight)[0]
        total = None
        for i, entry in enumerate(self.entries):
            value = self._value(entry, y_true, y_pred, sample_weight)
            if self.metrics:
                batch = tree.flatten(at(entry.path, y_pred))[0].shape[0]
                self.metrics[i].update_state(value, sample_weight=batch)  # before the weight, as Keras has it
            value = value if entry.weight is None else OPS["multiply"](value, entry.weight)
            total = value if total is None else OPS["add"](total, value)
        return total

    def _value(self, entry: Entry, y_true: Any, y_pred: Any, sample_weight: Any) -> Any:
        weight = at(entry.path, sample_weight) if tree.is_nested(sample_weight) else sample_weight
        return OPS["cast"](entry.loss(at(entry.path, y_true), at(entry.path, y_pred), weight), self.dtype)

    def get_config(self) -> dict[str, Any]:
        """Not offered: the model's compile config holds what this was made of."""
        raise TypeError("CompileLoss has no config of its own: see `Model.get_compile_config`.")


def _loss_object(identifier: Any, y_true: Any, y_pred: Any) -> Any:
    if isinstance(identifier, str) and identifier.lower() in _GUESSED:
        identifier = _BY_LABELS[label_kind(y_true, y_pred)]
    found = losses.get(identifier)
    if isinstance(found, losses.Loss):
        return found
    name = identifier if isinstance(identifier, str) else object_name(found)
    return losses.LossFunctionWrapper(found, name=name)


def _are_several(loss: Any, y_pred: Any) -> bool:
    """Whether `loss` lists losses of the same output, or of a whole nest of outputs (then in another container)."""
    if not isinstance(loss, list | tuple) or not tree.is_nested(y_pred):
        return isinstance(loss, list | tuple)
    return not isinstance(y_pred, type(loss)) and any(map(tree.is_nested, loss))


def _classes(loss: Any, y_pred: Any) -> int | None:
    sparse = losses.sparse_categorical_crossentropy
    if tree.is_nested(y_pred) or not isinstance(loss, losses.LossFunctionWrapper) or loss.fn is not sparse:
        return None
    axis = loss.get_config().get("axis", -1)
    return y_pred.shape[-1 if axis is None else axis]


def _entry_name(path: tuple[Any, ...], name: Any, loss: Any) -> str:
    if tree.is_nested(name):  # a loss of a whole nest of outputs
        return "/".join(map(str, path)) or "_".join(str(one) for one in tree.flatten(name))
    own = name if name is not None else loss.name
    if not path:
        return own
    last = own if isinstance(path[-1], int) else path[-1]
    return "/".join(str(part) for part in (*path[:-1], last))


def _has(nest: Any, key: Any, loss: Any) -> bool:
    if isinstance(loss, dict):
        return isinstance(nest, dict) and key in nest
    return isinstance(nest, list | tuple) and key < len(nest)
