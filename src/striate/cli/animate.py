"""`striate animate`: a layer at work on a picture or on numbers, written as a page, a film or a still."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from striate.explain import animate
from striate.explain.animation.animation import checked_suffix
from striate.explain.animation.reading import LARGEST
from striate.layers.convolutional.base import WindowedLayer

from .target import layer_of, shape_of
from .user import UserError, interruptible


def run_animate(text: str, given: str, out: Path, options: dict[str, Any]) -> None:
    """Writes the animation of the layer `text` on `given`, a picture's path or a size such as `7x7x1`.

    Raises:
        UserError: the layer, the input or the file won't do.
    """
    with interruptible():
        try:
            checked_suffix(out)
            layer = layer_of(text, "animate")
            if not isinstance(layer, WindowedLayer):
                raise UserError(
                    f"animate: {type(layer).__name__} has no window to show. Give a convolution or a pooling."
                )
            x = _picture(Path(given), layer) if Path(given).is_file() else _numbers(given, layer)
            if "initializer" not in text:
                _whole_weights(layer, x)
            made = animate(layer, x, out, **options)
        except OSError as error:
            raise UserError(f"animate: '{out}' can't be written: {error.strerror}.") from None
        except (ValueError, TypeError, RuntimeError, IndexError) as error:
            raise UserError(f"animate: {' '.join(str(error).split()).removeprefix('animate: ')}") from None
    print(f"{out}: {made.words}, {len(made)} frames")


def _numbers(size: str, layer: Any) -> np.ndarray:
    """Small whole numbers of that size, the same ones each time."""
    if "." in size or "/" in size:
        raise UserError(f"animate: --input: there is no file '{size}'. Give a picture, or a size such as 7x7x1.")
    shape = shape_of(size, "animate")
    if isinstance(shape, list) or None in shape:
        raise UserError(f"animate: --input: '{size}' is no size of one input. Write it as 7x7x1.")
    shape = (*shape, 1) if len(shape) == layer.rank else shape
    return np.random.default_rng(0).integers(0, 6, shape).astype("float32")


def _whole_weights(layer: Any, x: np.ndarray) -> None:
    """Small whole numbers in the place of random ones, which are hard to follow."""
    layer.build((None, *x.shape))
    rng = np.random.default_rng(1)
    kernels = [rng.integers(-1, 3, w.shape) if len(w.shape) > 1 else np.zeros(w.shape) for w in layer.weights]
    layer.set_weights([k.astype("float32") for k in kernels])


def _picture(path: Path, layer: Any) -> np.ndarray:
    """The picture, in grey where the layer has one channel to read, at most as large as can be shown."""
    from PIL import Image, UnidentifiedImageError

    if layer.rank != 2:
        raise UserError(f"animate: --input: '{path}' is a picture, and {type(layer).__name__} reads no pictures.")
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB" if opened.mode not in ("1", "L", "I;16") else "L")
    except (UnidentifiedImageError, OSError, SyntaxError):
        raise UserError(f"animate: --input: '{path}' is not an image that Pillow can read (PNG, JPEG, ...).") from None
    picture.thumbnail((LARGEST // 2, LARGEST // 2))
    array = np.asarray(picture, "float32")
    array = array if array.ndim == 3 else array[..., None]
    return np.moveaxis(array, -1, 0) if layer.data_format == "channels_first" else array
