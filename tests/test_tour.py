"""The tour: what the page holds, that its code was run, and that `core.window` rules its shapes."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import explain
from striate.explain.tour.parts import Code
from striate.explain.tour.runner import Runner

VOID = {"meta", "link", "img", "br", "rect"}


class Page(HTMLParser):
    """The ids, links, alternative texts and sources of a page; complains about tags that don't match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.pictures: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.targets += [v or "" for k, v in attrs if k in ("href", "src")]
        self.images += [found] if tag == "img" else []
        self.pictures += [found] if tag == "svg" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page for a small picture, with no weights to be had."""
    folder = tmp_path_factory.mktemp("tour")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    done = tour(folder)
    assert done.returncode == 0, done.stderr
    assert "index.html" in done.stderr
    return (folder / "page" / "index.html").read_text(encoding="utf-8")


def tour(folder: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own, offline, after the lines `before`."""
    source = (
        "import sys, urllib.request\n"
        "def refuse(*a, **k): raise OSError('offline')\n"
        f"urllib.request.urlopen = refuse\n{before}\n"
        "sys.argv = ['striate', 'tour', '--image', 'photo.png', '--out', 'page']\n"
        "from striate.cli import main\nmain()"
    )
    environment = {**os.environ, "KERAS_HOME": str(folder / "keras")}
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=folder, env=environment)


def plain(text: str) -> str:
    """The text of the page, tags left out."""
    return html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"<style>.*?</style>", "", text, flags=re.S)))


def test_the_page_is_whole_and_self_contained(made: str) -> None:
    page = Page(made)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for target in page.targets:
        assert target.startswith("data:") or target[1:] in page.ids
    assert not re.search(r"(?:src|href)=.https?:|url\(|@import", made)
    assert "<script" not in made


def test_every_picture_has_a_text(made: str) -> None:
    page = Page(made)
    assert len(page.images) >= 2 and all(image["alt"] for image in page.images)
    assert len(page.pictures) > 20 and all(picture["aria-label"] for picture in page.pictures)


def test_what_the_chapter_prints_is_there(made: str) -> None:
    text = plain(made)
    for expected in (
        "Total params: 1,536 (6.00 KB)",
        "Total params: 20,024,384 (76.39 MB)",
        "Total params: 3,056 (11.94 KB)",
        "Total params: 22,529 (88.00 KB)",
        "(3, 5, 3, 8)",
        "(None, 62, 42, 16)",
        "(None, 5, 5, 1)",
    ):
        assert expected in text
    assert "False" not in [line.strip() for line in text.splitlines()]


def test_random_weights_are_said_to_be_random(made: str) -> None:
    assert "Its weights are random here" in made


def test_formula_6_with_its_numbers(made: str) -> None:
    formulas = [plain(m) for m in re.findall(r"<math.*?</math>", made)]
    for expected in ("o=7−3+1=5", "o=7−4+1=4", "o=7+3−4+1=7", "o=7+6−4+1=10", "o=⌊7+2−32⌋+1=4", "o=⌊128+0−53⌋+1=42"):
        assert expected in formulas, expected
    assert "o′=2·(2−1)+0+3−2=3" in formulas and "o′=2·(2−1)+1+3−2=4" in formulas


def test_a_formula_changed_in_window_changes_the_tour(made: str, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "photo.png")
    wrong = "import striate.core.window as w\nw._count = lambda i, p, k, s: (i + p - k + s - 1) // s + 1"
    done = tour(tmp_path, wrong)
    page = tmp_path / "page" / "index.html"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    assert done.returncode != 0 or plain(text) != plain(made)
    assert "+1=42" not in [plain(m)[-5:] for m in re.findall(r"<math.*?</math>", text)]


def test_a_cell_s_output_is_what_it_printed_and_gave() -> None:
    runner = Runner()
    assert runner.run(Code("a = 3\nprint('x', a)\na + 1"), "t").printed == "x 3\n4\n"
    drawn = runner.run(Code("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"), "t")
    assert len(drawn.figures) == 1 and drawn.figures[0].startswith(b"\x89PNG")
    with pytest.raises(ZeroDivisionError):
        runner.run(Code("1/0"), "t")


def test_drawings_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="formula"):
        explain.show_convolution(np.ones((7, 7)), np.ones((3, 4)), np.ones((4, 5)))
    with pytest.raises(ValueError, match="show_window"):
        explain.show_window(3, 5)


def test_the_first_sum_is_the_first_output() -> None:
    rng = np.random.default_rng(1)
    x, k = rng.integers(-4, 5, (7, 7)), rng.integers(-4, 5, (3, 4))
    y = np.array([[(x[i : i + 3, j : j + 4] * k).sum() for j in range(4)] for i in range(5)])
    text = plain(explain.show_convolution(x, k, y).html).split("First output:")[1]
    left, right = text.replace("−", "-").replace("·", "*").split("=")
    assert eval(left) == int(right) == y[0, 0]
