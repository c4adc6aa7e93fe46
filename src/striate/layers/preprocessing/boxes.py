"""Bounding boxes: their formats, and what a movement of the pixels does to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate import ops
from striate.core.errors import message
from striate.trace import any_symbolic

FORMATS = (
    "xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh",
)  # fmt: skip


def as_boxes(part: Any, where: str) -> dict[str, Any]:
    """A dict of "boxes" `(..., 4)` and "labels" as tensors.

    Raises:
        ValueError: another structure, or lists whose images have different numbers of boxes.
    """
    if not isinstance(part, dict) or not {"boxes", "labels"} <= set(part):
        problem = f"expected bounding boxes as a dict with 'boxes' and 'labels', received {type(part).__name__}"
        raise ValueError(message(where, problem, 'Pass {"boxes": array, "labels": array}'))
    made = part if any_symbolic(part) else {k: _tensor(v, k, where) for k, v in part.items()}
    _check_size(made["boxes"])
    return made


def _tensor(x: Any, key: str, where: str) -> Any:
    try:
        return ops.convert_to_tensor(x)
    except ValueError as error:
        problem = f"bounding boxes: '{key}' is not one array ({error})"
        raise ValueError(
            message(where, problem, "Fill up each image's list to one length, with labels of -1")
        ) from None


def _check_size(boxes: Any) -> None:
    if boxes.shape[-1] != 4:
        raise ValueError(
            f"`boxes` must be a tensor with the last dimension of 4. Received: boxes.shape={tuple(boxes.shape)}"
        )


def converted(boxes: Any, source: str, target: str, height: Any, width: Any, dtype: Any = "float32") -> Any:
    """Boxes `(..., 4)` of one format in another.

    Args:
        source, target: of `FORMATS`: corners (left x, top y, right x, bottom y), or a corner or the centre and the
            size; "rel_" ones as shares of the image's width and height.

    Raises:
        ValueError: an unknown format, boxes without four numbers, or no size for a relative format.
    """
    source, target = str(source).lower(), str(target).lower()
    _check_size(boxes)
    if source not in FORMATS or target not in FORMATS:
        raise ValueError(f"Invalid source or target format. Supported formats: {FORMATS}")
    boxes = ops.cast(boxes, dtype)
    if source == target:
        return boxes
    _, relative_source, plain_source = source.rpartition("rel_")
    _, relative_target, plain_target = target.rpartition("rel_")
    corners = _corners(boxes, plain_source)
    if bool(relative_source) != bool(relative_target):
        _check_image_size(source, target, height, width)
        scale = np.array([width, height, width, height], dtype)
        corners = ops.multiply(corners, scale) if relative_source else ops.divide(corners, scale)
    return _from_corners(corners, plain_target)


def _check_image_size(source: str, target: str, height: Any, width: Any) -> None:
    if height is None or width is None:
        raise ValueError(
            "convert_format() must receive `height` and `width` transforming between relative and absolute formats. "
            f"Received: source={source}, target={target}, height={height}, width={width}"
        )


def _swapped(boxes: Any) -> Any:
    return ops.take(boxes, np.array([1, 0, 3, 2], "int32"), axis=-1)


def _corners(boxes: Any, form: str) -> Any:
    boxes = _swapped(boxes) if form in ("yxyx", "center_yxhw") else boxes
    if form in ("xyxy", "yxyx"):
        return boxes
    place, size = ops.split(boxes, 2, axis=-1)
    if form == "xywh":
        return ops.concatenate([place, ops.add(place, size)], axis=-1)
    half = ops.divide(size, 2.0)
    return ops.concatenate([ops.subtract(place, half), ops.add(place, half)], axis=-1)


def _from_corners(boxes: Any, form: str) -> Any:
    if form not in ("xyxy", "yxyx"):
        first, last = ops.split(boxes, 2, axis=-1)
        size = ops.subtract(last, first)
        place = first if form == "xywh" else ops.add(first, ops.divide(size, 2.0))
        boxes = ops.concatenate([place, size], axis=-1)
    return _swapped(boxes) if form in ("yxyx", "center_yxhw") else boxes


def clipped(boxes: Any, labels: Any, height: Any, width: Any) -> tuple[Any, Any]:
    """Corners cut off at the image's edges; the labels of boxes without an area left are -1."""
    boxes = cut(boxes, height, width)
    first, last = ops.split(boxes, 2, axis=-1)
    area = ops.prod(ops.subtract(last, first), axis=-1)
    seen = ops.greater(area, 0)
    if len(labels.shape) > len(seen.shape):  # one number per class
        seen = ops.expand_dims(seen, -1)
    return boxes, ops.where(seen, labels, -1)


def cut(boxes: Any, height: Any, width: Any) -> Any:
    """Corners (left, top, right, bottom) moved into the image."""
    most = np.array([width, height, width, height], "float32")
    return ops.minimum(ops.maximum(boxes, 0.0), most)


def through_affine(boxes: Any, rows: Any) -> Any:
    """Where boxes of corners `(batch, n, 4)` go when the images go through `ops.image.affine_transform`.

    Output (x, y) shows input A (x, y) + t, so that corners move by the inverse: A^-1 (corner - t). The result is the
    smallest upright box around the four corners.

    Args:
        rows: `(batch, 8)`, as `affine_transform` takes them.
    """
    boxes = boxes if len(boxes.shape) == 3 else ops.expand_dims(boxes, 0)
    rows = rows if len(rows.shape) == 2 else ops.expand_dims(rows, 0)
    a0, a1, a2, b0, b1, b2 = (ops.cast(rows[:, i : i + 1, None], "float32") for i in range(6))
    x = ops.subtract(ops.take(boxes, np.array([0, 2, 2, 0], "int32"), axis=-1), a2)
    y = ops.subtract(ops.take(boxes, np.array([1, 1, 3, 3], "int32"), axis=-1), b2)
    area = ops.subtract(ops.multiply(a0, b1), ops.multiply(a1, b0))
    area = ops.where(ops.equal(area, 0.0), 1.0, area)  # everything on one line: no box is right
    across = ops.divide(ops.subtract(ops.multiply(b1, x), ops.multiply(a1, y)), area)
    down = ops.divide(ops.subtract(ops.multiply(a0, y), ops.multiply(b0, x)), area)
    ends = [ops.min(across, axis=-1), ops.min(down, axis=-1), ops.max(across, axis=-1), ops.max(down, axis=-1)]
    return ops.stack(ends, axis=-1)
