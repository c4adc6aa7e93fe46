"""Sums and means over all examples, weighted; and the mean of any function of targets and predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

from striate import ops
from striate.core.objects import deserialize_object, serialize_object
from striate.core.registry import export, module_objects, public_name
from striate.losses.reduction import squeeze_or_expand_to_same_rank
from striate.metrics.metric import Metric
from striate.metrics.shapes import same_shape, weights_like
from striate.trace.masks import get_keras_mask


def masked_weights(sample_weight: Any, mask: Any, dtype: str) -> Any:
    """`sample_weight`, 0 where the mask is False; None if there is neither."""
    if mask is None:
        return sample_weight
    kept = ops.cast(mask, dtype)
    if sample_weight is None:
        return kept
    kept, weights = squeeze_or_expand_to_same_rank(kept, ops.convert_to_tensor(sample_weight, dtype))
    return ops.multiply(*same_shape(weights, kept, "mask and sample_weight"))


def weighted_total(
    values: Any, sample_weight: Any, reduce_fn: Callable[..., Any], dtype: str, where: str
) -> tuple[Any, Any]:
    """The weighted sum of `values` over the examples, and the sum of the weights (the number of examples without).

    Whatever one weight stands for is first brought to one value by `reduce_fn`, and so are the values of one example.

    Args:
        values: of shape (examples, ...), or a single value.
        sample_weight: None, or of the shape of `values` or of its first axes; a last axis of size 1 may be missing
            or too many.
        reduce_fn: `ops.mean` or `ops.sum`.
        where: the metric, for errors.

    Raises:
        ValueError: weights that don't fit.
    """
    mask = get_keras_mask(values)
    values = ops.cast(values, dtype)
    if sample_weight is None:
        count = values.shape[0] if values.shape else 1
        return _divided(ops.sum(values), _per_example(values, reduce_fn)), count
    weights = ops.convert_to_tensor(masked_weights(sample_weight, mask, dtype), dtype)
    values, weights = squeeze_or_expand_to_same_rank(values, weights)
    values = _to_rank(values, len(weights.shape), reduce_fn)
    weights = weights_like(weights, values, where)
    share = _per_example(values, reduce_fn)
    return _divided(ops.sum(ops.multiply(values, weights)), share), _divided(ops.sum(weights), share)


def _to_rank(values: Any, rank: int, reduce_fn: Callable[..., Any]) -> Any:
    if len(values.shape) <= rank:
        return values
    return reduce_fn(values, axis=list(range(rank, len(values.shape))))


def _per_example(values: Any, reduce_fn: Callable[..., Any]) -> float:
    """By what the sum of all values is to be divided, if those of one example count as their mean."""
    return float(math.prod(values.shape[1:])) if reduce_fn is ops.mean else 1.0


def _divided(total: Any, share: float) -> Any:
    return total if share == 1.0 else ops.divide(total, share)


@export("keras.metrics.Sum")
class Sum(Metric):
    """The sum of all values, each times its weight.

    Args:
        name: defaults to "sum".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", self.dtype, name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Adds `values`, of any shape; weights as `weighted_total` takes them."""
        total, _ = weighted_total(values, sample_weight, ops.sum, self.dtype, self.name)
        self.total.assign_add(total)

    def result(self) -> Any:
        """The sum so far, a scalar."""
        return self.total.value


@export("keras.metrics.Mean")
class Mean(Metric):
    """The mean of all values, each times its weight: sum(v w) / sum(w); 0 without any.

    Args:
        name: defaults to "mean".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", self.dtype, name="total")
        self.count = self.add_variable((), "zeros", self.dtype, name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Adds `values`, of shape (examples, ...) or a single one; weights as `weighted_total` takes them."""
        total, count = weighted_total(values, sample_weight, ops.mean, self.dtype, self.name)
        self.total.assign_add(total)
        self.count.assign_add(count)

    def result(self) -> Any:
        """The mean so far, a scalar."""
        return ops.divide_no_nan(self.total, self.count)


@export("keras.metrics.MeanMetricWrapper")
class MeanMetricWrapper(Mean):
    """The mean of a function of targets and predictions over all examples.

    Args:
        fn: `fn(y_true, y_pred, **kwargs)`, which gives one value per example or per place in an example.
        name, dtype: as of `Mean`; the name defaults to a numbered "mean_metric_wrapper".
        **kwargs: passed on to `fn`.
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(name=name, dtype=dtype)
        self._fn, self._fn_kwargs = fn, kwargs
        if (public_name(fn) or public_name(type(fn)) or "").startswith("keras.losses."):
            self._direction = "down"

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds a batch; a mask that `y_pred` carries sets weights to 0."""
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        super().update_state(values, masked_weights(sample_weight, get_keras_mask(y_pred), self.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fn": serialize_object(self._fn), **self._fn_kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        if not isinstance(config.get("fn"), dict):
            return cls(**config)
        known = {**module_objects("keras.losses"), **module_objects("keras.metrics")}
        return cls(**{**config, "fn": deserialize_object(config["fn"], known, "metric function")})


class NamedMean(MeanMetricWrapper):
    """The mean of a function that a class of its own stands for; what it passes to the function are its attributes
    and config.
    """

    def __init__(self, fn: Callable[..., Any], name: str | None, dtype: Any, **kwargs: Any) -> None:
        super().__init__(fn, name=name, dtype=dtype, **kwargs)
        self.__dict__.update(kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, **self._fn_kwargs}
