"""What callbacks that watch one value have in common: which way is better, and whether a value is."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from striate import ops
from striate.callbacks.callback import Callback


class MonitorCallback(Callback):
    """Base of callbacks that watch a value of the logs.

    Args:
        monitor: its name.
        mode: "min" or "max" says which way is better; "auto" asks the metric of that name, a loss is better when low.
        baseline: the best value so far; None (default) for none.
        min_delta: by how much a value must be better to count.

    Raises (when the first value comes):
        ValueError: `mode="auto"`, and the metric does not say which way is better.
    """

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", baseline: float | None = None, min_delta: float = 0
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            text = f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode."
            warnings.warn(text, stacklevel=3)
            mode = "auto"
        self.monitor, self.mode = monitor, mode
        self.best: Any = baseline
        self.min_delta = abs(min_delta)
        self.monitor_op: Any = None

    def _set_monitor_op(self) -> None:
        """Finds out which way is better, once the model's metrics are there."""
        self.monitor_op = {"min": ops.less, "max": ops.greater}.get(self.mode) or self._op_of_metric()
        if self.monitor_op is ops.less:
            self.min_delta = -abs(self.min_delta)

    def _op_of_metric(self) -> Any:
        name = self.monitor.removeprefix("val_")
        ways = [m._direction for m in _leaves(getattr(self.model, "metrics", ())) if _tells(m, name)]
        if ways:
            return ops.greater if ways[-1] == "up" else ops.less
        if name == "loss":
            return ops.less
        raise ValueError(
            f"{type(self).__name__} callback received monitor={self.monitor}, but Keras isn't able to automatically "
            "determine whether that metric should be maximized or minimized. Pass `mode='max'` in order to monitor "
            "based on the highest metric value, or pass `mode='min'` in order to use the lowest value."
        )

    def _is_improvement(self, value: Any, reference: Any) -> bool:
        if reference is None:
            return True
        return bool(self.monitor_op(value - self.min_delta, reference))


def _leaves(metrics: Any) -> Iterator[Any]:
    """The metrics, with those that stand for several (of all outputs) replaced by these."""
    for metric in metrics:
        below = getattr(metric, "metrics", None)
        yield from _leaves(below) if below else [metric]


def _tells(metric: Any, name: str) -> bool:
    return getattr(metric, "name", None) == name and getattr(metric, "_direction", None) is not None
