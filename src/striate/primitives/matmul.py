"""Matrix product over the last two axes; the axes in front broadcast as NumPy's."""

from __future__ import annotations

import numpy as np

from striate.ir import Aval
from striate.primitives.base import Array, Primitive, aval_of, broadcast_shapes, register
from striate.primitives.elementwise import unbroadcast
from striate.primitives.structural import transpose


def _infer(a: Aval, b: Aval) -> Aval:
    if a.dtype != b.dtype:
        raise TypeError(f"matmul: inputs must have one dtype, got {a.dtype} and {b.dtype}. Cast one of them.")
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise ValueError(f"matmul: expected inputs with 2 axes or more, got shapes {a.shape} and {b.shape}.")
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit: the last size of the first, {a.shape[-1]}, must "
            f"be the last "
            f"but one of the second, {b.shape[-2]}."
        )
    batch = broadcast_shapes("matmul (leading axes)", a.shape[:-2], b.shape[:-2])
    return Aval((*batch, a.shape[-2], b.shape[-1]), a.dtype)


def transposed(x: Array) -> Array:
    """`x` with its last two axes exchanged."""
    rank = len(aval_of(x).shape)
    return transpose(x, axes=(*range(rank - 2), rank - 1, rank - 2))


def _vjp(g: Array, y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return unbroadcast(matmul(g, transposed(b)), a), unbroadcast(matmul(transposed(a), g), b)


matmul: Primitive = register(Primitive("matmul", _infer, np.matmul, _vjp, "matmul"))
