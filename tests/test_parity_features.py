"""A small network of VGG's make, with the weights of a real Keras: all feature maps agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import striate


def vgg_like(k: Any, data_format: str) -> Any:
    """Blocks of convolutions and a pooling layer, a classifier behind; every layer's output is an output."""
    k.backend.clear_session()
    layers = k.layers
    shape = (32, 48, 3) if data_format == "channels_last" else (3, 32, 48)
    x = inputs = layers.Input(shape)
    outputs = []
    for block, (convolutions, filters) in enumerate([(2, 8), (2, 16), (3, 24)], 1):
        for n in range(1, convolutions + 1):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"block{block}_conv{n}",
                              data_format=data_format)(x)  # fmt: skip
            outputs.append(x)
        x = layers.MaxPooling2D((2, 2), strides=(2, 2), name=f"block{block}_pool", data_format=data_format)(x)
        outputs.append(x)
    x = layers.Flatten(name="flatten", data_format=data_format)(x)
    for name, units, activation in (("fc1", 32, "relu"), ("predictions", 10, "softmax")):
        x = layers.Dense(units, activation=activation, name=name)(x)
        outputs.append(x)
    return k.Model(inputs, outputs)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("batch", [1, 3])
def test_feature_maps_like_keras(real_keras, data_format: str, batch: int) -> None:
    ours, theirs = vgg_like(striate, data_format), vgg_like(real_keras, data_format)
    ours.set_weights(theirs.get_weights())
    assert [layer.name for layer in ours.layers[1:]] == [layer.name for layer in theirs.layers[1:]]
    assert ours.count_params() == theirs.count_params()
    shape = (batch, *ours.input_shape[1:])
    image = np.random.default_rng(1).uniform(-128, 128, shape).astype("float32")
    wanted = [np.asarray(m) for m in theirs(image)]
    for maps in (ours(image), ours.predict(image, verbose=0)):
        for mine, other in zip(maps, wanted, strict=True):
            assert mine.shape == other.shape
            assert np.abs(mine - other).max() <= 1e-4 * np.abs(other).max()


def test_a_feature_model_taken_from_the_layers(real_keras) -> None:
    ours, theirs = vgg_like(striate, "channels_last"), vgg_like(real_keras, "channels_last")
    ours.set_weights(theirs.get_weights())
    image = np.random.default_rng(2).uniform(-1, 1, (1, 32, 48, 3)).astype("float32")
    for name in ("block1_conv2", "block3_pool", "fc1"):
        maps = [
            np.asarray(k.Model(model.input, model.get_layer(name).output)(image))
            for k, model in ((striate, ours), (real_keras, theirs))
        ]
        assert np.abs(maps[0] - maps[1]).max() <= 1e-4 * np.abs(maps[1]).max()
