"""Measures one row: makes the model's files, then does what the row's `measure` names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from benchmarks import jobs, truth
from benchmarks.figures import Result, relative_error, summary
from benchmarks.jobs import Job
from benchmarks.machine import now
from benchmarks.process import Team, WorkerFailed
from benchmarks.race import Candidates, Race
from benchmarks.settings import Settings, start
from benchmarks.workloads import VERSUS, Row, rivals_of

SMALL = (224, 224, 3)
RUNS_BEFORE_MEMORY = 3


def measure(row: Row, settings: Settings) -> Result:
    """A row's result (see `benchmarks.figures`). What fails is listed with its reason."""
    candidates: Candidates = {}
    result = {"name": row.name, "title": row.title, "unit": row.unit, "measure": row.measure, "candidates": candidates}
    result |= {"date": now(), "rounds": settings.rounds}
    result["targets"] = [{**asdict(target), "rivals": list(target.rivals)} for target in row.targets]
    try:
        job = write_files(job_of(row, settings), settings)
        MEASURES[row.measure](row, job, settings, candidates)
    except WorkerFailed as error:
        candidates.setdefault(VERSUS, {})["failed"] = str(error)
    return result


def job_of(row: Row, settings: Settings) -> Job:
    """What all workers of a row are given."""
    folder = settings.folder / "-".join([row.model, *map(str, row.shape[:-1])])
    return Job(
        row.kind, row.model, row.shape, row.batch, str(folder), settings.threads, row.steps, row.optimizer,
        row.precision,
    )  # fmt: skip


def write_files(job: Job, settings: Settings) -> Job:
    """By a worker of its own, so that nothing of it is left; once per model and run. Returns the job with its shape."""
    notes = job.files / "notes.json"
    if not notes.exists():
        with Team() as team:
            worker = team.add(start(VERSUS, settings, f"{job.model}: its weights"))
            worker.receive(settings.patience)
            notes.write_text(json.dumps(worker.ask("write", settings.patience, job=job.to_json())))
    shape = json.loads(notes.read_text())["shape"]
    return replace(job, shape=tuple(shape))


def _time(row: Row, job: Job, settings: Settings, candidates: Candidates) -> None:
    names = [VERSUS, *rivals_of(row, settings.rivals, settings.quick)]
    Race(row.title, dict.fromkeys(names, job), settings, candidates).run()


def _pixels(row: Row, job: Job, settings: Settings, candidates: Candidates) -> None:
    """The same network at its usual size is the rival, both divided by their pixels; in nanoseconds."""
    small = write_files(job_of(replace(row, shape=SMALL), settings), settings)
    both = {VERSUS: job, "striate@224": small}
    Race(row.title, both, settings, candidates).run(compare=False)
    for name, one in both.items():
        if "samples" in candidates[name]:
            candidates[name] |= summary([s / np.prod(one.shape[:-1]) for s in candidates[name]["samples"]])


def _memory(row: Row, job: Job, settings: Settings, candidates: Candidates) -> None:
    """The peak of a process that does this job and nothing else, a few times in fresh ones."""
    for name in (VERSUS, *rivals_of(row, settings.rivals, settings.quick)):
        _fresh(row, name, settings, candidates, lambda ask: _peak(ask, job, settings, row.steps > 1))


def _peak(ask: Callable[..., dict[str, Any]], job: Job, settings: Settings, long: bool) -> float:
    ask("prepare", settings.patience, job=job.to_json())
    ask("first", settings.patience, output=str(settings.folder / "memory.npy"))
    for _ in range(RUNS_BEFORE_MEMORY):
        ask("turn", settings.patience, seconds=0.0, warm=not long)
    return float(ask("memory")["peak"])


def _first(row: Row, job: Job, settings: Settings, candidates: Candidates) -> None:
    """The first call of a model that is built: tracing, planning, packing and computing."""

    def seconds(ask: Callable[..., dict[str, Any]]) -> float:
        ask("prepare", settings.patience, job=job.to_json())
        return float(ask("first", settings.patience, output=str(settings.folder / "first.npy"))["seconds"])

    _fresh(row, VERSUS, settings, candidates, seconds)


def _accuracy(row: Row, job: Job, settings: Settings, candidates: Candidates) -> None:
    """Against the same network in float64, computed another way."""
    output = settings.folder / "features.npy"

    def error(ask: Callable[..., dict[str, Any]]) -> float:
        ask("prepare", settings.patience, job=job.to_json())
        ask("first", settings.patience, output=str(output))
        return relative_error(np.load(output), expected)

    expected = truth.features(jobs.nodes(job), jobs.weights(job), jobs.images(job))
    _fresh(row, VERSUS, replace(settings, rounds=1), candidates, error)


def _fresh(
    row: Row, name: str, settings: Settings, candidates: Candidates, value: Callable[[Callable[..., Any]], float]
) -> None:
    """`value` of a fresh worker, some times."""
    found: list[float] = []
    candidates[name] = {}
    try:
        for _ in range(min(settings.rounds, 3)):
            with Team() as team:
                worker = team.add(start(name, settings, row.title))
                candidates[name]["version"] = worker.receive(settings.patience)["version"]
                found.append(value(worker.ask))
        candidates[name] |= summary(found)
    except WorkerFailed as error:
        candidates[name]["failed"] = str(error)


MEASURES: dict[str, Callable[[Row, Job, Settings, Candidates], None]] = {
    "time": _time, "pixels": _pixels, "memory": _memory, "first": _first, "accuracy": _accuracy,
}  # fmt: skip
