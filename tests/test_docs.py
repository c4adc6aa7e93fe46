"""The README's code runs, its links lead somewhere, and examples in docstrings say what is true."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "native" / "README.md",
]
WITH_EXAMPLES = sorted(p for p in (ROOT / "src").rglob("*.py") if re.search(r"^\s*>>> ", p.read_text(), re.M))


def test_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "Total params: 1,536 (6.00 KB)" in printed
    assert "(1, 6, 6, 16)" in printed


def test_the_page_on_training_runs() -> None:
    """All its blocks, as one program."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "training.md").read_text(), re.M | re.S)
    assert len(blocks) >= 7
    exec(compile("\n".join(blocks), "docs/training.md", "exec"), {"__name__": "__main__"})


def test_the_page_on_features_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All its blocks, as one program; the files that it names are there afterwards."""
    text = (ROOT / "docs" / "features.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), "docs/features.md", "exec"), {"__name__": "__main__"})
    written = set(re.findall(r'"(\w+\.(?:png|svg))"', "".join(blocks)))
    assert len(written) >= 7
    assert written == {p.name for p in tmp_path.iterdir()}


def test_the_page_on_arithmetic_runs() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "arithmetic.md").read_text(), re.M | re.S)
    assert len(blocks) >= 7
    exec(compile("\n".join(blocks), "docs/arithmetic.md", "exec"), {"__name__": "__main__"})


def test_the_page_on_animations_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All its blocks, as one program; the files that it names are there afterwards."""
    text = (ROOT / "docs" / "animate.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), "docs/animate.md", "exec"), {"__name__": "__main__"})
    written = set(re.findall(r'"(\w+\.(?:html|gif|png|svg))"', "".join(blocks)))
    assert len(written) == 4 and written == {p.name for p in tmp_path.iterdir()}
    said = re.findall(r"print\(animation\) +# (.*)", text)[0]
    assert capsys.readouterr().out.splitlines()[0] == said


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda p: p.stem)
def test_docstrings_are_true(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert outcome.attempted
    assert not outcome.failed
