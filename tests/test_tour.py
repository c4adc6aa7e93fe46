"""The tour: what the page holds, that its code was run, and that `core.window` rules its shapes."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import CHROMIUM, Tab, drive
from striate.explain.tour.features import edges, vgg
from striate.explain.tour.parts import Code, Options, shrink_source
from striate.explain.tour.runner import Runner
from striate.explain.tour.table import PARTS

VOID = {"meta", "link", "img", "br", "rect", "input"}


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
    assert [path.name for path in (folder / "page").iterdir()] == ["index.html"]
    return (folder / "page" / "index.html").read_text(encoding="utf-8")


def tour(folder: Path, *arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own, offline, after the lines `before`."""
    source = (
        "import sys, urllib.request\n"
        "def refuse(*a, **k): raise OSError('offline')\n"
        f"urllib.request.urlopen = refuse\n{before}\n"
        f"sys.argv = {['striate', 'tour', *(arguments or ('--image', 'photo.png')), '--out', 'page']}\n"
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
    assert not re.search(r"<script[^>]* src", made)


def test_every_picture_has_a_text(made: str) -> None:
    page = Page(made)
    assert len(page.images) >= 2 and all(image["alt"] for image in page.images)
    seen = [picture for picture in page.pictures if "aria-hidden" not in picture]
    assert len(seen) > 60 and all(picture["aria-label"] for picture in seen)


def test_the_pictures_can_be_seen(made: str) -> None:
    for image in Page(made).images:
        kind, data = (image["src"] or "").split(",", 1)
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as opened:
            pixels = np.asarray(opened.convert("RGBA"), dtype="float64")
        rows, columns = pixels.shape[:2]
        assert columns > 300 and rows > 100, "too small"
        assert rows > 300 or image["src"] in section(made, "learning"), "only rows of small pictures are that flat"
        assert pixels[..., :3].std() > 20 and pixels[..., 3].min() == 0, "empty, or not transparent around"
    assert len(made) < 6e6


def test_every_part_is_there_and_in_the_contents(made: str) -> None:
    names = [part.id for part in PARTS]
    assert re.findall(r'<section id="(\w+)"', made) == names
    assert [t for t in Page(made).targets if t[1:] in names] == [f"#{name}" for name in names]
    parts = re.split(r"<section ", made)[1:]
    for part in parts:
        assert '<pre class="code"' in part
        assert any(kind in part for kind in ('<svg role="img"', "<img ", "<table>"))


def plays(part: str) -> list[dict[str, np.ndarray]]:
    """The planes of each animation of a section at its last frame, from the page's cells and data alone."""
    return [last(figure) for figure in re.findall(r'<figure class="striate-player".*?</figure>', part, re.S)]


def last(figure: str) -> dict[str, np.ndarray]:
    data = json.loads(re.findall(r'<script type="application/json">(.*?)</script>', figure, re.S)[0])
    found = {}
    for name, svg in re.findall(r'data-plane="([^"]+)"(.*?)</svg>', figure, re.S):
        cells = re.findall(r'data-at="(\d+),(\d+)"(?: data-value="([^"]+)")?', svg)
        found[name] = np.full((int(cells[-1][0]) + 1, int(cells[-1][1]) + 1), np.nan)
        for row, column, value in cells:
            found[name][int(row), int(column)] = float(value or "nan")
    for frame in data["frames"]:
        for name, index, cell in frame["written"]:
            found[name].flat[index] = cell[3]
        for name, cells in frame["planes"].items():
            found[name].flat[:] = [np.nan if c[3] is None else c[3] for c in cells]
    return found


def section(made: str, name: str) -> str:
    return made.split(f'<section id="{name}"')[1].split("</section>")[0]


def correlate(x: np.ndarray, k: np.ndarray) -> np.ndarray:
    views = np.lib.stride_tricks.sliding_window_view(x, k.shape)
    return np.einsum("ijmn,mn->ij", views, k)


def test_both_convolutions_are_numpy_s(made: str) -> None:
    as_is, turned = plays(section(made, "convolution"))
    x, k = as_is["x0"], as_is["k0"]
    assert (x.shape, k.shape) == ((7, 7), (3, 4))
    np.testing.assert_array_equal(turned["k0"], np.rot90(k, 2))
    np.testing.assert_array_equal(as_is["y0"], correlate(x, k))
    np.testing.assert_array_equal(turned["y0"], correlate(x, np.rot90(k, 2)))
    assert (as_is["y0"] != turned["y0"]).any()


def test_channels_are_numpy_s(made: str) -> None:
    """At the last frame the kernel is that of the last filter."""
    one, two = plays(section(made, "channels"))
    for play, filter_ in ((one, 0), (two, 1)):
        total = sum(correlate(play[f"x{c}"], play[f"k{c}"]) for c in range(3))
        np.testing.assert_array_equal(play[f"y{filter_}"], total)
    np.testing.assert_array_equal(one["y0"], two["y0"])
    assert two["y1"].shape == (5, 4) and (two["y0"] != two["y1"]).any()


def test_pooling_is_numpy_s(made: str) -> None:
    largest, mean, norm = plays(section(made, "pooling"))
    windows = largest["x0"].reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(2, 2, 4)
    np.testing.assert_array_equal(largest["y0"], windows.max(-1))
    np.testing.assert_array_equal(mean["y0"], windows.mean(-1))
    np.testing.assert_allclose(norm["y0"], np.sqrt((windows**2).sum(-1)), rtol=1e-5)


def test_padding_and_strides_are_numpy_s(made: str) -> None:
    """The chapter's sizes; the drawn cells hold the padding, so that NumPy needs no rule of its own."""
    same, full = plays(section(made, "padding"))
    strided = plays(section(made, "strides"))
    for play, size, stride in [
        (same, (7, 7), 1),
        (full, (9, 10), 1),
        *zip(strided, ((4, 4), (4, 3), (4, 3)), (2,) * 3),
    ]:
        np.testing.assert_array_equal(play["y0"], correlate(play["x0"], play["k0"])[::stride, ::stride])
        assert play["y0"].shape == size
    assert [play["x0"].shape for play in strided] == [(9, 9), (9, 7), (9, 7)]
    assert same["x0"].shape == (9, 10) and 'class="striate-still"' in section(made, "padding")


def test_the_transposed_cases_are_numpy_s(made: str) -> None:
    """Zeros between and around, then an ordinary convolution; beside it the convolution that it belongs to."""
    found = plays(section(made, "transposed"))
    sizes = [(5, 5), (5, 5), (3, 3), (3, 3), (4, 4), (4, 4)]
    assert [play["y0"].shape for play in found] == sizes
    for play in (found[0], found[2], found[4], found[5]):
        np.testing.assert_array_equal(play["y0"], correlate(play["x0"], play["k0"]))
    for zeros, scattered in ((found[0], found[1]), (found[2], found[3])):
        np.testing.assert_array_equal(zeros["y0"], scattered["y0"])
        np.testing.assert_array_equal(scattered["x0"], scattered["cy0"])
        np.testing.assert_array_equal(zeros["k0"], np.rot90(scattered["k0"], 2))
    for play, stride in zip(found, (1, 1, 2, 2, 2, 2)):
        kernel = np.rot90(found[0]["k0"], 2)
        reached = correlate(play["cx0"], kernel)[::stride, ::stride]
        np.testing.assert_array_equal(play["cy0"], reached)


def test_the_layers_have_the_chapter_s_names(made: str) -> None:
    text = plain(made)
    models = ("sequential_1", "vgg19", "functional_4", "functional_5", "sequential_3", "sequential_6", "sequential_7")
    assert re.findall(r'Model: "(\w+)"', text) == list(models)
    for name in ("conv2d_2 (", "max_pooling2d_3 (", "input_layer_3 (", "conv2d_6 (", "conv2d_9 (", "dense_1 ("):
        assert name in text
    assert "sequential_2/conv2d_4/kernel" in text


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_every_figure_plays_in_a_browser(made: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(made)
    count = made.count('<figure class="striate-player"')

    async def steps(tab: Tab) -> None:
        for width in (360, 1280):
            await tab.open(tmp_path / "index.html", width)
            assert await tab.value("document.documentElement.scrollWidth") <= width
        for n in range(count):
            await tab.click(".striate-player [aria-label='Step forward']", n)
        shown = "[...document.querySelectorAll('.striate-player')].map(p => +p.dataset.frame)"
        assert await tab.value(shown) == [1] * count
        assert tab.errors == []

    assert count == 18
    drive(steps)


def test_the_slips_are_pointed_out(made: str) -> None:
    text = plain(section(made, "transposed"))
    assert "None (None, 4, 4, 1)\n0 (None, 3, 3, 1)" in text
    assert "(0, 1)" in text
    assert "a of the text:    1\na of the caption: 2\n8 -> 3 -> 8\n8 -> 3 -> 9" in text
    assert "p′=2·(3−1)−2+0=2" in text and "p′=2·(3−1)−2+1=3" in text and "p′=2·(3−1)−0+0=4" in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--weights", "bad.h5"), "--weights"),
        (("--weights", "none.h5"), "there is no file 'none.h5'"),
        (("--image", "bad.h5"), "is not an image"),
        (("--image", "none.png"), "there is no file 'none.png'"),
        (("--image", "tiny.png"), "at least 32"),
        (("--image", "narrow.png"), "3000 by 40 pixels, too narrow"),
    ],
)
def test_a_file_that_will_not_do(tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    (tmp_path / "bad.h5").write_bytes(b"not a weight file")
    Image.new("RGB", (40, 20)).save(tmp_path / "tiny.png")
    Image.new("RGB", (3000, 40)).save(tmp_path / "narrow.png")
    done = tour(tmp_path, *arguments)
    assert done.returncode == 2
    assert text in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert not (tmp_path / "page").exists()


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
    for expected in ("o=7−3+1=5", "o=7−4+1=4", "o=7+3−4+1=7", "o=7+6−4+1=10", "o=⌊7+2−32⌋+1=4"):
        assert expected in formulas, expected
    assert "o = ⌊(128 + 0 − 5) / 3⌋ + 1 = 42" in plain(made)
    assert "o′=2·(2−1)+0+3−2=3" in formulas and "o′=2·(2−1)+1+3−2=4" in formulas


def test_a_formula_changed_in_window_changes_the_tour(made: str, tmp_path: Path) -> None:
    """Rounded up where formula (6) rounds down: the layers' own sizes and the formulas beside them follow."""
    Image.effect_noise((64, 32), 80).save(tmp_path / "photo.png")
    done = tour(
        tmp_path,
        before="import striate.core.window as w\nw._count = lambda i, p, k, s: -((i+p-k)//-s) + 1\n"
        "import striate.explain.tour.build as b\n"
        "b.PARTS = tuple(p for p in b.PARTS if p.id in ('convolution', 'padding', 'strides'))",
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    for text, size in ((made, 62), (page, 63)):
        other = 125 - size
        assert f"(None, {size}, 42, 16)" in plain(text) and f"(None, {other}, 42, 16)" not in plain(text)
        assert f"o = ⌊(128 + 0 − 5) / 2⌋ + 1 = {size}" in plain(text)


def test_a_cell_s_output_is_what_it_printed_and_gave() -> None:
    runner = Runner()
    assert runner.run(Code("a = 3\nprint('x', a)\na + 1"), "t").printed == "x 3\n4\n"
    drawn = runner.run(Code("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"), "t")
    assert len(drawn.figures) == 1 and drawn.figures[0].startswith(b"\x89PNG")
    with pytest.raises(ZeroDivisionError):
        runner.run(Code("1/0"), "t")


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    for name, size in (("large.png", (2000, 900)), ("fits.png", (1024, 900))):
        Image.new("RGB", size).save(tmp_path / name)
    assert shrink_source(tmp_path / "fits.png") == shrink_source(None) == ""
    names = {"image": Image.open(tmp_path / "large.png")}
    exec(shrink_source(tmp_path / "large.png"), names)
    assert names["image"].size == (1024, 461)
    for part in (edges, vgg):
        sources = [s.source for s in part(Options("", "", "", "shrink()\n")) if isinstance(s, Code)]
        assert sum("load_img" in s and "shrink()\n" in s for s in sources) == 1
