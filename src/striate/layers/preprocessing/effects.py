"""Layers that look at a pixel's neighbours, or paint over a part of images: sharpness, erasing."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate import ops, random
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.preprocessing.base import value_range_of
from striate.layers.preprocessing.colour import _Colour, happens

_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13


@export("keras.layers.RandomSharpness")
class RandomSharpness(_Colour):
    """Blends each image with its smoothed version: `x + (1 - 2 f) (smooth - x)`.

    Args:
        factor: in [0, 1]: 0 smoothes, 0.5 leaves the image, 1 sharpens. A number f stands for (0, f).
        value_range: the lowest and highest value; default (0, 255).
        seed: an int, so that runs repeat.

    Transformation: {"factor": `(batch,)`}.
    """

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), data_format: str | None = None, seed: int | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        self._set_range(value_range_of(value_range), seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        return {"factor": self._draw((self._sizes(data)[0],), *self.factor, seed)}

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        images = ops.cast(images, self.compute_dtype)
        if not training:
            return images
        channels = images.shape[self._channels(images)]
        kernel = np.repeat(_SMOOTH[:, :, None, None], channels, axis=2)
        smooth = ops.depthwise_conv(
            images, ops.cast(kernel, self.compute_dtype), strides=1, padding="same", data_format=self.data_format
        )
        share = ops.subtract(1.0, ops.multiply(ops.reshape(transformation["factor"], (-1, 1, 1, 1)), 2))
        moved = ops.multiply(ops.cast(share, self.compute_dtype), ops.subtract(smooth, images))
        return self._clip(ops.add(images, moved))


@export("keras.layers.RandomErasing")
class RandomErasing(_Colour):
    """Paints over a random rectangle of images (Zhong et al. 2020).

    Args:
        factor: the range of the probability, in [0, 1]; a number f stands for (0, f), 1 (default) for (0, 1).
        scale: the range of the squares of the rectangle's shares of the height and width; default (0.02, 0.33).
        fill_value: a number, three of them, or None (default) for normal noise times `value_range[1]`.
        value_range: the lowest and highest value; default (0, 255).
        seed: an int, so that runs repeat.

    Transformation: {"apply_erasing": bool `(batch,)`, "batch_masks": bool, "fill_value"}, which broadcast to the
    images.
    """

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)
    _SEEDED = ("factor", "scale", "fill_value", "value_range", "seed")

    def __init__(
        self, factor: Any = 1.0, scale: Any = (0.02, 0.33), fill_value: Any = None, value_range: Any = (0, 255),
        seed: int | None = None, data_format: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        self.scale = self._bounds(scale, "scale", self._FACTOR_BOUNDS)
        self.fill_value = fill_value
        if not (fill_value is None or isinstance(fill_value, int | float) or _is_colour(fill_value)):
            problem = "The `fill_value` argument should be a number (or a list of three numbers)"
            raise ValueError(message(self._where, f"{problem}. Received: fill_value={fill_value!r}"))
        self._set_range(value_range, seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        count, height, width = self._sizes(data)
        sides = ops.sqrt(self._draw((count, 2), *self.scale, seed))
        inside_x = self._inside(sides[:, 0], width, seed)
        inside_y = self._inside(sides[:, 1], height, seed)
        if self.data_format == "channels_last":
            masks = ops.logical_and(inside_y[:, :, None, None], inside_x[:, None, :, None])
        else:
            masks = ops.logical_and(inside_y[:, None, :, None], inside_x[:, None, None, :])
        found = {"apply_erasing": happens(self, data, seed), "batch_masks": masks}
        return {**found, "fill_value": self._filling(data, seed)}

    def _inside(self, share: Any, size: int, seed: Any) -> Any:
        """Which of `size` places lie in a stretch of this share: bool `(batch, size)`."""
        length = ops.multiply(share, size)
        start = ops.multiply(self._draw((share.shape[0],), 0, 1, seed), ops.subtract(size, length))
        places, first = np.arange(size, dtype="float32"), start[:, None]
        return ops.logical_and(ops.greater_equal(places, first), ops.less(places, ops.add(first, length[:, None])))

    def _filling(self, data: Any, seed: Any) -> Any:
        images = data["images"] if isinstance(data, dict) else data
        if self.fill_value is None:
            noise = random.normal(tuple(images.shape), dtype=self.compute_dtype, seed=self._seed(seed))
            return self._clip(ops.multiply(noise, self.value_range[1]))
        value = np.asarray(self.fill_value, "float32")
        if value.ndim and self.data_format == "channels_first":
            value = value.reshape(-1, 1, 1)
        return ops.cast(self._clip(value), self.compute_dtype)

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        images = ops.cast(images, self.compute_dtype)
        if not training:
            return images
        chosen = ops.reshape(transformation["apply_erasing"], (-1, 1, 1, 1))
        painted = ops.logical_and(transformation["batch_masks"], chosen)
        return ops.where(painted, transformation["fill_value"], images)


def _is_colour(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(v, int | float) for v in value)
