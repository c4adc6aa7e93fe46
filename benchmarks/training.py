"""One training step of 64-64-P-128-128-P-256-256-P-256-10 at 32x32, Adam: striate against PyTorch and Keras on it.

Each candidate lives in a process of its own, which waits while the others run; they take turns in the same minutes with
the same number of threads, the same weights' shapes and the same data. Run by `make bench`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

ROW = (64, 64, "P", 128, 128, "P", 256, 256, "P")
STEPS = 6  # of one turn
CANDIDATES = ("striate", "torch", "keras-torch")


def main() -> None:
    """Measures and prints; with `--candidate` it is one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--candidate", choices=CANDIDATES)
    options = parser.parse_args()
    if options.candidate:
        serve(PREPARE[options.candidate](options.batch, options.threads))
        return
    times = measure(options)
    print(f"training step, batch {options.batch}, {options.threads} threads")
    for name, seconds in times.items():
        low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
        ratio = statistics.median(times["striate"]) / middle
        print(f"  {name:12} median {middle * 1e3:7.1f} ms   (min {low * 1e3:.1f}, max {high * 1e3:.1f})", end="")
        print("" if name == "striate" else f"   striate / {name} = {ratio:.2f}")


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds per step of each turn."""
    arguments = ["--batch", str(options.batch), "--threads", str(options.threads)]
    workers = {
        name: subprocess.Popen(
            [sys.executable, __file__, "--candidate", name, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "KERAS_BACKEND": "torch", "STRIATE_NUM_THREADS": str(options.threads)},
        )
        for name in CANDIDATES
    }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(options.rounds + 1):
        for name, worker in workers.items():
            found = _asked(worker)
            if turn:  # the first one compiles and warms up
                times[name].append(found)
    for worker in workers.values():
        worker.communicate()
    return times


def _asked(worker: subprocess.Popen[str]) -> float:
    if worker.stdin is None or worker.stdout is None:
        raise SystemExit("the worker has no pipes")
    worker.stdin.write("go\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(map(str, worker.args))} ended with {worker.wait()}")  # type: ignore[arg-type]
    return float(line)


def serve(turn: Callable[[], None]) -> None:
    """For each line of the input one turn; prints the seconds per step."""
    for _ in sys.stdin:
        start = time.perf_counter()
        turn()
        print((time.perf_counter() - start) / STEPS, flush=True)


def data(batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels for one turn."""
    rng = np.random.default_rng(0)
    return rng.random((batch * STEPS, 32, 32, 3), dtype=np.float32), rng.integers(0, 10, batch * STEPS)


def fitted(keras: Any, batch: int) -> Callable[[], None]:
    """`fit` of the network in the Keras that is given."""
    row = [
        keras.layers.MaxPooling2D() if c == "P" else keras.layers.Conv2D(c, 3, padding="same", activation="relu")
        for c in ROW
    ]
    top = [keras.layers.Flatten(), keras.layers.Dense(256, activation="relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.layers.Input((32, 32, 3)), *row, *top])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = data(batch)
    return lambda: model.fit(x, y, batch_size=batch, verbose=0, shuffle=False)


def striate(batch: int, threads: int) -> Callable[[], None]:
    """striate's `fit`."""
    import striate as keras

    keras.config.set_num_threads(threads)
    return fitted(keras, batch)


def keras_torch(batch: int, threads: int) -> Callable[[], None]:
    """Keras's `fit` on PyTorch."""
    import keras
    import torch

    torch.set_num_threads(threads)
    return fitted(keras, batch)


def plain_torch(batch: int, threads: int) -> Callable[[], None]:
    """A loop as PyTorch's users write it, channels last in memory."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    row, channels = [], 3
    for c in ROW:
        if c == "P":
            row.append(nn.MaxPool2d(2))
        else:
            row += [nn.Conv2d(channels, int(c), 3, padding=1), nn.ReLU()]
            channels = int(c)
    model = nn.Sequential(*row, nn.Flatten(), nn.Linear(4096, 256), nn.ReLU(), nn.Linear(256, 10))
    model = model.to(memory_format=torch.channels_last)
    optimizer, loss = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()
    x, y = data(batch)
    images = torch.from_numpy(x.transpose(0, 3, 1, 2)).to(memory_format=torch.channels_last).split(batch)
    labels = torch.from_numpy(y).split(batch)

    def turn() -> None:
        for image, label in zip(images, labels, strict=True):
            optimizer.zero_grad()
            loss(model(image), label).backward()
            optimizer.step()

    return turn


PREPARE = {"striate": striate, "torch": plain_torch, "keras-torch": keras_torch}


if __name__ == "__main__":
    main()
