"""Candidates that take turns: A B C A B C ..., each in its own process, all on the same job."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.figures import relative_error, summary
from benchmarks.jobs import Job
from benchmarks.machine import available_memory
from benchmarks.process import Team, WorkerFailed
from benchmarks.settings import Settings, start, title_of

LEAST_MEMORY = 2.5 * 2**30  # bytes that have to be free before another candidate prepares
ALLOWED_ERROR = {"infer": 2e-3, "train": 2e-2}  # ncnn's Winograd comes to 5e-4; losses are compared after some steps
LONG = 0.3  # seconds of a run that needs no warming up

Candidates = dict[str, dict[str, Any]]


class Race:
    """Fills `candidates` with versions, errors and times. One that fails leaves with its reason, the others go on."""

    def __init__(self, title: str, jobs: dict[str, Job], settings: Settings, candidates: Candidates) -> None:
        self.title, self.jobs, self.settings, self.candidates = title, jobs, settings, candidates
        self.team = Team()
        self.expected: np.ndarray | None = None
        self.times: dict[str, list[float]] = {}

    def run(self, compare: bool = True) -> None:
        """From the start of the workers to their end."""
        with self.team:
            self._start()
            for name, job in self.jobs.items():
                self._attempt(name, lambda name=name, job=job: self._prepare(name, job, compare))
            self._rounds()
        for name, samples in self.times.items():
            if samples and "failed" not in self.candidates[name]:
                self.candidates[name] |= summary([sample / self.jobs[name].steps for sample in samples])

    def _start(self) -> None:
        """All import at the same time."""
        for name in self.jobs:
            self.candidates[name] = {}
            try:
                self.team.add(start(name, self.settings, f"{self.title}: starting"))
            except WorkerFailed as error:
                self.candidates[name]["failed"] = str(error)
        for name in self.jobs:
            self._attempt(name, lambda name=name: self._hello(name))

    def _hello(self, name: str) -> None:
        self.candidates[name]["version"] = self.team.workers[name].receive(self.settings.wait)["version"]

    def _attempt(self, name: str, action: Callable[[], None]) -> None:
        if name not in self.team.workers:
            return
        try:
            action()
        except WorkerFailed as error:
            self.candidates[name]["failed"] = str(error)
            self.team.dismiss(name)

    def _prepare(self, name: str, job: Job, compare: bool) -> None:
        worker, found, settings = self.team.workers[name], self.candidates[name], self.settings
        if available_memory() < LEAST_MEMORY:
            raise WorkerFailed("not enough memory is free")
        if settings.late and self.times:
            raise WorkerFailed("no time left")
        worker.tick = partial(settings.say, f"{self.title}: preparing {title_of(name)}")
        found["prepare"] = worker.ask("prepare", settings.wait, job=job.to_json())["seconds"]
        output = settings.folder / f"{name}.npy"
        first = worker.ask("first", settings.wait, output=str(output))
        found |= {"first": first["seconds"], "note": first["note"]}
        if compare:
            found["error"] = self._checked(np.load(output), ALLOWED_ERROR.get(job.kind, ALLOWED_ERROR["infer"]))
        self.times[name] = []

    def _checked(self, output: np.ndarray, allowed: float) -> float | None:
        """The difference to the first candidate's output. WorkerFailed if it is too large to be the same work."""
        if self.expected is None:
            self.expected = output
            return None
        error = relative_error(output, self.expected)
        if not error <= allowed:
            raise WorkerFailed(f"its result differs by {error:.1e} ({output.shape})")
        return error

    def _rounds(self) -> None:
        for number in range(self.settings.rounds):
            if number >= 2 and self.settings.late:
                return
            self.settings.say(f"{self.title}: round {number + 1} of {self.settings.rounds}")
            for name in list(self.team.workers):
                self._attempt(name, lambda name=name: self._turn(name))

    def _turn(self, name: str) -> None:
        worker, samples = self.team.workers[name], self.times[name]
        worker.tick = lambda: None
        known = samples[-1] if samples else self.candidates[name]["first"]
        answer = worker.ask("turn", self.settings.patience, seconds=self.settings.seconds, warm=known < LONG)
        samples.append(answer["median"])
