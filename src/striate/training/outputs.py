"""How the losses and metrics that a user names find their outputs: by structure, by name, by the shapes of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate.core import tree
from striate.trace import to_snake_case


def label_kind(y_true: Any, y_pred: Any) -> str:
    """What labels of these shapes are: "binary", "sparse" (one index per sample) or "categorical" (one-hot)."""
    true, pred = tuple(y_true.shape), tuple(y_pred.shape)
    if pred[-1:] == (1,):
        return "binary"
    if len(true) < len(pred) or (true[-1:] == (1,) and pred and pred[-1] > 1):
        return "sparse"
    return "categorical"


def object_name(obj: Any) -> str:
    """The name by which a loss or metric is shown: its own, or that of the function or class."""
    if hasattr(obj, "name"):
        return obj.name
    return to_snake_case(getattr(obj, "__name__", type(obj).__name__))


def shape_of_nest(nest: Any, leaf: str = "*") -> Any:
    """`nest` with `leaf` for each value, to show in a message."""
    return tree.map_structure(lambda _: leaf, nest)


def same_structure(a: Any, b: Any) -> bool:
    """Whether both nest alike, types of containers included."""
    try:
        tree.assert_same_structure(a, b)
    except ValueError:
        return False
    return True


def at(path: Sequence[Any], nest: Any) -> Any:
    """What `nest` holds at `path`, a sequence of keys and positions."""
    for key in path:
        nest = nest[key]
    return nest


def names_for(y_pred: Any, names: Sequence[str] | None) -> list[str | None]:
    """One name per leaf of `y_pred`, in the order of `tree.flatten`.

    Args:
        names: those of the model's outputs, in the order of the model; None for a model that has none.
    """
    count = len(tree.flatten(y_pred))
    if isinstance(y_pred, dict) and len(y_pred) == count:
        return sorted(y_pred)
    if names is not None and len(names) == count:
        return list(names)
    return [None] * count


def like_outputs(y: Any, y_pred: Any, names: Sequence[str] | None, spec: Any = None) -> Any:
    """Targets, or their weights, in the structure of the outputs.

    Args:
        y: the same structure, or one with the same leaves in other containers, or a dict by output names, or a leaf
            for a single output; where only some outputs have a loss, those of the others may be left out.
        spec: the `loss` argument of `compile`, which says which outputs have one.

    Raises:
        ValueError: the structures don't fit.
    """
    if same_structure(y, y_pred):
        return y
    flat = tree.flatten(y)
    count = len(tree.flatten(y_pred))
    if isinstance(y, dict) and isinstance(y_pred, list | tuple) and names and set(y) == set(names):
        return tree.pack(y_pred, [y[name] for name in names])
    if len(flat) == count and (not isinstance(y, dict) or count == 1 or isinstance(y_pred, dict)):
        return tree.pack(y_pred, flat)
    losses = _leaves(spec)
    wanted = [i for i, loss in enumerate(losses) if loss is not None]
    if len(losses) == count and len(wanted) == len(flat):
        filled: list[Any] = [None] * count
        for i, leaf in zip(wanted, flat, strict=True):
            filled[i] = leaf
        return tree.pack(y_pred, filled)
    raise ValueError(
        f"y_true and y_pred have different structures.\ny_true: {shape_of_nest(y)}\ny_pred: {shape_of_nest(y_pred)}\n"
        "Give one target per output of the model, in the same list or dict."
    )


def _leaves(spec: Any) -> list[Any]:
    return tree.flatten(spec) if tree.is_nested(spec) else []
