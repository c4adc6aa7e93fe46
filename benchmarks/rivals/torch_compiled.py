"""PyTorch through torch.compile: weights frozen for inference."""

from __future__ import annotations

from typing import Any

import torch
import torch._inductor.config as inductor

from benchmarks import jobs
from benchmarks.rivals import pytorch

version = pytorch.version


def prepare(job: jobs.Job) -> jobs.Work:
    """As for eager PyTorch, compiled."""
    inductor.freezing = job.kind == "infer"
    inductor.compile_threads = job.threads
    torch.set_num_threads(job.threads)
    last = job.kind == "infer" or len(job.shape) == 3
    make = pytorch.inference if job.kind == "infer" else pytorch.training
    return make(job, last, _compiled)


def _compiled(call: Any) -> Any:
    return torch.compile(call, dynamic=False)
