"""Layers that move pixels: flips, rotations, translations, zooms, shears."""

from __future__ import annotations

import math
from typing import Any

from striate import ops, random
from striate.core.registry import export
from striate.layers.preprocessing import boxes as box_formats
from striate.layers.preprocessing.base import BaseImagePreprocessingLayer, images_of

_FILL_MODES = ("reflect", "wrap", "constant", "nearest")
_INTERPOLATIONS = ("nearest", "bilinear")


@export("keras.layers.RandomFlip")
class RandomFlip(BaseImagePreprocessingLayer):
    """Mirrors each image with probability one half.

    Args:
        mode: "horizontal" (left becomes right), "vertical", or "horizontal_and_vertical" (default), which turns an
            image by half a turn or leaves it.
        seed: an int, so that runs repeat.

    Transformation: {"flips": bool `(batch, 1, 1, 1)`, "input_shape"}.
    """

    _USE_BASE_FACTOR = False
    _MOVES = True

    def __init__(
        self, mode: str = "horizontal_and_vertical", seed: int | None = None, data_format: str | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self.seed, self.mode = seed, mode
        self.generator = random.SeedGenerator(seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        flips = ops.less_equal(self._draw(self._per_image(data), 0, 1, seed), 0.5)
        return {"flips": flips, "input_shape": tuple(images_of(data).shape)}

    def _transform_images(self, images: Any, transformation: Any, interpolation: str) -> Any:
        tall, wide = (-3, -2) if self.data_format == "channels_last" else (-2, -1)
        axes = {"horizontal": (wide,), "vertical": (tall,), "horizontal_and_vertical": (tall, wide)}.get(self.mode, ())
        return ops.where(transformation["flips"], ops.flip(images, axis=axes), images) if axes else images

    def transform_segmentation_masks(self, segmentation_masks: Any, transformation: Any, training: bool = True) -> Any:
        return self.transform_images(segmentation_masks, transformation, training=training)

    def _moved_boxes(self, boxes: Any, transformation: Any, height: int, width: int) -> tuple[Any, tuple[int, int]]:
        x1, y1, x2, y2 = ops.split(boxes, 4, axis=-1)
        if self.mode.startswith("horizontal"):
            x1, x2 = ops.subtract(width, x2), ops.subtract(width, x1)
        if self.mode.endswith("vertical"):
            y1, y2 = ops.subtract(height, y2), ops.subtract(height, y1)
        flips = ops.squeeze(transformation["flips"], -1)
        return ops.where(flips, ops.concatenate([x1, y1, x2, y2], axis=-1), boxes), (height, width)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"seed": self.seed, "mode": self.mode}


class _Affine(BaseImagePreprocessingLayer):
    """What moves pixels by a matrix; `_matrix` gives the rows for `ops.image.affine_transform`."""

    _MOVES = True
    _NAMES: tuple[str, ...] = ()

    def _set_filling(self, fill_mode: str, interpolation: str, fill_value: float, seed: int | None) -> None:
        for name, value, known in (
            ("fill_mode", fill_mode, _FILL_MODES), ("interpolation", interpolation, _INTERPOLATIONS),
        ):  # fmt: skip
            if value not in known:
                raise NotImplementedError(f"Unknown `{name}` {value}. Expected of one {known}.")
        self.fill_mode, self.interpolation, self.fill_value, self.seed = fill_mode, interpolation, fill_value, seed
        self.generator = random.SeedGenerator(seed)

    def _range(self, factor: Any, name: str, low: float, high: float, opened: bool = False) -> tuple[float, float]:
        """A pair in order; a number f stands for (-f, f). `opened`: the lower limit itself is out."""
        numbers = factor if isinstance(factor, list | tuple) and len(factor) == 2 else [factor]
        for n in numbers:
            if not isinstance(n, int | float) or n > high or n < low or (opened and n == low):
                raise ValueError(
                    f"The `{name}` argument should be a number (or a list of two numbers) in the range "
                    f"{'(' if opened else '['}{low}, {high}]. Received: {name}={factor}"
                )
        return (min(numbers), max(numbers)) if len(numbers) == 2 else (-abs(factor), abs(factor))

    def _matrix(self, transformation: Any, height: int, width: int) -> Any:
        return transformation

    def _transform_images(self, images: Any, transformation: Any, interpolation: str) -> Any:
        _, height, width = self._sizes(images)
        rows = self._matrix(transformation, height, width)
        return ops.image.affine_transform(
            images, rows, interpolation=interpolation, fill_mode=self.fill_mode, fill_value=self.fill_value,
            data_format=self.data_format,
        )  # fmt: skip

    def _moved_boxes(self, boxes: Any, transformation: Any, height: int, width: int) -> tuple[Any, tuple[int, int]]:
        rows = self._matrix(transformation, height, width)
        return box_formats.through_affine(boxes, rows), (height, width)

    def get_config(self) -> dict[str, Any]:
        names = (*self._NAMES, "fill_mode", "interpolation", "fill_value", "seed")
        return super().get_config() | {k: getattr(self, k) for k in names}


def _rows(*columns: Any) -> Any:
    """`(batch, 8)` of six columns, each a number or `(batch,)`."""
    like = next(c for c in columns if hasattr(c, "shape"))
    full = [c if hasattr(c, "shape") else ops.full_like(like, c) for c in (*columns, 0.0, 0.0)]
    return ops.stack(full, axis=-1)


@export("keras.layers.RandomRotation")
class RandomRotation(_Affine):
    """Turns each image about its centre by a random angle.

    Args:
        factor: in turns: a number f for angles in [-360 f, 360 f] degrees, or a pair. Positive is counter-clockwise.
        fill_mode: what lies outside: "reflect" (default), "wrap", "constant" (`fill_value`) or "nearest".
        interpolation: "bilinear" (default) or "nearest".
        seed: an int, so that runs repeat.

    Raises:
        ValueError: a factor outside [-1, 1]. NotImplementedError: another fill mode or interpolation.

    Transformation: {"angle": degrees `(batch,)`, "rotation_matrix": `(batch, 8)`, "image_height", "image_width",
    "batch_size"}.
    """

    _NAMES = ("factor",)

    def __init__(
        self, factor: Any, fill_mode: str = "reflect", interpolation: str = "bilinear", seed: int | None = None,
        fill_value: float = 0.0, data_format: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(factor=factor, data_format=data_format, **kwargs)
        self._set_filling(fill_mode, interpolation, fill_value, seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        count, height, width = self._sizes(data)
        low, high = self.factor
        angle = self._draw((count,), low * 360.0, high * 360.0, seed)
        rows = _turn(angle, height, width)
        rows = rows if len(images_of(data).shape) == 4 else ops.squeeze(rows, 0)
        found = {"image_height": height, "image_width": width, "batch_size": count}
        return {"angle": angle, "rotation_matrix": rows, **found}

    def _matrix(self, transformation: Any, height: int, width: int) -> Any:
        return transformation["rotation_matrix"]

    def _box_size(self, transformation: Any) -> tuple[int, int]:
        return transformation["image_height"], transformation["image_width"]


def _turn(angle: Any, height: int, width: int) -> Any:
    """The rows that turn by `angle` degrees about the centre of the middle pixel."""
    radians = ops.multiply(angle, math.pi / 180.0)
    cos, sin = ops.cos(radians), ops.sin(radians)
    x, y = (width - 1) / 2, (height - 1) / 2
    right = ops.add(ops.subtract(x, ops.multiply(cos, x)), ops.multiply(sin, y))
    down = ops.subtract(ops.subtract(y, ops.multiply(sin, x)), ops.multiply(cos, y))
    return _rows(cos, ops.negative(sin), right, sin, cos, down)


@export("keras.layers.RandomTranslation")
class RandomTranslation(_Affine):
    """Moves each image down and to the right by random shares of its height and width.

    Args:
        height_factor, width_factor: a number f for [-f, f], or a pair; within [-1, 1].
        The others as for `RandomRotation`.

    Transformation: {"translations": `(batch, 2)`, right and down in pixels, "input_shape"}.
    """

    _USE_BASE_FACTOR = False
    _NAMES = ("height_factor", "width_factor")

    def __init__(
        self, height_factor: Any, width_factor: Any, fill_mode: str = "reflect", interpolation: str = "bilinear",
        seed: int | None = None, fill_value: float = 0.0, data_format: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self.height_lower, self.height_upper = self._range(height_factor, "height_factor", -1.0, 1.0)
        self.width_lower, self.width_upper = self._range(width_factor, "width_factor", -1.0, 1.0)
        self._set_filling(fill_mode, interpolation, fill_value, seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        count, height, width = self._sizes(data)
        down = ops.multiply(self._draw((count, 1), self.height_lower, self.height_upper, seed), height)
        right = ops.multiply(self._draw((count, 1), self.width_lower, self.width_upper, seed), width)
        return {"translations": ops.concatenate([right, down], axis=1), "input_shape": tuple(images_of(data).shape)}

    def _matrix(self, transformation: Any, height: int, width: int) -> Any:
        back = ops.negative(ops.convert_to_tensor(transformation["translations"]))
        return _rows(1.0, 0.0, back[:, 0], 0.0, 1.0, back[:, 1])

    def _moved_boxes(self, boxes: Any, transformation: Any, height: int, width: int) -> tuple[Any, tuple[int, int]]:
        moved, size = super()._moved_boxes(boxes, transformation, height, width)
        single = len(boxes.shape) == 2 and moved.shape[0] == 1
        return (ops.squeeze(moved, 0) if single else moved), size


@export("keras.layers.RandomZoom")
class RandomZoom(_Affine):
    """Shrinks or enlarges each image about its centre.

    Args:
        height_factor: a number f for [-f, f], or a pair, within (-1, 1]: 0.2 shows a height of 120 %, the image
            shrinks; -0.2 shows 80 %, it grows.
        width_factor: by default None: the ratio of the sides stays.
        The others as for `RandomRotation`.

    Transformation: {"height_zoom": `(batch, 1)`, "width_zoom": `(batch, 1)`, "input_shape"}.
    """

    _USE_BASE_FACTOR = False
    _NAMES = ("height_factor", "width_factor")

    def __init__(
        self, height_factor: Any, width_factor: Any = None, fill_mode: str = "reflect",
        interpolation: str = "bilinear", seed: int | None = None, fill_value: float = 0.0,
        data_format: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self.height_lower, self.height_upper = self._range(height_factor, "height_factor", -1.0, 1.0, opened=True)
        if width_factor is not None:
            self.width_lower, self.width_upper = self._range(width_factor, "width_factor", -1.0, 1.0, opened=True)
        self._set_filling(fill_mode, interpolation, fill_value, seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        shape = (self._sizes(data)[0], 1)
        tall = self._draw(shape, 1.0 + self.height_lower, 1.0 + self.height_upper, seed)
        wide = tall
        if self.width_factor is not None:
            wide = self._draw(shape, 1.0 + self.width_lower, 1.0 + self.width_upper, seed)
        return {"height_zoom": tall, "width_zoom": wide, "input_shape": tuple(images_of(data).shape)}

    def _matrix(self, transformation: Any, height: int, width: int) -> Any:
        tall, wide = (ops.convert_to_tensor(transformation[k])[:, 0] for k in ("height_zoom", "width_zoom"))
        right = ops.multiply(ops.subtract(1.0, wide), (width - 1) / 2)
        down = ops.multiply(ops.subtract(1.0, tall), (height - 1) / 2)
        return _rows(wide, 0.0, right, 0.0, tall, down)


@export("keras.layers.RandomShear")
class RandomShear(_Affine):
    """Slants each image along x and y: x shows x + s y, y shows y + t x. The sign of both is drawn as well.

    Args:
        x_factor, y_factor: a number f for [-f, f], or a pair; within [0, 1].
        The others as for `RandomRotation`.

    Transformation: {"shear_factor": `(batch, 2)`, "input_shape"}.
    """

    _USE_BASE_FACTOR = False
    _NAMES = ("x_factor", "y_factor")

    def __init__(
        self, x_factor: Any = 0.0, y_factor: Any = 0.0, interpolation: str = "bilinear", fill_mode: str = "reflect",
        fill_value: float = 0.0, data_format: str | None = None, seed: int | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self.x_factor = self._slant(x_factor, "x_factor")
        self.y_factor = self._slant(y_factor, "y_factor")
        self._set_filling(fill_mode, interpolation, fill_value, seed)

    def _slant(self, factor: Any, name: str) -> tuple[float, float]:
        pair = isinstance(factor, list | tuple) and len(factor) == 2
        if pair and factor[0] == -factor[1]:  # what `get_config` tells of a single number
            factor = max(factor)
        return self._range(factor, name, 0.0, 1.0)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        shape = (self._sizes(data)[0], 1)
        sign = ops.where(ops.greater(self._draw(shape, 0, 1, seed), 0.5), -1.0, 1.0)
        down = self._draw(shape, *self.y_factor, seed)
        right = self._draw(shape, *self.x_factor, seed)
        slants = ops.multiply(ops.concatenate([right, down], axis=1), sign)
        return {
            "shear_factor": ops.cast(slants, self.compute_dtype),
            "input_shape": tuple(images_of(data).shape),
        }

    def _matrix(self, transformation: Any, height: int, width: int) -> Any:
        slants = ops.convert_to_tensor(transformation["shear_factor"])
        return _rows(1.0, slants[:, 0], 0.0, slants[:, 1], 1.0, 0.0)

    def get_config(self) -> dict[str, Any]:
        # (-f, f) as the number f: Keras refuses the pair, though it writes it
        pairs = {k: getattr(self, k) for k in self._NAMES}
        return super().get_config() | {k: high if low == -high else (low, high) for k, (low, high) in pairs.items()}
