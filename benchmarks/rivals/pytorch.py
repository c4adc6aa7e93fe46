"""PyTorch, eager: channels last or first in memory, whichever is faster here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import jobs, keras_jobs
from benchmarks.nodes import conv_weight
from benchmarks.rivals.timing import fastest
from benchmarks.rivals.torch_nodes import NodeModule

LAYOUTS = {"channels last": True, "channels first": False}
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def version() -> str:
    """Its version."""
    return torch.__version__


def prepare(job: jobs.Job, compiler: Callable[[Any], Any] | None = None) -> jobs.Work:
    """The faster layout of those that there are; `compiler` turns the module into another callable."""
    torch.set_num_threads(job.threads)
    make = KINDS.get(job.kind, gradient)
    layouts = {name: last for name, last in LAYOUTS.items() if not last or len(job.shape) + 1 in FORMATS}
    made = {name: make(job, last, compiler) for name, last in layouts.items()}
    best = fastest({name: work.run for name, work in made.items()})
    chosen = make(job, LAYOUTS[best], compiler) if job.kind == "train" else made[best]
    return jobs.Work(chosen.run, chosen.result, best)


def in_memory(x: torch.Tensor, last: bool) -> torch.Tensor:
    """`x` with its channels last in memory, if asked and if there is such a format."""
    return x.contiguous(memory_format=FORMATS[x.ndim]) if last and x.ndim in FORMATS else x.contiguous()


def place(module: torch.nn.Module, last: bool) -> torch.nn.Module:
    """Its weights in the layout."""
    for parameter in module.parameters():
        parameter.data = in_memory(parameter.data, last)
    return module


def inference(job: jobs.Job, last: bool, compiler: Callable[[Any], Any] | None) -> jobs.Work:
    """The network in evaluation mode, batch normalizations folded."""
    module = place(NodeModule(jobs.nodes(job), jobs.weights(job), fold=True), last).eval()
    x = in_memory(torch.from_numpy(jobs.channels_first(jobs.images(job))), last)
    call = compiler(module) if compiler else module

    def run() -> torch.Tensor:
        with torch.inference_mode() if compiler is None else torch.no_grad():
            return call(x)

    return jobs.Work(run, as_keras)


def as_keras(y: torch.Tensor) -> np.ndarray:
    """Channels last."""
    return jobs.channels_last(y.numpy())


def gradient(job: jobs.Job, last: bool, compiler: Callable[[Any], Any] | None) -> jobs.Work:
    """One gradient of a single convolution, as its backward pass computes it."""
    node = next(node for node in jobs.nodes(job) if node["op"] == "conv")
    rank = len(node["kernel"])
    pads = [low for low, _ in node["pads"]]
    x = in_memory(torch.from_numpy(jobs.channels_first(jobs.images(job))), last)
    w = in_memory(torch.from_numpy(conv_weight(node, jobs.weights(job)[0])), last)
    window = (node["strides"], pads, node["dilation"], False, [0] * rank, node["groups"])
    shape = torch.ops.aten.convolution(x, w, None, *window).shape
    g = in_memory(torch.from_numpy(jobs.channels_first(jobs.gradient((shape[0], *shape[2:], shape[1])))), last)
    wanted = [job.kind == "input_grad", job.kind == "kernel_grad", False]

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return torch.ops.aten.convolution_backward(g, x, w, None, *window, wanted)[wanted.index(True)]

    return jobs.Work(run, as_keras if wanted[0] else lambda dw: np.moveaxis(dw.numpy(), (0, 1), (-1, -2)))


def training(job: jobs.Job, last: bool, compiler: Callable[[Any], Any] | None) -> jobs.Work:
    """A loop as PyTorch's users write it: forward, backward, the optimizer's step."""
    nodes = jobs.nodes(job)
    module = place(NodeModule(without_softmax(nodes), jobs.weights(job), fold=False), last).train()
    optimizer = OPTIMIZERS[job.optimizer](module.parameters())
    loss = torch.nn.CrossEntropyLoss()

    def forward(image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return loss(module(image), label)

    batches = _batches(job, last)
    call = compiler(forward) if compiler else forward
    return jobs.Work(lambda: _steps(call, optimizer, batches), lambda values: np.asarray([np.mean(values)]))


def _steps(call: Callable[..., torch.Tensor], optimizer: torch.optim.Optimizer, batches: list) -> list[float]:
    losses = []
    for image, label in batches:
        optimizer.zero_grad(set_to_none=True)
        value = call(image, label)
        value.backward()
        optimizer.step()
        losses.append(value.detach())
    return [float(value) for value in losses]


def _batches(job: jobs.Job, last: bool) -> list[tuple[torch.Tensor, torch.Tensor]]:
    x = torch.from_numpy(jobs.channels_first(jobs.images(job))).split(job.batch)
    y = torch.from_numpy(jobs.labels(job, keras_jobs.CLASSES)).split(job.batch)
    return [(in_memory(a, last), b) for a, b in zip(x, y)]


def without_softmax(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """PyTorch's loss takes logits."""
    return nodes[:-1] if keras_jobs.last_activation(nodes) == "softmax" else nodes


KINDS = {"infer": inference, "forward": inference, "train": training}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, 1e-3, eps=1e-7, fused=True),
    "sgd": lambda parameters: torch.optim.SGD(parameters, 0.01, momentum=0.9, fused=True),
}
