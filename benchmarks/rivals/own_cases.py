"""striate on a single convolution: the compiled plan is timed, without the few microseconds of `model(x)` before it.

Packing the weights belongs to the gradients, as weights change with each step of a training, not to the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import striate
from benchmarks import cases, jobs
from striate.primitives.conv import conv_input_grad, conv_kernel_grad


def prepare(job: jobs.Job) -> jobs.Work:
    """The case forward, or one of its gradients."""
    model = cases.build(striate, job.model)
    model.set_weights(jobs.weights(job))
    run, arrays = striate.jit(MADE[job.kind](model, job)).compiled(*_arrays(model, job))
    return jobs.Work(partial(run, arrays))


def _arrays(model: Any, job: jobs.Job) -> list[np.ndarray]:
    if job.kind == "forward":
        return [jobs.images(job)]
    gradient = jobs.gradient((job.batch, *model.output_shape[1:]))
    return [jobs.weights(job)[0] if job.kind == "input_grad" else jobs.images(job), gradient]


def _window(job: jobs.Job) -> dict[str, Any]:
    node = next(node for node in jobs.nodes(job) if node["op"] == "conv")
    pads = tuple(tuple(pair) for pair in node["pads"])
    names = ("strides", "dilation")
    return {"padding": pads, "groups": node["groups"], **{name: tuple(node[name]) for name in names}}


def _forward(model: Any, job: jobs.Job) -> Callable[..., Any]:
    return lambda x: model(x)


def _input_grad(model: Any, job: jobs.Job) -> Callable[..., Any]:
    shape, window = (job.batch, *job.shape), _window(job)
    return lambda w, g: conv_input_grad(g, w, input_shape=shape, **window)


def _kernel_grad(model: Any, job: jobs.Job) -> Callable[..., Any]:
    shape, window = jobs.weights(job)[0].shape, _window(job)
    return lambda x, g: conv_kernel_grad(x, g, kernel_shape=shape, **window)


MADE: dict[str, Callable[[Any, jobs.Job], Callable[..., Any]]] = {
    "forward": _forward, "input_grad": _input_grad, "kernel_grad": _kernel_grad,
}  # fmt: skip
