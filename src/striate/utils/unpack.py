"""Batches as tuples `(x,)`, `(x, y)` and `(x, y, sample_weight)`, and back."""

from __future__ import annotations

from typing import Any

from striate.core.registry import export


@export("keras.utils.unpack_x_y_sample_weight")
def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """`x`, `y` and `sample_weight` of a batch as `train_step` gets it; what is not there is None.

    Raises:
        ValueError: a tuple or list of another length.
    """
    if not isinstance(data, list | tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(
            "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`, found: "
            f"{type(data).__name__} of {len(data)}."
        )
    x, y, weight = (*data, None, None)[:3]
    return x, y, weight


@export("keras.utils.pack_x_y_sample_weight")
def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """A batch as `fit` takes it: `x` alone as it is (in a tuple if it is a list or tuple), else a tuple."""
    if y is None:
        return (x,) if isinstance(x, list | tuple) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)
