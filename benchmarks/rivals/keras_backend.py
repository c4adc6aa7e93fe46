"""Keras on the backend that KERAS_BACKEND names: what its users run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from benchmarks import jobs, keras_jobs


def version() -> str:
    """Keras's version; the backends' own are told by the other rivals."""
    return f"{keras.__version__}"


def prepare(job: jobs.Job) -> jobs.Work:
    """`fit`, `predict` or `model(x)`; for inference `predict`."""
    limit_threads(job.threads)
    if job.kind == "infer":
        job = jobs.Job.from_json({**job.to_json(), "kind": "predict"})
    work = keras_jobs.prepare(keras, job)
    return jobs.Work(_finished(work.run), as_array, work.note)


def limit_threads(threads: int) -> None:
    """The backend's own setting; JAX counts the cores that it may use."""
    LIMITS.get(keras.backend.backend(), lambda threads: None)(threads)


def _limit_tensorflow(threads: int) -> None:
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)


def _limit_torch(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


LIMITS: dict[str, Callable[[int], None]] = {"tensorflow": _limit_tensorflow, "torch": _limit_torch}


def _finished(run: Callable[[], Any]) -> Callable[[], Any]:
    """JAX answers before it has computed."""
    if keras.backend.backend() != "jax":
        return run
    import jax

    return lambda: jax.block_until_ready(run())


def as_array(value: Any) -> np.ndarray:
    """A tensor of any backend; a loss as an array of one."""
    return np.atleast_1d(keras.ops.convert_to_numpy(value) if not isinstance(value, float) else value)
