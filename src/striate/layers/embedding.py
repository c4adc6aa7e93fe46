"""`Embedding`: integers as rows of a trained table."""

from __future__ import annotations

import warnings
from typing import Any

from striate import constraints, initializers, ops, regularizers
from striate.core import dtypes
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.layer import Layer
from striate.trace import KerasTensor


@export("keras.layers.Embedding")
class Embedding(Layer):
    """`(batch, ...)` of integers below `input_dim` to `(batch, ..., output_dim)`: each its row of `embeddings`.

    Args:
        input_dim: how many rows there are.
        output_dim: how long they are.
        embeddings_*: initializer, regularizer and constraint of the table `(input_dim, output_dim)`.
        mask_zero: whether 0 is filling: layers behind skip those entries.
        weights: the table's first values.

    Raises:
        ValueError: a size that is no positive int.
    """

    def __init__(
        self, input_dim: int, output_dim: int, embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None, embeddings_constraint: Any = None, mask_zero: bool = False,
        weights: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        if kwargs.pop("input_length", None) is not None:
            warnings.warn("Argument `input_length` is deprecated. Just remove it.", stacklevel=2)
        super().__init__(**kwargs)
        for label, n in (("input_dim", input_dim), ("output_dim", output_dim)):
            if not isinstance(n, int) or isinstance(n, bool) or n <= 0:
                problem = f"`{label}` must be a positive integer. Received: {label}={n!r} (of type {type(n).__name__})"
                raise ValueError(message(f"Embedding '{self.name}'", problem))
        self.input_dim, self.output_dim = input_dim, output_dim
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = self.supports_masking = mask_zero
        self.autocast = False
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, list) and len(weights) == 1 else [weights])

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        self._embeddings = self.add_weight(
            name="embeddings", shape=(self.input_dim, self.output_dim), initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer, constraint=self.embeddings_constraint,
        )  # fmt: skip

    @property
    def embeddings(self) -> Any:
        """The table, `(input_dim, output_dim)`."""
        if not self.built:
            raise AttributeError(
                "You must build the layer before accessing `embeddings`. Call layer "
                f"'{self.name}' on data or an `Input`."
            )
        return self._embeddings

    def call(self, inputs: Any) -> Any:
        whole = dtypes.standardize(inputs.dtype) in ("int32", "int64")
        places = inputs if whole else ops.cast(inputs, "int32")
        return ops.cast(ops.take(self.embeddings, places, axis=0), self.compute_dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """False for zeros, if `mask_zero`."""
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """`(batch, ..., output_dim)`."""
        return (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs: Any) -> Any:
        return KerasTensor(self.compute_output_shape(tuple(inputs.shape)), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
        }
