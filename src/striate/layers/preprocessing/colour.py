"""Layers that change the brightness, contrast and colours of images. Pixels stay where they are."""

from __future__ import annotations

from typing import Any

from striate import ops, random
from striate.core import config, dtypes
from striate.core.registry import export
from striate.layers.preprocessing.base import BaseImagePreprocessingLayer, rescaled, value_range_of
from striate.ops.base import dtype_name


class _Colour(BaseImagePreprocessingLayer):
    """What has a strength, a range of values and a seed."""

    _SEEDED: tuple[str, ...] = ("factor", "value_range", "seed")

    def _set_range(self, value_range: Any, seed: int | None) -> None:
        self.value_range, self.seed = value_range, seed
        self.generator = random.SeedGenerator(seed)

    def _channels(self, images: Any) -> int:
        """The axis of the channels, counted from behind."""
        return -1 if self.data_format == "channels_last" else -3

    def _clip(self, images: Any) -> Any:
        return ops.clip(images, self.value_range[0], self.value_range[1])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {k: getattr(self, k) for k in self._SEEDED}


@export("keras.layers.RandomContrast")
class RandomContrast(_Colour):
    """`(x - mean) * f + mean`, with the mean of each image and channel, cut off at the ends of `value_range`.

    Args:
        factor: f is drawn from [1 - lower, 1 + upper]; a number f in [0, 1] stands for (0, f).
        value_range: the lowest and highest value; default (0, 255).
        seed: an int, so that runs repeat.

    Transformation: {"contrast_factor": `(batch, 1, 1, 1)`}.
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._set_factor(factor)
        self._set_range(value_range, seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        shape = self._per_image(data)
        if not training:
            return {"contrast_factor": ops.zeros(shape)}
        low, high = self.factor
        return {"contrast_factor": self._draw(shape, 1.0 - low, 1.0 + high, seed, self.compute_dtype)}

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        if not training:
            return images
        axes = (-3, -2) if self.data_format == "channels_last" else (-2, -1)
        mean = ops.mean(images, axis=axes, keepdims=True)
        spread = ops.multiply(ops.subtract(images, mean), transformation["contrast_factor"])
        return self._clip(ops.add(spread, mean))


@export("keras.layers.RandomBrightness")
class RandomBrightness(_Colour):
    """`x + d` for each image, cut off at the ends of `value_range`.

    Args:
        factor: in [-1, 1]: d is drawn from this share of the range; a number f stands for (-f, f).
        value_range: the lowest and highest value; default (0, 255).
        seed: an int, so that runs repeat.

    Integer images stay integer: d is cut off to a whole number.

    Transformation: {"rgb_delta": `(batch, 1, 1, 1)`}.
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(factor=factor, **kwargs)
        self._set_range(value_range_of(value_range), seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        shape = self._per_image(data)
        if not training:
            return {"rgb_delta": ops.zeros(shape)}
        share = self._draw(shape, *self.factor, seed)
        return {"rgb_delta": ops.multiply(share, self.value_range[1] - self.value_range[0])}

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        if not training:
            return images
        name = dtype_name(images)
        # small integers would overflow before they are cut off
        wide = name if dtypes.is_floating(name) else "int32"
        made = ops.add(ops.cast(images, wide), ops.cast(transformation["rgb_delta"], wide))
        return ops.cast(self._clip(made), name)


@export("keras.layers.RandomSaturation")
class RandomSaturation(_Colour):
    """Multiplies the saturation (of hue, saturation, value) of each image.

    Args:
        factor: in [0, 1]: 0 takes the colours away, 0.5 leaves them, 1 gives the strongest. With u drawn from the
            range, the saturation is multiplied by u / (1 - u).
        value_range: the lowest and highest value; default (0, 255).
        seed: an int, so that runs repeat.

    Transformation: {"factor": `(batch,)`}.
    """

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), data_format: str | None = None, seed: int | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        self._set_range(value_range_of(value_range), seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        u = self._draw((self._sizes(data)[0],), *self.factor, seed)
        return {"factor": ops.divide(u, ops.add(ops.subtract(1, u), config.epsilon()))}

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        if not training:
            return images
        hsv = ops.image.rgb_to_hsv(ops.cast(images, self.compute_dtype), data_format=self.data_format)
        axis = self._channels(images)
        hue, saturation, value = ops.split(hsv, 3, axis=axis)
        strength = ops.cast(ops.reshape(transformation["factor"], (-1, 1, 1, 1)), self.compute_dtype)
        saturation = self._clip(ops.multiply(saturation, strength))
        made = ops.concatenate([hue, saturation, value], axis=axis)
        return ops.image.hsv_to_rgb(made, data_format=self.data_format)


@export("keras.layers.RandomHue")
class RandomHue(_Colour):
    """Turns the hue of each image: all colours move the same way around the circle.

    Args:
        factor: in [0, 1]: 1 is half the circle. The direction is drawn as well.
        value_range: the lowest and highest value; default (0, 255).
        seed: an int, so that runs repeat.

    Transformation: {"factor": shares of the circle `(batch,)`}.
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), data_format: str | None = None, seed: int | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        self._set_range(value_range, seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        shape = (self._sizes(data)[0],)
        sign = ops.where(ops.greater(self._draw(shape, 0, 1, seed), 0.5), -1.0, 1.0)
        return {"factor": ops.multiply(ops.multiply(sign, self._draw(shape, *self.factor, seed)), 0.5)}

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        if not training:
            return images
        unit = rescaled(ops.cast(images, self.compute_dtype), self.value_range, (0, 1))
        axis = self._channels(images)
        hue, saturation, value = ops.split(ops.image.rgb_to_hsv(unit, data_format=self.data_format), 3, axis=axis)
        hue = ops.add(hue, ops.cast(ops.reshape(transformation["factor"], (-1, 1, 1, 1)), self.compute_dtype))
        hue = ops.where(ops.greater(hue, 1.0), ops.subtract(hue, 1.0), hue)
        hue = ops.where(ops.less(hue, 0.0), ops.add(hue, 1.0), hue)
        made = ops.concatenate([hue, saturation, value], axis=axis)
        made = ops.clip(ops.image.hsv_to_rgb(made, data_format=self.data_format), 0, 1)
        return ops.cast(rescaled(made, (0, 1), self.value_range), self.compute_dtype)


@export("keras.layers.RandomGrayscale")
class RandomGrayscale(_Colour):
    """Images without their colours, each with probability `factor`; the channels stay three.

    Args:
        factor: a probability, default 0.5; else ValueError.
        seed: an int, so that runs repeat.

    Transformation: bool `(batch, 1, 1, 1)`.
    """

    _SEEDED = ("factor",)

    def __init__(
        self, factor: float = 0.5, data_format: str | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        if not 0 <= factor <= 1:
            raise ValueError(f"`factor` should be between 0 and 1. Received: factor={factor}")
        self._set_range((0, 255), seed)
        self.factor = factor  # type: ignore[assignment]

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        return ops.less(self._draw((self._sizes(data)[0], 1, 1, 1), 0, 1, seed), self.factor)

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        if not training:
            return images
        chosen = self.get_random_transformation(images) if transformation is None else transformation
        return ops.where(chosen, ops.image.rgb_to_grayscale(images, data_format=self.data_format), images)

    def _output_dtype(self, images: Any) -> str:
        return dtypes.name_of(images.dtype)


def happens(layer: _Colour, data: Any, seed: Any) -> Any:
    """Whether it happens to each image `(batch,)`: the probability itself is drawn from `factor`."""
    shape = (layer._sizes(data)[0],)
    likely = layer._draw(shape, *layer.factor, seed)
    return ops.less(layer._draw(shape, 0, 1, seed), likely)


@export("keras.layers.RandomInvert")
class RandomInvert(_Colour):
    """Negatives of images, `value_range[1] - x`.

    Args:
        factor: the range of the probability, in [0, 1]; a number f stands for (0, f), 1 (default) for (0, 1).
        value_range: the lowest and highest value; default (0, 255).
        seed: an int, so that runs repeat.

    Transformation: {"apply_inversion": bool `(batch,)`}.
    """

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self, factor: Any = 1.0, value_range: Any = (0, 255), seed: int | None = None, data_format: str | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        self._set_range(value_range, seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        return {"apply_inversion": happens(self, data, seed)} if training else None

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        if not training:
            return images
        images = ops.cast(images, self.compute_dtype)
        chosen = ops.reshape(transformation["apply_inversion"], (-1, 1, 1, 1))
        return ops.where(chosen, ops.subtract(self.value_range[1], images), images)


@export("keras.layers.Solarization")
class Solarization(_Colour):
    """`x + a` (on a scale from 0 to 255), with values from a threshold on turned into their negatives.

    Args:
        addition_factor, threshold_factor: in [0, 1], shares of 255 from which a and the threshold are drawn; a
            number f stands for (0, f).
        value_range: the lowest and highest value; default (0, 255).
        seed: an int, so that runs repeat.

    Transformation: {"additions": `(batch, 1, 1, 1)`, "thresholds": the same}.
    """

    _USE_BASE_FACTOR = False
    _SEEDED = ("value_range", "addition_factor", "threshold_factor", "seed")

    def __init__(
        self, addition_factor: Any = 0.0, threshold_factor: Any = 0.0, value_range: Any = (0, 255),
        seed: int | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.addition_factor = self._share(addition_factor, "addition_factor")
        self.threshold_factor = self._share(threshold_factor, "threshold_factor")
        self._set_range(value_range_of(value_range), seed)

    def _share(self, factor: Any, name: str) -> tuple[float, float]:
        pair = isinstance(factor, list | tuple) and len(factor) == 2
        if not all(isinstance(n, int | float) and 0 <= n <= 1 for n in (factor if pair else [factor])):
            raise ValueError(
                f"The `{name}` argument should be a number (or a list of two numbers) in the range [0, 1]. "
                f"Received: {name}={factor}"
            )
        return (min(factor), max(factor)) if pair else (0, factor)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        found = {}
        for name, (low, high) in (("additions", self.addition_factor), ("thresholds", self.threshold_factor)):
            found[name] = self._draw(self._per_image(data), low, high * 255, seed, self.compute_dtype)
        return found

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = ops.cast(images, self.compute_dtype)
        if not training or transformation is None:
            return images
        whole = rescaled(images, self.value_range, (0, 255))
        whole = ops.clip(ops.add(whole, transformation["additions"]), 0, 255)
        made = ops.where(ops.less(whole, transformation["thresholds"]), whole, ops.subtract(255, whole))
        return ops.cast(rescaled(made, (0, 255), self.value_range), self.compute_dtype)


_JITTER = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")


@export("keras.layers.RandomColorJitter")
class RandomColorJitter(_Colour):
    """Brightness, contrast, saturation and hue, each changed at random, one after the other.

    Args:
        value_range: the lowest and highest value; default (0, 255).
        brightness_factor, contrast_factor, saturation_factor, hue_factor: see `RandomBrightness`, `RandomContrast`,
            `RandomSaturation`, `RandomHue`; None (default) leaves that one out.
        seed: an int, so that runs repeat.
    """

    _SEEDED = ("value_range", *_JITTER, "seed")

    def __init__(
        self, value_range: Any = (0, 255), brightness_factor: Any = None, contrast_factor: Any = None,
        saturation_factor: Any = None, hue_factor: Any = None, seed: int | None = None,
        data_format: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self.brightness_factor, self.contrast_factor = brightness_factor, contrast_factor
        self.saturation_factor, self.hue_factor = saturation_factor, hue_factor
        self._set_range(value_range, seed)
        kinds = (RandomBrightness, RandomContrast, RandomSaturation, RandomHue)
        self._steps = [
            kind(factor=factor, value_range=value_range, seed=seed, data_format=data_format, dtype=self.dtype_policy)
            for kind, factor in zip(kinds, (getattr(self, k) for k in _JITTER))
            if factor is not None
        ]

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        if not training:
            return images
        images = ops.cast(images, self.compute_dtype)
        for step in self._steps:
            drawn = step.get_random_transformation(images, seed=self.generator)
            images = step.transform_images(images, drawn)
        return ops.cast(images, self.compute_dtype)
