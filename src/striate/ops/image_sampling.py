"""Images sampled at given places: `map_coordinates` and `affine_transform` of `keras.ops.image`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.core.registry import export
from striate.ops.base import as_float, cast_to, convert, dtype_name, symbolic
from striate.ops.image_functions import as_image, kept
from striate.ops.indexing import where
from striate.ops.numpy_shape import expand_dims, squeeze, stack
from striate.primitives import elementwise, gather, structural


def _wrapped(i: Any, n: int) -> Any:
    return elementwise.mod(i, n)


def _mirrored(i: Any, n: int) -> Any:
    """Reflection about the centres of the border cells."""
    period = max(2 * (n - 1), 1)
    i = elementwise.mod(i, period)
    return elementwise.minimum(i, elementwise.sub(period, i)) if n > 1 else elementwise.mul(i, 0)


def _reflected(i: Any, n: int) -> Any:
    """Reflection about the edges: the border cells stand twice."""
    i = elementwise.mod(i, 2 * n)
    return elementwise.minimum(i, elementwise.sub(2 * n - 1, i))


def _held(i: Any, n: int) -> Any:
    return elementwise.minimum(elementwise.maximum(i, 0), n - 1)


_OUTSIDE: dict[str, Callable[[Any, int], Any]] = {
    "constant": _held,
    "nearest": _held,
    "wrap": _wrapped,
    "mirror": _mirrored,
    "reflect": _reflected,
}


@export("keras.ops.image.map_coordinates")
@symbolic
def map_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: float = 0
) -> Any:
    """`inputs` sampled at places given by coordinates.

    Args:
        coordinates: `(axes of inputs, ...)`: one coordinate per axis for each place.
        order: 0 for the nearest cell, 1 for linear interpolation.
        fill_mode: what lies outside: "constant" (`fill_value`), "nearest", "wrap", "mirror" or "reflect".

    Raises:
        ValueError: another order or fill mode, or coordinates that don't fit.
    """
    x, places = convert(inputs), as_float(coordinates)
    if places.ndim < 2 or places.shape[0] != x.ndim:
        raise ValueError(
            "First dim of `coordinates` must be the same as the rank of `inputs`, and it needs at least rank 2. "
            "Received inputs "
            f"with shape: {tuple(x.shape)} and coordinates of shape {tuple(places.shape)}"
        )
    if fill_mode not in _OUTSIDE:
        raise ValueError(
            f"Invalid value for argument `fill_mode`. Expected one of {set(_OUTSIDE)}. Received: fill_mode={fill_mode}"
        )
    if order not in (0, 1):
        raise ValueError(f"Invalid value for argument `order`. Expected one of [0, 1]. Received: order={order}")
    rows = [squeeze(structural.slice_axis(places, 0, i, i + 1), 0) for i in range(x.ndim)]
    corners = [_corners(row, order) for row in rows]
    wide, made = as_float(x), None
    for choice in np.ndindex(*(len(c) for c in corners)):
        picked = [c[k] for c, k in zip(corners, choice, strict=True)]
        part = _sampled(wide, [index for index, _ in picked], fill_mode, fill_value)
        for _, weight in picked:
            part = part if weight is None else elementwise.mul(part, cast_to(weight, dtype_name(part)))
        made = part if made is None else elementwise.add(made, part)
    return made if dtypes.is_floating(dtype_name(x)) else cast_to(elementwise.rint(made), dtype_name(x))


def _corners(row: Any, order: int) -> list[tuple[Any, Any]]:
    """The cells around each coordinate and their weights."""
    if order == 0:
        # halves go up, as with np.round they would go to even
        return [(cast_to(elementwise.floor(elementwise.add(row, 0.5)), "int32"), None)]
    low = elementwise.floor(row)
    share = elementwise.sub(row, low)
    index = cast_to(low, "int32")
    return [(index, elementwise.sub(1, share)), (elementwise.add(index, 1), share)]


def _sampled(x: Any, indices: list[Any], fill_mode: str, fill_value: float) -> Any:
    inside, flat = None, None
    for index, n in zip(indices, x.shape, strict=True):
        fits = elementwise.logical_and(elementwise.greater_equal(index, 0), elementwise.less(index, n))
        inside = fits if inside is None else elementwise.logical_and(inside, fits)
        cell = _OUTSIDE[fill_mode](index, n)
        flat = cell if flat is None else elementwise.add(elementwise.mul(flat, n), cell)
    found = gather.take(structural.reshape(x, shape=(int(np.prod(x.shape)),)), flat, axis=0)
    return where(inside, found, cast_to(fill_value, dtype_name(x))) if fill_mode == "constant" else found


@export("keras.ops.image.affine_transform")
@symbolic
def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images moved, turned, scaled or sheared: output (x, y) shows input (a0 x + a1 y + a2, b0 x + b1 y + b2).

    Args:
        transform: (a0, a1, a2, b0, b1, b2, 0, 0), or one such row per image.
        interpolation: "bilinear" (default) or "nearest".
        fill_mode: what lies outside, see `map_coordinates`.

    Raises:
        ValueError: another rank, interpolation or fill mode.
    """
    x, axis, _ = as_image(images, data_format)
    if interpolation not in ("nearest", "bilinear"):
        raise ValueError(f"Invalid value for argument `interpolation`. Received: interpolation={interpolation}")
    rows = as_float(transform)
    if rows.ndim not in (1, 2):
        raise ValueError(
            "Invalid transform rank: expected rank 1 (single transform) or rank 2 (batch of transforms). "
            "Received input with "
            f"shape: transform.shape={tuple(rows.shape)}"
        )
    single = x.ndim == 3
    batch = expand_dims(x, 0) if single else x
    rows = expand_dims(rows, 0) if rows.ndim == 1 else rows
    rows = structural.broadcast_to(rows, shape=(batch.shape[0], 8)) if rows.shape[0] == 1 else rows
    tall = axis + (1 if single else 0)
    grids = np.indices(batch.shape[1:]).astype(dtype_name(rows))
    order = {"nearest": 0, "bilinear": 1}[interpolation]
    made = [
        map_coordinates(squeeze(kept(batch, 0, i, 1), 0), _moved(squeeze(kept(rows, 0, i, 1), 0), grids, tall -
        1), order,
                        fill_mode, fill_value)
        for i in range(batch.shape[0])
    ]  # fmt: skip
    return made[0] if single else stack(made)


def _moved(row: Any, grids: np.ndarray, tall: int) -> Any:
    """The coordinates that the cells of an image show; `tall` is the axis of the height, the width follows."""
    a = [squeeze(kept(row, 0, i, 1), 0) for i in range(6)]
    y, x = grids[tall], grids[tall + 1]

    def mapped(p: Any, q: Any, r: Any) -> Any:
        return elementwise.add(elementwise.add(elementwise.mul(x, p), elementwise.mul(y, q)), r)

    coordinates = {tall: mapped(a[3], a[4], a[5]), tall + 1: mapped(a[0], a[1], a[2])}
    return stack([coordinates.get(i, grids[i]) for i in range(3)])
