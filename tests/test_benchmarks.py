"""The benchmark's arithmetic and its processes, with stand-ins for the runtimes. Nothing here is timed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import striate as keras

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the benchmarks are no part of the package

from benchmarks import chart, figures, machine, nodes, run, table, truth, workloads  # noqa: E402
from benchmarks.jobs import Job  # noqa: E402
from benchmarks.process import Team, Worker, WorkerFailed  # noqa: E402
from benchmarks.settings import Settings  # noqa: E402
from benchmarks.workloads import Rival, Row, Target  # noqa: E402

STAND_IN = """
import os, subprocess, sys, time
from pathlib import Path
import numpy as np
from benchmarks.jobs import Work
FACTOR = {"stand.slow": 3.0, "stand.other": 1.0}.get(__name__, 1.0)
def version():
    print("noise on the standard output", flush=True)
    return __name__
def write(job):
    job.files.mkdir(parents=True)
    (job.files / "weights.npz").write_bytes(b"")
    return {"shape": job.shape, "notes": {}}
def prepare(job):
    if __name__ == "stand.broken":
        raise ValueError("cannot do this\\nat all")
    if __name__ == "stand.ending":
        sys.exit("gone")
    if __name__ == "stand.hanging":
        subprocess.Popen(["sleep", "600"])
        time.sleep(600)
    value = np.full((2, 2), 1.0 if __name__ != "stand.other" else 1.5)
    return Work(lambda: time.sleep(0.002 * FACTOR) or value)
"""


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Runtimes that only sleep, under the names of real ones."""
    package = tmp_path / "stand"
    package.mkdir()
    for name in ("own", "slow", "other", "broken", "ending", "hanging"):
        (package / f"{name}.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT), *sys.path]))
    names = {"striate": "own", "ncnn": "slow", "openvino": "broken", "onnxruntime": "other", "torch": "ending"}
    for name, module in names.items():
        monkeypatch.setitem(workloads.RIVALS, name, Rival(name, f"stand.{module}"))
    yield tmp_path


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(threads=1, rounds=3, seconds=0.01, python=sys.executable, folder=folder / "work", **more)


ROW = Row(
    "r", "a row", "m", (2, 2), ("ncnn", "openvino", "onnxruntime", "torch"),
    (Target(0.5, ("ncnn", "onnxruntime"), "some"), Target(2.0)),
)  # fmt: skip


def result(**medians: float) -> dict[str, Any]:
    candidates = {name: {"median": value, "low": value, "high": value} for name, value in medians.items()}
    targets = [{"at_most": 0.5, "rivals": ["b", "c"], "title": ""}]
    return {
        "name": "r",
        "title": "a row",
        "unit": "ms",
        "candidates": candidates,
        "targets": targets,
        "date": "2026-01-02 03:04 UTC",
        "rounds": 3,
    }


class TestFigures:
    def test_summary(self) -> None:
        found = figures.summary([5.0, 1.0, 3.0, 2.0, 4.0])
        assert (found["low"], found["median"], found["high"]) == (2.0, 3.0, 4.0)
        assert found["samples"] == [5.0, 1.0, 3.0, 2.0, 4.0]

    def test_ratio_is_to_the_best_of_those_named(self) -> None:
        row = result(striate=1.0, b=4.0, c=2.5, fast=0.1)
        judged = figures.judged(row, row["targets"][0], "striate")
        assert (judged["best"], judged["value"], judged["met"]) == ("c", 0.4, True)

    def test_a_target_that_is_missed(self) -> None:
        row = result(striate=2.0, b=3.0)
        assert figures.judged(row, row["targets"][0], "striate")["met"] is False

    def test_nothing_measured_is_neither_met_nor_missed(self) -> None:
        row = result(striate=2.0)
        assert figures.judged(row, row["targets"][0], "striate") == {
            **row["targets"][0], "best": None, "value": None, "met": None,
        }  # fmt: skip

    def test_without_rivals_the_value_itself_counts(self) -> None:
        target = {"at_most": 1.5, "rivals": [], "title": ""}
        assert figures.judged(result(striate=1.6), target, "striate")["met"] is False
        assert figures.judged(result(striate=1.4), target, "striate")["met"] is True

    def test_relative_error(self) -> None:
        assert figures.relative_error(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == pytest.approx(0.5 / 29.25**0.5)
        assert figures.relative_error(np.zeros((2, 1)), np.zeros(2)) == float("inf")
        assert figures.relative_error(np.array([np.nan]), np.ones(1)) == float("inf")


class TestTable:
    def report(self) -> dict[str, Any]:
        row = result(striate=0.0305, ncnn=0.0611) | {"targets": [{"at_most": 0.55, "rivals": ["ncnn"], "title": ""}]}
        row["candidates"]["jax"] = {"failed": "ImportError: no | jax", "version": "1"}
        return {"machine": machine.described(2), "settings": {"rounds": 3}, "rows": [row]}

    @pytest.mark.parametrize(
        ("value", "unit", "text"),
        [(0.0305, "ms", "30.5 ms"), (1.2345, "ms", "1,234 ms"), (2.5e-5, "us", "25.0 us"), (3e-6, "", "3.0e-06"),
         (300 * 2**20, "MiB", "300 MiB"), (None, "ms", "-")],
    )  # fmt: skip
    def test_units(self, value: float | None, unit: str, text: str) -> None:
        assert table.shown(value, unit) == text

    def test_summary(self) -> None:
        assert table.summary_lines(self.report()) == [("a row", "30.5 ms", "ncnn", "61.1 ms", "0.499", "0.55", "met")]

    def test_a_row_without_an_aim(self) -> None:
        row = self.report()["rows"][0] | {"targets": []}
        lines = table.summary_lines({"rows": [row]})
        assert lines == [("a row", "30.5 ms", "ncnn", "61.1 ms", "0.499", "-", "")]

    def test_markdown_has_every_candidate(self) -> None:
        text = table.markdown(self.report())
        assert "| a row | ncnn | 61.1 ms | 61.1 to 61.1 | 0.499 |" in text
        assert "ImportError: no / jax" in text

    def test_where_and_when(self) -> None:
        report = self.report()
        report["rows"].append({**report["rows"][0], "date": "2026-01-05 00:00 UTC", "rounds": 9})
        text = table.readme_part(report, "a.png")
        assert "2026-01-02 to 2026-01-05" in text and "3 to 9 rounds" in text and "2 threads" in text
        assert "JAX 1." in text and "![" in text

    def test_terminal_stays_within_100_columns(self) -> None:
        report = self.report()
        report["rows"][0]["title"] *= 20
        report["rows"][0]["candidates"]["jax"]["failed"] *= 20
        console = Console(width=160, record=True, file=StringIO())
        table.print_report(report, console)
        lines = console.export_text().splitlines()
        assert max(len(line.rstrip()) for line in lines if "ImportError" not in line and "a row" * 3 not in line) <= 100

    @pytest.mark.skipif(not Path("/proc/stat").exists(), reason="Linux")
    def test_a_busy_machine_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ticks = iter([[0, 0, 0, 0, 0, 0, 0, 0], [20, 0, 10, 60, 10, 0, 0, 0]])
        monkeypatch.setattr(machine, "_ticks", lambda: next(ticks))
        assert machine.busy(0) == pytest.approx(0.3)
        console = Console(file=StringIO(), width=100)
        run._warn(console, 0.05)
        assert console.file.getvalue() == ""
        run._warn(console, 0.3)
        assert "others use 30%" in console.file.getvalue()

    def test_readme_between_the_marks(self, tmp_path: Path) -> None:
        readme = tmp_path / "README.md"
        readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
        table.put_into(readme, r"new \1")
        assert readme.read_text() == f"before\n{table.BEGIN}\nnew \\1\n{table.END}\nafter\n"
        with pytest.raises(ValueError, match="expected one pair"):
            table.put_into(tmp_path / "README.md", table.END + table.BEGIN)
            table.put_into(tmp_path / "README.md", "")

    def test_rows_are_joined_by_name(self) -> None:
        old = {"rows": [{"name": "unet", "v": 1}, {"name": "ecg", "v": 1}]}
        joined = table.joined(old, {"rows": [{"name": "vgg19-b1", "v": 2}, {"name": "ecg", "v": 2}]})
        assert [(row["name"], row["v"]) for row in joined["rows"]] == [("vgg19-b1", 2), ("unet", 1), ("ecg", 2)]

    def test_chart(self, tmp_path: Path) -> None:
        report = self.report()
        assert chart.points(report) == [("a row", {"ncnn": pytest.approx(0.0305 / 0.0611)}, [0.55])]
        assert chart.draw(report, tmp_path / "c.png")
        assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
        assert not chart.draw({"rows": []}, tmp_path / "d.png")


class TestRace:
    def test_a_row(self, stand_ins: Path) -> None:
        report = run.run([ROW], settings(stand_ins), Console(file=StringIO()))
        found = report["rows"][0]["candidates"]
        assert [len(found[name]["samples"]) for name in ("striate", "ncnn")] == [3, 3]
        assert found["striate"]["median"] >= 0.002 and found["ncnn"]["median"] >= 0.006
        assert found["ncnn"]["version"] == "stand.slow" and found["ncnn"]["error"] == 0.0
        assert found["openvino"]["failed"] == "ValueError: cannot do this"
        assert found["onnxruntime"]["failed"].startswith("its result differs by 5.0e-01")
        assert found["torch"]["failed"] == "ended with 1: gone"
        assert json.loads(json.dumps(report)) == report

    def test_a_missing_interpreter(self, stand_ins: Path) -> None:
        only = settings(stand_ins, rivals=["ncnn"])
        only.python = str(stand_ins / "nothing")
        found = run.run([ROW], only, Console(file=StringIO()))["rows"][0]["candidates"]
        assert "No such file" in found["ncnn"]["failed"] and len(found["striate"]["samples"]) == 3

    def test_idle_workers_are_stopped(self, stand_ins: Path) -> None:
        with Team() as team:
            worker = team.add(Worker("w", sys.executable, "stand.own", 1, stand_ins / "log"))
            assert worker.ask("hello") == {"version": "stand.own"}
            wait_until(lambda: state(worker.pid) == "T")
            pid = worker.pid
        assert state(pid) is None

    def test_an_answer_that_does_not_come(self, stand_ins: Path) -> None:
        job = Job("infer", "m", (2,), 1, str(stand_ins), 1).to_json()
        with Team() as team:
            worker = team.add(Worker("w", sys.executable, "stand.hanging", 1, stand_ins / "log"))
            worker.ask("hello")
            with pytest.raises(WorkerFailed, match="no answer within 1 s"):
                worker.ask("prepare", 1.0, job=job)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_stopping_leaves_no_worker(self, stand_ins: Path, number: int) -> None:
        """Ctrl-C while one of two workers, which has a child of its own, computes and the other one is stopped."""
        script = stand_ins / "main.py"
        script.write_text(STOPPED)
        process = subprocess.Popen([sys.executable, str(script), str(stand_ins)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        pids = json.loads(process.stdout.readline())
        wait_until(lambda: bool(members(pids[1]) - {pids[1]}))
        process.send_signal(number)
        assert process.wait(30) == (130 if number == signal.SIGINT else 128 + number)
        process.stdout.close()
        wait_until(lambda: not any(members(pid) for pid in pids))


STOPPED = """
import json, sys
from pathlib import Path
from benchmarks.jobs import Job
from benchmarks.process import Team, Worker, end_on_signals
end_on_signals()
folder = Path(sys.argv[1])
try:
    with Team() as team:
        idle = team.add(Worker("idle", sys.executable, "stand.own", 1, folder / "a"))
        busy = team.add(Worker("busy", sys.executable, "stand.hanging", 1, folder / "b"))
        idle.ask("hello")
        busy.ask("hello")
        print(json.dumps([idle.pid, busy.pid]), flush=True)
        busy.ask("prepare", 600, job=Job("infer", "m", (2,), 1, str(folder), 1).to_json())
except KeyboardInterrupt:
    sys.exit(130)
"""


def state(pid: int) -> str | None:
    """The letter of a process's state; None if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def members(group: int) -> set[int]:
    """The living processes of a group."""
    listing = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listing.splitlines()]
    return {int(pid) for pid, pgid, stat in rows if int(pgid) == group and not stat.startswith("Z")}


def wait_until(condition: Any, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


class TestOptions:
    def test_rows(self) -> None:
        assert [row.name for row in workloads.chosen(["ecg", "unet"], False)] == ["ecg", "unet"]
        assert all(row.batch == 1 or row.kind == "train" for row in workloads.chosen([], True))
        assert len({row.name for row in workloads.ROWS}) == len(workloads.ROWS)
        with pytest.raises(ValueError, match="no row nonsense"):
            workloads.chosen(["nonsense"], False)

    def test_targets_name_candidates(self) -> None:
        for row in workloads.ROWS:
            there = {*row.rivals, "striate@224"} if row.measure == "pixels" else set(row.rivals)
            assert all(set(target.rivals) <= there for target in row.targets), row.name
            assert set(row.rivals) <= set(workloads.RIVALS)

    def test_unknown_rivals_and_rounds(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run.main(["--rivals", "nobody"]) == 2
        assert run.main(["--only", "unet", "--rounds", "-1"]) == 2
        assert "no rival nobody" in capsys.readouterr().out

    def test_rivals_that_suit_a_row(self) -> None:
        rows = {row.name: row for row in workloads.ROWS}
        assert workloads.rivals_of(rows["train-vgg"], ["ncnn", "torch"], False) == ["torch"]
        assert workloads.rivals_of(rows["first-call"], ["ncnn"], False) == []
        assert workloads.rivals_of(rows["predict-tiny"], [], True) == ["keras-jax"]


def mixed() -> Any:
    """One of each kind of node."""
    layers = keras.layers
    image = x = layers.Input((9, 8, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(x)))
    y = layers.Conv2D(4, 1)(layers.ReLU(6.0)(layers.DepthwiseConv2D(3, padding="same")(x)))
    x = layers.Add()([x, y, layers.MaxPooling2D(3, 1, padding="same")(x)])
    up = layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation="tanh")(x)
    x = layers.Concatenate()([up, layers.Conv2DTranspose(2, 2, strides=2)(x)])
    x = layers.Dropout(0.5)(layers.AveragePooling2D(2)(layers.ZeroPadding2D(((1, 0), (0, 2)))(x)))
    x = layers.Dense(6, activation="relu")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(3)(x))


class TestNodes:
    def test_a_chain_in_float64(self) -> None:
        layers = keras.layers
        model = keras.Sequential([layers.Input((6, 8, 3)), layers.Conv2D(5, 3, padding="same", activation="relu"),
                                  layers.MaxPooling2D(), layers.Conv2D(4, 3, padding="same")])  # fmt: skip
        x = np.random.default_rng(0).standard_normal((2, 6, 8, 3)).astype(np.float32)
        expected = truth.features(nodes.nodes_of(model), model.get_weights(), x)
        np.testing.assert_allclose(model(x), expected, atol=1e-5)

    def test_folding_is_exact(self) -> None:
        """conv, then scale and shift, is the convolution by the folded kernel."""
        layers = keras.layers
        x = layers.Input((5, 5, 2))
        model = keras.Model(x, layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same", use_bias=False)(x)))
        rng = np.random.default_rng(0)
        model.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in model.weights])
        made, arrays = nodes.folded(nodes.nodes_of(model), model.get_weights())
        assert [node["op"] for node in made] == ["input", "conv"]
        image = rng.standard_normal((1, 5, 5, 2)).astype(np.float32)
        np.testing.assert_allclose(model(image), truth.features(made, arrays, image), rtol=1e-5, atol=1e-5)

    def test_zeros_around_become_padding(self) -> None:
        layers = keras.layers
        x = layers.Input((6, 6, 2))
        y = layers.Conv2D(3, 3, strides=2)(layers.ZeroPadding2D(((1, 0), (0, 1)))(x))
        y = layers.MaxPooling2D(2)(layers.ZeroPadding2D(1)(layers.ReLU()(y)))
        made = nodes.nodes_of(keras.Model(x, layers.MaxPooling2D(2)(layers.ZeroPadding2D(1)(y))))
        assert [node["op"] for node in made] == ["input", "conv", "activation", "max_pool", "pad", "max_pool"]
        assert [node.get("pads") for node in made[1:4:2]] == [[[1, 0], [0, 1]], [[1, 1], [1, 1]]]
        assert made[1]["inputs"] == [made[0]["name"]] and made[3]["inputs"] == [made[2]["name"]]

    def test_dense_after_flatten_in_channels_first_order(self) -> None:
        kernel = np.arange(12.0).reshape(6, 2)  # rows: (1, 2) pixels of 3 channels
        weight = nodes.dense_weight({"flattened": [1, 2, 3]}, kernel)
        x = np.random.default_rng(0).standard_normal((1, 2, 3))
        np.testing.assert_allclose(weight @ np.moveaxis(x, -1, 0).reshape(-1), x.reshape(-1) @ kernel)

    def test_a_layer_without_a_node(self) -> None:
        model = keras.Sequential([keras.layers.Input((4, 3)), keras.layers.LayerNormalization()])
        with pytest.raises(TypeError, match="no node for it"):
            nodes.nodes_of(model)
