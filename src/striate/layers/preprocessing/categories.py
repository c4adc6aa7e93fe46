"""Whole numbers as one-hot, multi-hot or counts; real numbers as the numbers of bins."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from striate import ops
from striate.core import config
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.preprocessing.data_layer import DataLayer
from striate.trace import KerasTensor


def _encoded(x: Any, mode: str, depth: int, dtype: str, weights: Any = None) -> Any:
    """Whole numbers in [0, depth) in one of the modes "one_hot", "multi_hot", "count"; "int" leaves them."""
    if mode == "int":
        return ops.cast(x, dtype)
    x = ops.expand_dims(x, -1) if not x.shape else x
    if mode == "multi_hot":
        return ops.multi_hot(x, depth, dtype=dtype)
    if mode == "one_hot":
        x = ops.squeeze(x, -1) if len(x.shape) > 1 and x.shape[-1] == 1 else x
        return ops.one_hot(x, depth, dtype=dtype)
    each = ops.one_hot(x, depth, dtype=dtype)
    each = each if weights is None else ops.multiply(each, ops.expand_dims(weights, -1))
    return ops.sum(each, axis=1 if len(x.shape) > 1 else 0)


def _check_sparse(sparse: bool, where: str) -> None:
    if sparse:
        raise ValueError(message(where, "`sparse=True` is not supported: tensors are dense", "Leave it out"))


@export("keras.layers.CategoryEncoding")
class CategoryEncoding(DataLayer):
    """Whole numbers in [0, num_tokens) as vectors of `num_tokens`.

    Args:
        num_tokens: how many categories; at least 1.
        output_mode: "multi_hot" (default): 1 for each category that a sample has; "one_hot": one vector per number;
            "count": how often each comes, or the sum of `count_weights` of the call.
        sparse: only False.

    Raises:
        ValueError: another mode, no number of tokens, or weights without "count".
    """

    def __init__(
        self, num_tokens: int | None = None, output_mode: str = "multi_hot", sparse: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        mode = "multi_hot" if output_mode == "binary" else output_mode
        if mode not in ("count", "one_hot", "multi_hot"):
            raise ValueError(f"Unknown arg for output_mode: {output_mode}. Use 'multi_hot', 'one_hot' or 'count'.")
        if num_tokens is None:
            raise ValueError(
                "num_tokens must be set to use this layer. If the number of tokens is not known beforehand, count them "
                "with `int(x.max()) + 1`."
            )
        if num_tokens < 1:
            raise ValueError(f"`num_tokens` must be >= 1. Received: num_tokens={num_tokens}.")
        _check_sparse(sparse, f"CategoryEncoding '{self.name}'")
        self.num_tokens, self.output_mode, self.sparse = num_tokens, mode, sparse
        self._convert_inputs = False

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        if count_weights is not None:
            if self.output_mode != "count":
                raise ValueError(
                    "`count_weights` is not used when `output_mode` is not `'count'`. Received "
                    f"`count_weights={count_weights}`."
                )
            count_weights = ops.cast(count_weights, self.compute_dtype)
        return self._encode(inputs, count_weights)

    def _encode(self, inputs: Any, count_weights: Any = None) -> Any:
        x = ops.convert_to_tensor(inputs)
        self._check_values(x)
        return _encoded(ops.cast(x, "int32"), self.output_mode, self.num_tokens, self.compute_dtype, count_weights)

    def _check_values(self, x: Any) -> None:
        """Values are only known when the layer is called on arrays."""
        if isinstance(x, np.ndarray) and x.size and (x.min() < 0 or x.max() >= self.num_tokens):
            problem = f"the input's values run from {x.min()} to {x.max()}, with num_tokens={self.num_tokens}"
            fix = f"Values must be from 0 to {self.num_tokens - 1}"
            raise ValueError(message(f"CategoryEncoding '{self.name}'", problem, fix))

    def compute_output_shape(self, input_shape: Any, *_: Any) -> tuple[Any, ...]:
        """The input's shape with `num_tokens` in the place of (for "one_hot": behind) the last axis."""
        shape = tuple(input_shape)
        keeps = self.output_mode == "one_hot" and (len(shape) == 1 or (shape and shape[-1] != 1))
        return (*shape, self.num_tokens) if keeps else (*shape[:-1], self.num_tokens)

    def compute_output_spec(self, inputs: Any, count_weights: Any = None) -> KerasTensor:
        return KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_tokens": self.num_tokens, "output_mode": self.output_mode}


@export("keras.layers.Discretization")
class Discretization(DataLayer):
    """Real numbers as the numbers of the bins that they fall in.

    Args:
        bin_boundaries: where one bin ends and the next begins: k of them make k + 1 bins.
        num_bins: or how many bins, whose boundaries `adapt` finds so that each holds about as many values.
        epsilon: the precision of the quantiles that `adapt` works with; default 0.01.
        output_mode: "int" (default), or "one_hot", "multi_hot", "count" as in `CategoryEncoding`.
        sparse: only False.

    Raises:
        ValueError: both or neither of boundaries and number, or another mode.
    """

    def __init__(
        self, bin_boundaries: Any = None, num_bins: int | None = None, epsilon: float = 0.01,
        output_mode: str = "int", sparse: bool = False, dtype: Any = None, name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name=name, dtype=dtype)
        if sparse and output_mode == "int":
            raise ValueError(
                "`sparse=True` may only be used if `output_mode` is `'one_hot'`, `'multi_hot'`, or `'count'`. "
                f"Received: sparse={sparse} and output_mode={output_mode}"
            )
        _check_sparse(sparse, f"Discretization '{self.name}'")
        if output_mode not in ("int", "one_hot", "multi_hot", "count"):
            raise ValueError(
                "Unknown value for `output_mode` argument of layer Discretization. Allowed values are: ('int', "
                f"'one_hot', 'multi_hot', 'count'). Received: output_mode={output_mode}"
            )
        self._check_bins(bin_boundaries, num_bins)
        self.bin_boundaries, self.num_bins, self.epsilon = bin_boundaries, num_bins, epsilon
        self.output_mode, self.sparse = output_mode, sparse
        self.summary: Any = None if bin_boundaries else _EMPTY

    @staticmethod
    def _check_bins(bin_boundaries: Any, num_bins: int | None) -> None:
        if num_bins is not None and num_bins < 0:
            raise ValueError(f"`num_bins` must be greater than or equal to 0. Received: `num_bins={num_bins}`")
        if num_bins is not None and bin_boundaries is not None:
            raise ValueError(
                "Both `num_bins` and `bin_boundaries` should not be set. Received: "
                f"`num_bins={num_bins}` and `bin_boundaries={bin_boundaries}`"
            )
        if num_bins is None and bin_boundaries is None:
            raise ValueError("You need to set either `num_bins` or `bin_boundaries`.")

    @property
    def input_dtype(self) -> str:
        """Inputs are real numbers, whatever the layer computes."""
        return config.floatx()

    @property
    def output_dtype(self) -> str:
        """int32 for the numbers of bins, else the compute dtype."""
        return "int32" if self.output_mode == "int" else self.compute_dtype

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Finds boundaries that split the values of `data` into bins of about equal size.

        Args:
            data: an array, or an iterable of arrays.
            steps: how many of the iterable's arrays; None for all.

        Raises:
            ValueError: a layer with boundaries of its own.
        """
        if self.num_bins is None:
            raise ValueError(
                "Cannot adapt a Discretization layer that has been initialized with `bin_boundaries`, use `num_bins` "
                "instead."
            )
        self.reset_state()
        whole = hasattr(data, "shape") or not hasattr(data, "__iter__")
        for batch in itertools.islice([data] if whole else data, None if whole else steps):
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Adds values to what `adapt` has counted."""
        self.summary = _merged(_summary(np.asarray(data, "float32"), self.epsilon), self.summary, self.epsilon)

    def finalize_state(self) -> None:
        """The boundaries of what was counted."""
        if self.num_bins is not None:
            self.bin_boundaries = _thinned(self.summary, 1.0 / self.num_bins)[0, :-1].tolist()

    def reset_state(self) -> None:
        """Forgets what was counted."""
        if self.num_bins is not None:
            self.summary = _EMPTY

    def call(self, inputs: Any) -> Any:
        if self.bin_boundaries is None:
            raise ValueError(
                "You need to either pass the `bin_boundaries` argument at construction time or call `adapt(dataset)` "
                "before you can start using the `Discretization` layer."
            )
        bins = ops.digitize(inputs, np.asarray(self.bin_boundaries, "float32"))
        return _encoded(bins, self.output_mode, len(self.bin_boundaries) + 1, self.output_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape, with the number of bins as "one_hot", "multi_hot" and "count" have it."""
        if self.output_mode == "int":
            return input_shape
        shape = tuple(input_shape)
        depth = self.num_bins if self.bin_boundaries is None else len(self.bin_boundaries) + 1
        if self.output_mode == "one_hot":
            return (*(shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape), depth)
        return (shape[0], *shape[2:], depth) if len(shape) >= 2 else (depth,)

    def compute_output_spec(self, inputs: Any) -> KerasTensor:
        return KerasTensor(self.compute_output_shape(inputs.shape), self.output_dtype)

    def load_own_variables(self, store: Any) -> None:
        """Older files hold the summary; the boundaries are in the config."""
        if len(store) == 1:
            self.summary = np.asarray(store["0"])

    def get_config(self) -> dict[str, Any]:
        names = ("bin_boundaries", "num_bins", "epsilon", "output_mode", "sparse", "name", "dtype")
        return {k: getattr(self, k) for k in names}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Discretization:
        """The layer that `get_config` described, with the boundaries that `adapt` found."""
        found = config.get("bin_boundaries")
        if found is None or config.get("num_bins") is None:
            return cls(**config)
        made = cls(**{k: v for k, v in config.items() if k != "bin_boundaries"})
        made.bin_boundaries = found
        return made


# What `adapt` has seen, as `(2, n)`: values in order, and how many each stands for.
_EMPTY = np.zeros((2, 0), "float32")


def _summary(values: np.ndarray, epsilon: float) -> np.ndarray:
    """At most 1 / epsilon of the values, evenly taken from their order."""
    ordered = np.sort(values.ravel())
    step = max(ordered.size * epsilon, 1)
    taken = ordered[int(step - 1) :: int(step)]
    return np.stack([taken, np.full_like(taken, step)])


def _merged(a: np.ndarray, b: np.ndarray, epsilon: float) -> np.ndarray:
    both = np.concatenate((a, b), axis=1)
    return _thinned(both[:, np.argsort(both[0])], epsilon)


def _thinned(summary: np.ndarray, epsilon: float) -> np.ndarray:
    """The quantiles epsilon, 2 epsilon, ... 1, interpolated, with the weight between each two."""
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    weights = summary[1].cumsum()
    seen = weights / weights[-1]
    values, at = np.interp(shares, seen, summary[0]), np.interp(shares, seen, weights)
    return np.stack((values, np.diff(at, prepend=0.0))).astype("float32")
