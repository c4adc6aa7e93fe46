"""Results as tables: in the terminal, as Markdown, and in the README between two marks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.figures import Result, judged, median, ratio
from benchmarks.settings import title_of
from benchmarks.workloads import ROWS, VERSUS

Line = tuple[str, ...]
Report = dict[str, Any]  # {"machine": {...}, "settings": {...}, "rows": [Result, ...]}
SCALES = {"ms": 1e3, "us": 1e6, "s": 1.0, "ns": 1e9, "MiB": 1 / 2**20, "": 1.0}
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
SUMMARY = ("work", "striate", "best rival", "", "ratio", "aim", "")
DETAILS = ("work", "candidate", "median", "quartiles", "striate / it", "differs by", "how")


def joined(old: Report, new: Report) -> Report:
    """The rows of both in the order of the workloads; measured anew counts."""
    rows = {row["name"]: row for row in [*old["rows"], *new["rows"]]}
    return {**new, "rows": [rows[row.name] for row in ROWS if row.name in rows]}


def shown(value: float | None, unit: str) -> str:
    """A value of the unit's scale with three digits and its unit."""
    if value is None:
        return "-"
    if unit == "":
        return f"{value:.1e}"
    return f"{_digits(value * SCALES[unit])} {unit}"


def _digits(number: float) -> str:
    return f"{number:,.{max(0, 3 - len(str(int(abs(number)))))}f}"


def _spread(low: float, high: float, unit: str) -> str:
    if unit == "":
        return ""
    return " to ".join(_digits(value * SCALES[unit]) for value in (low, high))


def summary_lines(report: Report) -> list[Line]:
    """A line per target: what was aimed at beside what was measured."""
    return [line for row in report["rows"] for line in _summary(row)]


def _summary(row: Result) -> list[Line]:
    ours = shown(median(row, VERSUS), row["unit"])
    if "failed" in row["candidates"].get(VERSUS, {}):
        return [(row["title"], "failed", "-", "-", "-", "-", "")]
    others = [name for name in row["candidates"] if name != VERSUS]
    targets = row["targets"] or [{"at_most": float("inf"), "rivals": others, "title": ""}]
    return [_target_line(row, ours, judged(row, target, VERSUS)) for target in targets]


def _target_line(row: Result, ours: str, target: Result) -> Line:
    verdict = {True: "met", False: "missed", None: "-"}[target["met"]]
    aim, value, title = f"{target['at_most']:g}", target["value"], row["title"]
    if not row["targets"]:
        aim, verdict = "-", ""
    if not target["rivals"]:
        return title, ours, "", "", "-", f"{aim} {row['unit']}".strip(), verdict
    if len(row["targets"]) > 1:
        title += f" ({target['title']})"
    best = target["best"]
    theirs = shown(median(row, best), row["unit"]) if best else "-"
    return title, ours, title_of(best) if best else "-", theirs, "-" if value is None else f"{value:.3f}", aim, verdict


def detail_lines(report: Report) -> list[Line]:
    """A line per row and candidate."""
    return [_detail(row, name) for row in report["rows"] for name in row["candidates"]]


def _detail(row: Result, name: str) -> Line:
    found, unit = row["candidates"][name], row["unit"]
    if "median" not in found:
        return row["title"], title_of(name), "-", "-", "-", "-", found.get("failed", "")
    spread = _spread(found["low"], found["high"], unit)
    error, value = found.get("error"), ratio(row, VERSUS, name)
    versus = "" if name == VERSUS or value is None else f"{value:.3f}"
    how = found.get("note", "")
    return row["title"], title_of(name), shown(found["median"], unit), spread, versus, _error(error), how


def _error(error: float | None) -> str:
    return "" if error is None else f"{error:.0e}"


def markdown(report: Report) -> str:
    """The whole report."""
    parts = ["# Measurements", _about(report), _table(SUMMARY, summary_lines(report)), "## Each candidate"]
    return "\n\n".join([*parts, _table(DETAILS, detail_lines(report)), ""])


def readme_part(report: Report, chart: str | None) -> str:
    """What stands in the README."""
    picture = [f"![striate's time over its rivals']({chart})"] if chart else []
    return "\n\n".join([_about(report), _table(SUMMARY, summary_lines(report)), *picture])


def _about(report: Report) -> str:
    machine = report["machine"]
    text = (
        f"{machine['cpu']}, {machine['threads']} threads of {machine['cores']} cores, {_dates(report)}, Python "
        f"{machine['python']}. Float32, the same weights for all, processes in turn, {_rounds(report)} rounds; "
        "medians. Ratio: striate over the best rival; less is faster."
    )
    return text + "\n\n" + ", ".join(f"{title} {version}" for title, version in versions(report).items()) + "."


def _dates(report: Report) -> str:
    days = sorted({row["date"].split()[0] for row in report["rows"]}) or [report["machine"]["date"]]
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _rounds(report: Report) -> str:
    found = sorted({row["rounds"] for row in report["rows"]})
    return " to ".join(map(str, found if len(found) < 2 else (found[0], found[-1])))


def versions(report: Report) -> dict[str, str]:
    """Of everybody who answered."""
    found = {n: c["version"] for row in report["rows"] for n, c in row["candidates"].items() if "version" in c}
    return {title_of(name): version for name, version in found.items() if "@" not in name}


def _table(head: Line, lines: list[Line]) -> str:
    rule = tuple("---" for _ in head)
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in [head, rule, *lines])


def put_into(readme: Path, text: str) -> None:
    """Replaces what is between the marks. ValueError if they are not there."""
    old = readme.read_text()
    new, count = re.subn(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{text}\n{END}", old, flags=re.S)
    if count != 1:
        raise ValueError(f"{readme.name}: expected one pair of {BEGIN} and {END}; found {count}")
    readme.write_text(new)


def print_report(report: Report, console: Any) -> None:
    """Each row's candidates, then the summary; at most 100 columns wide."""
    from rich.text import Text

    for row in report["rows"]:
        console.print(Text(row["title"], style="bold"))
        lines = [_detail(row, name)[1:] for name, found in row["candidates"].items() if "median" in found]
        _print_table(console, DETAILS[1:], lines, (20, 11, 19, 12, 10, 21), right=(1, 2, 3, 4))
        for name, found in row["candidates"].items():
            if "failed" in found:
                console.print(Text(f"{title_of(name)}: {found['failed']}", style="dim"))
        console.print()
    _print_table(console, SUMMARY, summary_lines(report), (42, 9, 17, 9, 5, 6, 6), right=(1, 3, 4))


def _print_table(console: Any, head: Line, lines: list[Line], widths: tuple[int, ...], right: tuple[int, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False)
    for i, (name, width) in enumerate(zip(head, widths)):
        table.add_column(name, justify="right" if i in right else "left", min_width=width, max_width=width)
    for line in lines:
        table.add_row(*map(Text, line))
    console.print(table)
