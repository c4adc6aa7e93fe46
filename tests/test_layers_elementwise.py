"""Activations, dense layers, normalisation, dropout, rescaling, resizing: like real Keras."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import striate
from layer_parity import close, copy_weights, data, pair, same, same_config
from striate import layers

ACTIVATIONS = [
    "relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "swish", "softplus", "softsign", "sigmoid", "hard_sigmoid",
    "tanh", "softmax", "log_softmax", "exponential", "linear", "leaky_relu", "mish", "glu", "hard_silu", "hard_tanh",
    "log_sigmoid", "sparse_plus", "sparse_sigmoid", "squareplus", "tanh_shrink", "soft_shrink",
    "hard_shrink",
]  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_like_keras(real_keras, name: str) -> None:
    x = data((2, 3, 4))
    ours, theirs = pair(real_keras, "Activation", name)
    same_config(ours, theirs)
    close(ours(x), theirs(x))


LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("ReLU", {}),
    ("ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.5}),
    ("LeakyReLU", {"negative_slope": 0.2}),
    ("ELU", {"alpha": 0.7}),
    ("Softmax", {}),
    ("Softmax", {"axis": -1}),
    ("Softmax", {"axis": (1, 2)}),
    ("PReLU", {}),
    ("PReLU", {"shared_axes": [1, 2]}),
    ("Identity", {}),
    ("Dense", {"units": 5, "activation": "relu"}),
    ("Dense", {"units": 1, "use_bias": False, "kernel_regularizer": "l2"}),
    ("BatchNormalization", {}),
    ("BatchNormalization", {"axis": 1, "scale": False, "epsilon": 1e-2}),
    ("BatchNormalization", {"center": False, "renorm": True}),
    ("Dropout", {"rate": 0.5, "seed": 1, "noise_shape": [None, 1, 4]}),
    ("Rescaling", {"scale": 1 / 255, "offset": -1.0}),
    ("Rescaling", {"scale": [1.0, 2.0, 3.0, 4.0], "offset": 1}),
    ("Masking", {"mask_value": 0.5}),
]


@pytest.mark.parametrize(("name", "kwargs"), LAYERS, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 4), (0, 3, 4)])
def test_layers_like_keras(real_keras, name: str, kwargs: Any, shape: Any) -> None:
    same(real_keras, name, data(shape), **kwargs)


@pytest.mark.parametrize("name", ["ReLU", "ELU", "Softmax", "Dense", "BatchNormalization", "PReLU", "Rescaling"])
@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
def test_dtype_policies_like_keras(real_keras, name: str, policy: str) -> None:
    args = {"Dense": (3,), "Rescaling": (0.5,)}.get(name, ())
    ours, theirs = pair(real_keras, name, *args, dtype=policy)
    x = data((2, 3, 4))
    for layer in (ours, theirs):
        layer.build(x.shape)
    copy_weights(ours, theirs)
    mine, other = ours(x), theirs(x)
    assert mine.dtype == np.asarray(other).dtype
    np.testing.assert_allclose(mine.astype("float32"), np.asarray(other).astype("float32"), rtol=2e-2, atol=2e-2)


def test_float64_is_computed_in_float64() -> None:
    x = data((2, 3, 4)).astype("float64")
    layer = layers.Dense(5, dtype="float64")
    result = layer(x)
    assert result.dtype == "float64"
    np.testing.assert_allclose(result, x @ layer.kernel.numpy(), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("renorm", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_a_training_step_of_batch_normalization_like_keras(real_keras, masked: bool, renorm: bool) -> None:
    ours, theirs = pair(real_keras, "BatchNormalization", momentum=0.8, renorm=renorm,
                        renorm_clipping={"rmax": 1.5, "rmin": 0.5, "dmax": 0.3} if renorm else None)  # fmt: skip
    x = data((4, 5, 3))
    for layer in (ours, theirs):
        layer.build(x.shape)
    copy_weights(ours, theirs)
    kwargs = {"mask": data((4, 5), 9) > 0} if masked else {}
    for _ in range(2):
        close(ours(x, training=True, **kwargs), theirs(x, training=True, **kwargs), 2e-5)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        close(mine.numpy(), other.numpy(), 2e-5)


def test_masked_softmax_like_keras(real_keras) -> None:
    x = data((2, 4))
    for mask in (np.array([[1, 1, 0, 0], [0, 0, 0, 0]], bool), np.array([1.0, 0.0, 1.0, 1.0], "float32")):
        close(layers.Softmax()(x, mask=mask), real_keras.layers.Softmax()(x, mask=mask))


def test_dropout_keeps_its_rate_and_the_mean() -> None:
    x = np.ones((200, 500), "float32")
    layer = layers.Dropout(0.3, seed=3)
    first, second = layer(x, training=True), layer(x, training=True)
    for y in (first, second):
        assert abs((y == 0).mean() - 0.3) < 0.01
        np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=1e-6)
    assert (first != second).any() and layer(x) is not None and (layer(x) == x).all()
    shared = layers.Dropout(0.5, noise_shape=(None, 1), seed=1)(x, training=True)
    assert (shared == shared[:, :1]).all() and 0 < (shared[:, 0] == 0).mean() < 1


@pytest.mark.parametrize("method", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("shape", [(2, 6, 7, 3), (6, 7, 3)])
def test_resizing_like_keras(real_keras, method: str, shape: Any) -> None:
    x = data(shape)
    for size in ((3, 5), (9, 4)):
        ours, theirs = pair(real_keras, "Resizing", *size, interpolation=method)
        same_config(ours, theirs)
        close(ours(x), theirs(x), 1e-4)
        assert ours.compute_output_shape(shape) == tuple(theirs.compute_output_shape(shape))


@pytest.mark.parametrize("kwargs", [{"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True, "fill_value": 0.5}])
def test_resizing_with_the_aspect_ratio_like_keras(real_keras, kwargs: Any) -> None:
    x = data((1, 8, 6, 2))
    ours, theirs = pair(real_keras, "Resizing", 4, 6, **kwargs)
    close(ours(x), theirs(x), 1e-4)


def test_a_lambda_like_keras(real_keras) -> None:
    x = data((2, 3, 4))
    results = []
    for k in (striate, real_keras):
        layer = k.layers.Lambda(lambda v, by: v * by, arguments={"by": 3.0})
        model = k.Sequential([k.Input((3, 4)), layer])
        assert model.output_shape == (None, 3, 4)
        results.append(np.asarray(model(x)))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)


INTEGERS = [("Dense", (2,)), ("Rescaling", (0.5,)), ("Flatten", ()), ("ReLU", ())]


@pytest.mark.parametrize(("name", "args"), INTEGERS)
def test_integers_like_keras(real_keras, name: str, args: Any) -> None:
    x = np.arange(-6, 6, dtype="int32").reshape(2, 6)
    ours, theirs = pair(real_keras, name, *args)
    for layer in (ours, theirs):
        layer.build(x.shape)
    copy_weights(ours, theirs)
    close(ours(x), theirs(x))


def doubled(x: Any) -> Any:
    return x * 2


def test_the_function_of_a_lambda_is_found_by_its_name_and_bytecode_is_never_run(real_keras) -> None:
    layer = layers.Lambda(doubled, name="l")
    stored = json.loads(json.dumps(layer.get_config()))
    assert stored["function"] == real_keras.layers.Lambda(doubled, name="l").get_config()["function"]
    with pytest.raises(ValueError, match="doubled"):
        layers.Lambda.from_config(stored)
    again = layers.Lambda.from_config(stored, custom_objects={"doubled": doubled})
    np.testing.assert_array_equal(again(data((2, 3))), 2 * data((2, 3)))
    for k in (striate, real_keras):
        nameless = json.loads(json.dumps(k.layers.Lambda(lambda x: x * 3).get_config()))
        with pytest.raises(ValueError, match="Lambda"):
            layers.Lambda.from_config(nameless)
    ours = json.loads(json.dumps(layers.Lambda(lambda x: x * 3, name="l").get_config()))
    theirs = real_keras.layers.Lambda.from_config(ours, safe_mode=False)  # Keras reads it, if told to
    np.testing.assert_allclose(np.asarray(theirs(data((2, 3)))), 3 * data((2, 3)), rtol=1e-6)
    np.testing.assert_array_equal(
        striate.models.clone_model(striate.Sequential([layer]))(data((2, 3))), 2 * data((2, 3))
    )
