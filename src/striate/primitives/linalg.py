"""Linear algebra that initializers need: a NumPy step, without a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.ir import Aval
from striate.primitives.base import Primitive, register


def _infer_qr(x: Aval) -> tuple[Aval, Aval]:
    if len(x.shape) < 2:
        raise ValueError(f"qr: expected an array with 2 axes or more, got shape {x.shape}.")
    *batch, rows, columns = x.shape
    inner = min(rows, columns)
    return Aval((*batch, rows, inner), x.dtype), Aval((*batch, inner, columns), x.dtype)


def _qr(x: np.ndarray) -> tuple[Any, Any]:
    q, r = np.linalg.qr(x)
    return q, r


# The reduced decomposition x = q r of the last two axes, q with orthonormal columns, r upper triangular.
qr: Primitive = register(Primitive("qr", _infer_qr, _qr))
