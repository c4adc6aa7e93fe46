"""Backups: killed with SIGKILL in the middle of an epoch, training goes on there and ends with the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import striate
from striate import layers
from striate.callbacks import BackupAndRestore, CallbackList, LearningRateScheduler
from striate.callbacks.backup_and_restore import NAME

SCRIPT = """
import sys, time
import numpy as np
import striate
from striate import layers, callbacks

folder, out, slow = sys.argv[1], sys.argv[2], float(sys.argv[3])
striate.utils.set_random_seed(5)
rng = np.random.default_rng(0)
x = rng.normal(size=(96, 6, 6, 1)).astype("float32")
y = (x.sum((1, 2, 3)) > 0).astype("float32")[:, None]
model = striate.Sequential([
    striate.Input((6, 6, 1)), layers.Conv2D(3, 3), layers.BatchNormalization(), layers.Dropout(0.3), layers.Flatten(),
    layers.Dense(1, activation="sigmoid"),
])
model.compile("adam", "binary_crossentropy", metrics=["accuracy"])

class Slow(callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        time.sleep(slow)

class Tell(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print(self.epoch, batch, repr(logs["loss"]), repr(logs["accuracy"]), flush=True)
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

backup = callbacks.BackupAndRestore(folder, save_freq=int(sys.argv[4]))
falling = callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)
model.fit(
    x, y, batch_size=8, epochs=int(sys.argv[5]), verbose=0, validation_data=(x[:16], y[:16]),
    callbacks=[backup, falling, Slow(), Tell()],
)
np.savez(out, *[v.numpy() for v in model._training_state()])
"""


def start(script: Path, *args: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(striate.__file__).parent.parent)}
    command = [sys.executable, str(script), *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def values(path: Path) -> list[np.ndarray]:
    with np.load(path) as file:
        return [file[name] for name in file.files]


@pytest.mark.parametrize("batches_before", [7, 17, 36])
def test_killed_and_run_again(tmp_path: Path, batches_before: int) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    whole = start(script, tmp_path / "undisturbed", tmp_path / "a.npz", 0, 5, 4)
    told = (whole.communicate()[0] or "").split("\n")
    assert whole.returncode == 0

    killed = start(script, tmp_path / "backup", tmp_path / "b.npz", 0.02, 5, 4)
    lines = [killed.stdout.readline() for _ in range(batches_before)] if killed.stdout else []
    killed.send_signal(signal.SIGKILL)
    rest, _ = killed.communicate()
    lines += rest.splitlines(keepends=True)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "b.npz").exists()
    assert (tmp_path / "backup" / NAME).exists()

    again = start(script, tmp_path / "backup", tmp_path / "b.npz", 0, 5, 4)
    went_on = (again.communicate()[0] or "").split("\n")
    assert again.returncode == 0
    done = len(told) - len(went_on)
    assert 0 < done <= len(lines) < done + 7  # it went on from the last backup, not from the beginning
    assert went_on == told[done:]  # the same batches, losses and metrics
    for one, other in zip(values(tmp_path / "a.npz"), values(tmp_path / "b.npz"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not (tmp_path / "backup").exists()


def test_killed_at_any_moment_there_is_a_whole_file(tmp_path: Path) -> None:
    """Killed again and again while it does little but write backups."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    rng, places = np.random.default_rng(0), []
    for _ in range(8):
        process = start(script, tmp_path / "backup", tmp_path / "b.npz", 0, 1, 1000)
        if process.stdout:
            for _ in range(int(rng.integers(2, 12))):
                process.stdout.readline()
        time.sleep(float(rng.uniform(0, 0.02)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with zipfile.ZipFile(tmp_path / "backup" / NAME) as file:
            assert file.testzip() is None
            position = json.loads(np.frombuffer(file.read("about.npy")[128:], np.uint8).tobytes())["position"]
        places.append((position["epoch"], position["step"]))
    assert places == sorted(set(places))  # each run went on where the one before it was
    assert {p.name for p in (tmp_path / "backup").iterdir()} <= {NAME, f"{NAME}.part"}


# ------------------------------------------------------------------------------------------------- the file by itself


class Small:
    """A model of two variables, for the hooks."""

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        self.built, self.stop_training, self.history, self._resume = True, False, None, None
        self._position = {"epoch": 0, "step": 0, "seed": 9}
        self.variables = [striate.Variable(np.zeros(s, "float32"), name=f"v{i}") for i, s in enumerate(shapes)]
        rate = striate.Variable(1.0, name="rate")
        self.optimizer = SimpleNamespace(learning_rate=rate)
        self.variables.append(rate)

    def _training_state(self) -> list[Any]:
        return self.variables


class Rate(LearningRateScheduler):
    """Sets the rate in the variable."""

    def __init__(self) -> None:
        super().__init__(lambda epoch, rate: rate * 0.5)

    def _set(self, optimizer: Any, epoch: int) -> Any:
        optimizer.learning_rate.assign(float(optimizer.learning_rate) * 0.5)


def begun(model: Any, *made: Any, steps: int | None = 4) -> CallbackList:
    every = CallbackList(list(made), model=model, verbose=0, epochs=3, steps=steps)
    every.on_train_begin()
    return every


def batch(every: CallbackList, epoch: int, step: int) -> None:
    every.on_train_batch_begin(step)
    for variable in every.model.variables[:-1]:
        variable.assign_add(np.float32(1))
    every.model._position = {"epoch": epoch, "step": step + 1, "seed": 9}
    every.on_train_batch_end(step, {"loss": 1.0})


def test_place_and_values_come_back(tmp_path: Path) -> None:
    model = Small((2, 3), ())
    every = begun(model, BackupAndRestore(tmp_path / "b", save_freq=2))
    every.on_epoch_begin(0)
    for step in range(3):
        batch(every, 0, step)
    other = Small((2, 3), ())
    begun(other, BackupAndRestore(tmp_path / "b", save_freq=2))
    assert other._resume == {"epoch": 0, "step": 2, "seed": 9}
    np.testing.assert_array_equal(other.variables[0].numpy(), np.full((2, 3), 2.0))
    assert float(other.variables[1]) == 2.0


def test_what_was_done_at_the_epochs_begin_is_not_done_twice(tmp_path: Path) -> None:
    model = Small((2,))
    every = begun(model, BackupAndRestore(tmp_path / "b", save_freq=1), Rate())
    every.on_epoch_begin(0)
    batch(every, 0, 0)
    other = Small((2,))
    every = begun(other, BackupAndRestore(tmp_path / "b", save_freq=1), Rate())
    every.on_epoch_begin(0)
    every.on_train_batch_begin(1)
    assert float(other.optimizer.learning_rate) == 0.5


def test_at_the_end_of_an_epoch(tmp_path: Path) -> None:
    model = Small((2,))
    every = begun(model, BackupAndRestore(tmp_path / "b"))
    every.on_epoch_begin(0)
    batch(every, 0, 0)
    assert not (tmp_path / "b").exists()
    model._position = {"epoch": 1, "step": 0, "seed": 9}
    every.on_epoch_end(0, {"loss": 1.0})
    other = Small((2,))
    every = begun(other, BackupAndRestore(tmp_path / "b", delete_checkpoint=False), steps=99)  # other batches: allowed
    assert other._resume == {"epoch": 1, "step": 0, "seed": 9}
    every.on_train_end()
    assert (tmp_path / "b" / NAME).exists()
    begun(Small((2,)), BackupAndRestore(tmp_path / "b")).on_train_end()
    assert not (tmp_path / "b").exists()


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    every = begun(Small((2,)), BackupAndRestore(tmp_path, save_freq=1))
    batch(every, 0, 0)
    every.on_train_end()
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def backed_up(folder: Path, **options: Any) -> Path:
    every = begun(Small((20, 3)), BackupAndRestore(folder, save_freq=1, **options))
    for step in range(3):
        batch(every, 0, step)
    return folder / NAME


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "flipped"])
def test_damaged(tmp_path: Path, damage: str) -> None:
    path = backed_up(tmp_path)
    content = bytearray(path.read_bytes())
    place = content.index(np.full(4, 3.0, "float32").tobytes())
    content[place] ^= 1
    made = {"cut": content[: len(content) // 2], "empty": b"", "text": b"no archive at all", "flipped": content}
    path.write_bytes(made[damage])
    model = Small((20, 3))
    with pytest.raises(OSError, match=r"BackupAndRestore: the backup .* is damaged .* Delete it"):
        begun(model, BackupAndRestore(tmp_path))
    assert not model.variables[0].numpy().any()


def test_damaged_with_one_before(tmp_path: Path) -> None:
    backed_up(tmp_path, double_checkpoint=True).write_bytes(b"")
    model = Small((20, 3))
    with pytest.warns(UserWarning, match="Going on from the backup before it"):
        begun(model, BackupAndRestore(tmp_path, double_checkpoint=True))
    assert model._resume["step"] == 2
    assert (model.variables[0].numpy() == 2).all()


def test_killed_between_the_two_files(tmp_path: Path) -> None:
    backed_up(tmp_path, double_checkpoint=True).unlink()
    model = Small((20, 3))
    begun(model, BackupAndRestore(tmp_path))
    assert model._resume["step"] == 2


@pytest.mark.parametrize("shapes", [[(20, 4)], [(20, 3), (1,)], []])
def test_of_another_model(tmp_path: Path, shapes: Any) -> None:
    backed_up(tmp_path)
    with pytest.raises(ValueError, match="it is of another model"):
        begun(Small(*shapes), BackupAndRestore(tmp_path))


def test_another_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / NAME, a=np.zeros(3))
    with pytest.raises(ValueError, match="it is no backup of striate"):
        begun(Small((20, 3)), BackupAndRestore(tmp_path))


def test_a_backup_of_keras(tmp_path: Path) -> None:
    (tmp_path / "training_metadata.json").write_text('{"epoch": 1, "batch": 0}')
    with pytest.raises(ValueError, match="holds a backup of Keras"):
        begun(Small((20, 3)), BackupAndRestore(tmp_path))


def test_other_batches_than_before(tmp_path: Path) -> None:
    backed_up(tmp_path)
    with pytest.raises(ValueError, match="made with 4 batches per epoch, now there are 5"):
        begun(Small((20, 3)), BackupAndRestore(tmp_path), steps=5)


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Empty `backup_dir`"):
        BackupAndRestore("")
    with pytest.raises(ValueError, match="save_freq=often"):
        BackupAndRestore(tmp_path, save_freq="often")
    model = striate.Sequential([layers.Dense(2)])
    with pytest.raises(ValueError, match="must be built before you call"):
        begun(model, BackupAndRestore(tmp_path))
