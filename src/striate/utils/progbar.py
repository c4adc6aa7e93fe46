"""The progress bar of `predict`, with Keras's look: `1/1 ━━━━━━━━━━━━━━━━━━━━ 0s 12ms/step`."""

from __future__ import annotations

import math
import time
from typing import Any

from striate.core.interactive import show
from striate.core.registry import export

_BOLD, _GREEN, _GREY, _OFF = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"


@export("keras.utils.Progbar")
class Progbar:
    """Shows how far a loop of steps has come.

    Args:
        target: the number of steps; None if unknown.
        width: of the bar, in characters.
        verbose: 0 for nothing, 1 for a bar, 2 for one line at the end.
        interval: the least time between two updates, in seconds.
        stateful_metrics: names of values to show as they are; others are averaged over the steps.
        stateless_metrics: in its place, the names of the values to average.
        unit_name: what is counted.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Any = None,
        stateless_metrics: Any = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError("Only one of `stateful_metrics` or `stateless_metrics` can be provided. Leave one out.")
        self.target, self.width, self.verbose, self.interval, self.unit_name = (
            target,
            width,
            verbose,
            interval,
            unit_name,
        )
        self.stateful_metrics = set(stateful_metrics or ())
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self._values: dict[str, list[float]] = {}
        self._seen, self._shown_width = 0, 0
        self._start, self._last = time.time(), 0.0
        self._after_first: float | None = None

    def update(self, current: int, values: Any = None, finalize: bool | None = None) -> None:
        """Shows that `current` steps are done; `values` are pairs of a name and its value in the last step."""
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        self._collect(current, values or (), finalize)
        self._seen, now = current, time.time()
        per_unit = self._per_unit(current, now)
        if self.verbose == 1 and (finalize or now - self._last >= self.interval):
            self._draw(current, per_unit, now, finalize)
        if self.verbose == 2 and finalize and self.target:
            show(f"{self._count(current)} - {now - self._start:.0f}s -{self._speed(per_unit)}{self._metrics()}")
        if self.verbose != 1 or finalize or now - self._last >= self.interval:
            self._last = now

    def add(self, n: int, values: Any = None) -> None:
        """Shows that `n` more steps are done."""
        self.update(self._seen + n, values)

    def _collect(self, current: int, values: Any, finalize: bool) -> None:
        for name, value in values:
            averaged = (
                name not in self.stateful_metrics if self.stateless_metrics is None else name in self.stateless_metrics
            )
            if not averaged or finalize:
                self._values[name] = [value, 1]
            else:
                steps = max(current - self._seen, 1)
                total, count = self._values.get(name, [0.0, 0])
                self._values[name] = [total + value * steps, count + steps]

    def _per_unit(self, current: int, now: float) -> float:
        """The time of one step; the first one, which compiles, is left out as soon as there are others."""
        if not current:
            return 0.0
        if self._after_first is not None and current > 1:
            return (now - self._after_first) / (current - 1)
        if current == 1:
            self._after_first = now
        return (now - self._start) / current

    def _draw(self, current: int, per_unit: float, now: float, finalize: bool) -> None:
        bar, bar_width = self._bar(current)
        known = self.target is not None and self.target > 0
        clock = (
            _eta(per_unit * ((self.target or 0) - current)) if known and not finalize else f"{now - self._start:.0f}s"
        )
        tail = f"{self._speed(per_unit)}{self._metrics()}"
        width = bar_width + 1 + len(clock) + len(tail)
        erased = "\b" * self._shown_width + "\r"
        rest = " " * max(self._shown_width - width, 0)
        self._shown_width = width
        show(f"{erased}{bar} {_BOLD}{clock}{_OFF}{tail}{rest}", end="\n" if finalize else "")

    def _bar(self, current: int) -> tuple[str, int]:
        if not self.target:
            text = f"{current:7d}/Unknown"
            return text, len(text)
        done = min(int(self.width * current / self.target), self.width)
        green = f"{_GREEN}{'━' * done}{_OFF}" if done else ""
        count = self._count(current)
        return f"{_BOLD}{count}{_OFF} {green}{_GREY}{'━' * (self.width - done)}{_OFF}", len(count) + 1 + self.width

    def _count(self, current: int) -> str:
        digits = int(math.log10(self.target or 1)) + 1
        return f"{current:{digits}d}/{self.target}"

    def _speed(self, per_unit: float) -> str:
        if per_unit >= 1 or per_unit == 0:
            return f" {per_unit:.0f}s/{self.unit_name}"
        if per_unit >= 1e-3:
            return f" {per_unit * 1e3:.0f}ms/{self.unit_name}"
        return f" {per_unit * 1e6:.0f}us/{self.unit_name}"

    def _metrics(self) -> str:
        shown = ((name, float(total) / max(1, count)) for name, (total, count) in self._values.items())
        size = abs if self.verbose == 1 else float  # so that lines look as Keras's, also where values are negative
        return "".join(
            f" - {name}: {mean:.4f}" if size(mean) > 1e-3 else f" - {name}: {mean:.4e}" for name, mean in shown
        )


def _eta(seconds: float) -> str:
    if seconds > 3600:
        return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d}:{int(seconds % 60):02d}"
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}" if seconds > 60 else f"{int(seconds)}s"
