"""Workers seen from the parent: one process per runtime, stopped (SIGSTOP) while it is not its turn.

A stopped process neither spins nor wakes: every runtime keeps its own way of waiting, and none takes time from another.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TICK = 0.1  # seconds between two signs of life


class WorkerFailed(Exception):
    """A worker that ended, answered with an error or took too long; the text is for the table."""


class Worker:
    """`python -m benchmarks.worker module`, in a process group of its own."""

    def __init__(
        self, name: str, python: str, module: str, threads: int, log: Path,
        environment: Mapping[str, str] | None = None, tick: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.name, self.log, self.tick = name, log, tick
        self._buffer = b""
        reply, theirs = os.pipe()
        command = [python, "-m", "benchmarks.worker", module, str(threads), str(theirs)]
        try:
            with open(log, "wb") as output:
                self._process = subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
                    pass_fds=[theirs], start_new_session=True, env={**os.environ, **(environment or {})},
                )  # fmt: skip
        except OSError as error:
            os.close(reply)
            raise WorkerFailed(f"{python}: {error.strerror}") from None
        finally:
            os.close(theirs)
        self._reply = reply
        self.pid = self._process.pid

    def ask(self, do: str, timeout: float = 120.0, **arguments: Any) -> dict[str, Any]:
        """Wakes the worker, waits for its answer, stops it again. WorkerFailed if it has none."""
        self.send(do, **arguments)
        return self.receive(timeout)

    def send(self, do: str, **arguments: Any) -> None:
        """Wakes the worker with a request."""
        self.resume()
        line = json.dumps({"do": do, **arguments}) + "\n"
        try:
            os.write(self._stdin(), line.encode())
        except OSError:
            raise WorkerFailed(self._why_ended()) from None

    def receive(self, timeout: float = 120.0) -> dict[str, Any]:
        """The answer to the last request; the worker is stopped after it."""
        try:
            answer = json.loads(self._line(time.monotonic() + timeout, timeout))
        finally:
            self.pause()
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    def pause(self) -> None:
        """Stops the worker and its helpers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Kills the whole group and waits; harmless when it has ended."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        if self._reply >= 0:
            os.close(self._reply)
            self._reply = -1

    def _signal(self, number: int) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _stdin(self) -> int:
        if self._process.stdin is None:
            raise WorkerFailed("it has no input")
        return self._process.stdin.fileno()

    def _line(self, until: float, timeout: float) -> bytes:
        with selectors.DefaultSelector() as selector:
            selector.register(self._reply, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                self.tick()
                if time.monotonic() > until:
                    raise WorkerFailed(f"no answer within {timeout:.0f} s")
                if selector.select(TICK):
                    self._read()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _read(self) -> None:
        data = os.read(self._reply, 65536)
        if not data:
            raise WorkerFailed(self._why_ended())
        self._buffer += data

    def _why_ended(self) -> str:
        """The status and the last line that it wrote."""
        self._signal(signal.SIGCONT)
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return f"ended with {code}" + (f": {lines[-1].strip()}" if lines else "")


class Team:
    """Workers that live together and end together, however the block is left."""

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self.workers):
            self.dismiss(name)

    def add(self, worker: Worker) -> Worker:
        """Takes `worker` in."""
        self.workers[worker.name] = worker
        return worker

    def dismiss(self, name: str) -> None:
        """Ends one."""
        self.workers.pop(name).end()


def end_on_signals(numbers: Sequence[int] = (signal.SIGTERM, signal.SIGHUP)) -> None:
    """These signals leave `with` blocks as Ctrl-C does."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, leave)
