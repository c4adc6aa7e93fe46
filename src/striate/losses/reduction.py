"""From one value per example to the number that is minimised: ranks, weights, masks, reductions; for metrics, too."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

from striate import ops
from striate.core import dtypes
from striate.core.errors import listed, message

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)
MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


def standardize_reduction(reduction: Any) -> str | None:
    """`reduction` itself; ValueError if it is none of "sum_over_batch_size", "mean", "sum",
    "mean_with_sample_weight", "none" and None.
    """
    if isinstance(reduction, str | None) and reduction in REDUCTIONS:
        return reduction
    near = difflib.get_close_matches(str(reduction), [r for r in REDUCTIONS if r], n=1)
    problem = f"Invalid value for argument `reduction`. Expected {listed(REDUCTIONS)}. Received: reduction={reduction}"
    raise ValueError(message("", problem, f"Did you mean {near[0]!r}" + "?" if near else None))


def computing_dtype(dtype: Any) -> str:
    """The name of the dtype that `dtype` (a name, a dtype policy or its name; None for `floatx()`) computes in."""
    chosen = getattr(dtype, "compute_dtype", dtype)
    return dtypes.standardize(chosen.removeprefix("mixed_") if isinstance(chosen, str) else chosen)


def squeeze_or_expand_to_same_rank(x1: Any, x2: Any, expand_rank_1: bool = True) -> tuple[Any, Any]:
    """`x1` and `x2` with as many axes, if one has just one axis more, of size 1, at its end.

    That axis is taken away; beside a vector (unless `expand_rank_1` is False) the vector gets it instead. Anything
    else stays as it is.

    Args:
        x1, x2: tensors.
        expand_rank_1: whether vectors are expanded. Defaults to True.
    """
    more = len(x1.shape) - len(x2.shape)
    if more == 1:
        return _to_same_rank(x1, x2, expand_rank_1)
    if more == -1:
        x2, x1 = _to_same_rank(x2, x1, expand_rank_1)
    return x1, x2


def _to_same_rank(larger: Any, smaller: Any, expand_rank_1: bool) -> tuple[Any, Any]:
    if larger.shape[-1] != 1:
        return larger, smaller
    if len(smaller.shape) == 1 and expand_rank_1:
        return larger, ops.expand_dims(smaller, -1)
    return ops.squeeze(larger, -1), smaller


def broadcasts(first: Sequence[int | None], second: Sequence[int | None]) -> bool:
    """Whether tensors of the two shapes can be multiplied; unknown sizes are taken to fit."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    return all(m == n or 1 in (m, n) or None in (m, n) for m, n in pairs)


def reduce_weighted_values(
    values: Any,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: str | None = "sum_over_batch_size",
    dtype: Any = None,
) -> Any:
    """`values`, weighted, in one number.

    With N values v, weights w and a mask m of them ("sum" and the like run over all values):

        "sum"                          sum(v w m)
        "sum_over_batch_size", "mean"  sum(v w m) / N, with a mask sum(v w m) / sum(m)
        "mean_with_sample_weight"      sum(v w m) / sum(w m), without weights and mask sum(v) / N
        "none", None                   v w m, not reduced

    and 0 where such a divisor is 0.

    Args:
        values: the losses, such as one per example, or per place in an example.
        sample_weight: of the shape of `values`, or one that broadcasts; a last axis of size 1 may be missing or too
            many in either.
        mask: as `sample_weight`; what is False (or 0) doesn't count.
        reduction: see above. Defaults to "sum_over_batch_size".
        dtype: the dtype of the result. By default that of `values`.

    Raises:
        ValueError: an unknown reduction, or weights (or a mask) whose shape doesn't fit; TypeError, as in Keras, if
            only sizes of equally many axes differ.
    """
    reduction = standardize_reduction(reduction)
    values = ops.convert_to_tensor(values, dtype=dtype)
    weights = _merged(sample_weight, mask, ops.dtype(values), reduction)
    if weights is not None:
        values, weights = squeeze_or_expand_to_same_rank(values, weights)
        _check_weights(values, weights, "weights" if mask is None else "weights and masks")
        values = ops.multiply(values, weights)
    return _reduced(values, weights, reduction)


def _merged(sample_weight: Any, mask: Any, dtype: str, reduction: str | None) -> Any:
    """Weights and mask as one factor of the values; None if there is neither."""
    weights = None if sample_weight is None else ops.convert_to_tensor(sample_weight, dtype)
    if mask is None:
        return weights
    factor = _mask_factor(mask, dtype, reduction)
    if weights is None:
        return factor
    factor, weights = squeeze_or_expand_to_same_rank(factor, weights)
    _check_weights(factor, weights, "weights beside the mask")
    return ops.multiply(weights, factor)


def _mask_factor(mask: Any, dtype: str, reduction: str | None) -> Any:
    """1 and 0; for means over the batch N / sum(mask) instead of 1, so that only what the mask leaves is averaged."""
    given = ops.cast(mask, dtype)
    if reduction not in ("mean", "sum_over_batch_size"):
        return given
    kept = ops.cast(ops.cast(mask, "bool"), dtype)
    return ops.multiply(kept, ops.divide_no_nan(_count(given), ops.sum(given)))


def _check_weights(values: Any, weights: Any, what: str) -> None:
    if broadcasts(values.shape, weights.shape):
        return
    same_rank = len(values.shape) == len(weights.shape)
    problem = f"{what} of shape {tuple(weights.shape)} don't fit losses of shape {tuple(values.shape)}"
    fix = "Give one weight per example, or weights of the shape of the losses"
    if len(weights.shape) == 1 and weights.shape[0] == values.shape[0]:
        ones = (1,) * (len(values.shape) - 1)
        fix = f"For one weight per example reshape them to {(weights.shape[0], *ones)}"
    raise (TypeError if same_rank else ValueError)(message("sample_weight", problem, fix))


def _count(x: Any) -> Any:
    """The number of elements of `x`: a Python float, where all sizes are known."""
    if all(isinstance(n, int) for n in x.shape):
        return float(math.prod(x.shape))
    return ops.sum(ops.ones_like(x))


def _reduced(values: Any, weights: Any, reduction: str | None) -> Any:
    if reduction in (None, "none") or tuple(values.shape) in ((), (0,)):
        return values
    total = ops.sum(values)
    if reduction not in MEANS:
        return total
    if reduction == "mean_with_sample_weight" and weights is not None:
        return ops.divide_no_nan(total, ops.sum(weights))
    count = _count(values)
    return ops.divide(total, count or 1.0) if isinstance(count, float) else ops.divide_no_nan(total, count)
