"""ncnn, float32, Winograd and packed layouts on; it takes one image at a time."""

from __future__ import annotations

from typing import Any

import ncnn
import numpy as np

from benchmarks import jobs
from benchmarks.rivals import ncnn_files


def version() -> str:
    """Its version."""
    return ncnn.__version__


def prepare(job: jobs.Job) -> jobs.Work:
    """The nodes written as .param and .bin, loaded."""
    files = [str(job.files / f"model.{end}") for end in ("param", "bin")]
    ncnn_files.write(jobs.nodes(job), jobs.weights(job), *files)
    net = _net(job.threads)
    if net.load_param(files[0]) or net.load_model(files[1]):
        raise RuntimeError("ncnn does not load the model that was written for it")
    images = [ncnn.Mat(image).clone() for image in jobs.channels_first(jobs.images(job))]
    return jobs.Work(lambda: [_run(net, image) for image in images], _result)


def _net(threads: int) -> Any:
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    net.opt.use_winograd_convolution = net.opt.use_sgemm_convolution = net.opt.use_packing_layout = True
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, name, False)
    return net


def _run(net: Any, image: Any) -> Any:
    extractor = net.create_extractor()
    extractor.input(ncnn_files.INPUT, image)
    return extractor.extract(ncnn_files.OUTPUT)[1]


def _result(outputs: list[Any]) -> np.ndarray:
    y = np.stack([np.array(output) for output in outputs])
    return jobs.channels_last(y)
