"""What a worker is asked to do, and what it makes of it: plain data that both environments understand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("infer", "train", "call", "predict", "forward", "input_grad", "kernel_grad")


@dataclass(frozen=True)
class Job:
    """One model, one way of running it.

    `shape` is that of one sample, channels last. `folder` holds the model's files: the weights as `weights.npz`,
    the layers as `nodes.json`, the graph as `model.onnx`. A training job takes `steps` steps in one run.
    """

    kind: str
    model: str
    shape: tuple[int, ...]
    batch: int
    folder: str
    threads: int
    steps: int = 1
    optimizer: str = "adam"
    precision: str = "fast"

    def to_json(self) -> dict[str, Any]:
        """For the pipe to a worker."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Job:
        """The worker's side of `to_json`."""
        return cls(**{**data, "shape": tuple(data["shape"])})

    @property
    def files(self) -> Path:
        """Where the model's files are."""
        return Path(self.folder)


@dataclass
class Work:
    """A job made ready. `run` does it once; `result` makes an array, channels last, of what it gave."""

    run: Callable[[], Any]
    result: Callable[[Any], np.ndarray] = np.asarray
    note: str = ""


def weights(job: Job) -> list[np.ndarray]:
    """In the order of `get_weights`."""
    with np.load(job.files / "weights.npz") as stored:
        return [stored[f"w{i}"] for i in range(len(stored.files))]


def nodes(job: Job) -> list[dict[str, Any]]:
    """See `benchmarks.nodes`."""
    return json.loads((job.files / "nodes.json").read_text())


def onnx_file(job: Job) -> str:
    """The exported graph. FileNotFoundError with the reason if there is none."""
    path = job.files / "model.onnx"
    if not path.exists():
        notes = json.loads((job.files / "notes.json").read_text())["notes"]
        raise FileNotFoundError(f"no ONNX file: {notes['model.onnx']}")
    return str(path)


def onnx_files(job: Job) -> dict[str, tuple[str, np.ndarray]]:
    """By layout, the graph and its input: channels last, and channels first for single layers."""
    found, first = {"": (onnx_file(job), images(job))}, job.files / "channels_first.onnx"
    if first.exists():
        found["channels first"] = (str(first), channels_first(images(job)))
    return found


def images(job: Job) -> np.ndarray:
    """The input of one run, (batch * steps, ...spatial, channels): the same in every process."""
    shape = (job.batch * (job.steps if job.kind == "train" else 1), *job.shape)
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def gradient(shape: tuple[int, ...]) -> np.ndarray:
    """With respect to a layer's output, channels last: the same in every process."""
    return np.random.default_rng(4).standard_normal(shape, dtype=np.float32)


def labels(job: Job, classes: int) -> np.ndarray:
    """The classes of `images`, (batch * steps,)."""
    return np.random.default_rng(2).integers(0, classes, job.batch * job.steps)


def channels_first(x: np.ndarray) -> np.ndarray:
    """(n, ...spatial, c) to (n, c, ...spatial)."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def channels_last(x: np.ndarray) -> np.ndarray:
    """(n, c, ...spatial) to (n, ...spatial, c), as a copy; (n, c) stays."""
    return np.moveaxis(x, 1, -1).copy()
