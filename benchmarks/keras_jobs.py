"""Jobs in terms of Keras's interface: striate and Keras run the same lines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import jobs
from benchmarks.models import BUILDERS

CLASSES = 10
APPLICATIONS = {"vgg19": "VGG19", "resnet50": "ResNet50", "mobilenet_v2": "MobileNetV2"}


def build(keras: Any, job: jobs.Job) -> Any:
    """The model by its name: one of `applications`, or a builder of `benchmarks.models`."""
    if job.model in APPLICATIONS:
        made = getattr(keras.applications, APPLICATIONS[job.model])
        if job.model == "vgg19":
            return made(weights=None, include_top=False, input_shape=job.shape)
        return made(weights=None, input_shape=job.shape, classifier_activation=None)  # logits show differences
    return BUILDERS[job.model](keras, **({"input_shape": job.shape} if job.shape else {}))


def prepare(keras: Any, job: jobs.Job) -> jobs.Work:
    """The model with its weights, and the run that the job's kind names."""
    model = loaded(keras, job)
    return KINDS[job.kind](keras, model, job)


def loaded(keras: Any, job: jobs.Job) -> Any:
    """The model with its weights, which are read one by one: no second copy of them adds to the peak of memory."""
    model = build(keras, job)
    with np.load(job.files / "weights.npz") as stored:
        for number, variable in enumerate(model.weights):
            variable.assign(stored[f"w{number}"])
    return model


def _call(keras: Any, model: Any, job: jobs.Job) -> jobs.Work:
    return jobs.Work(partial(model, jobs.images(job)))


def _predict(keras: Any, model: Any, job: jobs.Job) -> jobs.Work:
    return jobs.Work(partial(model.predict, jobs.images(job), verbose=0))


def _train(keras: Any, model: Any, job: jobs.Job) -> jobs.Work:
    compile_model(keras, model, job)
    return jobs.Work(fit(model, job), lambda loss: np.asarray([loss]))


def compile_model(keras: Any, model: Any, job: jobs.Job) -> None:
    """Adam, or SGD with momentum; the loss from the model's last activation."""
    optimizer = keras.optimizers.Adam(1e-3) if job.optimizer == "adam" else keras.optimizers.SGD(0.01, momentum=0.9)
    from_logits = last_activation(jobs.nodes(job)) != "softmax"
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits))


def last_activation(nodes: list[dict[str, Any]]) -> str:
    """The function after the last layer, "linear" if there is none."""
    return nodes[-1].get("function", "linear")


def fit(model: Any, job: jobs.Job) -> Callable[[], float]:
    """`fit` of the job's steps; gives the mean of their losses."""
    x = jobs.images(job)
    y = jobs.labels(job, int(model.output_shape[-1]))
    return lambda: model.fit(x, y, batch_size=job.batch, verbose=0, shuffle=False).history["loss"][-1]


KINDS: dict[str, Callable[[Any, Any, jobs.Job], jobs.Work]] = {
    "infer": _call, "call": _call, "predict": _predict, "train": _train,
}  # fmt: skip
