"""Layers that cut out a part of images: in the middle, or at a random place."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate import ops, random
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.preprocessing import boxes as box_formats
from striate.layers.preprocessing.base import BaseImagePreprocessingLayer


def _largest(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The sizes of the largest window with the ratio of `wanted`, and where it starts when it lies in the middle."""
    (height, width), (tall, wide) = size, wanted
    found = (int(float(width * tall) / wide), int(float(height * wide) / tall))
    window = tuple(max(min(n, k), 1) for n, k in zip(size, found))
    starts = tuple(int((n - k) / 2) for n, k in zip(size, window))
    return window, starts  # type: ignore[return-value]


class _Crop(BaseImagePreprocessingLayer):
    """What has a height and a width for its results."""

    _MOVES = True

    def _set_size(self, height: Any, width: Any) -> None:
        for name, value in (("height", height), ("width", width)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                problem = f"`{name}` must be a positive int. Received: {name}={value!r}"
                raise ValueError(message(self._where, problem))
        self.height, self.width = int(height), int(width)

    @property
    def _size(self) -> tuple[int, int]:
        return self.height, self.width

    def _axis(self, rank: int) -> int:
        """The axis of the height; that of the width follows."""
        return rank - 3 if self.data_format == "channels_last" else rank - 2

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The input's shape with the new height and width."""
        if isinstance(input_shape, dict):
            return self.compute_output_shape(input_shape["images"])
        made = list(input_shape)
        self._check_rank(tuple(made))
        axis = self._axis(len(made))
        made[axis : axis + 2] = self._size
        return tuple(made)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"height": self.height, "width": self.width}


@export("keras.layers.CenterCrop")
class CenterCrop(_Crop):
    """The middle of images, in training and out of it.

    An image that is smaller along either axis gives the largest window of the right ratio, resized.

    Args:
        height, width: of the results; positive ints, else ValueError.

    Transformation: {"input_shape"}.
    """

    _USE_BASE_FACTOR = False

    def __init__(self, height: int, width: int, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self._set_size(height, width)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        images = data["images"] if isinstance(data, dict) else data
        return {"input_shape": tuple(images.shape)}

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        images = ops.cast(images, self.compute_dtype)
        axis = self._axis(len(images.shape))
        spare = [n - k for n, k in zip(images.shape[axis : axis + 2], self._size)]
        if min(spare) >= 0:
            place = [slice(None)] * axis + [slice(s // 2, s // 2 + k) for s, k in zip(spare, self._size)]
            return images[tuple(place)]
        made = ops.image.resize(images, self._size, crop_to_aspect_ratio=True, data_format=self.data_format)
        return ops.cast(made, self.compute_dtype)

    def transform_segmentation_masks(self, segmentation_masks: Any, transformation: Any, training: bool = True) -> Any:
        return self.transform_images(segmentation_masks, transformation, training=training)

    def transform_bounding_boxes(self, bounding_boxes: Any, transformation: Any, training: bool = True) -> Any:
        return super().transform_bounding_boxes(bounding_boxes, transformation, training=True)

    def _moved_boxes(self, boxes: Any, transformation: Any, height: int, width: int) -> tuple[Any, tuple[int, int]]:
        spare = (height - self.height, width - self.width)
        window, starts = self._size, (spare[0] // 2, spare[1] // 2)
        if min(spare) < 0:
            window, starts = _largest((height, width), self._size)
        return _in_window(boxes, starts, window, self._size), self._size


def _in_window(boxes: Any, starts: Any, window: tuple[int, int], size: tuple[int, int]) -> Any:
    """Corners counted from the window's, which is then brought to `size`."""
    top, left = (ops.cast(n, "float32") for n in starts)
    moved = ops.subtract(boxes, ops.stack([left, top, left, top]))
    if window == size:
        return moved
    tall, wide = (n / k for n, k in zip(size, window))
    return ops.multiply(box_formats.cut(moved, *window), np.array([wide, tall, wide, tall], "float32"))


@export("keras.layers.RandomCrop")
class RandomCrop(_Crop):
    """A window of images at a random place, the same one for all images of a batch, while training.

    Images that are not larger than the window along both axes give the largest part of the right ratio, resized.
    Out of training images pass as they are: put `CenterCrop` or `Resizing` in the place for predictions.

    Args:
        height, width: of the results; positive ints, else ValueError.
        seed: an int, so that runs repeat.

    Transformation: (first row, first column).
    """

    def __init__(
        self, height: int, width: int, seed: int | None = None, data_format: str | None = None,
        name: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(name=name, data_format=data_format, **kwargs)
        self._set_size(height, width)
        self.seed = seed if seed is not None else random.make_default_seed()
        self.generator = random.SeedGenerator(self.seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        _, height, width = self._sizes(data)
        if training and height > self.height and width > self.width:
            places = [self._draw((), 0, n - k + 1, seed) for n, k in zip((height, width), self._size)]
            return tuple(ops.cast(p, "int32") for p in places)
        return _largest((height, width), self._size)[1]

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        if not training:
            return images
        images = ops.cast(images, self.compute_dtype)
        axis = self._axis(len(images.shape))
        for i, (start, wanted) in enumerate(zip(transformation, self._size)):
            images = _window(images, axis + i, start, wanted)
        if tuple(images.shape[axis : axis + 2]) == self._size:
            return images
        made = ops.image.resize(images, self._size, data_format=self.data_format)
        return ops.cast(made, self.compute_dtype)

    def transform_segmentation_masks(self, segmentation_masks: Any, transformation: Any, training: bool = True) -> Any:
        return self.transform_images(segmentation_masks, transformation)

    def transform_bounding_boxes(self, bounding_boxes: Any, transformation: Any, training: bool = True) -> Any:
        """Boxes `(..., 4)` as they lie in the window, cut off at its edges; labels stay."""
        if not training:
            return bounding_boxes
        form = str(self.bounding_box_format)
        if form.startswith("rel_"):
            problem = f"boxes in the relative format '{form}' cannot be cropped without the images' size"
            raise ValueError(message(self._where, problem, "Use bounding_box_format='xyxy'"))
        boxes = box_formats.converted(bounding_boxes["boxes"], form, "xyxy", *self._size)
        moved = box_formats.cut(_in_window(boxes, transformation, self._size, self._size), *self._size)
        made = box_formats.converted(moved, "xyxy", form, *self._size)
        return {**bounding_boxes, "boxes": made}

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"seed": self.seed}


def _window(x: Any, axis: int, start: Any, count: int) -> Any:
    """`count` slices from `start` on, which may be drawn; fewer where there are not so many."""
    if isinstance(start, int):
        return x[(slice(None),) * axis + (slice(start, start + count),)]
    return ops.take(x, ops.add(start, np.arange(count, dtype="int32")), axis=axis)
