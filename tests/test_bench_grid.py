"""The drawing of the grid's convolutions and its tables. Nothing here is timed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import striate as keras

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the benchmarks are no part of the package

from benchmarks import cases, grid, jobs  # noqa: E402
from benchmarks.cases import Case  # noqa: E402
from benchmarks.rivals import own  # noqa: E402

DRAWN = cases.drawn(300)


def test_a_seed_names_its_shapes() -> None:
    assert len(set(DRAWN)) == 300
    assert cases.drawn(60) == DRAWN[:60]
    assert cases.drawn(60, seed=1) != DRAWN[:60]
    assert all(Case.from_model(case.model) == case for case in DRAWN)


def test_all_sorts_are_drawn() -> None:
    counts = {kind: sum(case.kind == kind for case in DRAWN) for kind in cases.KINDS}
    assert min(counts.values()) > 20
    for field, values in {
        "strides": {1, 2, 3},
        "dilation": {1, 2},
        "batch": {1, 4, 8},
        "padding": {"same", "valid"},
    }.items():
        assert {getattr(case, field) for case in DRAWN} == values
    assert {len(case.size) for case in DRAWN} == {1, 2, 3}
    assert {1, 3, 512} <= {case.channels for case in DRAWN} and {1, 3, 512} <= {case.filters for case in DRAWN}
    assert any(case.groups == case.channels > 1 and case.filters > case.channels for case in DRAWN)


def test_work_is_bounded() -> None:
    for case in DRAWN:
        assert 5e6 <= case.flops <= 2.5e9 and case.values <= cases.MOST_VALUES


def test_sizes_and_gradients_are_those_of_the_layer() -> None:
    for case in DRAWN[::10]:
        model = cases.build(keras, case.model)
        assert model.output_shape == (None, *case.output, case.filters), case.title
        assert model.count_params() == case.weights + case.filters
    rows = cases.measures(DRAWN)
    assert [case for case, kind in rows if kind == "forward"] == DRAWN
    gradients = [(case, kind) for case, kind in rows if kind != "forward"]
    assert 60 < len(gradients) < 200 and not any(case.kind == "transposed" for case, _ in gradients)


SMALL = Case("grouped", 2, (6, 5), 4, 6, (3, 1), 2, 1, 2, "same")


@pytest.mark.parametrize("case", [SMALL, Case("transposed", 1, (7,), 3, 5, (4,), 2)], ids=lambda case: case.title)
def test_both_layouts_of_the_file_compute_the_case(case: Case, tmp_path: Path) -> None:
    job = jobs.Job("forward", case.model, (*case.size, case.channels), case.batch, str(tmp_path), 1)
    assert own.write(job)["notes"] == {"nodes.json": "", "model.onnx": ""}
    work = own.prepare(job)
    found = work.result(work.run())
    files = jobs.onnx_files(job)
    assert set(files) == {"", "channels first"}
    for name, (file, x) in files.items():
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        y = session.run(None, {session.get_inputs()[0].name: x})[0]
        np.testing.assert_allclose(jobs.channels_last(y) if name else y, found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", cases.GRADIENTS)
def test_gradients_are_adjoint_to_the_layer(kind: str, tmp_path: Path) -> None:
    """<conv(x, w), g> is <x, dx> and <w, dw>."""
    case = Case("grouped", 2, (7, 5), 4, 6, (3, 1), 2, 1, 2, "valid")
    job = jobs.Job(kind, case.model, (*case.size, case.channels), case.batch, str(tmp_path), 1)
    own.write(job)
    model = cases.build(keras, case.model)
    w, bias = jobs.weights(job)
    model.set_weights([w, np.zeros_like(bias)])
    x, g = jobs.images(job), jobs.gradient((case.batch, *case.output, case.filters))
    gradient = own.prepare(job).run()
    expected = float(np.vdot(np.asarray(model(x), np.float64), g))
    found = float(np.vdot(np.asarray(gradient, np.float64), x if kind == "input_grad" else w))
    assert found == pytest.approx(expected, rel=1e-4)


def _row(name: str, ours: float, kind: str = "forward", **others: float) -> dict[str, Any]:
    candidates = {"striate": {"median": ours}} | {rival: {"median": value} for rival, value in others.items()}
    case = Case("dense", 1, (9,), 16, 16, (3,))
    return {"title": name, "case": case.model, "pass": kind, "candidates": candidates}


def test_the_table_compares_with_the_best_rival() -> None:
    rows = [
        _row("a", 1e-3, onnxruntime=2e-3, torch=4e-3), _row("b", 3e-3, openvino=1e-3, torch=2e-3),
        _row("c", 1e-3, kind="input_grad", torch=4e-3), _row("d", 1e-3),
    ]  # fmt: skip
    rows[3]["candidates"]["torch"] = {"failed": "ended with -9"}
    report = {
        "machine": {"cpu": "a cpu", "threads": "2", "date": "today"}, "versions": {"striate": "1", "torch": "2"},
        "rows": rows,
    }  # fmt: skip
    text = grid.markdown(report)
    assert "| forward | best | 1.75 | 3.00 | 2 |" in text
    assert "| forward | PyTorch | 0.88 | 1.50 | 2 |" in text
    assert "| input_grad | PyTorch | 0.25 | 0.25 | 1 |" in text
    assert text.index("| b | forward | 3.000 ms | OpenVINO | 1.000 ms | 3.00 |") < text.index("| a | forward |")
    assert "| d | PyTorch | ended with -9 |" in text


def test_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert grid.main(["--rivals", "ncnn"]) == 2
    assert "openvino" in capsys.readouterr().out
