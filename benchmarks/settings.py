"""How everything is measured, and how a worker is started."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.process import Worker
from benchmarks.workloads import RIVALS, VERSUS


@dataclass
class Settings:
    """`python` is the rivals' interpreter, `seconds` the length of a turn, `deadline` a value of time.monotonic()."""

    threads: int
    rounds: int
    seconds: float
    python: str
    folder: Path
    rivals: list[str] = field(default_factory=list)
    quick: bool = False
    deadline: float | None = None
    patience: float = 600.0  # seconds for one answer
    say: Callable[[str], None] = lambda text: None

    @property
    def late(self) -> bool:
        """No time for more."""
        return self.left <= 0

    @property
    def left(self) -> float:
        """Seconds."""
        return float("inf") if self.deadline is None else self.deadline - time.monotonic()

    @property
    def wait(self) -> float:
        """For one answer: not far beyond the deadline."""
        return min(self.patience, max(self.left, 0) + 20)


def title_of(name: str) -> str:
    """A candidate's: "striate@224" is striate once more."""
    known, _, extra = name.partition("@")
    return RIVALS[known].title + (f" at {extra}" if extra else "")


def start(name: str, settings: Settings, doing: str) -> Worker:
    """A worker that has begun to import its runtime; the answer to that is to be received first."""
    rival = RIVALS[name.partition("@")[0]]
    environment = {
        "KERAS_BACKEND": rival.backend, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": str(settings.threads),
        "TORCHINDUCTOR_CACHE_DIR": str(settings.folder / "inductor"), "STRIATE_NUM_THREADS": str(settings.threads),
    }  # fmt: skip
    settings.folder.mkdir(parents=True, exist_ok=True)
    python = sys.executable if rival is RIVALS[VERSUS] else settings.python
    tick = partial(settings.say, f"{doing}: {title_of(name)}")
    worker = Worker(name, python, rival.module, settings.threads, settings.folder / f"{name}.log", environment, tick)
    worker.send("hello")
    return worker
