"""Normalizations beside real Keras: inference, training, statistics, masks, configs, gradients by differences."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import striate
from striate import layers, ops
from tests.layer_gradients import check
from tests.layer_parity import close, copy_weights, data, pair, same, same_config

CASES: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("LayerNormalization", (3, 5), {}),
    ("LayerNormalization", (2, 3, 4), {"axis": [2, 1], "epsilon": 1e-2}),
    ("LayerNormalization", (2, 3, 4), {"axis": (-3, -1), "scale": False}),
    ("LayerNormalization", (2, 3, 4), {"axis": 1, "center": False, "gamma_regularizer": "l2"}),
    ("RMSNormalization", (2, 3, 4), {}),
    ("RMSNormalization", (2, 3, 4), {"axis": [1, 2], "epsilon": 0.1}),
    ("UnitNormalization", (2, 3, 4), {}),
    ("UnitNormalization", (2, 3, 4), {"axis": [1, -1]}),
    ("GroupNormalization", (2, 3, 32), {}),
    ("GroupNormalization", (2, 4, 4, 6), {"groups": 3, "epsilon": 1e-2}),
    ("GroupNormalization", (2, 6, 4, 3), {"groups": 2, "axis": 1, "beta_regularizer": "l2"}),
    ("GroupNormalization", (2, 4, 6, 3), {"groups": 3, "axis": -2, "scale": False, "center": False}),
    ("GroupNormalization", (2, 8), {"groups": 4}),
]


@pytest.mark.parametrize(("name", "shape", "kwargs"), CASES)
def test_same_as_keras(real_keras: Any, name: str, shape: tuple[int, ...], kwargs: dict[str, Any]) -> None:
    same(real_keras, name, data(shape), rtol=2e-5, **kwargs)


@pytest.mark.parametrize("name", ["LayerNormalization", "RMSNormalization", "BatchNormalization"])
def test_half_precision(real_keras: Any, name: str) -> None:
    x = data((3, 8)) * 100
    ours, theirs = pair(real_keras, name, dtype="mixed_float16")
    mine = ours(x)
    assert str(mine.dtype) == "float16" and {w.dtype for w in ours.weights} == {"float32"}
    np.testing.assert_allclose(mine.astype("float32"), np.asarray(theirs(x), "float32"), rtol=2e-3, atol=2e-3)


def test_one_group_per_channel(real_keras: Any) -> None:
    ours, theirs = pair(real_keras, "GroupNormalization", groups=-1)
    x = data((2, 4, 4, 6))
    close(ours(x), theirs(x), 2e-5)
    assert ours.get_config()["groups"] == theirs.get_config()["groups"] == 6


def test_rms_scaling_of_layer_normalization(real_keras: Any) -> None:
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        ours, theirs = pair(real_keras, "LayerNormalization", rms_scaling=True, axis=[1, 2])
    x = data((2, 3, 4))
    ours.build(x.shape), theirs.build(x.shape)
    copy_weights(ours, theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs(x)
    close(ours(x), expected, 2e-5)
    with pytest.warns(UserWarning, match="RMSNormalization"):
        layers.LayerNormalization(rms_scaling=True)


@given(st.data())
def test_statistics_along_any_axes(draws: st.DataObject) -> None:
    rank = draws.draw(st.integers(2, 4))
    shape = tuple(draws.draw(st.integers(2, 5)) for _ in range(rank))
    axes = draws.draw(st.lists(st.integers(1, rank - 1), min_size=1, unique=True))
    given_axes = [a - rank if draws.draw(st.booleans()) else a for a in axes]
    x = data(shape, draws.draw(st.integers(0, 99))).astype("float64")
    along = tuple(sorted(axes))
    mean, variance = x.mean(along, keepdims=True), x.var(along, keepdims=True)
    options = {"dtype": "float64", "axis": sorted(given_axes, key=lambda a: a % rank)}
    np.testing.assert_allclose(
        ops.convert_to_numpy(layers.UnitNormalization(**options)(x)),
        x / np.sqrt(np.square(x).sum(along, keepdims=True)), rtol=1e-5,
    )  # fmt: skip
    np.testing.assert_allclose(
        layers.LayerNormalization(**options)(x), (x - mean) / np.sqrt(variance + 1e-3), rtol=1e-5, atol=1e-6
    )


# Batch normalization in training --------------------------------------------------------------------------------------

BATCH: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((6, 3), {}),
    ((3, 4, 5, 2), {"momentum": 0.7, "epsilon": 0.1}),
    ((3, 4, 5, 2), {"axis": 1, "scale": False}),
    ((3, 4, 5), {"axis": -2, "center": False, "momentum": 0.0}),
    ((5, 4), {"renorm": True, "renorm_momentum": 0.5, "renorm_clipping": {"rmax": 1.2, "rmin": 0.9, "dmax": 0.3}}),
    ((4, 3, 2), {"moving_mean_initializer": "ones", "moving_variance_initializer": {"class_name": "Constant",
                 "config": {"value": 2.0}}}),
]  # fmt: skip


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(("shape", "kwargs"), BATCH)
def test_batch_normalization_in_training(
    real_keras: Any, shape: tuple[int, ...], kwargs: dict[str, Any], traced: bool
) -> None:
    ours, theirs = pair(real_keras, "BatchNormalization", **kwargs)
    same_config(ours, theirs)
    for layer in (ours, theirs):
        layer.build(shape)
    copy_weights(ours, theirs)
    call = striate.jit(lambda x: ours(x, training=True)) if traced else lambda x: ours(x, training=True)
    for seed in range(3):
        x = data(shape, seed) + seed
        close(call(x), theirs(x, training=True), 1e-4)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(mine.numpy(), np.asarray(other), rtol=1e-4, atol=1e-5)
    close(ours(x), theirs(x), 1e-4)  # inference, by what was gathered


@pytest.mark.parametrize("shape", [(4, 5, 3), (2, 3, 4, 2)])
def test_batch_normalization_leaves_out_what_is_masked(real_keras: Any, shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(0).random(shape[:-1]) > 0.4
    ours, theirs = pair(real_keras, "BatchNormalization", momentum=0.5)
    x = data(shape)
    close(ours(x, training=True, mask=mask), theirs(x, training=True, mask=mask), 1e-4)
    counted = x[mask]
    np.testing.assert_allclose(ours.moving_mean.numpy(), counted.mean(0) / 2, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ours.moving_variance.numpy(), counted.var(0) / 2 + 0.5, rtol=1e-4)
    with pytest.raises(ValueError, match="one dimension less"):
        ours(x, training=True, mask=mask[0])


def test_not_trainable_means_inference() -> None:
    layer = layers.BatchNormalization()
    x = data((5, 3)) + 7
    layer.build(x.shape)
    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True), x / np.sqrt(1.001), rtol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), 0)
    layer.trainable = True
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), x.mean(0) * 0.01, rtol=1e-4)


def test_half_precision_does_not_overflow(real_keras: Any) -> None:
    ours, theirs = pair(real_keras, "BatchNormalization", dtype="mixed_float16")
    x = (data((64, 3)) * 300).astype("float16")
    made = ours(x, training=True)
    assert made.dtype == "float16" and np.isfinite(made).all()
    np.testing.assert_allclose(made, np.asarray(theirs(x, training=True)), atol=1e-2)


# Gradients ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "kwargs"),
    [
        ("LayerNormalization", (2, 3, 2), {"axis": [1, 2]}), ("RMSNormalization", (2, 5), {}),
        ("UnitNormalization", (2, 5), {}), ("GroupNormalization", (2, 2, 4), {"groups": 2}),
        ("BatchNormalization", (4, 3), {}), ("BatchNormalization", (2, 3, 2), {"axis": 1}),
    ],
)  # fmt: skip
def test_gradients(name: str, shape: tuple[int, ...], kwargs: dict[str, Any]) -> None:
    layer = getattr(layers, name)(dtype="float64", **kwargs)
    x = np.random.default_rng(3).normal(size=shape)
    for training in (True, False) if name == "BatchNormalization" else (None,):
        check(layer, x, **({} if training is None else {"training": training}))


def test_gradient_of_masked_batch_normalization() -> None:
    mask = np.array([[True, False, True], [True, True, False]])
    layer = layers.BatchNormalization(dtype="float64")
    check(layer, np.random.default_rng(3).normal(size=(2, 3, 2)), training=True, mask=mask)


# Spectral normalization -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inner", "shape"), [(("Dense", (4,)), (3, 5)), (("Conv2D", (3, 2)), (2, 5, 5, 2))])
def test_spectral_normalization(real_keras: Any, inner: Any, shape: tuple[int, ...]) -> None:
    name, args = inner
    made = []
    for k in (striate, real_keras):
        layer = k.layers.SpectralNormalization(getattr(k.layers, name)(*args), power_iterations=3, name="layer")
        layer.build(shape)
        made.append(layer)
    ours, theirs = made
    copy_weights(ours, theirs)
    x = data(shape)
    close(ours(x), theirs(x), 1e-4)
    for _ in range(8):
        close(ours(x, training=True), theirs(x, training=True), 1e-4)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(mine.numpy(), np.asarray(other), rtol=1e-3, atol=1e-5)
    kernel = ours.layer.kernel.numpy()
    assert np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]))[1][0] == pytest.approx(1, abs=1e-2)
    assert layers.SpectralNormalization.from_config(ours.get_config()).power_iterations == 3


def test_spectral_normalization_compiled_and_of_zeros() -> None:
    layer = layers.SpectralNormalization(layers.Dense(3, kernel_initializer="zeros"))
    x = data((2, 4))
    np.testing.assert_array_equal(striate.jit(lambda v: layer(v, training=True))(x), 0)  # no division by zero
    other, again = (layers.SpectralNormalization(layers.Dense(3), power_iterations=2) for _ in range(2))
    for made in (other, again):
        made.build(x.shape)
    again.set_weights(other.get_weights())
    np.testing.assert_allclose(
        striate.jit(lambda v: other(v, training=True))(x), again(x, training=True), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(other.vector_u.numpy(), again.vector_u.numpy(), rtol=1e-5)


# Wrong uses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda k: k.LayerNormalization(axis={"axis": 1}), TypeError),
        (lambda k: k.LayerNormalization(axis=None), TypeError),
        (lambda k: k.UnitNormalization(axis="last"), TypeError),
        (lambda k: k.GroupNormalization(groups=0), ValueError),
        (lambda k: k.GroupNormalization(groups=-2), ValueError),
        (lambda k: k.GroupNormalization(groups=5)(np.ones((2, 4))), ValueError),
        (lambda k: k.GroupNormalization(groups=3)(np.ones((2, 4))), ValueError),
        (lambda k: k.UnitNormalization(axis=4).compute_output_shape((2, 3)), ValueError),
        (lambda k: k.LayerNormalization(axis=2).compute_output_shape((2, 3)), ValueError),
        (lambda k: k.BatchNormalization(synchronized=True), ValueError),
        (lambda k: k.BatchNormalization(renorm=True, renorm_clipping={"max": 1}), ValueError),
        (lambda k: k.SpectralNormalization(k.Dense(2), power_iterations=0), ValueError),
        (lambda k: k.SpectralNormalization(k.ReLU())(np.ones((2, 4))), ValueError),
    ],
)  # fmt: skip
def test_wrong_arguments(real_keras: Any, make: Any, error: type[Exception]) -> None:
    for k in (layers, real_keras.layers):
        with pytest.raises(error):
            make(k)


def test_errors_name_the_layer_and_a_way_out() -> None:
    with pytest.raises(ValueError, match=r"GroupNormalization 'g'.*divisor of 4"):
        layers.GroupNormalization(3, name="g")(np.ones((2, 4), "float32"))
    with pytest.raises(ValueError, match=r"LayerNormalization 'l'.*out of bounds.*axis=-1"):
        layers.LayerNormalization(axis=3, name="l")(np.ones((2, 4), "float32"))
    with pytest.raises(ValueError, match=r"LayerNormalization 'l'.*defined dimension"):
        layers.LayerNormalization(name="l")(striate.Input((None,)))
