"""Animations as files: stills, films, pages; written whole or not at all; the command."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import sys
import time
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate import explain, layers
from striate.explain.animation import animation as module
from striate.explain.animation import video
from striate.explain.animation.scene import number
from striate.explain.animation.themes import DARK, LIGHT


def seven() -> Any:
    """The chapter's example: 7x7 under a kernel of 3x4."""
    layer = layers.Conv2D(1, (3, 4), use_bias=False)
    layer.build((None, 7, 7, 1))
    layer.set_weights([np.arange(-6, 6, dtype="float32").reshape(3, 4, 1, 1)])
    return layer


X = np.arange(49.0).reshape(7, 7) % 6


def test_a_gif_has_a_picture_for_each_frame(tmp_path: Path) -> None:
    made = explain.animate(seven(), X, tmp_path / "a.gif", seconds=0.5)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == len(made.frames) == 20
        durations, pictures = [], []
        for n in range(film.n_frames):
            film.seek(n)
            durations.append(film.info["duration"])
            pictures.append(np.asarray(film.convert("RGB")))
        assert film.info["loop"] == 0
    assert durations[:-1] == [500] * 19 and durations[-1] > 1000
    assert all((a != b).any() for a, b in itertools.pairwise(pictures))


def test_a_still_is_what_the_film_shows(tmp_path: Path) -> None:
    made = explain.animate(seven(), X)
    made.save(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as film:
        film.seek(7)
        shown = np.asarray(film.convert("RGB"), "int32")
    drawn = np.asarray(made.image(7, scale=1.5), "int32")
    assert shown.shape == drawn.shape and np.abs(shown - drawn).mean() < 4


@pytest.mark.parametrize(("theme", "colours"), [("light", LIGHT), ("dark", DARK)])
def test_stills_in_both_themes(tmp_path: Path, theme: str, colours: dict[str, str]) -> None:
    made = explain.animate(seven(), X)
    made.save(tmp_path / "a.png", frame=3, theme=theme)
    with Image.open(tmp_path / "a.png") as opened:
        pixels = {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.asarray(opened).reshape(-1, 3)}
    assert {colours["paper"], colours["mark"], colours["line"]} <= pixels
    made.save(tmp_path / "a.svg", theme=theme)
    text = (tmp_path / "a.svg").read_text()
    assert colours["mark"] in text and "prefers-color-scheme" not in text
    root = xml.etree.ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and root.get("aria-label")


def test_a_tall_still_is_narrower() -> None:
    made = explain.animate(seven(), X)
    wide, tall = made.image(0), made.image(0, tall=True)
    assert tall.width < wide.width and tall.height > wide.height
    assert wide.width % 2 == wide.height % 2 == 0


def test_a_page_needs_no_network_and_many_go_on_one(tmp_path: Path) -> None:
    made = explain.animate(seven(), X, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    for word in ("http://", "https://", "url(", "@import", " src=", "<link rel=stylesheet"):
        assert word not in page.replace("http://www.w3.org/2000/svg", ""), word
    assert "prefers-color-scheme:dark" in page and "prefers-reduced-motion" in page
    assert ' id="' not in made._repr_html_(), "ids would meet on a page of several"
    assert len(page) < 100_000
    for label in ("Step back", "Play", "Step forward", "Frame"):
        assert f'aria-label="{label}"' in page


def test_texts_can_t_break_out_of_the_page() -> None:
    layer = layers.Conv2D(1, 2, activation=lambda x: x)
    layer.activation.__name__ = "</script><b>"
    html = explain.animate(layer, X[:3, :3])._repr_html_()
    assert "</script><b>" not in html


def test_a_long_animation_leaves_out_frames_evenly() -> None:
    made = explain.animate(seven(), np.ones((40, 30)), limit=50)
    assert len(made.frames) == 50
    done = [frame.done for frame in made.frames]
    assert done[-1] == 38 * 27 and min(np.diff(done)) >= 20 and max(np.diff(done)) <= 22
    pixels = explain.animate(seven(), np.ones((40, 30)), limit=5).still(-1).html
    assert pixels.count('class="cell pixel small') == 40 * 30 + 38 * 27


# Writing --------------------------------------------------------------------------------------------------------------


def test_an_interrupted_film_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "a.gif", []
    path.write_bytes(b"old")
    paint = module.Painter.paint

    def interrupted(self: Any, *args: Any) -> Any:
        seen.append(1)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return paint(self, *args)

    monkeypatch.setattr(module.Painter, "paint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        explain.animate(seven(), X, path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.gif"]


def fake_encoder(folder: Path, body: str) -> None:
    program, code = folder / "ffmpeg", folder / "ffmpeg.py"
    code.write_text(f"import sys\n{body}\n")
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{code}' \"$@\"\n")  # a path with a space is no `#!` line
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_a_film_gets_all_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that writes down what it was told and how much it was given."""
    fake_encoder(tmp_path, "open(sys.argv[-1], 'w').write(' '.join(sys.argv[1:]) + f' {len(sys.stdin.buffer.read())}')")
    monkeypatch.setenv("PATH", str(tmp_path))
    made = explain.animate(seven(), X, tmp_path / "a.mp4", seconds=0.5)
    told = (tmp_path / "a.mp4").read_text().split()
    size = made.image(0, scale=1.5).size
    assert told[told.index("-s") + 1] == f"{size[0]}x{size[1]}" and told[told.index("-r") + 1] == "2.0000"
    assert int(told[-1]) == 20 * size[0] * size[1] * 3


def test_an_encoder_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_encoder(tmp_path, "sys.exit('unknown encoder libx264')")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="unknown encoder libx264"):
        explain.animate(seven(), X, tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()


def test_no_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(video.importlib, "import_module", absent)
    with pytest.raises(RuntimeError, match=r"Install ffmpeg, or imageio-ffmpeg.*\.gif and \.html need neither"):
        explain.animate(seven(), X, tmp_path / "a.mp4")


# Wrong use ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "x", "options", "error", "text"),
    [
        (layers.Dense(2), X, {}, TypeError, "Dense is not one of"),
        (layers.SeparableConv2D(2, 3), X, {}, TypeError, "one by one"),
        (layers.Conv2D(1, 3), np.ones((100, 30)), {}, ValueError, r"at most 64 per axis, such as x\[::2, ::2\]"),
        (layers.Conv2D(1, 3), np.ones((4, 7, 7, 1)), {}, ValueError, r"Pass one sample: x\[:1\]"),
        (layers.Conv2D(1, 9), X, {}, ValueError, "9x9 kernel does not fit a 7x7 input"),
        (layers.Conv2D(2, 3), X, {"filters": [2]}, ValueError, "no filter 2. Use 0 to 1"),
        (layers.Conv2D(2, 3), X, {"filters": []}, ValueError, "names no filter"),
        (layers.Conv2D(2, 3), "photo.png", {}, ValueError, "must be numbers, got 'photo.png'"),
        (layers.Conv2D(2, 3), X, {"path": "a.bmp"}, ValueError, "ends with none of .html"),
        (layers.Conv2D(2, 3), X, {"theme": "pink"}, ValueError, "'light' or 'dark'"),
        (layers.Conv2D(2, 3), X, {"view": "zero"}, ValueError, "'scatter' or 'zeros'"),
        (layers.Conv2D(2, 3), X, {"seconds": 0}, ValueError, "0 seconds"),
    ],
)
def test_wrong_use(layer: Any, x: Any, options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        explain.animate(layer, x, **options)


def test_a_layer_that_does_more_than_its_window_is_not_shown_wrongly() -> None:
    class Doubled(layers.Conv2D):
        def call(self, inputs: Any) -> Any:
            return super().call(inputs) * 2

    with pytest.raises(RuntimeError, match="differ from what the layer gave"):
        explain.animate(Doubled(1, 3), X)


def test_numbers_that_are_not_finite() -> None:
    x = np.where(X == 5, np.nan, np.where(X == 4, np.inf, X))
    html = explain.animate(layers.MaxPooling2D(2), x)._repr_html_()
    assert "∞" in html and ",NaN" not in html
    convolved = explain.animate(seven(), x).still(3).html
    assert 'data-value="nan"' in convolved


def test_a_frame_that_there_is_not(tmp_path: Path) -> None:
    made = explain.animate(seven(), X)
    with pytest.raises(IndexError):
        made.still(20)
    with pytest.raises(IndexError):
        made.save(tmp_path / "a.png", frame=20)
    assert made.still(-1).alt.endswith("frame 20 of 20") and "20 frames" in repr(made)


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.0, "3"), (-0.0, "0"), (-2.5, "−2.5"), (0.125, "0.12"), (12.34, "12.3"), (-123.4, "−123"), (1e6, "1e6"),
     (0.001, "1e−3"), (np.inf, "∞"), (np.nan, "nan")],
)  # fmt: skip
def test_numbers_fit_into_cells(value: float, text: str) -> None:
    assert number(value) == text and len(text) <= 5


# The command ----------------------------------------------------------------------------------------------------------


def striate(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "striate", "animate", *args], capture_output=True, text=True, cwd=cwd)


def test_the_command(tmp_path: Path) -> None:
    done = striate("Conv2D(1, 3, strides=2)", "--input", "7x7x1", "--out", "a.gif", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == "a.gif: Conv2D: 7×7 → 3×3, 9 frames\n", done.stderr
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 9
    Image.effect_noise((90, 40), 80).convert("RGB").save(tmp_path / "photo.png")
    done = striate("MaxPool2D(2)", "--input", "photo.png", "--out", "b.html", "--limit", "9", cwd=tmp_path)
    assert done.returncode == 0 and "14×32 → 7×16" in done.stdout and (tmp_path / "b.html").exists(), done.stderr


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("Dense(3)",), "Dense has no window"),
        (("__import__('os').system('touch pwned')",), "there is no layer"),
        (("Conv2D(1, open('x'))",), "no plain value"),
        (("Conv2D(1, 3)", "--input", "none.png"), "no file 'none.png'"),
        (("Conv2D(1, 3)", "--out", "a.txt"), "ends with none of"),
        (("Conv2D(1, 9)",), "does not fit a 7x7 input"),
        (("Conv2D(1, 3)", "--frame", "99", "--out", "a.png"), "range"),
    ],
)
def test_the_command_s_mistakes_are_one_line(tmp_path: Path, args: tuple[str, ...], text: str) -> None:
    done = striate(*args, cwd=tmp_path)
    assert done.returncode == 2 and text in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and os.listdir(tmp_path) == []


def test_the_chapter_s_example_is_quick(tmp_path: Path) -> None:
    """Far below the two seconds that it may take, so that a busy machine does not matter."""
    start = time.process_time()
    explain.animate(seven(), X, tmp_path / "a.html")
    explain.animate(seven(), X, tmp_path / "a.gif")
    assert time.process_time() - start < 2
