"""An input as layers take it, and one run of the layer on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from striate import activations
from striate.core.errors import message

LARGEST = 64  # cells along an axis; more can't be told apart in a picture


def lifted(values: tuple[Any, ...], missing: Any) -> tuple[Any, ...]:
    """Three entries, one per axis; `missing` for the axes in front that a layer lacks."""
    return (missing,) * (3 - len(values)) + tuple(values)


@dataclass(frozen=True)
class Input:
    """What an input may look like: a layer of `rank` spatial axes that takes `channels` (None: any number)."""

    rank: int
    channels: int | None
    where: str

    def sample(self, x: Any) -> np.ndarray:
        """`x` as `(*spatial, channels)`: a batch axis is dropped, a channel axis of size 1 may be missing.

        Raises:
            ValueError: for another number of axes, several samples, or too large a picture.
        """
        found = self._numbers(x)
        if found.ndim == self.rank + 2 and found.shape[0] == 1:
            found = found[0]
        elif found.ndim == self.rank and self.channels in (None, 1):
            found = found[..., None]
        if found.ndim != self.rank + 1:
            raise ValueError(self._shape(np.shape(x)))
        if max(found.shape[:-1]) > LARGEST:
            raise ValueError(self._large(found.shape))
        return found

    def _numbers(self, x: Any) -> np.ndarray:
        try:
            return np.asarray(x, "float64")
        except (ValueError, TypeError):
            fix = "Load a picture with striate.utils.load_img and img_to_array"
            raise ValueError(message(self.where, f"the input must be numbers, got {str(x)[:40]!r}", fix)) from None

    def _shape(self, shape: tuple[int, ...]) -> str:
        axes = ("steps", "height, width", "depth, height, width")[self.rank - 1]
        fix = "Pass one sample: x[:1]" if len(shape) == self.rank + 2 else None
        return message(self.where, f"expected one sample of shape ({axes}, channels), got {shape}", fix)

    def _large(self, shape: tuple[int, ...]) -> str:
        step = -(-max(shape[:-1]) // LARGEST)
        slices = ", ".join([f"::{step}"] * self.rank)
        problem = f"an input of {'x'.join(map(str, shape[:-1]))} has more cells than a picture can show"
        return message(self.where, problem, f"Use at most {LARGEST} per axis, such as x[{slices}], or a part of it")


@dataclass(frozen=True, eq=False)
class Result:
    """One run: `x` and `y` as float64 with three spatial axes and the channels last."""

    x: np.ndarray
    y: np.ndarray
    spatial: tuple[int, ...]
    bias: np.ndarray | None
    activation: str


def run(layer: Any, x: Any) -> Result:
    """The layer on one sample, which is built where it isn't yet."""
    first = getattr(layer, "data_format", "channels_last") == "channels_first"
    given = np.moveaxis(np.asarray(x), -layer.rank - 1, -1) if first and np.ndim(x) > layer.rank else x
    sample = Input(layer.rank, _channels(layer), f"{type(layer).__name__} '{layer.name}'").sample(given)
    array = np.moveaxis(sample, -1, 0) if first else sample
    y = np.asarray(layer(array[None].astype("float32")), "float64")[0]
    y = y.reshape((1,) * layer.rank + (-1,)) if y.ndim == 1 else np.moveaxis(y, 0, -1) if first else y
    spread = (1,) * (3 - layer.rank)
    bias = getattr(layer, "bias", None)
    return Result(
        sample.astype("float32").astype("float64").reshape(spread + sample.shape),
        y.reshape(spread + y.shape),
        sample.shape[:-1],
        None if bias is None else np.asarray(bias, "float64"),
        _activation(layer),
    )


def _channels(layer: Any) -> int | None:
    """The channels that a built layer takes."""
    axes = getattr(getattr(layer, "input_spec", None), "axes", None) or {}
    return next(iter(axes.values()), None)


def _activation(layer: Any) -> str:
    function = getattr(layer, "activation", None)
    if function is None or function is activations.linear:
        return ""
    return str(getattr(function, "__name__", type(function).__name__))
