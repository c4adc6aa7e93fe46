"""The benchmarks' networks are the same ones in striate and in the real Keras."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import striate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the benchmarks are no part of the package

from benchmarks import models, nodes

SMALL: dict[str, dict[str, Any]] = {
    "resnet18": {"input_shape": (32, 40, 3), "classes": 7},
    "unet": {"input_shape": (16, 32, 3)},
    "ecg": {"input_shape": (150, 12)},
    "clips": {"input_shape": (8, 16, 24, 3)},
    "lenet": {},
    "vgg_small": {"input_shape": (16, 16, 3)},
    "tiny": {},
}
# ResNet-18's is the paper's (11,689,512 with 1000 classes); LeNet's 61,706 are LeCun's; VGG's by hand.
PARAMETERS = {
    "resnet18": 11_689_512 - 513 * 990 + 2 * 4800,  # with the moving statistics of 4800 channels
    "lenet": 61_706,
    "vgg_small": 9 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256) + 896 + 4097 * 256 + 2570,
    "unet": 31_037_698 - 5888,  # of milesial/Pytorch-UNet, which has batch normalizations in place of biases
}


def drawn(weight: Any, seed: int) -> np.ndarray:
    """Values that keep signals at a sensible size; variances are positive."""
    rng = np.random.default_rng(seed)
    if len(weight.shape) > 1:
        return rng.normal(size=weight.shape) * (2 / np.prod(weight.shape[:-1])) ** 0.5
    return (
        rng.uniform(0.5, 1.5, weight.shape)
        if weight.name in ("gamma", "moving_variance")
        else rng.normal(size=weight.shape) * 0.1
    )


@pytest.mark.parametrize("name", SMALL)
def test_striate_and_keras_agree(name: str, real_keras: ModuleType) -> None:
    ours, theirs = (models.BUILDERS[name](k, **SMALL[name]) for k in (striate, real_keras))
    assert [type(x).__name__ for x in ours.layers] == [type(x).__name__ for x in theirs.layers]
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    values = [drawn(w, i) for i, w in enumerate(theirs.weights)]
    ours.set_weights(values)
    theirs.set_weights(values)
    x = np.random.default_rng(1).normal(size=(2, *theirs.input_shape[1:])).astype("float32")
    a, b = ours.predict(x, verbose=0), theirs.predict(x, verbose=0)
    assert a.shape == b.shape
    assert np.abs(b).max() > 1e-3
    assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(b)


@pytest.mark.parametrize("name", PARAMETERS)
def test_they_are_the_published_ones(name: str) -> None:
    assert models.BUILDERS[name](striate).count_params() == PARAMETERS[name]


def test_the_stem_for_small_images() -> None:
    model = models.resnet18(striate, (32, 32, 3), stem="cifar")
    assert model.layers[-2].input.shape == (None, 4, 4, 512)
    with pytest.raises(ValueError, match="received 'resnet'"):
        models.resnet18(striate, stem="resnet")


@pytest.mark.parametrize("name", models.BUILDERS)
def test_the_rivals_can_be_told_of_them(name: str) -> None:
    model = models.BUILDERS[name](striate, **SMALL[name])
    listed = nodes.nodes_of(model)
    assert sorted(i for node in listed for i in node["weights"]) == list(range(len(model.weights)))
