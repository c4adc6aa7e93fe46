"""Event files as TensorBoard reads them, written with the package `tensorboard`, imported when it is needed."""

from __future__ import annotations

import struct
import time
import zlib
from typing import Any

import numpy as np

from striate.core.errors import message

WHERE = "TensorBoard"
BUCKETS = 30  # of a histogram, as many as TensorBoard takes by default


def tensorboard_package() -> Any:
    """The modules of `tensorboard` that are needed; ImportError that names the extra when it is not installed."""
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.histogram import metadata as histogram
        from tensorboard.plugins.image import metadata as image
        from tensorboard.plugins.scalar import metadata as scalar
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
        from tensorboard.util import tensor_util
    except ImportError as error:
        fix = "Install the extra: 'striate[tensorboard]'"
        raise ImportError(message(WHERE, f"the package 'tensorboard' is missing ({error})", fix)) from error
    return _Package(event_pb2, summary_pb2, scalar, histogram, image, EventFileWriter, tensor_util.make_tensor_proto)


class _Package:
    def __init__(self, event: Any, summary: Any, scalar: Any, histogram: Any, image: Any, file: Any, tensor: Any):
        self.event, self.summary, self.file, self.tensor = event, summary, file, tensor
        self.scalar, self.histogram, self.image = (m.create_summary_metadata for m in (scalar, histogram, image))


class EventWriter:
    """Writes summaries to an event file of its own in `folder`.

    Raises:
        ImportError: the package `tensorboard` is missing.
    """

    def __init__(self, folder: str) -> None:
        self._package = tensorboard_package()
        self._file = self._package.file(folder)

    def scalar(self, tag: str, value: Any, step: int) -> None:
        """A number."""
        self._write(tag, np.float32(value), self._package.scalar(display_name=None, description=None), step)

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """How the values are spread; those that are not finite are left out."""
        metadata = self._package.histogram(display_name=None, description=None)
        self._write(tag, histogram_of(values), metadata, step)

    def image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """A picture: integers from 0 to 255 of shape (height, width) or (height, width, 3)."""
        height, width = pixels.shape[:2]
        parts = [str(width).encode(), str(height).encode(), png(pixels)]
        metadata = self._package.image(display_name=None, description=None)
        self._write(tag, np.array(parts, dtype=object), metadata, step)

    def model(self, tag: str, text: str, step: int) -> None:
        """A model's architecture as JSON, which TensorBoard draws as a graph."""
        metadata = self._package.summary.SummaryMetadata()
        metadata.plugin_data.plugin_name = "graph_keras_model"
        metadata.plugin_data.content = b"1"  # the version of the format
        self._write(tag, np.array(text.encode(), dtype=object), metadata, step)

    def _write(self, tag: str, value: Any, metadata: Any, step: int) -> None:
        summary = self._package.summary.Summary()
        summary.value.add(tag=tag, metadata=metadata, tensor=self._package.tensor(value))
        self._file.add_event(self._package.event.Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        """Brings everything to the disk."""
        self._file.flush()

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


def histogram_of(values: np.ndarray) -> np.ndarray:
    """Rows of (left edge, right edge, count), shape (30, 3); where all values are equal, they are in the last row."""
    flat = np.asarray(values, np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return np.zeros((BUCKETS, 3))
    low, high = flat.min(), flat.max()
    if low == high:
        counts = np.zeros(BUCKETS)
        counts[-1] = flat.size
        return np.stack([np.full(BUCKETS, low), np.full(BUCKETS, low), counts], axis=1)
    counts, edges = np.histogram(flat, BUCKETS, (low, high))
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of bytes of shape (height, width), grey, or (height, width, 3), colours."""
    pixels = np.ascontiguousarray(pixels, np.uint8)
    height, width = pixels.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # 0: no filter
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows.tobytes())) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def picture_of(weight: np.ndarray) -> np.ndarray | None:
    """A weight as one picture from black (its least value) to white (its greatest); None if it can't be drawn.

    A vector is a row, a matrix is drawn with its longer side across, and the kernel of a 2-dimensional convolution
    (height, width, inputs, outputs) as tiles, in colours if there are three inputs.
    """
    weight = np.asarray(weight, np.float64)
    if not weight.size or not np.isfinite(weight).all():
        return None
    span = np.ptp(weight)
    levels = np.rint((weight - weight.min()) * (255 / span if span else 0)).astype(np.uint8)
    if weight.ndim == 4:
        return _tiles(levels)
    levels = np.squeeze(levels) if weight.ndim != 2 else levels
    if levels.ndim <= 1:
        return levels.reshape(1, -1)
    if levels.ndim == 2:
        return levels if levels.shape[0] <= levels.shape[1] else levels.T
    return _tiles(levels[:, :, None, :]) if levels.ndim == 3 else None


_MOST = 1024  # tiles of a picture


def _tiles(kernel: np.ndarray) -> np.ndarray:
    """The maps of a kernel (height, width, inputs, outputs) beside one another, a white pixel apart."""
    height, width, inputs, outputs = kernel.shape
    if inputs == 3:
        maps = np.moveaxis(kernel, -1, 0)
    else:
        maps = kernel.reshape(height, width, inputs * outputs, 1).transpose(2, 0, 1, 3)
    maps = maps[:_MOST]
    across = int(np.ceil(np.sqrt(len(maps))))
    down = -(-len(maps) // across)
    page = np.full((down * across, height + 1, width + 1, maps.shape[-1]), 255, np.uint8)
    page[: len(maps), :height, :width] = maps
    page = page.reshape(down, across, height + 1, width + 1, -1).transpose(0, 2, 1, 3, 4)
    page = page.reshape(down * (height + 1), across * (width + 1), -1)[:-1, :-1]
    return page if page.shape[-1] == 3 else page[..., 0]
