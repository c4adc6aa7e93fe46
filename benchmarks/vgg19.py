"""VGG-19 without its top: striate against ONNX Runtime with the same weights, alternated in the same minutes.

Prints the medians, the spreads and the ratio, and checks that the outputs agree. Run by `make bench`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import striate
from striate import config, kernels


def main() -> None:
    """Measures and prints."""
    options = _options()
    model = striate.applications.VGG19(weights=None, include_top=False, input_shape=(options.size, options.size, 3))
    x = np.random.default_rng(0).uniform(-100, 100, (options.batch, options.size, options.size, 3)).astype("float32")
    session = _session(model, options.threads)
    channels_first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    runs: dict[str, Callable[[], Any]] = {
        "striate": lambda: model(x),
        "ONNX Runtime": lambda: session.run(None, {"x": channels_first})[0],
    }
    _check(runs)
    times = alternate(runs, options.rounds)
    print(f"VGG-19, {options.size}x{options.size}, batch {options.batch}, {options.threads} threads, {kernels.isa()}")
    report(times, "ONNX Runtime")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    config.set_num_threads(options.threads)
    return options


def alternate(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run, the candidates taking turns; the first two rounds don't count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 2):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn >= 2:
                times[name].append(time.perf_counter() - start)
    return times


def report(times: dict[str, list[float]], rival: str) -> None:
    """A line per candidate, and the ratio of medians."""
    for name, seconds in times.items():
        low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
        print(f"  {name:14} median {middle * 1e3:8.1f} ms   (min {low * 1e3:.1f}, max {high * 1e3:.1f})")
    ratio = statistics.median(times["striate"]) / statistics.median(times[rival])
    print(f"  striate / {rival} = {ratio:.2f}")


def _check(runs: dict[str, Callable[[], Any]]) -> None:
    ours, theirs = runs["striate"](), runs["ONNX Runtime"]().transpose(0, 2, 3, 1)
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    if not error < 1e-4:
        raise SystemExit(f"the outputs differ by {error:.1e} of the largest value")


def _session(model: Any, threads: int) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    # Its idle threads would spin on the cores while the other candidate runs.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(_onnx(model), settings, providers=["CPUExecutionProvider"])


def _onnx(model: Any) -> bytes:
    """A chain of convolutions, ReLUs and poolings as an ONNX file, channels first."""
    nodes, weights, name = [], [], "x"
    for layer in model.layers[1:]:
        out = layer.name
        if layer.weights:
            kernel, bias = layer.get_weights()
            weights.append(numpy_helper.from_array(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), f"{out}_w"))
            weights.append(numpy_helper.from_array(bias, f"{out}_b"))
            nodes.append(helper.make_node("Conv", [name, f"{out}_w", f"{out}_b"], [f"{out}_c"], pads=[1] * 4))
            nodes.append(helper.make_node("Relu", [f"{out}_c"], [out]))
        else:
            nodes.append(helper.make_node("MaxPool", [name], [out], kernel_shape=[2, 2], strides=[2, 2]))
        name = out
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", c, "h", "w"]) for n, c in (("x", 3), (name, 512))]
    graph = helper.make_graph(nodes, "vgg19", ends[:1], ends[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made.SerializeToString()


if __name__ == "__main__":
    main()
