"""Striate against other runtimes: the same networks and weights, in turn, in processes of their own.

    python -m benchmarks.run [--quick] [--only ROW ...] [--rivals NAME ...] [--rounds N] [--threads N] [--readme]

Writes latest.json, latest.md and latest.png to benchmarks/results; with --only the other rows stay in them. What
--quick and --rivals measure is not the whole and goes to trial.* there. Run by `make bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)  # fmt: skip

from benchmarks import chart, machine, table
from benchmarks.measure import measure
from benchmarks.process import ROOT, end_on_signals
from benchmarks.settings import Settings
from benchmarks.workloads import RIVALS, ROWS, Row, chosen

RESULTS = ROOT / "benchmarks" / "results"
SCRATCH = ROOT / "build" / "bench"
QUIET = 0.1  # share of the cores that others may use
QUICK_SECONDS = 270.0  # of the five minutes that `--quick` may take
FULL, QUICK = (12, 0.4), (5, 0.15)  # rounds, seconds of a turn


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints, writes."""
    options = _options(arguments)
    console = Console()
    end_on_signals()
    try:
        rows = [] if options.report else chosen(options.only, options.quick)
        report = run(rows, settings_of(options), console)
    except ValueError as error:
        console.print(f"bench: {error}", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("bench: stopped; no worker is left.")
        return 130
    name = "trial" if options.quick or options.rivals else "latest"
    if (options.only or options.report) and name == "latest":
        report = table.joined(earlier(RESULTS / "latest.json"), report)
    table.print_report(report, Console(width=100))
    write(report, RESULTS, name, console)
    if options.readme:
        table.put_into(ROOT / "README.md", table.readme_part(report, "benchmarks/results/latest.png"))
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="within five minutes: batch 1, fewer rivals and rounds")
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help=", ".join(row.name for row in ROWS))
    parser.add_argument("--rivals", nargs="+", default=[], metavar="NAME", help=", ".join(list(RIVALS)[1:]))
    parser.add_argument("--rounds", type=int, help="turns of each candidate")
    parser.add_argument("--seconds", type=float, help="length of a turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="measure nothing: write latest.json's tables anew")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    return parser.parse_args(arguments)


def settings_of(options: argparse.Namespace) -> Settings:
    """ValueError for rivals that are not known and for numbers that make no sense."""
    unknown = [name for name in options.rivals if name not in RIVALS or name == "striate"]
    if unknown:
        raise ValueError(f"no rival {', '.join(unknown)}. There are: {', '.join(list(RIVALS)[1:])}.")
    rounds, seconds = QUICK if options.quick else FULL
    if (options.rounds or rounds) < 1 or options.threads < 1:
        raise ValueError("--rounds and --threads take numbers from 1 on")
    return Settings(
        options.threads, options.rounds or rounds, options.seconds or seconds, rivals_python(), SCRATCH, options.rivals,
        options.quick, time.monotonic() + QUICK_SECONDS if options.quick else None,
    )  # fmt: skip


def rivals_python() -> str:
    """STRIATE_BENCH_PYTHON, or that of the environment which tools/setup.sh makes."""
    return os.environ.get("STRIATE_BENCH_PYTHON") or str(ROOT / ".venv-bench" / "bin" / "python")


def run(rows: list[Row], settings: Settings, console: Console) -> dict[str, Any]:
    """All rows, one after the other; each tells its line when it is done."""
    for folder in settings.folder.glob("*/notes.json"):
        shutil.rmtree(folder.parent)  # an engine that has changed may draw other weights
    report: dict[str, Any] = {"machine": machine.described(settings.threads), "rows": []}
    report["settings"] = {"rounds": settings.rounds, "seconds": settings.seconds, "quick": settings.quick}
    _warn(console, machine.busy() if rows else 0.0)
    for number, row in enumerate(rows):
        if settings.late:
            console.print(f"{row.title}: left out, no time left", highlight=False)
            continue
        with progress(console) as shown:
            task = shown.add_task(row.title, total=len(rows), completed=number)
            settings.say = partial(_say, shown, task)
            report["rows"].append(measure(row, settings))
        for line in table.summary_lines({"rows": report["rows"][-1:]}):
            console.print(told(line), highlight=False, markup=False, soft_wrap=True)
    return report


def _warn(console: Console, busy: float) -> None:
    """Others on the cores hold up those who spin and wait for each other far more than those who don't."""
    if busy > QUIET:
        console.print(f"bench: others use {busy:.0%} of the machine's cores now: the ratios will say little")


def progress(console: Console) -> Progress:
    """One line: which row, who does what, since when. It is drawn when something is said, never during a turn."""
    columns = (
        SpinnerColumn(),
        BarColumn(12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    return Progress(*columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal)


def _say(shown: Progress, task: TaskID, text: str) -> None:
    shown.update(task, description=escape(text), refresh=True)


def told(line: tuple[str, ...]) -> str:
    """One line of the summary as a sentence."""
    title, ours, rival, theirs, ratio, aim, verdict = line
    versus = f"; {rival} {theirs}, ratio {ratio}" if theirs else (f": {rival}" if rival else "")
    return f"{title}: {ours}{versus}" + (f" (at most {aim}: {verdict})" if verdict else "")


def earlier(path: Path) -> dict[str, Any]:
    """The report that is there, or an empty one."""
    return json.loads(path.read_text()) if path.exists() else {"rows": []}


def write(report: dict[str, Any], folder: Path, name: str, console: Console) -> None:
    """Three files of that name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / f"{name}.md").write_text(table.markdown(report))
    drawn = chart.draw(report, folder / f"{name}.png")
    ends = ("md", "json", "png") if drawn else ("md", "json")
    console.print(", ".join(f"{folder.relative_to(ROOT)}/{name}.{end}" for end in ends))


if __name__ == "__main__":
    sys.exit(main())
