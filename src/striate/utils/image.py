"""Pictures to arrays and back: Keras's `load_img`, `img_to_array`, `array_to_img` and `save_img`, on Pillow.

Pillow is imported when the first picture is touched. What can be wrong with a file (not a picture, cut short,
a decompression bomb) is found here, while the file's name is known, and not later in the middle of a computation.
"""

from __future__ import annotations

import io
import pathlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.core import config
from striate.core.errors import listed, message
from striate.core.registry import export

if TYPE_CHECKING:
    from PIL.Image import Image

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
# Per colour mode: the Pillow modes kept as they are, and the mode that all others are converted to.
COLOR_MODES = {
    "grayscale": (("L", "I;16", "I"), "L"),
    "rgb": (("RGB",), "RGB"),
    "rgba": (("RGBA",), "RGBA"),
}
CHANNELS = {1: "grayscale", 3: "RGB", 4: "RGBA"}


def pil_image(where: str) -> Any:
    """The module `PIL.Image`; ImportError that names what to install when Pillow is not there."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(message(where, "Pillow is not installed", "Install the package 'pillow'")) from error
    return Image


# ---------------------------------------------------------------------------------------------------------------- load


@export("keras.utils.load_img", "keras.preprocessing.image.load_img")
def load_img(
    path: str | bytes | pathlib.Path | io.BytesIO,
    color_mode: str = "rgb",
    target_size: Sequence[int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Image:
    """Load a picture as a Pillow image of `width x height` pixels.

    Args:
        path: a file's path (str, bytes, pathlib.Path) or an io.BytesIO with its content.
        color_mode: 'rgb' (default), 'rgba' or 'grayscale' (8 bits; pictures of 16 and 32 bits stay as they are).
        target_size: `(height, width)` to resize to; None (default) keeps the picture's own size.
        interpolation: 'nearest' (default), 'bilinear', 'bicubic', 'hamming', 'box' or 'lanczos'.
        keep_aspect_ratio: cut the largest centred box of the target's proportions out first, so nothing is distorted.

    Raises:
        FileNotFoundError: no such file. PIL.UnidentifiedImageError (an OSError): the file is no picture.
        OSError: the picture is cut short or damaged. PIL.Image.DecompressionBombError: it has absurdly many pixels.
        TypeError: path is neither a path nor a BytesIO. ValueError: unknown color_mode, interpolation or size.
    """
    image_module = pil_image("load_img")
    if color_mode not in COLOR_MODES:
        problem = f"color_mode must be {listed(COLOR_MODES)}, received {color_mode!r}"
        raise ValueError(message("load_img", problem))
    size = None if target_size is None else _width_height(target_size)
    with _naming_the_file(path):
        image = image_module.open(_content(path))
        kept, mode = COLOR_MODES[color_mode]
        image = image if image.mode in kept else image.convert(mode)
        image.load()  # Pillow decodes lazily: find damage here
    return image if size is None or image.size == size else _resized(image, size, interpolation, keep_aspect_ratio)


def _width_height(target_size: Sequence[int]) -> tuple[int, int]:
    problem = f"target_size must be (height, width), received {target_size!r}"
    if isinstance(target_size, (str, bytes)) or not hasattr(target_size, "__getitem__"):
        raise TypeError(message("load_img", problem, "Write for example target_size=(224, 224)"))
    if len(target_size) < 2 or any(not _is_size(n) for n in target_size[:2]):
        raise ValueError(message("load_img", problem, "Both must be integers of at least 1"))
    return int(target_size[1]), int(target_size[0])


def _is_size(n: object) -> bool:
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool) and bool(n >= 1)


def _content(path: object) -> io.BytesIO:
    if isinstance(path, io.BytesIO):
        return path
    if not isinstance(path, (pathlib.Path, bytes, str)):
        problem = f"path must be a str, bytes, pathlib.Path or io.BytesIO, received {type(path).__name__}"
        raise TypeError(message("load_img", problem))
    with open(path, "rb") as file:
        return io.BytesIO(file.read())


@contextmanager
def _naming_the_file(path: object) -> Iterator[None]:
    """Gives Pillow's many kinds of failure a text that names the file, and plain types: OSError for damage."""
    from PIL import Image, UnidentifiedImageError

    name = "the given bytes" if isinstance(path, io.BytesIO) else repr(str(path))
    try:
        yield
    except (TypeError, MemoryError):
        raise
    except FileNotFoundError as error:
        remote = "://" in name
        fix = "Fetch it first with keras.utils.get_file(origin=URL)" if remote else "Check the path"
        raise FileNotFoundError(message("load_img", f"there is no file {name}", fix)) from error
    except (IsADirectoryError, PermissionError) as error:
        raise type(error)(message("load_img", f"cannot read {name}: {error.strerror}")) from error
    except UnidentifiedImageError as error:
        raise UnidentifiedImageError(message("load_img", f"{name} is not a picture that Pillow can read")) from error
    except Image.DecompressionBombError as error:
        fix = "If you trust the file, raise PIL.Image.MAX_IMAGE_PIXELS"
        raise Image.DecompressionBombError(message("load_img", f"{name} was refused: {error}", fix)) from error
    except Warning:  # a warning that the caller made an error, for example Pillow's about large pictures
        raise
    except Exception as error:
        raise OSError(message("load_img", f"{name} is damaged or cut short ({error})")) from error


def _resized(image: Image, size: tuple[int, int], interpolation: str, keep_aspect_ratio: bool) -> Image:
    if interpolation not in INTERPOLATIONS:
        problem = f"interpolation must be one of {listed(INTERPOLATIONS)}, received {interpolation!r}"
        raise ValueError(message("load_img", problem))
    resample = pil_image("load_img").Resampling[interpolation.upper()]
    box = _centred_box(image.size, size) if keep_aspect_ratio else None
    return image.resize(size, resample, box=box)


def _centred_box(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest box of the target's proportions in the middle of the picture: left, top, right, bottom."""
    (width, height), (target_width, target_height) = size, target
    box_height = max(1, min(height, width * target_height // target_width))
    box_width = max(1, min(width, height * target_width // target_height))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


# -------------------------------------------------------------------------------------------------------------- arrays


@export("keras.utils.img_to_array", "keras.preprocessing.image.img_to_array")
def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> np.ndarray:
    """A Pillow image as an array of shape `(height, width, channels)`, or `(channels, height, width)`.

    Args:
        img: a Pillow image, or an array of two or three axes.
        data_format: 'channels_last', 'channels_first' or None (default) for the global setting.
        dtype: of the result; None (default) for `floatx`.

    Raises:
        ValueError: img has not two or three axes. OSError: the picture is damaged. TypeError: img is a path.
    """
    channels_first = config.standardize_data_format(data_format, "img_to_array") == "channels_first"
    if isinstance(img, (str, bytes, pathlib.PurePath)):
        fix = "Load it first: img_to_array(load_img(path))"
        raise TypeError(message("img_to_array", f"expected a picture, received the path {img!r}", fix))
    x = np.asarray(img, dtype=config.floatx() if dtype is None else dtype)
    if x.ndim == 2:
        return x[np.newaxis] if channels_first else x[..., np.newaxis]
    if x.ndim != 3:
        raise ValueError(message("img_to_array", f"expected a picture of two or three axes, received shape {x.shape}"))
    return x.transpose(2, 0, 1) if channels_first else x


@export("keras.utils.array_to_img", "keras.preprocessing.image.array_to_img")
def array_to_img(x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None) -> Image:
    """An array of shape `(height, width, channels)` (or channels first) as a Pillow image.

    Args:
        x: anything that NumPy can make an array of; 1, 3 or 4 channels.
        data_format: 'channels_last', 'channels_first' or None (default) for the global setting.
        scale: stretch the values so that the least becomes 0 and the greatest 255 (default True); otherwise the
            values are taken as they are. One channel above 255 gives a picture of 32-bit integers (mode 'I').
        dtype: in which the stretching is computed; None (default) for `floatx`.

    Raises:
        ValueError: x has not three axes, or not 1, 3 or 4 channels, or is empty. TypeError: scale with integers.
    """
    data_format = config.standardize_data_format(data_format, "array_to_img")
    pixels = np.asarray(x, dtype=config.floatx() if dtype is None else dtype)
    if pixels.ndim != 3 or pixels.size == 0:
        problem = f"expected an array of rank 3 (one picture) that is not empty, received shape {pixels.shape}"
        raise ValueError(message("array_to_img", problem, "Take one picture out of a batch: x[0]"))
    pixels = pixels.transpose(1, 2, 0) if data_format == "channels_first" else pixels
    if pixels.shape[2] not in CHANNELS:
        problem = f"a picture has 1, 3 or 4 channels, received {pixels.shape[2]} (shape {np.shape(x)}, {data_format})"
        raise ValueError(message("array_to_img", problem))
    return _to_pil(_stretched(pixels) if scale else pixels)


def _stretched(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind in "iub":
        problem = f"scale=True computes in a floating-point dtype, received dtype {x.dtype.name!r}"
        raise TypeError(message("array_to_img", problem, "Leave dtype out, or pass scale=False"))
    x = x - np.min(x)
    greatest = np.max(x)
    if greatest != 0:
        x /= greatest
    x *= 255
    return x


def _to_pil(x: np.ndarray) -> Image:
    module = pil_image("array_to_img")
    if x.shape[2] > 1:
        return module.fromarray(np.ascontiguousarray(x.astype("uint8")))
    dtype = "int32" if np.max(x) > 255 else "uint8"
    return module.fromarray(np.ascontiguousarray(x[:, :, 0].astype(dtype)))


@export("keras.utils.save_img", "keras.preprocessing.image.save_img")
def save_img(
    path: Any,
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array as a picture.

    Args:
        path: where to, a path or a file object (then file_format is needed).
        x: an array as for `array_to_img`.
        data_format: 'channels_last', 'channels_first' or None (default) for the global setting.
        file_format: for example 'png'; None (default) takes it from the path's ending. JPEG drops the alpha channel,
            with a warning.
        scale: as for `array_to_img` (default True).
        **kwargs: passed to Pillow's `Image.save`, for example `quality=90`.

    Raises:
        ValueError: an unknown format, or x is no picture. OSError: the file cannot be written.
    """
    file_format = _pillow_format(path, file_format)
    image = array_to_img(x, data_format=data_format, scale=scale)
    if image.mode == "RGBA" and file_format == "JPEG":
        warnings.warn("save_img: JPEG has no alpha channel; the picture is written as RGB.", stacklevel=2)
        image = image.convert("RGB")
    image.save(path, format=file_format, **kwargs)


def _pillow_format(path: Any, file_format: str | None) -> str | None:
    """Pillow's name of the format; None where Pillow is to find it out from a file object's own name."""
    is_path = isinstance(path, (str, pathlib.Path))
    if file_format is None and not is_path and getattr(path, "name", None):
        return None
    name = file_format if file_format or not is_path else pathlib.Path(path).suffix[1:]
    module = pil_image("save_img")
    module.init()
    known = {ending[1:]: value for ending, value in module.registered_extensions().items()}
    pillow_name = known.get((name or "").lower(), (name or "").upper())
    if pillow_name not in module.SAVE:
        problem = f"cannot tell the picture format: path={path!r}, file_format={file_format!r}"
        raise ValueError(message("save_img", problem, "End the path with .png, or pass file_format='png'"))
    return pillow_name
