"""TensorFlow: the Keras model as a tf.function; as it is, with its weights frozen, or compiled by XLA: the fastest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import jobs, keras_jobs
from benchmarks.rivals.timing import fastest


def version() -> str:
    """Its version."""
    return tf.__version__


def prepare(job: jobs.Job) -> jobs.Work:
    """The fastest of the three."""
    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    model = keras_jobs.loaded(keras, job)
    x = tf.constant(jobs.images(job))
    runs = {name: _tried(make, model, x) for name, make in VARIANTS.items()}
    working = {name: run for name, run in runs.items() if run is not None}
    best = fastest(working)
    return jobs.Work(working[best], np.asarray, best)


def _tried(make: Callable[..., Callable[[], Any]], model: Any, x: tf.Tensor) -> Callable[[], Any] | None:
    """XLA on CPUs lacks some of the ops."""
    try:
        run = make(model, x)
        run()
    except (tf.errors.OpError, ValueError):
        return None
    return run


def _plain(model: Any, x: tf.Tensor) -> Callable[[], Any]:
    call = tf.function(lambda x: model(x, training=False), autograph=False)
    return lambda: call(x)


def _compiled(model: Any, x: tf.Tensor) -> Callable[[], Any]:
    call = tf.function(lambda x: model(x, training=False), autograph=False, jit_compile=True)
    return lambda: call(x)


def _frozen(model: Any, x: tf.Tensor) -> Callable[[], Any]:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    call = tf.function(lambda x: model(x, training=False), autograph=False)
    frozen = convert_variables_to_constants_v2(call.get_concrete_function(tf.TensorSpec(x.shape, x.dtype)))
    return lambda: frozen(x)[0]


VARIANTS = {"tf.function": _plain, "frozen": _frozen, "XLA": _compiled}
