"""The process of one runtime: answers requests, one JSON object a line.

    python -m benchmarks.worker MODULE THREADS REPLY_FD

`hello` imports the runtime, `prepare` makes a job ready, `first` runs it once and writes its result, `turn` measures.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.jobs import Job, Work

PR_SET_PDEATHSIG = 1
LONGEST = 120  # characters of a reason


def main(arguments: list[str]) -> None:
    """Serves until the input ends."""
    module, threads, reply_fd = arguments[0], int(arguments[1]), int(arguments[2])
    _end_with_parent()
    _stay_on(threads)
    session = Session(module)
    with os.fdopen(reply_fd, "w") as replies:
        for line in sys.stdin:
            replies.write(json.dumps(_answer(session, json.loads(line))) + "\n")
            replies.flush()


def _answer(session: Session, request: dict[str, Any]) -> dict[str, Any]:
    actions: dict[str, Callable[..., dict[str, Any]]] = {
        "hello": session.hello, "prepare": session.prepare, "first": session.first,
        "turn": session.turn, "memory": session.memory, "write": session.write,
    }  # fmt: skip
    name = request.pop("do")
    try:
        return actions[name](**request)
    except Exception as error:
        import traceback

        traceback.print_exc()
        return {"error": in_a_line(error)}


def in_a_line(error: Exception) -> str:
    """The kind and the first line of an error, without this machine's folders, for a table."""
    text = str(error).strip().partition("\n")[0].replace(f"{Path.cwd()}/", "")
    return f"{type(error).__name__}: {text}"[:LONGEST]


class Session:
    """What stays between requests."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.rival: Any = None
        self.work: Work | None = None

    def hello(self) -> dict[str, Any]:
        """Imports the runtime."""
        self.rival = importlib.import_module(self.module if "." in self.module else f"benchmarks.rivals.{self.module}")
        return {"version": self.rival.version()}

    def write(self, job: dict[str, Any]) -> dict[str, Any]:
        """Writes the model's files; only striate's own module can."""
        return self.rival.write(Job.from_json(job))

    def prepare(self, job: dict[str, Any]) -> dict[str, Any]:
        """Builds, converts, compiles."""
        start = time.perf_counter()
        self.work = self.rival.prepare(Job.from_json(job))
        return {"seconds": time.perf_counter() - start}

    def first(self, output: str) -> dict[str, Any]:
        """The first run, timed; its result goes to the file `output`."""
        work = self._ready()
        start = time.perf_counter()
        result = work.run()
        seconds = time.perf_counter() - start
        np.save(output, np.asarray(work.result(result), np.float32))
        return {"seconds": seconds, "note": work.note}

    def turn(self, seconds: float, warm: bool) -> dict[str, Any]:
        """Runs for `seconds` and at least once, after one run for the caches if `warm`: the median of these."""
        run = self._ready().run
        if warm:
            run()
        times: list[float] = []
        until = time.perf_counter() + seconds
        while not times or time.perf_counter() < until:
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return {"median": statistics.median(times), "runs": len(times)}

    def memory(self) -> dict[str, Any]:
        """The largest resident size so far, in bytes."""
        return {"peak": peak_memory()}

    def _ready(self) -> Work:
        if self.work is None:
            raise RuntimeError("nothing is prepared")
        return self.work


def peak_memory() -> int:
    """Bytes; Linux says it in /proc, others by getrusage (macOS in bytes)."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _end_with_parent() -> None:
    """A worker that is stopped when its parent is killed would stay for ever."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _stay_on(threads: int) -> None:
    """As many cores as threads: runtimes that ask the system how many there are get the same answer."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


if __name__ == "__main__":
    main(sys.argv[1:])
