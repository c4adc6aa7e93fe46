"""Images sampled at given places: `map_coordinates` and `affine_transform` of `keras.ops.image`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.core.registry import export
from striate.ops.base import as_float, cast_to, convert, dtype_name, symbolic
from striate.ops.image_functions import as_image, kept
from striate.ops.indexing import where
from striate.ops.numpy_shape import expand_dims, squeeze, transpose
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
    _check_fill_mode(fill_mode)
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


def _check_fill_mode(fill_mode: Any) -> None:
    if fill_mode not in _OUTSIDE:
        raise ValueError(
            f"Invalid value for argument `fill_mode`. Expected one of {set(_OUTSIDE)}. Received: fill_mode={fill_mode}"
        )


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
        fits = _within(index, n)
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
    _check_fill_mode(fill_mode)
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
    last = axis == x.ndim - 3
    made = _affine(batch if last else transpose(batch, (0, 2, 3, 1)), rows, interpolation, fill_mode, fill_value)
    made = made if last else transpose(made, (0, 3, 1, 2))
    return squeeze(made, 0) if single else made


def _affine(x: Any, rows: Any, interpolation: str, fill_mode: str, fill_value: float) -> Any:
    """`affine_transform` of `(batch, height, width, channels)`: whole pixels are fetched, for all images at once."""
    n, height, width, channels = x.shape
    rows = expand_dims(rows, 0) if rows.ndim == 1 else rows
    wide, order = as_float(x), 0 if interpolation == "nearest" else 1
    pixels = structural.reshape(wide, shape=(n * height * width, channels))
    down, across = (_corners(place, order) for place in _moved(rows, height, width))
    first = np.arange(n, dtype="int32").reshape(n, 1, 1) * (height * width)
    made = None
    for (i, p), (j, q) in itertools.product(down, across):
        part = _pixels(pixels, i, j, (height, width), first, fill_mode, fill_value)
        if order:
            weight = cast_to(expand_dims(elementwise.mul(p, q), -1), dtype_name(part))
            part = elementwise.mul(part, structural.broadcast_to(weight, shape=tuple(part.shape)))
        made = part if made is None else elementwise.add(made, part)
    return made if dtypes.is_floating(dtype_name(x)) else cast_to(elementwise.rint(made), dtype_name(x))


def _pixels(x: Any, i: Any, j: Any, size: tuple[int, int], first: Any, fill_mode: str, fill_value: float) -> Any:
    """The pixels in rows `i`, columns `j` of images that start at `first` in the list `x` of all pixels."""
    height, width = size
    cell = elementwise.add(elementwise.mul(_OUTSIDE[fill_mode](i, height), width), _OUTSIDE[fill_mode](j, width))
    found = gather.take(x, elementwise.add(cell, first), axis=0)
    if fill_mode != "constant":
        return found
    inside = elementwise.logical_and(_within(i, height), _within(j, width))
    return where(expand_dims(inside, -1), found, cast_to(fill_value, dtype_name(x)))


def _within(index: Any, n: int) -> Any:
    return elementwise.logical_and(elementwise.greater_equal(index, 0), elementwise.less(index, n))


def _moved(rows: Any, height: int, width: int) -> tuple[Any, Any]:
    """The heights and widths, each `(batch, height, width)`, that the cells of the results show."""
    name = dtype_name(rows)
    y = np.arange(height, dtype=name).reshape(1, height, 1)
    x = np.arange(width, dtype=name).reshape(1, 1, width)
    a = [expand_dims(kept(rows, 1, i, 1), -1) for i in range(6)]

    def mapped(p: Any, q: Any, r: Any) -> Any:
        return elementwise.add(elementwise.add(elementwise.mul(x, p), elementwise.mul(y, q)), r)

    return mapped(*a[3:]), mapped(*a[:3])
