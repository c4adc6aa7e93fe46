"""ONNX Runtime on the exported graph."""

from __future__ import annotations

import numpy as np
import onnxruntime

from benchmarks import jobs


def version() -> str:
    """Its version."""
    return onnxruntime.__version__


def prepare(job: jobs.Job) -> jobs.Work:
    """A session with all graph optimizations."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = job.threads
    session = onnxruntime.InferenceSession(jobs.onnx_file(job), settings, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    first = tuple(source.shape[1:]) != job.shape
    x = jobs.images(job)
    feed = {source.name: jobs.channels_first(x) if first else x}
    return jobs.Work(lambda: session.run(None, feed)[0], jobs.channels_last if first else np.asarray)
