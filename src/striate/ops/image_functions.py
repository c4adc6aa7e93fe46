"""`keras.ops.image`: images `(height, width, channels)`, or batches of them; with "channels_first" the channels in
front.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core import dtypes
from striate.core.config import standardize_data_format
from striate.core.registry import export
from striate.ops.base import as_float, cast_to, convert, dtype_name, symbolic
from striate.ops.core import slice as window_of
from striate.ops.indexing import where
from striate.ops.nn_conv import conv, depthwise_conv
from striate.ops.numpy_linear import pad
from striate.ops.numpy_math import clip
from striate.ops.numpy_reduce import sum as total
from striate.ops.numpy_shape import expand_dims, split, squeeze, stack
from striate.primitives import elementwise, structural
from striate.primitives import resize as resizing


def as_image(images: Any, data_format: str | None) -> tuple[Any, int, int]:
    """The tensor, and its height's and channels' axes; ValueError unless there are 3 or 4 axes."""
    x = convert(images)
    if x.ndim not in (3, 4):
        raise ValueError(
            "Invalid images rank: expected rank 3 (single image) or rank 4 (batch of images). Received input "
            "with shape: "
            f"images.shape={tuple(x.shape)}"
        )
    last = standardize_data_format(data_format) == "channels_last"
    return x, x.ndim - 3 if last else x.ndim - 2, x.ndim - 1 if last else x.ndim - 3


@export("keras.ops.image.resize")
@symbolic
def resize(
    images: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Any:
    """Images of another size, sampled at the centres of pixels.

    Args:
        size: (height, width).
        interpolation: "bilinear" (default), "nearest", "bicubic", "lanczos3" or "lanczos5".
        antialias: whether the filter widens where the image shrinks. Defaults to False.
        crop_to_aspect_ratio, pad_to_aspect_ratio: cut away, or fill with `fill_value`, first, so that nothing is
        distorted.
        fill_mode: only "constant".

    Returns:
        A tensor of the dtype of `images`; integers are computed in float32 and rounded.

    Raises:
        ValueError: another rank, size, interpolation or fill mode, or both ways to keep the ratio at once.
    """
    x, axis, _ = as_image(images, data_format)
    if interpolation not in resizing.METHODS:
        raise ValueError(
            f"Invalid value for argument `interpolation`. Expected of one {resizing.METHODS}. Received: "
            f"interpolation={interpolation}"
        )
    if fill_mode != "constant":
        raise ValueError(
            f"Invalid value for argument `fill_mode`. Only 'constant' is supported. Received: fill_mode={fill_mode}"
        )
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("Only one of `pad_to_aspect_ratio` & `crop_to_aspect_ratio` can be `True`.")
    if len(size) != 2:
        raise ValueError(f"Argument `size` must be a tuple of two elements (height, width). Received: size={size}")
    wanted = (int(size[0]), int(size[1]))
    x = _cropped(x, axis, wanted) if crop_to_aspect_ratio else x
    x = _padded(x, axis, wanted, fill_value) if pad_to_aspect_ratio else x
    shape = (*x.shape[:axis], *wanted, *x.shape[axis + 2 :])
    name = dtype_name(x)
    if interpolation == "nearest":
        return resizing.resize(x, shape=shape, method=interpolation, antialias=False)
    made = resizing.resize(as_float(x), shape=shape, method=interpolation, antialias=bool(antialias))
    return made if dtypes.is_floating(name) else _rounded(made, name)


def _rounded(x: Any, name: str) -> Any:
    """Floats as integers, cut off at the ends of the dtype."""
    if name == "bool":
        return cast_to(elementwise.rint(x), name)
    info = np.iinfo(name)
    return cast_to(elementwise.rint(clip(x, float(info.min), float(info.max))), name)


def _ratio(x: Any, axis: int, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the window that has the target's ratio, one of them that of the image."""
    height, width = x.shape[axis : axis + 2]
    return int(float(width * size[0]) / size[1]), int(float(height * size[1]) / size[0])


def _cropped(x: Any, axis: int, size: tuple[int, int]) -> Any:
    for i, n in enumerate(_ratio(x, axis, size)):
        have = x.shape[axis + i]
        keep = max(min(have, n), 1)
        x = kept(x, axis + i, int(float(have - keep) / 2), keep)
    return x


def kept(x: Any, axis: int, start: int, count: int) -> Any:
    """`count` slices of `x` along `axis`, from `start` on."""
    return structural.slice_axis(x, axis, start, start + count)


def _padded(x: Any, axis: int, size: tuple[int, int], value: float) -> Any:
    """Half of what is missing on either side."""
    need = _ratio(x, axis, size)
    widths = [(0, 0)] * x.ndim
    for i, n in enumerate(need):
        extra = int(float(max(x.shape[axis + i], n) - x.shape[axis + i]) / 2)
        widths[axis + i] = (extra, extra)
    return pad(x, widths, constant_values=value)


@export("keras.ops.image.rgb_to_grayscale")
@symbolic
def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Any:
    """0.2989 R + 0.5870 G + 0.1140 B, in one channel; grey images stay. ValueError for other numbers of channels."""
    x, _, axis = as_image(images, data_format)
    if x.shape[axis] not in (1, 3):
        raise ValueError(
            "Invalid channel size: expected 3 (RGB) or 1 (Grayscale). Received input with shape: "
            f"images.shape={tuple(x.shape)}"
        )
    if x.shape[axis] == 1:
        return x
    wide = as_float(x)
    shape = [3 if i == axis else 1 for i in range(x.ndim)]
    weights = np.array([0.2989, 0.5870, 0.1140], dtype_name(wide)).reshape(shape)
    return cast_to(total(elementwise.mul(wide, weights), axis=axis, keepdims=True), dtype_name(x))


def _planes(images: Any, data_format: str | None) -> tuple[list[Any], int]:
    x, _, axis = as_image(images, data_format)
    if not dtypes.is_floating(dtype_name(x)):
        raise ValueError(f"Invalid images dtype: expected float dtype. Received: images.dtype={dtype_name(x)}")
    if x.shape[axis] != 3:
        raise ValueError(f"Invalid channel size: expected 3. Received input with shape: images.shape={tuple(x.shape)}")
    return [squeeze(plane, axis) for plane in split(x, 3, axis)], axis


@export("keras.ops.image.rgb_to_hsv")
@symbolic
def rgb_to_hsv(images: Any, data_format: str | None = None) -> Any:
    """Hue, saturation and value, each in [0, 1], of red, green and blue in [0, 1]; ValueError for integers."""
    (r, g, b), axis = _planes(images, data_format)
    eps = np.finfo(dtype_name(r)).eps
    r, g, b = (where(_below(plane, eps), 0.0, plane) for plane in (r, g, b))
    value = elementwise.maximum(elementwise.maximum(r, g), b)
    spread = elementwise.sub(value, elementwise.minimum(elementwise.minimum(r, g), b))
    lit, coloured = elementwise.greater(value, 0), elementwise.greater(spread, 0)
    saturation = where(lit, elementwise.div(spread, where(lit, value, 1.0)), 0.0)
    unit = elementwise.div(1, elementwise.mul(where(coloured, spread, 1.0), 6))

    def sector(first: Any, second: Any, offset: float) -> Any:
        return elementwise.add(elementwise.mul(unit, elementwise.sub(first, second)), offset)

    hue = where(elementwise.equal(value, g), sector(b, r, 2 / 6), sector(r, g, 4 / 6))
    hue = where(elementwise.equal(value, r), sector(g, b, 0.0), hue)
    around = structural.cast(elementwise.less(hue, 0), dtype=dtype_name(hue))
    return stack([elementwise.add(where(coloured, hue, 0.0), around), saturation, value], axis=axis)


def _below(x: Any, limit: Any) -> Any:
    """Whether |x| < limit."""
    return elementwise.less(elementwise.absolute(x), limit)


@export("keras.ops.image.hsv_to_rgb")
@symbolic
def hsv_to_rgb(images: Any, data_format: str | None = None) -> Any:
    """Red, green and blue of hue, saturation and value, the inverse of `rgb_to_hsv`."""
    (hue, saturation, value), axis = _planes(images, data_format)
    turn = elementwise.mul(elementwise.mod(hue, 1), 6)
    strengths = (
        elementwise.sub(_distance(turn, 3), 1),
        elementwise.sub(2, _distance(turn, 2)),
        elementwise.sub(2, _distance(turn, 4)),
    )
    white = elementwise.sub(1, saturation)
    mixed = [elementwise.add(white, elementwise.mul(saturation, clip(s, 0.0, 1.0))) for s in strengths]
    return stack([elementwise.mul(value, m) for m in mixed], axis=axis)


def _distance(x: Any, point: float) -> Any:
    return elementwise.absolute(elementwise.sub(x, point))


def _one_missing(names: tuple[str, str, str], values: tuple[Any, Any, Any], size: int) -> tuple[int, int, int]:
    """Two of (before, after, target size) given, the third from before + after + ... = size; negative ones:
    ValueError.
    """
    if sum(v is None for v in values) != 1:
        raise ValueError(
            f"Must specify exactly two of {', '.join(names)}. Received: {dict(zip(names, values, strict=True))}"
        )
    before, after, target = values
    found = {
        0: lambda: (size - target - after, after, target),
        1: lambda: (before, size - target - before, target),
        2: lambda: (before, after, size - before - after),
    }[values.index(None)]()
    for name, n in zip(names, found, strict=True):
        if n < 0:
            raise ValueError(f"{name} must be >= 0. Received: {name}={n}")
    return found


@export("keras.ops.image.pad_images")
@symbolic
def pad_images(
    images: Any,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Zeros around images; of each direction two of (before, after, target size) must be given, else ValueError."""
    x, axis, _ = as_image(images, data_format)
    sides = {
        axis: (("top_padding", "bottom_padding", "target_height"), (top_padding, bottom_padding, target_height)),
        axis + 1: (("left_padding", "right_padding", "target_width"), (left_padding, right_padding, target_width)),
    }
    widths = [(0, 0)] * x.ndim
    for place, (names, values) in sides.items():
        signed = tuple(None if v is None else v if i == 2 else -v for i, v in enumerate(values))
        given = _padding_sides(names, signed, x.shape[place])
        widths[place] = given
    return pad(x, widths)


def _padding_sides(names: tuple[str, str, str], values: tuple[Any, ...], size: int) -> tuple[int, int]:
    """Padding is cropping by a negative amount: size - before - after = target."""
    before, after, target = values
    if sum(v is None for v in values) != 1:
        raise ValueError(f"Must specify exactly two of {', '.join(names)}.")
    before = size - target - after if before is None else before
    after = size - target - before if after is None else after
    for name, n in zip(names, (-before, -after), strict=False):
        if n < 0:
            raise ValueError(f"{name} must be >= 0. Received: {name}={n}")
    return -before, -after


@export("keras.ops.image.crop_images")
@symbolic
def crop_images(
    images: Any,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """The inside of images; of each direction two of (before, after, target size) must be given, else ValueError."""
    x, axis, _ = as_image(images, data_format)
    tall = _one_missing(
        ("top_cropping", "bottom_cropping", "target_height"),
        (top_cropping, bottom_cropping, target_height),
        x.shape[axis],
    )
    wide = _one_missing(
        ("left_cropping", "right_cropping", "target_width"),
        (left_cropping, right_cropping, target_width),
        x.shape[axis + 1],
    )
    starts = [{axis: tall[0], axis + 1: wide[0]}.get(i, 0) for i in range(x.ndim)]
    shape = [{axis: tall[2], axis + 1: wide[2]}.get(i, n) for i, n in enumerate(x.shape)]
    return window_of(x, starts, shape)


@export("keras.ops.image.extract_patches")
@symbolic
def extract_patches(
    images: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
) -> Any:
    """The windows of images (or, with a `size` of three, of volumes), each as one vector of channels.

    Args:
        size: an int or a pair. strides: defaults to `size`. The others as in `ops.conv`.
    """
    rank = 2 if isinstance(size, int) else len(size)
    if rank not in (2, 3):
        raise TypeError(f"Invalid `size` argument. Expected an int or a tuple of length 2. Received: size={size}")
    return _patches(images, size, strides, dilation_rate, padding, data_format, rank)


@export("keras.ops.image.extract_patches_3d")
@symbolic
def extract_patches_3d(
    volumes: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
) -> Any:
    """The windows of volumes, each as one vector of channels. Arguments as `extract_patches`."""
    return _patches(volumes, size, strides, dilation_rate, padding, data_format, 3)


def _patches(x: Any, size: Any, strides: Any, dilation: Any, padding: Any, data_format: Any, rank: int) -> Any:
    """A convolution with a kernel for each cell of the window and each channel, 1 there and 0 elsewhere."""
    x = as_float(x)
    single = x.ndim == rank + 1
    x = expand_dims(x, 0) if single else x
    window = (size,) * rank if isinstance(size, int) else tuple(size)
    channels = x.shape[-1 if standardize_data_format(data_format) == "channels_last" else 1]
    count = int(np.prod(window)) * channels
    kernel = np.eye(count, dtype=dtype_name(x)).reshape(*window, channels, count)
    made = conv(x, kernel, strides or size, padding, data_format, dilation)
    return squeeze(made, 0) if single else made


@export("keras.ops.image.sobel_edges")
@symbolic
def sobel_edges(images: Any, data_format: str | None = None) -> Any:
    """The derivatives down and to the right by Sobel's kernels, stacked along a new last axis; zeros around the
    image.
    """
    x = as_float(images)
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype_name(x))
    channels = x.shape[1 if data_format == "channels_first" else -1]
    layout = data_format or "channels_last"
    edges = [
        depthwise_conv(x, np.repeat(kernel[:, :, None, None], channels, axis=2), 1, "same", layout)
        for kernel in (across.T, across)
    ]
    return stack(edges, axis=-1)


@export("keras.ops.image.gaussian_blur")
@symbolic
def gaussian_blur(
    images: Any, kernel_size: Any = (3, 3), sigma: Any = (1.0, 1.0), data_format: str | None = None
) -> Any:
    """Images smoothed with a Gaussian kernel of a size (height, width) and standard deviations; zeros around them."""
    x, _, axis = as_image(images, data_format)
    x = as_float(x)
    single = x.ndim == 3
    x = expand_dims(x, 0) if single else x
    lines = [_gaussian(n, s) for n, s in zip(kernel_size, sigma, strict=True)]
    # the first size and deviation run across, as in Keras
    kernel = np.outer(lines[1], lines[0]).astype(dtype_name(x))
    channels = x.shape[axis + 1 if single else axis]
    weights = np.repeat(kernel[:, :, None, None], channels, axis=2)
    made = depthwise_conv(x, weights, 1, "same", data_format)
    return squeeze(made, 0) if single else made


def _gaussian(size: int, sigma: Any) -> np.ndarray:
    line = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / float(sigma)) ** 2)
    return line / line.sum()
