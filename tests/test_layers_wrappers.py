"""`Embedding`, `Wrapper`, `TimeDistributed`, `EinsumDense` beside real Keras, and how layers store their variables."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import striate
from striate import layers, ops
from tests.layer_gradients import check
from tests.layer_parity import LACKING, close, copy_weights, data, in_a_model, pair, same

# Embedding ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32", "int64"])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"mask_zero": True, "embeddings_regularizer": "l2"},
        {"embeddings_initializer": "ones", "embeddings_constraint": "non_neg"},
    ],
)
def test_embedding(real_keras: Any, kwargs: dict[str, Any], dtype: str) -> None:
    x = np.random.default_rng(0).integers(0, 5, (3, 4)).astype(dtype)
    if dtype == "int64":  # Keras on JAX has no such dtype
        ours, theirs = pair(real_keras, "Embedding", 5, 3, **kwargs)
        ours.build(), theirs.build()
        copy_weights(ours, theirs)
        close(ours(x), theirs(x.astype("int32")))
    else:
        same(real_keras, "Embedding", x, 5, 3, **kwargs)


def test_embedding_is_a_lookup_with_a_scattered_gradient() -> None:
    layer = layers.Embedding(4, 2)
    x = np.array([[1, 3, 1], [1, 0, 3]])
    layer.build()
    np.testing.assert_array_equal(layer(x), layer.embeddings.numpy()[x])
    factor = data((2, 3, 2))
    (found,) = striate.grad(lambda: ops.sum(layer(x) * factor), variables=[layer.embeddings])()
    expected = np.zeros((4, 2), "float32")
    np.add.at(expected, x, factor)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    step = striate.jit(striate.grad(lambda: ops.sum(layer(x) * factor), variables=[layer.embeddings]))
    np.testing.assert_allclose(step()[0], expected, rtol=1e-6)


@given(st.integers(1, 9), st.integers(1, 5), st.lists(st.integers(1, 4), min_size=0, max_size=3), st.integers(0, 9))
def test_embedding_of_any_shape(rows: int, size: int, shape: list[int], seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, rows, shape)
    layer = layers.Embedding(rows, size, mask_zero=True)
    y = layer(x)
    assert y.shape == (*shape, size) == layer.compute_output_shape(tuple(shape))
    np.testing.assert_array_equal(y, layer.get_weights()[0][x])
    np.testing.assert_array_equal(layer.compute_mask(x), x != 0)


def test_embedding_with_weights() -> None:
    table = data((3, 4))
    for given_weights in (table, [table]):
        np.testing.assert_array_equal(layers.Embedding(3, 4, weights=given_weights).embeddings.numpy(), table)
    with pytest.raises(AttributeError, match="embeddings"):
        _ = layers.Embedding(3, 4).embeddings


def test_embedding_masks_what_follows(real_keras: Any) -> None:
    x = np.array([[1, 0, 2], [3, 3, 0]])
    made = []
    for k in (striate, real_keras):
        inputs = k.Input((3,), dtype="int32")
        y = k.layers.GlobalAveragePooling1D()(k.layers.Embedding(4, 2, mask_zero=True, name="e")(inputs))
        model = k.Model(inputs, y)
        model.set_weights([data((4, 2))])
        made.append(np.asarray(model(x)))
    close(*made)


def test_embedding_gradients() -> None:
    check(layers.Embedding(4, 3, dtype="float64"), np.array([[1, 1, 0], [3, 0, 1]]))


# Wrapper --------------------------------------------------------------------------------------------------------------


def _without(config: Any) -> Any:
    """A config without the entries for what striate leaves out."""
    if isinstance(config, dict):
        return {k: _without(v) for k, v in config.items() if k not in LACKING}
    return [_without(v) for v in config] if isinstance(config, list) else config


def _wrapped(k: Any, wrapper: str, name: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(k.layers, wrapper)(getattr(k.layers, name)(*args, name="inner", **kwargs), name="layer")


def test_wrapper() -> None:
    class Twice(layers.Wrapper):
        def call(self, inputs: Any) -> Any:
            return ops.multiply(self.layer(inputs), 2)

    x = data((2, 3))
    layer = Twice(layers.Dense(4, activity_regularizer="l2"), name="w")
    np.testing.assert_allclose(layer(x), 2 * (x @ layer.layer.kernel.numpy()), rtol=1e-5)
    assert [w.path for w in layer.weights] == ["w/dense/kernel", "w/dense/bias"] or len(layer.weights) == 2
    assert len(layer.losses) == 1
    again = Twice.from_config(layer.get_config())
    assert again.get_config()["layer"]["config"] == layer.get_config()["layer"]["config"]
    with pytest.raises(ValueError, match="isn't a supported layer type"):
        layers.Wrapper("dense")


WRAPPED = [
    ("Dense", (3,), {"activation": "tanh"}, (2, 4, 5)),
    ("Conv2D", (3, 2), {}, (2, 3, 5, 5, 2)),
    ("BatchNormalization", (), {}, (3, 4, 5)),
    ("Flatten", (), {}, (2, 3, 4, 2)),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), WRAPPED)
def test_time_distributed(real_keras: Any, name: str, args: Any, kwargs: Any, shape: tuple[int, ...]) -> None:
    ours, theirs = (_wrapped(k, "TimeDistributed", name, *args, **kwargs) for k in (striate, real_keras))
    assert _without(ours.get_config()) == _without(theirs.get_config())
    for layer in (ours, theirs):
        layer.build(shape)
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    copy_weights(ours, theirs)
    x = data(shape)
    close(ours(x), theirs(x))
    close(in_a_model(ours, x), theirs(x))
    assert ours.compute_output_shape((None, *shape[1:])) == theirs.compute_output_shape((None, *shape[1:]))
    again = layers.TimeDistributed.from_config(json.loads(json.dumps(ours.get_config())))
    assert type(again.layer).__name__ == name and again.layer.name == "inner"


def test_time_distributed_passes_training_on(real_keras: Any) -> None:
    x = data((3, 4, 5))
    made = []
    for k in (striate, real_keras):
        layer = k.layers.TimeDistributed(k.layers.BatchNormalization(momentum=0.5))
        made.append((np.asarray(layer(x, training=True)), [np.asarray(w) for w in layer.get_weights()]))
    close(made[0][0], made[1][0], 1e-4)
    for mine, other in zip(made[0][1], made[1][1], strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)
    dropout = layers.TimeDistributed(layers.Dropout(0.5, seed=1))
    assert (dropout(x, training=True) == 0).any() and (dropout(x) == x).all()


def test_time_distributed_gives_each_step_its_mask(real_keras: Any) -> None:
    mask = np.array([[True, False], [False, True], [True, True]])
    x = data((3, 2, 4))
    for k in (striate, real_keras):

        class Masked(k.layers.Layer):
            def call(self, inputs: Any, mask: Any = None) -> Any:
                return inputs * np.asarray(mask)[:, None]

        y = np.asarray(k.layers.TimeDistributed(Masked())(x, mask=mask))
        np.testing.assert_array_equal(y, x * mask[..., None])
        layer = k.layers.TimeDistributed(k.layers.Dense(2))
        assert layer(x, mask=mask).shape == (3, 2, 2)
        for wrong in (np.ones((3, 3), bool), np.ones((2, 2), bool), np.ones(3, bool)):
            with pytest.raises(ValueError, match="mask"):
                layer(x, mask=wrong)


def test_time_distributed_gradients() -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 2))
    check(layers.TimeDistributed(layers.Dense(2, activation="tanh", dtype="float64"), dtype="float64"), x)


# Wrong uses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.Embedding(0, 2), lambda k: k.Embedding(2, -1), lambda k: k.Embedding(2.0, 3),
        lambda k: k.Embedding(2, True), lambda k: k.Embedding("2", 3), lambda k: k.Embedding(2, 3, weights=np.ones(3)),
        lambda k: k.Wrapper(None), lambda k: k.TimeDistributed("dense"),
        lambda k: k.TimeDistributed(k.Dense(2)).build((2, 3)),
        lambda k: k.TimeDistributed(k.Dense(2))(np.ones((2, 3), "float32")),
    ],
)  # fmt: skip
def test_wrong_arguments(real_keras: Any, make: Any) -> None:
    for k in (layers, real_keras.layers):
        with pytest.raises(ValueError):
            make(k)


def test_input_length_is_out_of_date() -> None:
    with pytest.warns(UserWarning, match="input_length"):
        layers.Embedding(2, 3, input_length=4)


# Variables in stores --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapper", ["SpectralNormalization", "TimeDistributed"])
def test_own_variables_as_keras_stores_them(real_keras: Any, wrapper: str) -> None:
    made = []
    for k in (striate, real_keras):
        layer = _wrapped(k, wrapper, "Dense", 3)
        layer.build((2, 4, 5))
        made.append(layer)
    copy_weights(*made)
    for ours, theirs in ((made[0], made[1]), (made[0].layer, made[1].layer)):
        mine: dict[str, Any] = {}
        other: dict[str, Any] = {}
        ours.save_own_variables(mine)
        theirs.save_own_variables(other)
        assert list(mine) == list(other)
        for key in mine:
            np.testing.assert_array_equal(mine[key], np.asarray(other[key]))
    for layer in (made[0], made[0].layer):
        layer.load_own_variables({str(i): np.zeros(v.shape) for i, v in enumerate(layer._own_weights())})
    assert all((w.numpy() == 0).all() for w in made[0].weights)


def test_warnings_are_none() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layers.TimeDistributed(layers.Embedding(3, 2))(np.ones((2, 3, 2), "int32"))


# EinsumDense ----------------------------------------------------------------------------------------------------------

EINSUM: list[tuple[str, Any, dict[str, Any], tuple[int, ...]]] = [
    ("ab,bc->ac", 4, {"bias_axes": "c", "activation": "relu"}, (2, 3)),
    ("abc,cd->abd", (None, 4), {"bias_axes": "d"}, (2, 3, 5)),
    ("abc,cde->abde", (3, 4, 2), {"bias_axes": "de"}, (2, 3, 5)),
    ("abc,cde->abde", (3, 4, 2), {"bias_axes": "d"}, (2, 3, 5)),
    ("abcd,dce->abe", (3, 4), {"kernel_initializer": "he_normal"}, (2, 3, 5, 2)),
    ("...x,xy->...y", 4, {"bias_axes": "y"}, (2, 3, 5)),
    ("...x,xy->...y", 4, {}, (2, 5)),
    ("...bc,cde->...bde", (3, 4, 2), {"bias_axes": "e"}, (2, 3, 5)),
    ("ab...,bc->ac...", 4, {"bias_axes": "c"}, (2, 3, 5, 2)),
    ("abc,b->ac", 5, {}, (2, 3, 5)),
    ("ab,bc->ca", 2, {}, (4, 3)),
]


@pytest.mark.parametrize(("equation", "output", "kwargs", "shape"), EINSUM[:-1])
def test_einsum_dense(real_keras: Any, equation: str, output: Any, kwargs: Any, shape: tuple[int, ...]) -> None:
    same(real_keras, "EinsumDense", data(shape), equation, output, **kwargs)


def test_einsum_dense_scales_its_kernel_by_the_axes_that_are_summed(real_keras: Any) -> None:
    limit = []
    for k in (striate, real_keras):
        layer = k.layers.EinsumDense("abc,cde->abde", (None, 40, 30))
        layer.build((2, 3, 50))
        limit.append(np.abs(np.asarray(layer.get_weights()[0])).max())
    assert limit[0] == pytest.approx(limit[1], rel=1e-2) and limit[0] == pytest.approx((6 / 1250) ** 0.5, rel=1e-2)


def test_einsum_dense_keeps_several_axes_in_order() -> None:
    x = data((2, 3, 4, 5))
    layer = layers.EinsumDense("...x,xy->...y", 6)
    assert layer(striate.Input((3, 4, 5))).shape == (None, 3, 4, 6) and layer(x).shape == (2, 3, 4, 6)
    np.testing.assert_allclose(layer(x), x @ layer.kernel.numpy(), rtol=1e-5, atol=1e-5)


def test_einsum_dense_gradients() -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 2))
    check(layers.EinsumDense("abc,cde->aebd", (2, 3, 2), bias_axes="bd", dtype="float64"), x)


@pytest.mark.parametrize(
    ("equation", "output", "bias", "shape"),
    [
        ("ab->ac", 2, None, (2, 3)), ("...ab,bc->ac", 2, None, (2, 3, 4)), ("ab,bc->ac", 2, "z", (2, 3)),
        ("ab,bd->ac", 2, None, (2, 3)), ("abc,cd->abd", (2, 4), None, (2, 3, 5)), ("a,ab->c", 2, None, (2, 3)),
        ("ab,bce->ac", 2, None, (2, 3)),
    ],
)  # fmt: skip
def test_einsum_dense_with_wrong_arguments(
    real_keras: Any, equation: str, output: Any, bias: str | None, shape: tuple[int, ...]
) -> None:
    for k in (layers, real_keras.layers):
        with pytest.raises(ValueError):
            k.EinsumDense(equation, output, bias_axes=bias).build(shape)
