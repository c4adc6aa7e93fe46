"""`Resizing`: images of another size, in training and out of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate import ops
from striate.core.registry import export
from striate.layers.preprocessing.base import images_of
from striate.layers.preprocessing.cropping import _Crop

_NAMES = ("interpolation", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "fill_mode", "fill_value", "antialias")


@export("keras.layers.Resizing")
class Resizing(_Crop):
    """Images in another size; integers are rounded and stay integers.

    Args:
        height, width: of the results; positive ints, else ValueError.
        interpolation: "bilinear" (default), "nearest", "bicubic", "lanczos3" or "lanczos5".
        crop_to_aspect_ratio: whether the input is cut to the result's ratio of sides first.
        pad_to_aspect_ratio: whether it is padded to that ratio first, with `fill_value` (`fill_mode` "constant").
        antialias: whether shrinking averages.
        data_format: "channels_last" or "channels_first"; by default `image_data_format()`.

    Transformation: (height, width) of the images.
    """

    _USE_BASE_FACTOR = False

    def __init__(
        self, height: int, width: int, interpolation: str = "bilinear", crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False, fill_mode: str = "constant", fill_value: float = 0.0,
        antialias: bool = False, data_format: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_format=data_format, **kwargs)
        self._set_size(height, width)
        self.interpolation, self.antialias = interpolation, bool(antialias)
        self.crop_to_aspect_ratio, self.pad_to_aspect_ratio = crop_to_aspect_ratio, pad_to_aspect_ratio
        self.fill_mode, self.fill_value = fill_mode, fill_value

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        axis = self._axis(len(images_of(data).shape))
        return tuple(images_of(data).shape[axis : axis + 2])

    def _transform_images(self, images: Any, transformation: Any, interpolation: str) -> Any:
        return ops.image.resize(
            images, self._size, interpolation=interpolation, antialias=self.antialias, fill_mode=self.fill_mode,
            crop_to_aspect_ratio=self.crop_to_aspect_ratio, pad_to_aspect_ratio=self.pad_to_aspect_ratio,
            fill_value=self.fill_value, data_format=self.data_format,
        )  # fmt: skip

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        return self._transform_images(images, transformation, self.interpolation)

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        return self._transform_images(segmentation_masks, transformation, "nearest")

    def transform_bounding_boxes(self, bounding_boxes: Any, transformation: Any, training: bool = True) -> Any:
        return super().transform_bounding_boxes(bounding_boxes, transformation, training=True)

    def _box_size(self, transformation: Any) -> tuple[int, int]:
        return transformation

    def _moved_boxes(self, boxes: Any, transformation: Any, height: int, width: int) -> tuple[Any, tuple[int, int]]:
        ratios = [self.height / height, self.width / width]
        if self.crop_to_aspect_ratio or self.pad_to_aspect_ratio:
            ratios = [(min if self.pad_to_aspect_ratio else max)(ratios)] * 2
        # what is cut away, or padded, in pixels of the result; half of it before the image
        top, left = ((k - n * r) // 2 for k, n, r in zip(self._size, (height, width), ratios))
        if self.crop_to_aspect_ratio and not self.pad_to_aspect_ratio:
            top, left = (-((n * r - k) // 2) for k, n, r in zip(self._size, (height, width), ratios))
        scale = np.array([ratios[1], ratios[0]] * 2, "float32")
        return ops.add(ops.multiply(boxes, scale), np.array([left, top] * 2, "float32")), self._size

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {k: getattr(self, k) for k in _NAMES}
