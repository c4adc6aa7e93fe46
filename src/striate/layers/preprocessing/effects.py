"""Layers with an effect of their own: sharpness, blur, erasing, stretched contrast, fewer colours."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate import ops, random
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.preprocessing.base import BaseImagePreprocessingLayer, rescaled, value_range_of
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


@export("keras.layers.RandomGaussianBlur")
class RandomGaussianBlur(_Colour):
    """Smooths images with a Gaussian kernel; zeros lie around them.

    Args:
        factor: the range of the probability, in [0, 1]; a number f stands for (0, f), 1 (default) for (0, 1).
        kernel_size: an odd number, or two: across, and down. Default 3.
        sigma: the range of the standard deviations, in [0, 1], which are drawn once for a batch, one per direction.
        value_range: the lowest and highest value; default (0, 255).
        seed: an int, so that runs repeat.

    Transformation: {"should_apply_blur": bool `(batch,)`, "blur_factor": `(2,)`}.
    """

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)
    _SEEDED = ("factor", "kernel_size", "sigma", "value_range", "seed")

    def __init__(
        self, factor: Any = 1.0, kernel_size: Any = 3, sigma: Any = 1.0, value_range: Any = (0, 255),
        data_format: str | None = None, seed: int | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        sizes = tuple(kernel_size) if isinstance(kernel_size, list | tuple) else (kernel_size, kernel_size)
        if len(sizes) != 2 or any(not isinstance(n, int) or n % 2 == 0 for n in sizes):
            raise ValueError(
                "The `kernel_size` argument should be an odd number (or a list of two). Received: "
                f"kernel_size={kernel_size}"
            )
        self.kernel_size, self.sigma = sizes, self._bounds(sigma, "sigma", self._FACTOR_BOUNDS)
        self._set_range(value_range, seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        sigma = ops.add(self._draw((2,), *self.sigma, seed, self.compute_dtype), 1e-6)
        return {"should_apply_blur": happens(self, data, seed), "blur_factor": sigma}

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        images = ops.cast(images, self.compute_dtype)
        if not training or transformation is None:
            return images
        across, down = (_gaussian(n, transformation["blur_factor"][i]) for i, n in enumerate(self.kernel_size))
        plane = ops.multiply(ops.expand_dims(down, 1), ops.expand_dims(across, 0))
        kernel = ops.repeat(ops.reshape(plane, (*plane.shape, 1, 1)), images.shape[self._channels(images)], axis=2)
        smooth = ops.depthwise_conv(
            images, ops.cast(kernel, self.compute_dtype), strides=1, padding="same", data_format=self.data_format
        )
        chosen = ops.reshape(transformation["should_apply_blur"], (-1, 1, 1, 1))
        return self._clip(ops.where(chosen, smooth, images))


def _gaussian(size: int, sigma: Any) -> Any:
    """`size` values of the bell curve, which sum to 1."""
    places = (np.arange(size) - (size - 1) / 2).astype("float32")
    bell = ops.exp(ops.multiply(ops.square(ops.divide(places, ops.cast(sigma, "float32"))), -0.5))
    return ops.divide(bell, ops.sum(bell))


@export("keras.layers.AutoContrast")
class AutoContrast(BaseImagePreprocessingLayer):
    """Stretches the values of each image and channel over the whole of `value_range`, in training and out of it.

    Args:
        value_range: the lowest and highest value; default (0, 255).
    """

    _USE_BASE_FACTOR = False

    def __init__(self, value_range: Any = (0, 255), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value_range = value_range_of(value_range)

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        images = ops.cast(images, self.compute_dtype)
        whole = rescaled(images, self.value_range, (0, 255))
        # the axes 1 and 2, with channels first as well, as in Keras
        low, high = (f(whole, axis=(1, 2), keepdims=True) for f in (ops.min, ops.max))
        spread = ops.subtract(high, low)
        flat = ops.equal(spread, 0)
        scale = ops.divide(255.0, ops.where(flat, 1.0, spread))
        made = ops.clip(ops.multiply(ops.subtract(whole, low), scale), 0.0, 255.0)
        return ops.where(flat, images, rescaled(made, (0, 255), self.value_range))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"value_range": self.value_range}


@export("keras.layers.RandomColorDegeneration")
class RandomColorDegeneration(_Colour):
    """Blends each image with its grey version: `x + f (grey - x)`.

    Args:
        factor: 0 leaves the image, 1 takes the colours away; a number f stands for (-f, f).
        value_range: the lowest and highest value; default (0, 255).
        seed: an int, so that runs repeat.

    Transformation: {"factor": `(batch, 1, 1, 1)`}.
    """

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), data_format: str | None = None, seed: int | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        self._set_range(value_range_of(value_range), seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        return {"factor": self._draw((self._sizes(data)[0], 1, 1, 1), *self.factor, seed)}

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        if not training:
            return images
        images = ops.cast(images, self.compute_dtype)
        grey = ops.image.rgb_to_grayscale(images, data_format=self.data_format)
        share = ops.cast(transformation["factor"], self.compute_dtype)
        return self._clip(ops.add(images, ops.multiply(share, ops.subtract(grey, images))))


@export("keras.layers.RandomPosterization")
class RandomPosterization(_Colour):
    """Leaves only the first bits of each value, on a scale from 0 to 255.

    Args:
        factor: how many bits stay: an int from 1 to 8 for 1 up to (without) it, or a pair.
        value_range: the lowest and highest value; default (0, 255).
        seed: an int, so that runs repeat.

    Transformation: {"shift_factor": how many bits go `(batch,)`}.
    """

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (1, 8)

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), data_format: str | None = None, seed: int | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        self._set_range(value_range_of(value_range), seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        count, (low, high) = self._sizes(data)[0], self.factor
        if low == high:
            return {"shift_factor": ops.full((count,), 8 - low, dtype="uint8")}
        kept = random.randint((count,), low, high, dtype="int32", seed=self._seed(seed))
        return {"shift_factor": ops.cast(ops.subtract(8, kept), "uint8")}

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        if not training:
            return images
        images = ops.cast(images, self.compute_dtype)
        whole = ops.floor(rescaled(images, self.value_range, (0, 255)))
        bits = ops.cast(ops.reshape(transformation["shift_factor"], (-1, 1, 1, 1)), self.compute_dtype)
        step = ops.power(ops.cast(2.0, self.compute_dtype), bits)
        kept = ops.multiply(ops.floor(ops.divide(whole, step)), step)
        return rescaled(kept, (0, 255), self.value_range)
