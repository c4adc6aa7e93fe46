"""Striate against other runtimes on single convolutions, drawn at random: no shape may fall off a cliff.

    python -m benchmarks.grid [--quick] [--shapes N] [--seed N] [--rivals NAME ...] [--rounds N] [--threads N]

Each of 300 shapes forward, against ONNX Runtime, OpenVINO and PyTorch; some also their gradients, against PyTorch.
Writes grid.json and grid.md to benchmarks/results; what is not the whole goes to trial-grid.* there. Run by
`make bench-grid`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import cases, machine
from benchmarks.cases import Case
from benchmarks.figures import Result, best, median, ratio, relative_error, summary
from benchmarks.jobs import Job
from benchmarks.process import Team, WorkerFailed, end_on_signals
from benchmarks.race import ALLOWED_ERROR
from benchmarks.run import RESULTS, SCRATCH, progress, rivals_python
from benchmarks.settings import Settings, start, title_of
from benchmarks.workloads import VERSUS

RUNTIMES = ("onnxruntime", "openvino", "torch")
TRAINER = "torch"
SHAPES, QUICK_SHAPES = 300, 60
ROUNDS, SECONDS = 3, 0.03
WARMING = 0.015  # seconds before a turn: clocks and threads that slept need some runs; the first turn counts as such
SLOWEST, MOST_RATIO = 10, 2.5
HEAD = ("shape", "pass", "striate", "best rival", "", "ratio")


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints, writes."""
    options, console = _options(arguments), Console()
    end_on_signals()
    unknown = [name for name in options.rivals if name not in RUNTIMES]
    if unknown or min(options.shapes or 1, options.rounds, options.threads) < 1:
        console.print(f"bench: rivals are {', '.join(RUNTIMES)}, numbers start at 1", markup=False)
        return 2
    count = options.shapes or (QUICK_SHAPES if options.quick else SHAPES)
    settings = Settings(options.threads, options.rounds, SECONDS, rivals_python(), SCRATCH / "grid", options.rivals)
    try:
        report = run(cases.drawn(count, options.seed), settings, console)
    except KeyboardInterrupt:
        console.print("bench: stopped; no worker is left.")
        return 130
    whole = count == SHAPES and not options.seed and not options.rivals
    write(report, RESULTS, "grid" if whole else "trial-grid")
    console.print(markdown(report), markup=False, highlight=False, soft_wrap=True)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-grid ARGS=...", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SHAPES} shapes")
    parser.add_argument("--shapes", type=int, help=f"how many ({SHAPES})")
    parser.add_argument("--seed", type=int, default=0, help="other shapes")
    parser.add_argument("--rivals", nargs="+", default=[], metavar="NAME", help=", ".join(RUNTIMES))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each candidate")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args(arguments)


def run(drawn: list[Case], settings: Settings, console: Console) -> dict[str, Any]:
    """All shapes with one process per runtime, which stays from the first shape to the last."""
    shutil.rmtree(settings.folder, ignore_errors=True)
    report: dict[str, Any] = {"machine": machine.described(settings.threads), "rows": []}
    report["settings"] = {"rounds": settings.rounds, "seconds": settings.seconds}
    work = cases.measures(drawn)
    started = time.monotonic()
    with Grid(settings) as grid, progress(console) as shown:
        report["versions"] = grid.versions
        task = shown.add_task("", total=len(work))
        for case, kind in work:
            shown.update(task, description=case.title, refresh=True)
            report["rows"].append(grid.measure(case, kind))
            shown.advance(task)
    report["minutes"] = round((time.monotonic() - started) / 60, 1)
    return report


class Grid:
    """The workers; a runtime that ends is missing from then on."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.team, self.expected = settings, Team(), np.zeros(0)
        self.versions: dict[str, str] = {}

    def __enter__(self) -> Grid:
        names = [VERSUS, *(self.settings.rivals or RUNTIMES)]
        try:
            for name in names:
                self.team.add(start(name, self.settings, "starting"))
            for name in names:
                self.versions[name] = self.team.workers[name].receive(self.settings.patience)["version"]
        except (WorkerFailed, KeyboardInterrupt, SystemExit):
            self.team.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        self.team.__exit__(*error)

    def measure(self, case: Case, kind: str) -> Result:
        """The row of one case: its medians, or why there are none."""
        job = self._job(case, kind)
        names = [n for n in self.team.workers if kind == "forward" or n in (VERSUS, TRAINER)]
        found: dict[str, dict[str, Any]] = {name: {} for name in names}
        self._attempt(VERSUS, found, partial(self._ask, VERSUS, "write", job=job.to_json()))
        for name in names:
            self._attempt(name, found, partial(self._prepare, name, job, found))
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(self.settings.rounds + 1):
            for name in names:
                self._attempt(name, found, partial(self._turn, name, times))
        for name in names:
            found[name] |= summary(times[name][1:]) if "failed" not in found[name] else {}
        shutil.rmtree(job.files, ignore_errors=True)
        return {"title": case.title, "case": case.model, "pass": kind, "flops": case.flops, "candidates": found}

    def _job(self, case: Case, kind: str) -> Job:
        folder = str(self.settings.folder / "files")
        return Job(kind, case.model, (*case.size, case.channels), case.batch, folder, self.settings.threads)

    def _ask(self, name: str, do: str, **arguments: Any) -> dict[str, Any]:
        return self.team.workers[name].ask(do, self.settings.patience, **arguments)

    def _attempt(self, name: str, found: dict[str, dict[str, Any]], action: Any) -> None:
        if "failed" in found[name]:
            return
        try:
            action()
        except WorkerFailed as error:
            found[name]["failed"] = str(error)

    def _prepare(self, name: str, job: Job, found: dict[str, dict[str, Any]]) -> None:
        output = self.settings.folder / f"{name}.npy"
        self._ask(name, "prepare", job=job.to_json())
        found[name]["note"] = self._ask(name, "first", output=str(output))["note"]
        if name == VERSUS:
            self.expected = np.load(output)
            return
        found[name]["error"] = error = relative_error(np.load(output), self.expected)
        if not error <= ALLOWED_ERROR["infer"]:
            raise WorkerFailed(f"its result differs by {error:.1e}")

    def _turn(self, name: str, times: dict[str, list[float]]) -> None:
        self._ask(name, "turn", seconds=WARMING, warm=True)
        times[name].append(self._ask(name, "turn", seconds=self.settings.seconds, warm=False)["median"])


def ratios(rows: list[Result], rivals: list[str]) -> list[float]:
    """striate's time over that of the best of `rivals`, of all rows that have both."""
    found = [ratio(row, VERSUS, best(row, rivals)) for row in rows]
    return [value for value in found if value is not None]


def markdown(report: dict[str, Any]) -> str:
    """Medians by rival and by kind, and the rows in which striate does worst."""
    about = report["machine"]
    versions = ", ".join(f"{title_of(name)} {version}" for name, version in report["versions"].items())
    text = (
        f"{len(report['rows'])} rows, {about['cpu']}, {about['threads']} threads, {about['date']}. {versions}. Ratio: "
        "striate's time over the other's, medians; below 1 striate is faster."
    )
    parts = ["# Drawn convolutions", text, _table(("rows", "rival", "median", "slowest", "count"), _summary(report))]
    for title, forward in (("Slowest forward", True), ("Slowest gradients", False)):
        rows = [row for row in report["rows"] if (row["pass"] == "forward") == forward]
        parts += [f"## {title}", _table(HEAD, slowest(rows, SLOWEST))]
    failed = [line for row in report["rows"] for line in _failed(row)]
    return (
        "\n\n".join([*parts, *(["## Not measured", _table(("shape", "candidate", "why"), failed)] if failed else [])])
        + "\n"
    )


def _summary(report: dict[str, Any]) -> list[tuple[str, ...]]:
    forward = [row for row in report["rows"] if row["pass"] == "forward"]
    groups = [("forward", forward, [name]) for name in RUNTIMES] + [("forward", forward, list(RUNTIMES))]
    for kind in cases.KINDS:
        groups.append((kind, [row for row in forward if Case.from_model(row["case"]).kind == kind], list(RUNTIMES)))
    for name in cases.GRADIENTS:
        groups.append((name, [row for row in report["rows"] if row["pass"] == name], [TRAINER]))
    return [_group(*group) for group in groups if ratios(group[1], group[2])]


def _group(title: str, rows: list[Result], rivals: list[str]) -> tuple[str, ...]:
    found = ratios(rows, rivals)
    rival = title_of(rivals[0]) if len(rivals) == 1 else "best"
    return title, rival, f"{np.median(found):.2f}", f"{max(found):.2f}", str(len(found))


def slowest(rows: list[Result], count: int) -> list[tuple[str, ...]]:
    """The lines of the rows with the largest ratios to their best rival, worst first."""
    rivals = list(RUNTIMES)
    known = [(value, row) for row in rows if (value := ratio(row, VERSUS, best(row, rivals))) is not None]
    known.sort(key=lambda pair: -pair[0])
    return [_line(row, value) for value, row in known[:count]]


def _line(row: Result, value: float) -> tuple[str, ...]:
    rival = best(row, list(RUNTIMES)) or ""
    ours, theirs = (f"{1e3 * (median(row, name) or 0):.3f} ms" for name in (VERSUS, rival))
    return row["title"], row["pass"], ours, title_of(rival), theirs, f"{value:.2f}"


def _failed(row: Result) -> list[tuple[str, ...]]:
    found = row["candidates"].items()
    return [(row["title"], title_of(name), result["failed"]) for name, result in found if "failed" in result]


def _table(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ("---",) * len(head), *lines))


def write(report: dict[str, Any], folder: Path, name: str) -> None:
    """As JSON and as Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown(report))


if __name__ == "__main__":
    sys.exit(main())
