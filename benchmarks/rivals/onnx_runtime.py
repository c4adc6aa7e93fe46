"""ONNX Runtime on the exported graph."""

from __future__ import annotations

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
    feed = {session.get_inputs()[0].name: jobs.images(job)}
    return jobs.Work(lambda: session.run(None, feed)[0])
