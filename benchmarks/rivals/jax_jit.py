"""JAX: the Keras model's pure function under jax.jit."""

from __future__ import annotations

import jax
import keras
import numpy as np

from benchmarks import jobs, keras_jobs


def version() -> str:
    """Its version."""
    return jax.__version__


def prepare(job: jobs.Job) -> jobs.Work:
    """Weights are arguments, as in JAX's own libraries."""
    model = keras_jobs.loaded(keras, job)
    trained = [v.value for v in model.trainable_variables]
    others = [v.value for v in model.non_trainable_variables]
    x = jax.device_put(jobs.images(job))
    call = jax.jit(lambda trained, others, x: model.stateless_call(trained, others, x, training=False)[0])
    return jobs.Work(lambda: call(trained, others, x).block_until_ready(), np.asarray)
