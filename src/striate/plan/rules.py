"""All lowering rules, gathered: importing a module of rules registers them."""

from striate.plan import lowering_moves, lowering_windows
from striate.plan.lowering import RULES

__all__ = ["RULES", "lowering_moves", "lowering_windows"]

for _op in [op for op in RULES if op in ("max_pool", "max_pool_grad", "max_pool_gather", "avg_pool", "avg_pool_grad", "lp_pool", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "softmax", "log_softmax", "resize", "transpose", "broadcast_to", "concatenate", "slice", "unslice", "pad", "cast")]:  # noqa
    from striate import kernels as _k  # noqa
    if {"reduce_sum": "reduce", "reduce_max": "reduce", "reduce_min": "reduce", "reduce_prod": "reduce", "log_softmax": "softmax", "broadcast_to": "broadcast", "concatenate": "concat"}.get(_op, _op) not in _k.names():  # noqa
        del RULES[_op]
