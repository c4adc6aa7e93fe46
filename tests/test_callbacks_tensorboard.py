"""What `TensorBoard` writes, read back by the package `tensorboard` itself; pictures read by Pillow."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.histogram import summary_v2 as histograms
from tensorboard.util import tensor_util

import striate
from striate import layers
from striate.callbacks import CallbackList, TensorBoard
from striate.callbacks.event_writer import histogram_of, picture_of, png


def make_model() -> Any:
    model = striate.Sequential(
        [striate.Input((8, 8, 3)), layers.Conv2D(4, 3, name="c"), layers.Flatten(), layers.Dense(2, name="d")]
    )
    model.optimizer = SimpleNamespace(learning_rate=np.float32(0.25), iterations=np.int64(0))
    return model


def run(model: Any, board: TensorBoard, epochs: int = 3, steps: int = 4) -> None:
    every = CallbackList([board], model=model, verbose=0, epochs=epochs, steps=steps)
    every.on_train_begin()
    for epoch in range(epochs):
        every.on_epoch_begin(epoch)
        for batch in range(steps):
            every.on_train_batch_begin(batch)
            model.optimizer.iterations += 1
            every.on_train_batch_end(batch, {"loss": epoch + batch / 10})
        every.on_test_begin()
        every.on_test_batch_begin(0)
        every.on_test_batch_end(0, {"loss": 7.0})
        every.on_test_end({"loss": 7.0 + epoch})
        every.on_epoch_end(epoch, {"loss": 0.5 - epoch, "val_loss": 7.0 + epoch})
    every.on_train_end({})


def tensors(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    accumulator.Reload()
    tags = accumulator.Tags()["tensors"]
    return {t: [(e.step, tensor_util.make_ndarray(e.tensor_proto)) for e in accumulator.Tensors(t)] for t in tags}


def plugin(folder: Path, tag: str) -> str:
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator.SummaryMetadata(tag).plugin_data.plugin_name


def numbers(pairs: list[tuple[int, Any]]) -> list[tuple[int, float]]:
    return [(step, float(value)) for step, value in pairs]


def test_scalars_of_epochs(tmp_path: Path) -> None:
    run(make_model(), TensorBoard(tmp_path, write_graph=False))
    found = tensors(tmp_path / "train")
    assert set(found) == {"epoch_loss", "epoch_learning_rate"}
    assert numbers(found["epoch_loss"]) == [(0, 0.5), (1, -0.5), (2, -1.5)]
    assert numbers(found["epoch_learning_rate"]) == [(0, 0.25), (1, 0.25), (2, 0.25)]
    found = tensors(tmp_path / "validation")
    assert set(found) == {"epoch_loss", "evaluation_loss_vs_iterations"}
    assert numbers(found["epoch_loss"]) == [(0, 7.0), (1, 8.0), (2, 9.0)]
    assert numbers(found["evaluation_loss_vs_iterations"]) == [(4, 7.0), (8, 8.0), (12, 9.0)]
    assert plugin(tmp_path / "train", "epoch_loss") == "scalars"


@pytest.mark.parametrize(("freq", "steps"), [("batch", range(1, 13)), (1, range(1, 13)), (5, [5, 10])])
def test_scalars_of_batches(tmp_path: Path, freq: Any, steps: Any) -> None:
    run(make_model(), TensorBoard(tmp_path, write_graph=False, update_freq=freq, write_steps_per_second=True))
    found = tensors(tmp_path / "train")
    expected = [(n, np.float32((n - 1) // 4 + (n - 1) % 4 / 10)) for n in steps]
    assert numbers(found["batch_loss"]) == expected
    assert [s for s, _ in found["batch_steps_per_second"]] == list(steps)
    assert all(v > 0 for _, v in found["epoch_steps_per_second"])
    assert len(found["epoch_loss"]) == 3


def test_histograms_and_pictures(tmp_path: Path) -> None:
    model = make_model()
    run(model, TensorBoard(tmp_path, histogram_freq=2, write_images=True))
    found = tensors(tmp_path / "train")
    for weight in model.weights:
        steps, values = zip(*found[f"{weight.path}/histogram"], strict=True)
        assert steps == (0, 2)
        assert values[0][:, 2].sum() == weight.numpy().size
        assert (values[0][0, 0], values[0][-1, 1]) == (weight.numpy().min(), weight.numpy().max())
    path = model.layers[0].kernel.path
    _, (width, height, file) = found[f"{path}/image"][0]
    picture = Image.open(io.BytesIO(file))
    assert picture.size == (int(width), int(height)) == (7, 7)  # 2 x 2 filters of 3 x 3, a pixel apart
    assert picture.mode == "RGB"
    assert plugin(tmp_path / "train", f"{path}/image") == "images"
    assert plugin(tmp_path / "train", f"{path}/histogram") == "histograms"


def test_graph_is_the_models_json(tmp_path: Path) -> None:
    model = make_model()
    run(model, TensorBoard(tmp_path), epochs=1)
    ((step, text),) = tensors(tmp_path / "train")["keras"]
    assert step == 0
    assert json.loads(text.item()) == json.loads(model.to_json())
    assert plugin(tmp_path / "train", "keras") == "graph_keras_model"


def test_what_is_written_is_there_before_the_end(tmp_path: Path) -> None:
    model, board = make_model(), TensorBoard(tmp_path, write_graph=False)
    every = CallbackList([board], model=model, verbose=0, epochs=9, steps=1)
    every.on_train_begin()
    every.on_epoch_begin(0)
    every.on_epoch_end(0, {"loss": 1.0})
    assert numbers(tensors(tmp_path / "train")["epoch_loss"]) == [(0, 1.0)]
    every.on_train_end()


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    model, board = make_model(), TensorBoard(tmp_path, write_graph=False)
    run(model, board, epochs=1)
    run(model, board, epochs=1)
    assert len(list((tmp_path / "train").iterdir())) == 2


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=(50, 7)),
        np.zeros(9),
        np.array([]),
        np.arange(30.0),
        np.array([1.0, 2.0]),
        np.array(3.0),
    ],
)
def test_histogram_as_tensorboards_own(values: np.ndarray) -> None:
    theirs = tensor_util.make_ndarray(histograms.histogram_pb("t", values).value[0].tensor)
    mine = histogram_of(values)
    np.testing.assert_allclose(mine[:, :2], theirs[:, :2], atol=1e-12)
    assert mine[:, 2].sum() == theirs[:, 2].sum() == values.size
    np.testing.assert_allclose(np.cumsum(mine[:, 2]), np.cumsum(theirs[:, 2]), atol=1)  # a value on an edge


def test_histogram_leaves_out_what_is_not_finite() -> None:
    assert histogram_of(np.array([np.nan, 1.0, np.inf, 2.0]))[:, 2].sum() == 2


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3)])
def test_png(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), (1, 1)),
        ((6,), (1, 6)),
        ((2, 6), (2, 6)),
        ((6, 2), (2, 6)),
        ((3, 2, 4), (7, 5)),
        ((3, 3, 3, 5), (7, 11, 3)),
        ((3, 3, 2, 3), (7, 11)),
        ((1, 1, 4, 2), (5, 5)),
        ((2, 2, 2, 2, 2), None),
        ((0,), None),
    ],
)
def test_shape_of_pictures(shape: tuple[int, ...], expected: Any) -> None:
    picture = picture_of(np.random.default_rng(2).normal(size=shape))
    assert (None if picture is None else picture.shape) == expected


def test_tiles_show_each_filter() -> None:
    kernel = np.random.default_rng(3).normal(size=(2, 3, 1, 5))
    picture = picture_of(kernel)
    assert picture is not None
    levels = np.rint((kernel - kernel.min()) / np.ptp(kernel) * 255)
    np.testing.assert_array_equal(picture[0:2, 4:7], levels[:, :, 0, 1])
    np.testing.assert_array_equal(picture[3:5, 0:3], levels[:, :, 0, 3])


def test_wrong_arguments(tmp_path: Path) -> None:
    for wrong in (-1, (3, 2), (1, 2, 3), "x", (1.5, 2)):
        with pytest.raises(ValueError, match="profile_batch must be a non-negative integer"):
            TensorBoard(tmp_path, profile_batch=wrong)
    with pytest.raises(ValueError, match="no profiler"):
        TensorBoard(tmp_path, profile_batch=2)
    with pytest.raises(ValueError, match="update_freq"):
        TensorBoard(tmp_path, update_freq="never")


def test_metadata_for_a_layer_that_is_no_embedding(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata={"d": "rows.tsv"})
    with pytest.raises(ValueError, match=r"unrecognized `Embedding` layer names.*'d'"):
        board.set_model(make_model())


def test_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    with pytest.raises(ImportError, match=r"striate\[tensorboard\]"):
        TensorBoard(tmp_path)
