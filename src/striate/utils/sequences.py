"""`pad_sequences`: sequences of several lengths as one array."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core.registry import export


@export(
    "keras.utils.pad_sequences",
    "keras.preprocessing.sequence.pad_sequences",
)
def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Sequences brought to one length.

    Args:
        sequences: a list of sequences, each of numbers or of arrays of one shape.
        maxlen: the length; that of the longest by default.
        dtype: of the result.
        padding, truncating: "pre" or "post": where `value` is put, and where numbers are cut away.

    Returns:
        An array `(len(sequences), maxlen, ...)`.

    Raises:
        ValueError: no list of sequences, or elements of several shapes.
    """
    if not hasattr(sequences, "__len__"):
        raise ValueError("`sequences` must be iterable.")
    for name, where in (("Padding", padding), ("Truncating", truncating)):
        if where not in ("pre", "post"):
            raise ValueError(f'{name} type "{where}" not understood. Use "pre" or "post".')
    for x in sequences:
        if not hasattr(x, "__len__"):
            raise ValueError(f"`sequences` must be a list of iterables. Found non-iterable: {x!s}")
    length = max(map(len, sequences), default=0) if maxlen is None else maxlen
    shape = next((np.asarray(x).shape[1:] for x in sequences if len(x)), ())
    made = np.full((len(sequences), length, *shape), value, dtype)
    for row, x in zip(made, sequences, strict=True):
        kept = np.asarray(x[-length:] if truncating == "pre" else x[:length], dtype) if len(x) and length else None
        if kept is None:
            continue
        if kept.shape[1:] != shape:
            raise ValueError(f"Shape of sample {kept.shape[1:]} of a sequence is different from expected shape {shape}")
        start = length - len(kept) if padding == "pre" else 0
        row[start : start + len(kept)] = kept
    return made
