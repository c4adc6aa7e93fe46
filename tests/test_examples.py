"""Each example, run as a user runs it: it ends with 0 only if it reaches what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PROMISES = {
    "digits.py": "Held out: accuracy",
    "zipcode_1989.py": "parameters            9760      9760",
    "neocognitron.py": "shifted patterns recognised; 5 cells for 5 patterns",
    "autoencoder.py": "mean squared error on unseen digits",
}


@pytest.mark.parametrize("name", PROMISES)
def test_example(name: str, tmp_path: Path) -> None:
    figure = ["--figure", str(tmp_path / "figure.png")] if name in ("digits.py", "autoencoder.py") else []
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *figure],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr
    assert PROMISES[name] in done.stdout and not done.stderr
    assert not figure or (tmp_path / "figure.png").stat().st_size > 10_000


def test_all_examples_are_run() -> None:
    assert {p.name for p in EXAMPLES.glob("*.py")} == set(PROMISES)
