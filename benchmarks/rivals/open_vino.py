"""OpenVINO's CPU plugin on the exported graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino

from benchmarks import jobs
from benchmarks.rivals.timing import fastest


def version() -> str:
    """Its version, without the build."""
    return openvino.__version__.split("-")[0]


def prepare(job: jobs.Job) -> jobs.Work:
    """Compiled for latency, in float32 (it would choose bfloat16 where the CPU has it), for the one shape,
    in the faster layout where there are two."""
    runs = {name: _run(file, x, job) for name, (file, x) in jobs.onnx_files(job).items()}
    best = fastest(runs) if len(runs) > 1 else ""
    return jobs.Work(runs[best], jobs.channels_last if best else np.array, best)


def _run(file: str, x: np.ndarray, job: jobs.Job) -> Callable[[], np.ndarray]:
    core = openvino.Core()
    model = core.read_model(file)
    model.reshape(list(x.shape))
    request = core.compile_model(model, "CPU", settings(job)).create_infer_request()
    request.set_input_tensor(openvino.Tensor(x))

    def run() -> np.ndarray:
        request.infer()
        return request.get_output_tensor().data

    return run


def settings(job: jobs.Job) -> dict[str, object]:
    """One stream on all threads."""
    return {
        "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": job.threads,
        "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False,
    }  # fmt: skip
