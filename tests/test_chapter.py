"""The chapter's notebook, executed by `striate run` as a process, with pictures and weights made here."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nbformat
import numpy as np
import pytest
from matplotlib import cbook
from PIL import Image
from sklearn.datasets import load_sample_image

NOTEBOOK = Path(__file__).parents[1] / "examples" / "chapter.ipynb"
WEIGHTS = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
DEPTHS = ("block1_conv2", "block2_conv2", "block3_conv4", "block4_conv4", "block5_conv4")

# Python runs it at start in every process of the test: only there do the made weights count as the official ones.
CUSTOMIZE = """\
from striate.applications import vgg
object.__setattr__(vgg.VGG19_TABLE, "md5_notop", {digest!r})
"""
# A cell after the chapter's own, which hands over what it computed.
KEEP = "np.savez('kept.npz', g=ops.convert_to_numpy(g), **{f'f{n}': f for n, f in enumerate(features)})"


@dataclass(frozen=True)
class Ran:
    """What `striate run` left behind."""

    folder: Path
    original: Any
    executed: Any
    weights: dict[str, np.ndarray]

    def printed(self, start: str) -> str:
        """What the cell that starts so printed, or showed as its value, as text."""
        cell = next(c for c in self.executed.cells if c.cell_type == "code" and c.source.startswith(start))
        return "".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)

    def pictures(self, start: str) -> list[np.ndarray]:
        cell = next(c for c in self.executed.cells if c.source.startswith(start))
        found = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(p))).convert("RGB")) for p in found]

    def summaries(self) -> list[str]:
        """The text of every summary, in order."""
        codes = [c for c in self.executed.cells if ".summary()" in c.source]
        return ["".join(re.sub(r"\x1b\[[\d;]*m", "", o.data["text/plain"]) for o in c.outputs) for c in codes]


def rows(summary: str) -> list[tuple[str, str, str]]:
    """The class, output shape and parameter count of each row; a long name takes two lines of its row."""
    found = []
    for row in re.split(r"\n[├┡└][^\n]*", summary)[1:-1]:
        columns = zip(*(line.split("│")[1:4] for line in row.strip().split("\n")), strict=True)
        name, shape, count = (" ".join(filter(None, map(str.strip, column))) for column in columns)
        found.append((name[name.index("(") + 1 : -1], shape, count))
    return found


def weight_file(path: Path) -> dict[str, np.ndarray]:
    """VGG-19 without its top as the official file has it, with numbers by chance that keep activations small."""
    rng, values, channels = np.random.default_rng(0), {}, 3
    with h5py.File(path, "w") as file:
        names = ["input_1"]
        file.create_group("input_1").attrs["weight_names"] = np.zeros(0)
        for block, (count, out) in enumerate(BLOCKS, 1):
            for conv in range(1, count + 1):
                names.append(f"block{block}_conv{conv}")
                shape = (3, 3, channels, out)
                kernel = rng.standard_normal(shape, dtype="float32") * np.float32(np.sqrt(2 / (9 * channels)))
                values |= write_layer(file, names[-1], kernel, rng.standard_normal(out, dtype="float32"))
                channels = out
            names.append(f"block{block}_pool")
            file.create_group(names[-1]).attrs["weight_names"] = np.zeros(0)
        file.attrs.update(layer_names=[n.encode() for n in names], backend=b"tensorflow", keras_version=b"1.2.2")
    return values


def write_layer(file: h5py.File, name: str, kernel: np.ndarray, bias: np.ndarray) -> dict[str, np.ndarray]:
    group, found = file.create_group(name), {f"{name}_W_1:0": kernel, f"{name}_b_1:0": bias}
    group.attrs["weight_names"] = [n.encode() for n in found]
    for key, value in found.items():
        group[key] = value
    return found


def prepare(folder: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The notebook, its two pictures, the cache with the weights; returns the environment and the weights."""
    (folder / "figures").mkdir()
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        Image.open(file).resize((128, 150)).save(folder / "figures" / "oscar.png")
    Image.fromarray(load_sample_image("china.jpg")).resize((96, 64)).save(folder / "figures" / "h Hoover_dam.JPG")
    cache = folder / "home" / "models"
    cache.mkdir(parents=True)
    values = weight_file(cache / WEIGHTS)
    digest = hashlib.md5((cache / WEIGHTS).read_bytes()).hexdigest()
    (folder / "start").mkdir()
    (folder / "start" / "sitecustomize.py").write_text(CUSTOMIZE.format(digest=digest))
    paths = [str(folder / "start"), *(p for p in sys.path if p)]
    inherited = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # a kernel's own: pictures
    return {**inherited, "KERAS_HOME": str(folder / "home"), "PYTHONPATH": os.pathsep.join(paths)}, values


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("chapter")
    environment, values = prepare(folder)
    original = nbformat.read(NOTEBOOK, as_version=4)
    copy = nbformat.read(NOTEBOOK, as_version=4)
    copy.cells.append(nbformat.v4.new_code_cell(KEEP))
    nbformat.write(copy, folder / "chapter.ipynb")
    command = [sys.executable, "-m", "striate", "run", "chapter.ipynb"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    yield Ran(folder, original, nbformat.read(folder / "chapter.out.ipynb", as_version=4), values)
    (folder / "home" / "models" / WEIGHTS).unlink()  # 80 MB


def correlate(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Formula (1) over channels in float64, without padding: `(h, w, c)` with `(kh, kw, c, q)`."""
    windows = np.lib.stride_tricks.sliding_window_view(x.astype("float64"), kernel.shape[:2], axis=(0, 1))
    return np.einsum("ijcmn,mncq->ijq", windows, kernel.astype("float64"))


def test_the_notebook_holds_code_and_no_results() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    codes = [c for c in notebook.cells if c.cell_type == "code"]
    assert len(codes) == 25
    assert all(not c.outputs and c.execution_count is None for c in codes)
    assert not any("striate" in c.source for c in codes), "the chapter's code says keras"


def test_the_cells_ran_unchanged(ran: Ran) -> None:
    sources = [c.source for c in ran.original.cells]
    assert [c.source for c in ran.executed.cells][:-1] == sources
    codes = [c for c in ran.executed.cells if c.cell_type == "code"]
    assert [c.execution_count for c in codes] == list(range(1, len(codes) + 1))
    assert not any(o.output_type == "error" for c in codes for o in c.outputs)


def test_the_shapes_that_the_chapter_prints(ran: Ran) -> None:
    assert ran.printed("# Inspect the layer variables' shapes").split("\n")[:4] == [
        "(3, 5, 3, 8)",
        "(8,)",
        "(3, 3, 8, 16)",
        "(16,)",
    ]
    assert "shape=(3, 3, 1, 1), dtype=float32" in ran.printed("# Inspect the model's weights")
    tensors = ran.printed("# View the model inputs and outputs Tensors")
    assert re.findall(r"shape=(\([^)]*\))", tensors) == [
        f"(None, None, None, {c})" for c in (3, 64, 128, 256, 512, 512)
    ]


SUMMARIES = (
    (
        "Conv2D (None, 30, 28, 8) 368; MaxPooling2D (None, 15, 14, 8) 0; Conv2D (None, 13, 12, 16) 1,168; "
        "MaxPooling2D (None, 6, 6, 16) 0",
        "1,536 (6.00 KB)",
    ),
    (
        "InputLayer (None, None, None, 3) 0; "
        + "; ".join(
            "; ".join([f"Conv2D (None, None, None, {c}) {n}" for n in ns] + [f"MaxPooling2D (None, None, None, {c}) 0"])
            for c, ns in (
                (64, ("1,792", "36,928")),
                (128, ("73,856", "147,584")),
                (256, ("295,168", "590,080", "590,080", "590,080")),
                (512, ("1,180,160", "2,359,808", "2,359,808", "2,359,808")),
                (512, ("2,359,808",) * 4),
            )
        ),
        "20,024,384 (76.39 MB)",
    ),
    (
        "InputLayer (None, 32, 32, 3) 0; Conv2D (None, 30, 28, 16) 736; MaxPooling2D (None, 15, 14, 16) 0; "
        "Conv2D (None, 15, 14, 16) 2,320",
        "3,056 (11.94 KB)",
    ),
    (
        "InputLayer (None, 128, 128, 3) 0; Conv2D (None, 62, 42, 16) 1,216; MaxPooling2D (None, 31, 21, 16) 0; "
        "Conv2D (None, 31, 21, 16) 12,560; MaxPooling2D (None, 10, 9, 16) 0; Conv2D (None, 5, 5, 16) 2,320; "
        "Flatten (None, 400) 0; Dense (None, 16) 6,416; Dense (None, 1) 17",
        "22,529 (88.00 KB)",
    ),
    ("Conv2DTranspose (None, 5, 5, 1) 10", "10 (40.00 B)"),
    ("Conv2DTranspose (None, 4, 4, 1) 10", "10 (40.00 B)"),
    ("Conv2DTranspose (None, 4, 4, 1) 10", "10 (40.00 B)"),
)


@pytest.mark.parametrize("number", range(len(SUMMARIES)))
def test_the_summaries_that_the_chapter_prints(ran: Ran, number: int) -> None:
    summaries, (expected, total) = ran.summaries(), SUMMARIES[number]
    assert len(summaries) == len(SUMMARIES)
    text = summaries[number]
    assert "; ".join(" ".join(row) for row in rows(text)) == expected
    flat = re.sub(r"\s+", " ", text)
    assert f"Total params: {total}" in flat
    assert f"Trainable params: {total}" in flat
    assert "Non-trainable params: 0 (0.00 B)" in flat


def test_sobel_s_edges(ran: Ran) -> None:
    image = np.asarray(Image.open(ran.folder / "figures" / "oscar.png").convert("L"), dtype="float64")[..., None]
    x = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])[:, :, None, None]
    expected = np.hypot(correlate(image, x), correlate(image, x.transpose(1, 0, 2, 3)))
    assert expected.shape == (148, 126, 1)
    assert expected.std() > 10
    kept = np.load(ran.folder / "kept.npz")["g"]
    np.testing.assert_allclose(kept, expected, rtol=1e-5, atol=1e-3)


def test_the_first_block_s_feature_map(ran: Ran) -> None:
    kept = np.load(ran.folder / "kept.npz")
    with Image.open(ran.folder / "figures" / "h Hoover_dam.JPG") as opened:
        image = np.asarray(opened.convert("RGB"), dtype="float64")
    np.testing.assert_array_equal(kept["f0"], image)
    h = image[..., ::-1] - [103.939, 116.779, 123.68]
    for layer in ("block1_conv1", "block1_conv2"):
        h = np.pad(h, ((1, 1), (1, 1), (0, 0)))
        h = np.maximum(correlate(h, ran.weights[f"{layer}_W_1:0"]) + ran.weights[f"{layer}_b_1:0"], 0)
    np.testing.assert_allclose(kept["f1"][0], h, rtol=0, atol=1e-4 * h.max())


def test_the_depths_halve_the_picture(ran: Ran) -> None:
    kept = np.load(ran.folder / "kept.npz")
    shapes = [kept[f"f{n}"].shape for n in range(1, 6)]
    assert shapes == [(1, 64, 96, 64), (1, 32, 48, 128), (1, 16, 24, 256), (1, 8, 12, 512), (1, 4, 6, 512)]
    assert all(np.isfinite(kept[f"f{n}"]).all() and kept[f"f{n}"].any() for n in range(1, 6))


@pytest.mark.parametrize(
    "start", ["# Load an image", "# View the image", "# Load a colour", "# Visualise the features"]
)
def test_the_figures(ran: Ran, start: str) -> None:
    (picture,) = ran.pictures(start)
    assert min(picture.shape[:2]) > 200
    assert picture.std() > 20, "an empty picture"


def test_the_titles_of_the_depths(ran: Ran) -> None:
    cell = next(c for c in ran.original.cells if c.source.startswith("# Define the multi-output"))
    assert tuple(re.findall(r"'(block\d_conv\d)'", cell.source)) == DEPTHS
