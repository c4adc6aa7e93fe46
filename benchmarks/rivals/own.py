"""striate itself. It also makes the models, their weights and their files for the others."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx

import striate
from benchmarks import cases, jobs, keras_jobs, nodes
from benchmarks.rivals import own_cases
from striate import kernels


def version() -> str:
    """With the instruction set that its kernels use."""
    return f"{striate.__version__} ({kernels.isa()})"


def prepare(job: jobs.Job) -> jobs.Work:
    """The job as a user of striate writes it."""
    striate.config.set_num_threads(job.threads)
    striate.config.set_conv_precision(job.precision)
    return own_cases.prepare(job) if job.kind in own_cases.MADE else keras_jobs.prepare(striate, job)


def write(job: jobs.Job) -> dict[str, Any]:
    """Writes the files of the job's model; tells the shape of a sample, and what could not be written and why."""
    job.files.mkdir(parents=True, exist_ok=True)
    striate.utils.set_random_seed(0)
    model = _built(job)
    normalized = any(w.path.endswith("moving_variance") for w in model.weights)
    values = [_drawn(np.random.default_rng([3, i]), w, normalized) for i, w in enumerate(model.weights)]
    model.set_weights(values)
    np.savez(job.files / "weights.npz", **{f"w{i}": value for i, value in enumerate(values)})
    notes = {"nodes.json": _tried(_write_nodes, job, model), "model.onnx": _tried(_write_onnx, job, model)}
    return {"shape": model.input_shape[1:], "notes": notes}


def _built(job: jobs.Job) -> Any:
    if job.model.startswith(cases.PREFIX):
        return cases.build(striate, job.model)
    return keras_jobs.build(striate, job)


def _drawn(rng: np.random.Generator, variable: Any, normalized: bool) -> np.ndarray:
    """What would be all zeros or ones is drawn, so that a mistake in it shows. Kernels keep the size of what passes
    through them (He, 2015); as they were initialized in networks whose normalizations and sums would let it grow."""
    name = variable.path.rsplit("/", 1)[-1]
    if name in ("gamma", "moving_variance"):
        return rng.uniform(0.8, 1.2, variable.shape).astype(np.float32)
    if name in ("beta", "bias", "moving_mean"):
        return rng.uniform(-0.1, 0.1, variable.shape).astype(np.float32)
    if normalized or name != "kernel":
        return variable.numpy()
    deviation = (2 / np.prod(variable.shape[:-1])) ** 0.5
    return (rng.standard_normal(variable.shape) * deviation).astype(np.float32)


def _tried(write: Any, job: jobs.Job, model: Any) -> str:
    try:
        write(job, model)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def _write_nodes(job: jobs.Job, model: Any) -> None:
    (job.files / "nodes.json").write_text(json.dumps(nodes.nodes_of(model)))


def _write_onnx(job: jobs.Job, model: Any) -> None:
    model.export(job.files / "model.onnx", verbose=False)
    if job.model.startswith(cases.PREFIX):
        _write_channels_first(str(job.files / "model.onnx"), str(job.files / "channels_first.onnx"))


def _write_channels_first(source: str, target: str) -> None:
    """The same without the transpositions at both ends, which are a small part of a network but not of one layer."""
    model = onnx.load(source)
    first, *inner, last = model.graph.node
    if {first.op_type, last.op_type} != {"Transpose"}:
        raise ValueError(f"one layer as {[node.op_type for node in model.graph.node]}")
    inner[0].input[0], inner[-1].output[0] = first.input[0], last.output[0]
    for node in (first, last):
        model.graph.node.remove(node)
    for value in (*model.graph.input, *model.graph.output):
        sizes = value.type.tensor_type.shape.dim
        sizes.insert(1, sizes.pop(len(sizes) - 1))
    onnx.save(model, target)
