"""Counting batches for callbacks that save every so many of them."""

from __future__ import annotations

from typing import Any


class BatchCounter:
    """Says when `save_freq` batches have gone by, also across epochs and with several batches per call.

    Args:
        save_freq: "epoch", for which it is never due, or a number of batches.
        text: the message of the ValueError for anything else.
    """

    def __init__(self, save_freq: Any, text: str) -> None:
        if save_freq != "epoch" and not (isinstance(save_freq, int) and save_freq > 0):
            raise ValueError(text)
        self.save_freq = save_freq
        self._seen = 0
        self._last = -1

    def is_due(self, batch: int) -> bool:
        """Counts up to `batch`, the number of the last one in its epoch, and says whether it is time to save."""
        if self.save_freq == "epoch":
            return False
        self._seen += batch - self._last if batch > self._last else batch + 1  # else: a new epoch
        self._last = batch
        if self._seen < self.save_freq:
            return False
        self._seen = 0
        return True

    @property
    def state(self) -> list[int]:
        """What it has counted."""
        return [self._seen, self._last]

    @state.setter
    def state(self, value: list[int]) -> None:
        self._seen, self._last = value

    def start(self, batches: int) -> None:
        """Counts anew in the middle of an epoch, after its first `batches`."""
        self._seen, self._last = 0, batches - 1
