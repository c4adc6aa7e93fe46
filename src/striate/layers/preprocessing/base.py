"""The base of the layers that change images: a random transformation is drawn, then applied to images and to what
belongs to them.
"""

from __future__ import annotations

from typing import Any

from striate import ops, random
from striate.core import config, dtypes
from striate.core.errors import message
from striate.layers.preprocessing import boxes as box_formats
from striate.layers.preprocessing.data_layer import DataLayer
from striate.layers.shapes import specs_of
from striate.trace import KerasTensor


class BaseImagePreprocessingLayer(DataLayer):
    """Draws a transformation (`get_random_transformation`) and applies it (`transform_images` and its kin).

    Inputs are images `(batch, height, width, channels)` or `(height, width, channels)`, with "channels_first" the
    channels in front, or a dict of "images" and, as there are, "labels", "bounding_boxes" and "segmentation_masks".
    With `training=False` images pass unchanged.

    Args:
        factor: the strength: a number, or a pair (lower, upper), for layers that have one.
        bounding_box_format: as in `keras.utils.bounding_boxes.convert_format`; needed with bounding boxes.
        data_format: "channels_last" or "channels_first"; by default `image_data_format()`.

    Raises:
        ValueError: a factor out of range, or given to a layer without one.
    """

    _USE_BASE_FACTOR = True
    _FACTOR_BOUNDS: tuple[float, float] = (-1, 1)
    _STATELESS = True
    _MOVES = False  # whether pixels move: then masks and boxes move with them

    def __init__(
        self, factor: Any = None, bounding_box_format: str | None = None, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.bounding_box_format = bounding_box_format
        self.data_format = config.standardize_data_format(data_format, self._where)
        if self._USE_BASE_FACTOR:
            self._set_factor(factor or 0.0)
        elif factor is not None:
            raise ValueError(
                f"Layer {type(self).__name__} does not take a `factor` argument. Received: factor={factor}"
            )

    @property
    def _where(self) -> str:
        return f"{type(self).__name__} '{self.name}'"

    def _set_factor(self, factor: Any) -> None:
        self.factor = self._bounds(factor, "factor", self._FACTOR_BOUNDS)

    def _bounds(self, factor: Any, name: str, limits: tuple[float, float]) -> tuple[float, float]:
        """A pair in order; a number f stands for (-f, f), cut off at the lower limit. Overlap with the limits will
        do for a pair."""
        low, high = limits
        pair = list(factor) if isinstance(factor, list | tuple) else None
        if pair is not None and len(pair) == 2 and pair[0] <= high and pair[1] >= low:
            return (min(pair), max(pair))
        if isinstance(factor, int | float) and low <= factor <= high:
            return (max(-abs(factor), low), abs(factor))
        raise ValueError(
            f"The `{name}` argument should be a number (or a list of two numbers) in the range [{low}, {high}]. "
            f"Received: {name}={factor}"
        )

    # Drawing ---------------------------------------------------------------------------------------------------------

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        """What happens to `data`, drawn at random: one draw per image, in a form that the layer's own methods know."""
        return None

    def _seed(self, seed: Any) -> Any:
        return getattr(self, "generator", None) if seed is None else seed

    def _draw(self, shape: Any, low: float, high: float, seed: Any, dtype: Any = None) -> Any:
        """Numbers spread evenly over [low, high)."""
        return random.uniform(tuple(shape), float(low), float(high), dtype=dtype, seed=self._seed(seed))

    def _sizes(self, data: Any) -> tuple[int, int, int]:
        """The number of images (1 for a single one), their height and width."""
        shape = tuple(images_of(data).shape)
        self._check_rank(shape)
        tall, wide = (-3, -2) if self.data_format == "channels_last" else (-2, -1)
        return (shape[0] if len(shape) == 4 else 1), shape[tall], shape[wide]

    def _per_image(self, data: Any) -> tuple[int, ...]:
        """The shape of one number per image, to be broadcast along the other axes."""
        shape = tuple(images_of(data).shape)
        self._check_rank(shape)
        return (shape[0], 1, 1, 1) if len(shape) == 4 else (1, 1, 1)

    def _check_rank(self, shape: tuple[Any, ...]) -> None:
        if len(shape) not in (3, 4):
            problem = f"Expected the input image to be rank 3 or 4. Received: data.shape={shape}"
            raise ValueError(message(self._where, problem, "Add the missing axis, for example `images[..., None]`"))

    # Applying --------------------------------------------------------------------------------------------------------

    def _transform_images(self, images: Any, transformation: Any, interpolation: str) -> Any:
        """The moved images, of the same dtype."""
        return images

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        """`(batch, height, width, channels)` images, transformed."""
        images = ops.cast(images, self.compute_dtype)
        if not training or transformation is None:
            return images
        return self._transform_images(images, transformation, getattr(self, "interpolation", "bilinear"))

    def transform_labels(self, labels: Any, transformation: Any, training: bool = True) -> Any:
        """Labels of images: they stay."""
        return labels

    def transform_segmentation_masks(self, segmentation_masks: Any, transformation: Any, training: bool = True) -> Any:
        """Masks `(batch, height, width, ...)`: they move with the pixels, by whole pixels."""
        if not training or not self._MOVES or transformation is None:
            return segmentation_masks
        return self._transform_images(segmentation_masks, transformation, "nearest")

    def transform_bounding_boxes(self, bounding_boxes: Any, transformation: Any, training: bool = True) -> Any:
        """A dict of "boxes" `(batch, boxes, 4)` and "labels": the boxes move with the pixels."""
        if not training or not self._MOVES or transformation is None:
            return bounding_boxes
        form, (height, width) = str(self.bounding_box_format), self._box_size(transformation)
        boxes = box_formats.converted(bounding_boxes["boxes"], form, "xyxy", height, width)
        moved, (height, width) = self._moved_boxes(boxes, transformation, height, width)
        clipped, labels = box_formats.clipped(moved, bounding_boxes["labels"], height, width)
        made = box_formats.converted(clipped, "xyxy", form, height, width)
        return {**bounding_boxes, "boxes": made, "labels": labels}

    def _box_size(self, transformation: Any) -> tuple[int, int]:
        """Height and width of the images that the boxes lie in."""
        shape = transformation["input_shape"]
        return (shape[-3], shape[-2]) if self.data_format == "channels_last" else (shape[-2], shape[-1])

    def _moved_boxes(self, boxes: Any, transformation: Any, height: int, width: int) -> tuple[Any, tuple[int, int]]:
        """Boxes `(left, top, right, bottom)` in pixels after the transformation, and the new height and width."""
        return boxes, (height, width)

    # One image -------------------------------------------------------------------------------------------------------

    def transform_single_image(self, image: Any, transformation: Any, training: bool = True) -> Any:
        """`transform_images` of `(height, width, channels)`."""
        return ops.squeeze(self.transform_images(ops.expand_dims(image, 0), transformation, training=training), 0)

    def transform_single_label(self, label: Any, transformation: Any, training: bool = True) -> Any:
        """`transform_labels` of one image's."""
        return ops.squeeze(self.transform_labels(ops.expand_dims(label, 0), transformation, training=training), 0)

    def transform_single_bounding_box(self, bounding_box: Any, transformation: Any, training: bool = True) -> Any:
        """`transform_bounding_boxes` of one image's."""
        several = {k: ops.expand_dims(v, 0) for k, v in bounding_box.items()}
        made = self.transform_bounding_boxes(several, transformation, training=training)
        return {k: ops.squeeze(v, 0) for k, v in made.items()}

    def transform_single_segmentation_mask(self, mask: Any, transformation: Any, training: bool = True) -> Any:
        """`transform_segmentation_masks` of one image's."""
        made = self.transform_segmentation_masks(ops.expand_dims(mask, 0), transformation, training=training)
        return ops.squeeze(made, 0)

    # Calling ---------------------------------------------------------------------------------------------------------

    def call(self, data: Any, training: bool = True) -> Any:
        self._check_rank(tuple(images_of(data).shape))
        transformation = self.get_random_transformation(data, training=training)
        several = len(images_of(data).shape) == 4
        if not isinstance(data, dict):
            apply = self.transform_images if several else self.transform_single_image
            return apply(ops.convert_to_tensor(data), transformation, training=training)
        made = dict(data)
        for key, (one, many) in _PARTS.items():
            if key in data:
                part = self._checked(key, data[key])
                made[key] = getattr(self, many if several else one)(part, transformation, training=training)
        return made

    def _checked(self, key: str, part: Any) -> Any:
        if key != "bounding_boxes":
            return ops.convert_to_tensor(part)
        if not self.bounding_box_format:
            problem = "You passed an input with a 'bounding_boxes' key, but you didn't specify a bounding box format"
            raise ValueError(message(self._where, problem, "Pass `bounding_box_format='xyxy'` (or another) to it"))
        return box_formats.as_boxes(part, self._where)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def compute_output_spec(self, data: Any, training: bool = True) -> Any:
        if not isinstance(data, dict):
            return specs_of(self.compute_output_shape(tuple(data.shape)), self._output_dtype(data))
        made = {k: _spec(v) for k, v in data.items()}
        images = data["images"]
        made["images"] = specs_of(self.compute_output_shape(tuple(images.shape)), self._output_dtype(images))
        if "segmentation_masks" in data:
            masks = data["segmentation_masks"]
            shape = self.compute_output_shape(tuple(masks.shape))
            made["segmentation_masks"] = specs_of(shape, dtypes.name_of(masks.dtype))
        return made

    def _output_dtype(self, images: Any) -> str:
        return self.compute_dtype

    def get_config(self) -> dict[str, Any]:
        made = super().get_config() | {"data_format": self.data_format}
        return made if self.bounding_box_format is None else made | {"bounding_box_format": self.bounding_box_format}


_PARTS = {
    "images": ("transform_single_image", "transform_images"),
    "bounding_boxes": ("transform_single_bounding_box", "transform_bounding_boxes"),
    "labels": ("transform_single_label", "transform_labels"),
    "segmentation_masks": ("transform_single_segmentation_mask", "transform_segmentation_masks"),
}


def images_of(data: Any) -> Any:
    """The images of a layer's input: the input, or its part "images"."""
    return data["images"] if isinstance(data, dict) else data


def _spec(x: Any) -> Any:
    if isinstance(x, dict):
        return {k: _spec(v) for k, v in x.items()}
    return KerasTensor(tuple(x.shape), dtypes.name_of(x.dtype))


def value_range_of(value_range: Any) -> list[float]:
    """The two ends in order; ValueError for anything but a pair."""
    if not isinstance(value_range, list | tuple) or len(value_range) != 2:
        raise ValueError(
            f"The `value_range` argument should be a list of two numbers. Received: value_range={value_range}"
        )
    return sorted(value_range)


def rescaled(images: Any, source: Any, target: Any) -> Any:
    """Values of the range `source` in the range `target`."""
    if tuple(source) == tuple(target):
        return images
    unit = ops.divide(ops.subtract(images, source[0]), source[1] - source[0])
    return ops.add(ops.multiply(unit, target[1] - target[0]), target[0])
