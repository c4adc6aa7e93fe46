"""What all functions with windows share: layouts, and padding as `core.window` resolves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from striate.core import window
from striate.core.config import standardize_data_format
from striate.core.errors import message
from striate.primitives import structural


def channels_last(x: Any) -> Any:
    """`x` with its channels moved from the second axis to the last."""
    return structural.transpose(x, axes=(0, *range(2, x.ndim), 1))


def channels_first(x: Any) -> Any:
    """`x` with its channels moved from the last axis to the second."""
    return structural.transpose(x, axes=(0, x.ndim - 1, *range(1, x.ndim - 1)))


def in_channels_last(fn: Callable[[Any], Any], x: Any, data_format: str | None) -> Any:
    """`fn(x)` where `fn` wants channels last, whatever the layout of `x`."""
    if standardize_data_format(data_format) == "channels_last":
        return fn(x)
    return channels_first(fn(channels_last(x)))


def spatial_rank(name: str, x: Any) -> int:
    """The number of spatial axes; ValueError unless there are 1 to 3."""
    rank = x.ndim - 2
    if not 1 <= rank <= 3:
        raise ValueError(
            message(
                name,
                "expected inputs with a batch, 1 to 3 spatial axes and channels (3 to 5 axes), got shape "
                f"{tuple(x.shape)}",
            )
        )
    return rank


class Window:
    """A window's settings, one entry per spatial axis, checked; and its explicit padding for an input."""

    def __init__(
        self, name: str, size: Any, strides: Any, padding: Any, dilation: Any, rank: int, what: str = "pool_size"
    ) -> None:
        self.name = name
        self.size = window.normalize_tuple(size, rank, what, where=name)
        self.strides = window.normalize_tuple(strides, rank, "strides", where=name)
        self.dilation = window.normalize_tuple(dilation, rank, "dilation_rate", where=name)
        allowed = ("valid", "same", "full", "causal") if rank == 1 else ("valid", "same", "full")
        self.padding = window.normalize_padding(padding, rank, allowed=allowed, where=name)

    def pads(self, spatial: Any, what: str = "kernel") -> tuple[tuple[int, int], ...]:
        """The padding in front of and behind each axis; ValueError when the window does not fit."""
        window.output_shape(spatial, self.size, self.strides, self.padding, self.dilation, where=self.name, what=what)
        return tuple(
            p or (0, 0) for p in window.kernel_pads(spatial, self.size, self.strides, self.padding, self.dilation)
        )
