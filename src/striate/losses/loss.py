"""The base of losses, and losses made from functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from striate import ops
from striate.core import tree
from striate.core.errors import message
from striate.core.objects import deserialize_object, serialize_object
from striate.core.registry import export
from striate.losses.reduction import (
    computing_dtype,
    reduce_weighted_values,
    squeeze_or_expand_to_same_rank,
    standardize_reduction,
)
from striate.trace import auto_name
from striate.trace.masks import get_keras_mask

NAMES: dict[str, Any] = {}  # the losses by name; filled by `striate.losses.lookup`


@export("keras.losses.Loss", "keras.Loss")
class Loss:
    """Base of losses: subclasses write `call(y_true, y_pred)`, which gives one value per example (or per place in it).

    ```python
    class Squares(Loss):
        def call(self, y_true, y_pred):
            return ops.mean(ops.square(y_true - y_pred), axis=-1)
    ```

    Args:
        name: by default the class's name, numbered.
        reduction: what becomes of the values: "sum_over_batch_size" (default) or "mean": the sum divided by their
            number; "sum"; "mean_with_sample_weight": the sum divided by that of the weights; "none" or None: nothing.
        dtype: the dtype of the computation, or a dtype policy. Defaults to `floatx()`.

    Raises:
        ValueError: an unknown reduction or dtype.
    """

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        self.name = name or auto_name(type(self).__name__)
        self.reduction = standardize_reduction(reduction)
        self._dtype = computing_dtype(dtype)

    @property
    def dtype(self) -> str:
        """The name of the dtype that the loss is computed in."""
        return self._dtype

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss of predictions, reduced.

        Args:
            y_true: labels; a tensor, or tensors in lists and dicts.
            y_pred: predictions, nested in the same way. A mask that belongs to them (`Masking`) is applied.
            sample_weight: factors of the values, see `reduce_weighted_values`.

        Raises:
            ValueError, TypeError: shapes that don't fit together.
        """
        before = get_keras_mask(y_pred)
        y_true, y_pred = _tensors(y_true, self.dtype, "y_true"), _tensors(y_pred, self.dtype, "y_pred")
        losses = self.call(y_true, y_pred)
        masks = [m for m in (before, get_keras_mask(losses)) if m is not None]
        mask = ops.logical_and(*masks) if len(masks) == 2 else masks[0] if masks else None
        return reduce_weighted_values(losses, sample_weight, mask, self.reduction, self.dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One value per example; subclasses override it."""
        raise NotImplementedError(
            f"{type(self).__name__} '{self.name}' has no method `call(y_true, y_pred)`. Write it."
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same loss again."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A loss made from what `get_config` returned."""
        return cls(**config)


def _tensors(x: Any, dtype: str, what: str) -> Any:
    if x is None or any(leaf is None for leaf in tree.flatten(x)):
        raise ValueError(message("", f"`{what}` is None, or has a None inside, where a tensor was expected"))
    if isinstance(x, list | tuple) and all(isinstance(leaf, int | float) for leaf in tree.flatten(x)):
        return ops.convert_to_tensor(x, dtype)  # numbers in lists are a tensor, not a structure of tensors
    return tree.map_structure(lambda leaf: ops.convert_to_tensor(leaf, dtype), x)


@export("keras.src.losses.losses.LossFunctionWrapper", "keras.losses.LossFunctionWrapper")  # first: as in Keras's files
class LossFunctionWrapper(Loss):
    """A function `fn(y_true, y_pred, **kwargs)` that gives one value per example, as a `Loss`.

    Args:
        fn: the function. Labels or predictions with one axis of size 1 too many at their end are adapted before.
        reduction, name, dtype: as in `Loss`.
        **kwargs: further arguments of `fn`.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """`fn` of labels and predictions."""
        if tree.is_nested(y_true) or tree.is_nested(y_pred):
            y_true, y_pred = self._nested(y_true, y_pred)
        else:
            y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def _nested(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        try:
            tree.assert_same_structure(y_true, y_pred)
        except ValueError as error:
            problem = f"labels and predictions are nested in different ways. {error}"
            raise ValueError(message(f"loss '{self.name}'", problem, "Nest the labels as the predictions")) from None
        pairs = map(squeeze_or_expand_to_same_rank, tree.flatten(y_true), tree.flatten(y_pred))
        true, pred = zip(*pairs, strict=True)
        return tree.pack(y_true, true), tree.pack(y_pred, pred)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same loss again; functions by their names."""
        return {**super().get_config(), "fn": serialize_object(self.fn), **self._fn_kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A loss made from what `get_config` returned; ValueError for a function that is not registered."""
        if "fn" in config:
            config = {**config, "fn": deserialize_object(config["fn"], NAMES, "loss function")}
        return cls(**config)

    def __repr__(self) -> str:
        return f"<LossFunctionWrapper({self.fn}, kwargs={self._fn_kwargs})>"


class NamedLoss(LossFunctionWrapper):
    """A loss whose class says which function it is: its config holds the arguments alone."""

    # Arguments that Keras leaves out of its configs, and so forgets. Here they are there when they say something.
    unsaid: ClassVar[dict[str, Any]] = {}

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same loss again."""
        said = {k: v for k, v in self._fn_kwargs.items() if k not in self.unsaid or v != self.unsaid[k]}
        return {**Loss.get_config(self), **said}
