"""`image_dataset_from_directory`: pictures in folders as batches, decoded ahead by threads."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from striate import ops
from striate.core import config
from striate.core.registry import export
from striate.datasets.folders import Files, check_split, chosen, find, part, shuffled
from striate.utils.image import img_to_array, load_img
from striate.utils.py_dataset import PyDataset, ordered_batches

FORMATS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}


class Look(NamedTuple):
    """What becomes of a picture: its colours, size, and how it gets there."""

    color_mode: str
    size: tuple[int, int]
    interpolation: str
    crop: bool
    pad: bool
    data_format: str


class ImageDataset(PyDataset):
    """Pictures from files, in batches.

    Attributes:
        file_paths, class_names: what is in it, in order; the names of the classes, or None.
    """

    def __init__(self, files: Files, look: Look, mode: str | None, size: int | None, shuffle: bool, seed: int) -> None:
        super().__init__(workers=4, max_queue_size=8)
        self.file_paths, self.class_names = files.paths, files.class_names
        self._labels = None if files.labels is None else np.array(files.labels, np.int32)
        self._look, self._mode, self._size, self._shuffle, self._seed = look, mode, size, shuffle, seed
        self._epoch = 0

    def __len__(self) -> int:
        return -(-len(self.file_paths) // (self._size or 1))

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} batches, and no number {index}")
        size = self._size or 1
        rows = self._order()[index * size : (index + 1) * size]
        images = np.stack([picture(self.file_paths[i], self._look) for i in rows])
        labels = None if self._labels is None else self._targets(self._labels[rows])
        if self._size is None:  # single pictures
            return images[0] if labels is None else (images[0], labels[0])
        return images if labels is None else (images, labels)

    def _order(self) -> np.ndarray:
        count = len(self.file_paths)
        return (
            np.random.default_rng([self._seed, self._epoch]).permutation(count) if self._shuffle else np.arange(count)
        )

    def _targets(self, labels: np.ndarray) -> np.ndarray:
        if self._mode == "categorical":
            return np.eye(len(self.class_names or ()), dtype="float32")[labels]
        return labels[:, None].astype("float32") if self._mode == "binary" else labels

    def __iter__(self) -> Iterator[Any]:
        yield from ordered_batches(self, range(len(self)))
        self._epoch += 1

    def go_to_epoch(self, number: int) -> None:
        """The order of epoch `number`, so that training can go on from a backup."""
        self._epoch = number


def picture(path: str, look: Look) -> np.ndarray:
    """A file's picture as float32 between 0 and 255.

    Raises:
        OSError, ValueError: it can't be read; the message names it.
    """
    array = img_to_array(load_img(path, color_mode=look.color_mode), data_format="channels_last", dtype="float32")
    if array.shape[:2] != look.size:
        array = np.asarray(
            ops.image.resize(
                array, look.size, look.interpolation, crop_to_aspect_ratio=look.crop, pad_to_aspect_ratio=look.pad,
                data_format="channels_last",
            )
        )  # fmt: skip
    return array.transpose(2, 0, 1) if look.data_format == "channels_first" else array


@export(
    "keras.utils.image_dataset_from_directory",
    "keras.preprocessing.image_dataset_from_directory",
)
def image_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: Any = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str = "tf",
    verbose: bool = True,
    unreadable: str = "raise",
) -> Any:
    """Pictures below a folder (BMP, GIF, JPEG, PNG) as batches for `fit`, or to iterate over.

    Args:
        directory: with one folder per class, unless `labels` says otherwise.
        labels: "inferred" from the folders, None for none, or one number per file in the order of their paths.
        label_mode: "int" `(batch,)`, "categorical" (one-hot), "binary" `(batch, 1)`, or None for none.
        class_names: which folders, and in which order.
        color_mode: "rgb", "rgba" or "grayscale".
        batch_size: None for single pictures.
        image_size: (height, width) of all pictures.
        shuffle: whether the order changes with each epoch; else it is that of the paths.
        seed: of the shuffling; needed for a split.
        validation_split, subset: the fraction held out, and which part is wanted: "training", "validation" or "both".
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        follow_links: whether links to folders are followed.
        crop_to_aspect_ratio, pad_to_aspect_ratio: cut away, or fill with zeros, rather than distort.
        data_format: the layout, `image_data_format()` by default.
        format: accepted for Keras's sake.
        verbose: whether the number of files is printed.
        unreadable: "raise", or "skip": files are read once beforehand, and a warning names those left out.

    Returns:
        A `PyDataset` (a list of two with `subset="both"`) whose batches are `images` or `(images, labels)`, float32
        `(batch, height, width, channels)` between 0 and 255, with `class_names` and `file_paths`.

    Raises:
        ValueError: no such folder, no pictures in it, arguments that don't fit.
        OSError: while iterating, a file can't be read.
    """
    look = _look(color_mode, image_size, interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio, data_format)
    _check(labels, label_mode, unreadable)
    check_split(validation_split, subset, shuffle, seed)
    if labels is None or label_mode is None:
        labels = label_mode = None
    seed = int(np.random.randint(10**6)) if seed is None else seed
    files = find(directory, labels, FORMATS, class_names, follow_links, verbose)
    if label_mode == "binary" and len(files.class_names or ()) != 2:
        raise ValueError(
            'When passing `label_mode="binary"`, there must be exactly 2 class_names. Received: '
            f"class_names={files.class_names}"
        )
    files = shuffled(files, seed) if shuffle else files
    files = _readable(files, look) if unreadable == "skip" else files
    made = []
    for wanted in ("training", "validation") if subset == "both" else (subset,):
        held = part(files, validation_split, wanted, verbose)
        if not held.paths:
            raise ValueError(f"No {wanted + ' ' if wanted else ''}images found in directory {directory}. Allowed "
                             f"formats: {FORMATS}")  # fmt: skip
        mixed = shuffle and not (subset == "both" and wanted == "validation")
        made.append(ImageDataset(held, look, label_mode, batch_size, mixed, seed))
    return made if subset == "both" else made[0]


def _look(color_mode: str, size: Any, interpolation: str, crop: bool, pad: bool, data_format: str | None) -> Look:
    if color_mode not in _CHANNELS:
        raise ValueError(
            f'`color_mode` must be one of {{"rgb", "rgba", "grayscale"}}. Received: color_mode={color_mode}'
        )
    both = (size, size) if isinstance(size, int) else size
    if not isinstance(both, list | tuple) or len(both) != 2 or not all(isinstance(n, int) and n > 0 for n in both):
        raise ValueError(f"Invalid `image_size` value. Expected a tuple of 2 integers. Received: image_size={size}")
    known = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")
    if str(interpolation).lower() not in known:
        raise ValueError(f"Argument `interpolation` should be one of {known}. Received: interpolation={interpolation}")
    layout = config.image_data_format() if data_format is None else data_format
    if layout not in ("channels_last", "channels_first"):
        raise ValueError(f"`data_format` must be 'channels_last' or 'channels_first'. Received: {data_format!r}")
    return Look(color_mode, (both[0], both[1]), str(interpolation).lower(), crop, pad, layout)


def _check(labels: Any, label_mode: Any, unreadable: str) -> None:
    if not (labels is None or isinstance(labels, list | tuple) or (isinstance(labels, str) and labels == "inferred")):
        raise ValueError(
            "`labels` argument should be a list/tuple of integer labels, of the same size as the number of image files "
            f'in the target directory, or "inferred", or None. Received: labels={labels}'
        )
    if label_mode not in ("int", "categorical", "binary", None):
        raise ValueError(
            f'`label_mode` argument must be one of "int", "categorical", "binary", or None. Received: '
            f"label_mode={label_mode}"
        )
    if unreadable not in ("raise", "skip"):
        raise ValueError(f"`unreadable` must be 'raise' or 'skip'. Received: unreadable={unreadable!r}")


def _readable(files: Files, look: Look) -> Files:
    """The files that can be read, each tried once; a warning names the others."""
    with ThreadPoolExecutor(8) as pool:
        problems = list(pool.map(lambda path: _problem(path, look), files.paths))
    bad = [f"{path}: {problem}" for path, problem in zip(files.paths, problems, strict=True) if problem]
    if bad:
        warnings.warn(f"image_dataset_from_directory leaves out {len(bad)} files:\n" + "\n".join(bad), stacklevel=4)
    return chosen(files, [i for i, problem in enumerate(problems) if problem is None])


def _problem(path: str, look: Look) -> str | None:
    try:
        load_img(path, color_mode=look.color_mode)
    except Exception as error:  # bombs are of a kind of their own; whatever it is, the file is left out and named
        return str(error)
    return None
