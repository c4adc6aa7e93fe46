"""Checks of the targets before a step: a compiled plan cannot say what is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.training.outputs import at


def check_labels(model: Any, batch: Any, where: str) -> None:
    """ValueError where class numbers lie outside those that the model can give.

    Args:
        model: compiled; its losses know the number of classes once they have seen an output.
        batch: `(x, y)` or `(x, y, sample_weight)`; others are not looked at.
        where: names the batch in the message.
    """
    losses = model._compile_loss
    if losses is None or not isinstance(batch, tuple) or len(batch) < 2:
        return
    for entry in losses.entries:
        if entry.classes is not None:
            labels = _labels(entry.path, batch[1])
            if labels is not None and labels.size:
                _check(labels, entry, where, model.name)


def _labels(path: tuple[Any, ...], y: Any) -> np.ndarray | None:
    try:
        found = at(path, y)
    except (KeyError, IndexError, TypeError):
        return None  # targets in another structure than the outputs
    return found if isinstance(found, np.ndarray) and found.dtype.kind in "iuf" else None


def _check(labels: np.ndarray, entry: Any, where: str, name: str) -> None:
    flat = labels.reshape(-1)
    low, high = np.minimum.reduce(flat), np.maximum.reduce(flat)  # as `min` and `max`, without a way round
    if low >= 0 and high < entry.classes:
        return
    ignored = entry.loss.get_config().get("ignore_class")
    rest = labels if ignored is None else labels[labels != ignored]
    wrong = rest[(rest < 0) | (rest >= entry.classes) | (rest != rest)]
    if wrong.size:
        grow = f", or give the last layer {int(high) + 1} units" if high >= entry.classes else ""
        raise ValueError(
            f"model '{name}', {where}: {entry.name} has {entry.classes} classes, so labels must be 0 to "
            f"{entry.classes - 1}. Received labels {sorted(set(wrong.ravel().tolist()))[:5]}. Renumber the labels from "
            f"0{grow}."
        )
