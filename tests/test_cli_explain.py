"""`striate explain` and `striate summary`, run as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import striate
from striate import layers
from striate.cli import app
from striate.cli.target import layer_of
from striate.cli.user import UserError

PLAIN = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "COLUMNS")}


def run(*args: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "striate", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=PLAIN | env)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, real_keras: Any) -> Path:
    """A model that real Keras has saved."""
    path = tmp_path_factory.mktemp("models") / "theirs.keras"
    x = real_keras.Input((16, 12, 1))
    y = real_keras.layers.Conv2D(4, 3, strides=2, padding="same", name="down")(x)
    z = real_keras.layers.Conv2DTranspose(2, 3, strides=2, padding="same", name="up")(y)
    real_keras.Model(x, real_keras.layers.Add(name="sum")([x, z]), name="theirs").save(path)
    return path


def test_a_layer_is_derived(tmp_path: Path) -> None:
    done = run("explain", "Conv2D(16, 3, strides=2, padding='same')", "--input", "7x6x1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "= ⌊(7 + 2 − 3) / 2⌋ + 1 = 4" in done.stdout and "= ⌊(6 + 1 − 3) / 2⌋ + 1 = 3" in done.stdout
    assert "\x1b" not in done.stdout


def test_in_colour_where_there_is_colour(tmp_path: Path) -> None:
    done = run("explain", "MaxPool2D((2, 2))", "--input", "7x6x1", cwd=tmp_path, FORCE_COLOR="1", TERM="xterm-256color")
    assert "\x1b[34m7\x1b[0m" in done.stdout


def test_an_encoding_without_the_signs(tmp_path: Path) -> None:
    done = run("explain", "layers.Conv1D(4, 3)", "--input", "?x2", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "o = i ? k + 1" in done.stdout


def test_json(tmp_path: Path) -> None:
    done = run("explain", "Conv1DTranspose(4, 3, strides=2)", "--input", "5x2", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    layer = layers.Conv1DTranspose(4, 3, strides=2)
    assert tuple(found["output_shape"]) == layer.compute_output_shape((None, 5, 2))
    assert found["parameters"] == 3 * 4 * 2 + 4 and found["steps"][0]["i"] == 5


def test_a_file_of_keras(file: Path) -> None:
    found = json.loads(run("explain", file.name, "--json", cwd=file.parent).stdout)
    assert [row["name"].split("_")[0] for row in found["steps"]] == ["input", "down", "up", "sum"]
    assert found["steps"][-1]["sources"][1:] == ["up"] or found["steps"][-1]["sources"][:1] == ["up"]
    assert [f["size"] for f in found["steps"][2]["receptive_field"]] == [5, 5]
    text = run("explain", file.name, cwd=file.parent).stdout
    assert "o' = 2·(8 − 1) + 0 + 3 − 1 = 16" in text


def test_the_summary_of_a_file(file: Path) -> None:
    text = run("summary", file.name, "--receptive-field", cwd=file.parent, COLUMNS="120").stdout
    assert 'Model: "theirs"' in text and "5x5, jump 1" in text
    found = json.loads(run("summary", file.name, "--json", cwd=file.parent).stdout)
    assert found["params"] == striate.models.load_model(file).count_params()
    assert [row["params"] for row in found["layers"]] == [0, 3 * 3 * 4 + 4, 3 * 3 * 4 * 2 + 2, 0]


MISTAKES = [
    (("explain", "Conv2D(3, 5)", "--input", "3x7x1"), "a 5x5 kernel does not fit a 3x7 input"),
    (("explain", "Conv2D(3, 5)", "--input", "3x7"), "takes 2 spatial axes"),
    (("explain", "Conv2D(3, 5)", "--input", "axb"), "is no size"),
    (("explain", "Conv2D(3, 5)", "--input", "0x3x1"), "sizes are from 1"),
    (("explain", "Conv2D(3, 5)"), "--input 28x28x1"),
    (("explain", "Conv2D(3"), "is not one call of a layer"),
    (("explain", "Conv2D(3)"), "kernel_size"),
    (("explain", "Conv2DD(3, 3)"), "Did you mean Conv2D?"),
    (("explain", "Conv2D"), "Write Conv2D(...)"),
    (("explain", "Conv2D(10**9, 3)"), "is no plain value"),
    (("explain", "Conv2D(1, 9999999)", "--input", "3x3x1"), "too large"),
    (("explain", "Conv2D(*[1, 2])"), "is not one call"),
    (("explain", "nothing.keras"), "there is no file"),
    (("summary", "Conv2D(3, 3)"), "is a layer"),
    (("summary", "note.txt"), "is no model file"),
    (("summary", "broken.keras"), "broken.keras"),
]


@pytest.mark.parametrize(("args", "text"), MISTAKES, ids=lambda v: str(v)[:30])
def test_mistakes_get_one_line(
    tmp_path: Path,
    args: tuple[str, ...],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "note.txt").write_text("no model")
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 no zip")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["striate", *args])
    with pytest.raises(SystemExit) as ended:
        app.main()
    shown = capsys.readouterr().err
    assert ended.value.code == 2 and len(shown.splitlines()) == 1 and text in shown


def test_a_mistake_in_a_process(tmp_path: Path) -> None:
    done = run(*MISTAKES[0][0], cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and MISTAKES[0][1] in done.stderr


def test_nothing_of_an_expression_is_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    tries = [
        f"Conv2D(open({str(marker)!r}, 'w'), 3)",
        f"(lambda: open({str(marker)!r}, 'w'))()",
        f"__import__('pathlib').Path({str(marker)!r}).touch()",
        f"Conv2D(3, 3, name=str(open({str(marker)!r}, 'w')))",
        f"Conv2D(3, 3, **dict(name=open({str(marker)!r}, 'w')))",
    ]
    for text in tries:
        with pytest.raises(UserError):
            layer_of(text, "explain")
    assert not marker.exists()
