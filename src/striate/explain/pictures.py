"""Arrays as PNG images inside a page."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

_HEAT = np.array([240, 160, 30], "float64")  # orange, which shows on dark and on bright pictures


def data_url(pixels: np.ndarray) -> str:
    """`(height, width, 3 or 4)` bytes as a PNG for `href`."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def picture(image: Any) -> str:
    """`(height, width, channels)` of any range, stretched to what a picture shows; the first three channels."""
    array = np.asarray(image, "float64")
    array = array[..., :3] if array.shape[-1] >= 3 else np.repeat(array[..., :1], 3, axis=-1)
    low, high = float(array.min()), float(array.max())
    scaled = (array - low) / (high - low) if high > low else np.full_like(array, 0.5)
    return data_url((scaled * 255).round().astype("uint8"))


def heat_layer(weights: np.ndarray) -> str:
    """A transparent layer whose opacity is the weight, by its root so that small ones are seen."""
    top = float(weights.max()) or 1.0
    pixels = np.empty((*weights.shape, 4))
    pixels[..., :3] = _HEAT
    pixels[..., 3] = np.sqrt(weights / top) * 235
    return data_url(pixels.round().astype("uint8"))
