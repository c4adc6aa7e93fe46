"""Data sets from folders, arrays and series; batches prepared ahead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import striate
from striate.utils import image_dataset_from_directory, pad_sequences, split_dataset, timeseries_dataset_from_array
from striate.utils.py_dataset import PyDataset, ordered_batches

# PyDataset ------------------------------------------------------------------------------------------------------------


class Slow(PyDataset):
    """Batches that take longer the earlier they are; counts how many were made."""

    def __init__(self, count: int = 12, fail_at: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.count, self.fail_at, self.made, self.lock = count, fail_at, 0, threading.Lock()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        time.sleep(0.002 * (index % 3))
        if index == self.fail_at:
            raise FileNotFoundError("no such picture")
        with self.lock:
            self.made += 1
        return np.full(2, index)


class Plain(PyDataset):
    """One that can be sent to another process."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        if index == 4:
            raise FileNotFoundError("no such picture")
        return np.full(2, index)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_batches_come_in_order_and_are_not_all_made_at_once(workers: int) -> None:
    data = Slow(60, workers=workers, max_queue_size=3)
    batches = ordered_batches(data, reversed(range(60)))
    assert next(batches)[0] == 59
    assert data.made <= 12
    assert [b[0] for b in batches] == list(range(58, -1, -1))


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_names_the_batch_and_ends_the_work(workers: int) -> None:
    data = Slow(500, fail_at=5, workers=workers)
    found = []
    with pytest.raises(FileNotFoundError, match="no such picture") as caught:
        for b in ordered_batches(data, range(500)):
            found.append(b[0])
    assert found == [0, 1, 2, 3, 4]
    assert caught.value.__notes__ == ["In batch 5 of Slow."]
    made = data.made
    time.sleep(0.1)
    assert made < 40 and data.made <= made + workers


def test_processes() -> None:
    found = []
    with pytest.raises(FileNotFoundError, match="no such picture"):
        for b in ordered_batches(Plain(workers=2, use_multiprocessing=True), range(6)):
            found.append(b[0])
    assert found == [0, 1, 2, 3]


@pytest.mark.parametrize("how", ["workers=2", "workers=2, use_multiprocessing=True"])
@pytest.mark.parametrize("end", ["batches.close()", "raise KeyboardInterrupt", "os.kill(os.getpid(), signal.SIGINT)"])
def test_a_batch_that_takes_for_ever_does_not_keep_a_program_from_ending(how: str, end: str, tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text(
        "import os, signal, time, striate\n"
        "from striate.utils.py_dataset import ordered_batches\n"
        "class Slow(striate.utils.PyDataset):\n"
        "    def __len__(self): return 9\n"
        "    def __getitem__(self, i):\n"
        "        if i: time.sleep(600)\n"
        "        return i\n"
        f"batches = ordered_batches(Slow({how}), range(9))\n"
        f"print(next(batches), flush=True)\ntime.sleep(0.2)\n{end}\n"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert time.monotonic() - start < 20
    assert done.stdout == "0\n" and (done.returncode == 0 or "KeyboardInterrupt" in done.stderr)


def test_an_interrupt_while_waiting_for_a_batch(tmp_path: Path) -> None:
    script = tmp_path / "waiting.py"
    script.write_text(
        "import os, signal, threading, time, numpy as np, striate\n"
        "class Slow(striate.utils.PyDataset):\n"
        "    def __len__(self): return 9\n"
        "    def __getitem__(self, i):\n"
        "        if i == 2: threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start(); time.sleep(600)\n"
        "        return np.zeros((2, 3)), np.zeros((2, 1))\n"
        "m = striate.Sequential([striate.layers.Input((3,)), striate.layers.Dense(1)])\n"
        "m.compile('sgd', 'mse')\n"
        "try: m.fit(Slow(workers=2), shuffle=False, verbose=0)\n"
        "except KeyboardInterrupt:\n"
        "    y = m.predict(np.zeros((1, 3)), verbose=0)\n"
        "    print('stopped', int(m.optimizer.iterations.numpy()), y.shape)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "stopped 2 (1, 1)\n", done.stderr


class Dying(Plain):
    def __getitem__(self, index: int) -> Any:
        if index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.full(2, index)


def test_a_process_that_is_killed_is_missed() -> None:
    with pytest.raises(RuntimeError, match="exit code -9"):
        list(ordered_batches(Dying(workers=1, use_multiprocessing=True), range(6)))


def test_what_lacks_is_said() -> None:
    with pytest.raises(NotImplementedError, match="__getitem__"):
        PyDataset()[0]
    with pytest.raises(NotImplementedError, match="num_batches"):
        PyDataset().num_batches
    for wrong in ({"workers": -1}, {"workers": "2"}, {"max_queue_size": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            PyDataset(**wrong)

    class Forgetful(PyDataset):
        def __init__(self) -> None:
            pass  # no super().__init__()

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Any:
            return np.zeros(3)

    assert len(list(ordered_batches(Forgetful(), range(1)))) == 1


# Pictures -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes with 4, 3 and 2 pictures of their own grey, and files that are none."""
    for number, (name, count) in enumerate((("ant", 4), ("bee", 3), ("cat", 2))):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("RGB", (8, 6), (40 * number, 10 * i, 0)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "ant" / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_pictures_by_folder(folder: Path, capsys: Any) -> None:
    data = image_dataset_from_directory(folder, image_size=(6, 8), batch_size=4, shuffle=False)
    assert capsys.readouterr().out == "Found 9 files belonging to 3 classes.\n"
    assert data.class_names == ["ant", "bee", "cat"] and [Path(p).name for p in data.file_paths[:2]] == [
        "0.png",
        "1.png",
    ]
    batches = list(data)
    assert [len(b[0]) for b in batches] == [4, 4, 1] and batches[0][0].dtype == "float32"
    images, labels = (np.concatenate(p) for p in zip(*batches, strict=True))
    assert labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2] and labels.dtype == "int32"
    assert images[:, 0, 0, 0].tolist() == [40 * n for n in labels]
    assert images.shape == (9, 6, 8, 3)


def test_pictures_are_resized_as_in_keras(folder: Path, real_keras: Any) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (21, 34, 3), dtype=np.uint8)).save(folder / "ant" / "0.png")
    raw = np.asarray(Image.open(folder / "ant" / "0.png"), "float32")
    for options in ({}, {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True}, {"interpolation": "nearest"}):
        data = image_dataset_from_directory(folder, image_size=(10, 12), shuffle=False, verbose=False, **options)
        expected = real_keras.ops.image.resize(raw, (10, 12), **options)
        np.testing.assert_allclose(next(iter(data))[0][0], expected, atol=2e-3)


@pytest.mark.parametrize(("mode", "shape"), [("int", (4,)), ("categorical", (4, 3)), (None, None)])
def test_labels_and_colours(folder: Path, mode: Any, shape: Any) -> None:
    for colours, channels in (("rgb", 3), ("rgba", 4), ("grayscale", 1)):
        data = image_dataset_from_directory(
            folder, label_mode=mode, color_mode=colours, image_size=5, batch_size=4, seed=1, verbose=False
        )
        batch = data[0]
        images = batch if mode is None else batch[0]
        assert images.shape == (4, 5, 5, channels)
        assert mode is None or batch[1].shape == shape
    first = image_dataset_from_directory(folder, image_size=5, data_format="channels_first", verbose=False)
    assert first[0][0].shape == (9, 3, 5, 5)
    two = image_dataset_from_directory(
        folder, label_mode="binary", class_names=["cat", "ant"], image_size=5, shuffle=False
    )
    assert two[0][1].tolist() == [[0.0]] * 2 + [[1.0]] * 4
    given = image_dataset_from_directory(folder, labels=list(range(9)), image_size=5, shuffle=False, verbose=False)
    assert given[0][1].tolist() == list(range(9)) and given.class_names == [str(i) for i in range(9)]
    alone = image_dataset_from_directory(folder, image_size=5, batch_size=None, shuffle=False, verbose=False)
    assert alone[8][0].shape == (5, 5, 3) and alone[8][1] == 2


def test_a_split_has_no_overlap_and_orders_repeat(folder: Path, capsys: Any) -> None:
    options = {"image_size": 4, "validation_split": 0.3, "seed": 3, "batch_size": 3}
    train, held = image_dataset_from_directory(folder, subset="both", **options)
    assert "Using 7 files for training." in capsys.readouterr().out
    assert len(train.file_paths) == 7 and len(held.file_paths) == 2
    assert not set(train.file_paths) & set(held.file_paths)
    alone = image_dataset_from_directory(folder, subset="validation", **options)
    assert alone.file_paths == held.file_paths
    again, _ = image_dataset_from_directory(folder, subset="both", **options)
    first, second = list(train), list(train)
    assert not all(np.array_equal(a[0], b[0]) for a, b in zip(first, second, strict=True))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, again, strict=True))


def test_files_that_cannot_be_read_are_named(folder: Path, monkeypatch: Any) -> None:
    (folder / "bee" / "1.png").write_bytes(b"\x89PNG broken")
    data = image_dataset_from_directory(folder, image_size=4, shuffle=False, verbose=False)
    with pytest.raises((OSError, ValueError), match=r"1\.png"):
        list(data)
    Image.new("L", (9000, 9000)).save(folder / "bee" / "2.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**6)
    with pytest.warns(UserWarning, match=r"(?s)leaves out 2 files:\n.*[12]\.png.*[12]\.png"):
        data = image_dataset_from_directory(folder, image_size=4, verbose=False, unreadable="skip")
    assert len(data.file_paths) == 7 and len(next(iter(data))[0]) == 7


def test_pictures_go_into_fit(folder: Path) -> None:
    data = image_dataset_from_directory(folder, image_size=(6, 8), batch_size=4, verbose=False, seed=0)
    model = striate.Sequential(
        [
            striate.layers.Input((6, 8, 3)), striate.layers.Rescaling(1 / 255), striate.layers.Flatten(),
            striate.layers.Dense(3, activation="softmax"),
        ]
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(data, epochs=3, validation_data=data, verbose=0)
    assert len(history.history["val_accuracy"]) == 3


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"directory": "nowhere"}, "no folder 'nowhere'"),
        ({"labels": "guessed"}, "`labels` argument"),
        ({"labels": [1, 2]}, "match the number of files"),
        ({"labels": None, "class_names": ["ant"]}, "class_names"),
        ({"class_names": ["ant", "dog"]}, "Expected: \\['ant', 'bee', 'cat'\\]"),
        ({"label_mode": "text"}, "label_mode"),
        ({"label_mode": "binary"}, "exactly 2 class_names"),
        ({"color_mode": "cmyk"}, "color_mode"),
        ({"image_size": (3,)}, "image_size"),
        ({"interpolation": "magic"}, "interpolation"),
        ({"validation_split": 2.0, "subset": "both"}, "between 0 and 1"),
        ({"validation_split": 0.5}, "inversely"),
        ({"validation_split": 0.5, "subset": "test"}, "subset"),
        ({"validation_split": 0.5, "subset": "both"}, "must provide a `seed`"),
        ({"validation_split": 0.01, "subset": "validation", "seed": 1}, "No validation images"),
        ({"unreadable": "ignore"}, "unreadable"),
        ({"data_format": "last"}, "data_format"),
    ],
)
def test_wrong_arguments(folder: Path, options: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        image_dataset_from_directory(**{"directory": folder, "verbose": False, **options})


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No images found"):
        image_dataset_from_directory(tmp_path, labels=None, verbose=False)


# Series, sequences, splits --------------------------------------------------------------------------------------------


@given(st.data())
def test_windows_over_a_series(data: st.DataObject) -> None:
    length = data.draw(st.integers(2, 40))
    size, stride, rate = (data.draw(st.integers(1, min(5, length - 1))) for _ in range(3))
    start = data.draw(st.integers(0, length - 2))
    end = data.draw(st.none() | st.integers(start + 1, length - 1))
    series, targets = np.arange(length) * 10, np.arange(length)
    made = timeseries_dataset_from_array(series, targets, size, stride, rate, 3, start_index=start, end_index=end)
    stop = length if end is None else end
    starts = [s for s in range(start, stop, stride) if s + (size - 1) * rate < stop]
    expected = [[10 * (s + k * rate) for k in range(size)] for s in starts]
    batches = list(made)
    assert [w for x, _ in batches for w in x.tolist()] == expected
    assert [t for _, y in batches for t in y.tolist()] == starts
    assert all(len(x) == 3 for x, _ in batches[:-1])
    without = timeseries_dataset_from_array(series, None, size, stride, rate, None, shuffle=True, seed=1,
                                            start_index=start, end_index=end)  # fmt: skip
    assert sorted(w.tolist() for w in without) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"sampling_rate": 0}, {"sampling_rate": 10}, {"sequence_stride": 0}, {"sequence_stride": 99},
        {"start_index": -1}, {"start_index": 10}, {"end_index": 0}, {"end_index": 11},
        {"start_index": 5, "end_index": 5},
    ],
)  # fmt: skip
def test_windows_out_of_range(options: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        timeseries_dataset_from_array(np.arange(10), None, 2, **options)


@given(
    st.lists(st.lists(st.integers(1, 9), max_size=6), max_size=5), st.none() | st.integers(0, 7),
    st.sampled_from(["pre", "post"]), st.sampled_from(["pre", "post"]),
)  # fmt: skip
def test_padding_is_that_of_keras(rows: Any, maxlen: Any, padding: str, truncating: str) -> None:
    import keras

    if (maxlen == 0 and any(rows)) or (maxlen is None and not rows):
        return  # Keras fails on these
    found = pad_sequences(rows, maxlen, padding=padding, truncating=truncating, value=7)
    np.testing.assert_array_equal(
        found, keras.utils.pad_sequences(rows, maxlen, padding=padding, truncating=truncating, value=7)
    )
    assert striate.preprocessing.sequence.pad_sequences is pad_sequences


@pytest.mark.parametrize("rows", [3, [1, 2], [[1], [[2]]]])
def test_sequences_that_do_not_fit(rows: Any) -> None:
    with pytest.raises(ValueError, match=r"sequences|shape"):
        pad_sequences(rows)


def test_splits() -> None:
    x = {"a": np.arange(10), "b": np.arange(20).reshape(10, 2)}
    left, right = split_dataset(x, left_size=0.3)
    assert len(left) == 3 and len(right) == 7 and right[0]["b"].tolist() == [6, 7]
    left, right = split_dataset(np.arange(10), right_size=2, shuffle=True, seed=0)
    assert sorted([*map(int, left), *map(int, right)]) == list(range(10)) and len(right) == 2
    left, right = split_dataset([1, 2, 3, 4], left_size=1, right_size=2)
    assert list(left) == [1] and list(right) == [3, 4]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (([1, 2],), ValueError), (([1, 2], 0.0), ValueError), (([1, 2], 3), ValueError),
        (([1, 2, 3], 2, 2), ValueError),
        (([1, 2], "half"), TypeError), ((5, 0.5), TypeError), (("text", 0.5), TypeError), (([], 0.5), ValueError),
        (((np.zeros(3), np.zeros(4)), 0.5), ValueError),
    ],
)  # fmt: skip
def test_wrong_splits(arguments: Any, error: Any) -> None:
    with pytest.raises(error):
        split_dataset(*arguments)
