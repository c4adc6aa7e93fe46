"""`Normalization`: features with mean 0 and variance 1, by numbers that are given or counted from data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from striate import ops
from striate.core import config
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.preprocessing.data_layer import DataLayer

Moments = tuple[Any, Any, int]


@export("keras.layers.Normalization")
class Normalization(DataLayer):
    """`(x - mean) / sqrt(variance)`; the root is at least `epsilon()`.

    Args:
        axis: the axis or axes that keep a mean and variance of their own, by default the last; None for one of all.
        mean, variance: numbers or arrays; both or neither. Without them `adapt` counts them from data.
        invert: whether it goes back: `x * sqrt(variance) + mean`.

    Raises:
        ValueError: one of mean and variance without the other, different shapes, or more axes than `axis` has.
    """

    def __init__(
        self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.input_mean, self.input_variance, self.invert = mean, variance, invert
        self.supports_masking = True
        self._kept: tuple[int, ...] = ()
        self._adapted_shape: tuple[Any, ...] = ()
        self._check_moments()

    def _check_moments(self) -> None:
        mean, variance = self.input_mean, self.input_variance
        problem = None
        if (mean is None) != (variance is None):
            problem = (
                "When setting values directly, both `mean` and `variance` must be set. Received: "
                f"mean={mean} and variance={variance}"
            )
        elif mean is not None and np.shape(mean) != np.shape(variance):
            problem = (
                "When setting values directly, `mean` and `variance` must have the same shape. Received: mean shape "
                f"{np.shape(mean)} and variance shape {np.shape(variance)}"
            )
        elif mean is not None and np.ndim(mean) > len(self.axis):
            problem = (
                f"The rank of `mean` must be less than or equal to the number of axes ({len(self.axis)}). Received: "
                f"mean shape {np.shape(mean)} for axis {self.axis}"
            )
        if problem:
            raise ValueError(message(f"Normalization '{self.name}'", problem))

    def build(self, input_shape: Any) -> None:
        if input_shape is None:
            return
        rank = len(input_shape)
        self._check_axes(tuple(input_shape))
        self._kept = tuple(sorted(a % rank for a in self.axis))
        self._adapted_shape = tuple(input_shape)
        if self.input_mean is None:
            shape = tuple(input_shape[a] for a in self._kept)
            self.adapt_mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
            self.adapt_variance = self.add_weight(shape, "ones", trainable=False, name="variance")
            self.count = self.add_weight((), "zeros", dtype="int32", trainable=False, name="count")

    def _check_axes(self, shape: tuple[Any, ...]) -> None:
        problem = None
        rank = len(shape)
        if any(not -rank <= a < rank for a in self.axis):
            problem = (
                f"All `axis` values must be in the range [-ndim, ndim). Received inputs with ndim={rank}, while "
                f"axis={self.axis}"
            )
        elif any(shape[a] is None for a in self.axis):
            problem = (
                f"All `axis` values to be kept must have a known shape. Received axis={self.axis}, inputs.shape={shape}"
            )
        if problem:
            raise ValueError(message(f"Normalization '{self.name}'", problem))

    # Counting --------------------------------------------------------------------------------------------------------

    def adapt(self, data: Any) -> None:
        """Counts mean and variance from data; what was counted before is forgotten.

        Args:
            data: an array, or batches: a PyDataset, a tf.data.Dataset, or any iterable of arrays or of tuples
                (features, ...).

        Raises:
            ValueError: no data, sizes that don't fit the layer's, or a layer with a mean of its own.
            TypeError: data of another kind.
        """
        if self.input_mean is not None:
            problem = "adapt() was called on a layer that was given its mean and variance"
            raise ValueError(message(f"Normalization '{self.name}'", problem, "Leave `mean` and `variance` out"))
        batches = iter([data]) if _is_array(data) else _batches(data)
        first = next(batches, None)
        if first is None:
            raise ValueError(
                "adapt() received an empty iterable (no batches). Expected at least one batch. Pass an array, or a "
                "list of arrays."
            )
        shape = _shape_of(first)
        self._prepare(shape)
        mean, variance, count = self._counted(itertools.chain([first], batches))
        if not count:
            raise ValueError(message(f"Normalization '{self.name}'", f"adapt() received no values: shape {shape}"))
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(variance)
        self.finalize_state()

    def _prepare(self, shape: tuple[Any, ...]) -> None:
        """Builds the layer, or checks that the data fit it."""
        if not self.built:
            self.build((None, *shape[1:]) if 0 not in [a % max(len(shape), 1) for a in self.axis] else shape)
        elif not self._fits(shape):
            raise ValueError(
                f"The layer was built with input_shape={self._adapted_shape}, but adapt() is being called with data "
                f"with an incompatible shape, data.shape={shape}"
            )

    def _fits(self, shape: tuple[Any, ...]) -> bool:
        same_rank = len(shape) == len(self._adapted_shape)
        return same_rank and all(shape[a] == self._adapted_shape[a] for a in self._kept)

    def _counted(self, batches: Iterable[Any]) -> Moments:
        total: Moments = (0.0, 0.0, 0)
        for batch in batches:
            x = np.asarray(batch)
            if not self._fits(x.shape):
                raise ValueError(
                    f"adapt() yielded a batch with incompatible shape. Expected {self._adapted_shape}, got {x.shape}."
                )
            total = _merged(total, self._moments(x))
        return total

    def _moments(self, x: np.ndarray) -> Moments:
        axes = tuple(i for i in range(x.ndim) if i not in self._kept)
        count = math.prod(x.shape[i] for i in axes) if x.size else 0
        if not count:
            return 0.0, 0.0, 0
        return x.mean(axis=axes, dtype=np.float64), x.var(axis=axes, dtype=np.float64), count

    def finalize_state(self) -> None:
        """Nothing to do: `mean` and `variance` are read from the weights. It stands here as Keras has it."""

    # Using -----------------------------------------------------------------------------------------------------------

    @property
    def mean(self) -> Any:
        """The mean, ready to be broadcast to the inputs; None before the layer is built."""
        return self._broadcast(self.input_mean, "adapt_mean")

    @property
    def variance(self) -> Any:
        """The variance, ready to be broadcast to the inputs; None before the layer is built."""
        return self._broadcast(self.input_variance, "adapt_variance")

    def _broadcast(self, given: Any, weight: str) -> Any:
        if not self.built or not self._adapted_shape:
            return None
        values = ops.cast(getattr(self, weight) if given is None else ops.convert_to_tensor(given), self.compute_dtype)
        shape = [1] * len(self._adapted_shape)
        for axis, n in zip(reversed(self._kept), reversed(values.shape)):
            shape[axis] = n
        full = [n if i in self._kept else 1 for i, n in enumerate(self._adapted_shape)]
        return ops.broadcast_to(ops.reshape(values, shape), full)

    def call(self, inputs: Any) -> Any:
        mean, variance = self.mean, self.variance
        if mean is None:
            raise ValueError("You must call `.build(input_shape)` on the layer before using it.")
        x = ops.cast(inputs, self.compute_dtype)
        spread = ops.maximum(ops.sqrt(variance), config.epsilon())
        if self.invert:
            return ops.add(mean, ops.multiply(x, spread))
        return ops.divide(ops.subtract(x, mean), spread)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        given = {"mean": np.array(self.input_mean).tolist(), "variance": np.array(self.input_variance).tolist()}
        return super().get_config() | {"axis": self.axis, "invert": self.invert} | given


def _is_array(data: Any) -> bool:
    return hasattr(data, "shape") and hasattr(data, "__array__")


def _features(batch: Any) -> Any:
    """The features of a batch: the first of a tuple."""
    return batch[0] if isinstance(batch, tuple) else batch


def _batches(data: Any) -> Iterator[Any]:
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and hasattr(data, "on_epoch_end"):  # a PyDataset
        return (_features(data[i]) for i in range(len(data)))
    if not hasattr(data, "__iter__"):
        raise TypeError(
            f"Unsupported data type: {type(data)}. `adapt` supports arrays, `keras.utils.PyDataset`, "
            "`tf.data.Dataset`, and iterables of batches (a list, a generator)."
        )
    return (_features(batch) for batch in _in_batches(data))


def _in_batches(data: Any) -> Any:
    """A tf.data.Dataset of single rows, in batches; anything else as it is."""
    spec = _features(getattr(data, "element_spec", None))
    return data.batch(128) if len(getattr(spec, "shape", (0, 0))) == 1 else data


def _shape_of(batch: Any) -> tuple[Any, ...]:
    shape = getattr(batch, "shape", None)
    if shape is None:
        raise TypeError(
            "adapt() expects an iterable that yields arrays or tensors with a `.shape` attribute. Got an element of "
            f"type {type(batch).__name__}. Pass a NumPy array, or a list of NumPy arrays."
        )
    return tuple(shape)


def _merged(a: Moments, b: Moments) -> Moments:
    """Mean and variance of two sets together (Chan, Golub & LeVeque 1979)."""
    count = a[2] + b[2]
    if not b[2]:
        return a
    share = b[2] / count
    apart = b[0] - a[0]
    mean = a[0] + apart * share
    return mean, a[1] * (1 - share) + b[1] * share + apart**2 * share * (1 - share), count
