"""ONNX Runtime on the exported graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime

from benchmarks import jobs
from benchmarks.rivals.timing import fastest


def version() -> str:
    """Its version."""
    return onnxruntime.__version__


def prepare(job: jobs.Job) -> jobs.Work:
    """A session with all graph optimizations, in the faster layout where there are two."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = job.threads
    runs = {name: _run(file, x, settings) for name, (file, x) in jobs.onnx_files(job).items()}
    best = fastest(runs) if len(runs) > 1 else ""
    return jobs.Work(runs[best], jobs.channels_last if best else np.asarray, best)


def _run(file: str, x: np.ndarray, settings: onnxruntime.SessionOptions) -> Callable[[], np.ndarray]:
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x}
    return lambda: session.run(None, feed)[0]
