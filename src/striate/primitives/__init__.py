"""Primitives: few, closed under differentiation, each one op in one place. Importing this package registers all of
them.
"""

from striate.primitives import (
    activations,
    control,
    conv,
    elementwise,
    fused,
    gather,
    linalg,
    matmul,
    pad,
    pool,
    random,
    reduce,
    resize,
    softmax,
    sort,
    special,
    structural,
)
from striate.primitives.base import EAGER, REGISTRY, Primitive, aval_of, get, infer_node, run_reference

__all__ = [
    "EAGER",
    "REGISTRY",
    "Primitive",
    "activations",
    "aval_of",
    "control",
    "conv",
    "elementwise",
    "fused",
    "gather",
    "get",
    "infer_node",
    "linalg",
    "matmul",
    "pad",
    "pool",
    "random",
    "reduce",
    "resize",
    "run_reference",
    "softmax",
    "sort",
    "special",
    "structural",
]
