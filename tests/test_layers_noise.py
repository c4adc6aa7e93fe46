"""Noise layers, dropout, penalties on activity: configs beside real Keras, statistics, gradients, losses in traces."""

from __future__ import annotations

import gc
import math
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import striate
from striate import layers, ops
from striate.trace import TracedTensor
from tests.layer_gradients import check
from tests.layer_parity import close, data, pair, same

LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("Dropout", (0.3,), {"seed": 3, "noise_shape": (None, 1, None)}, (2, 3, 4)),
    ("SpatialDropout1D", (0.3,), {"seed": 3}, (2, 3, 4)),
    ("SpatialDropout2D", (0.3,), {}, (2, 3, 4, 5)),
    ("SpatialDropout2D", (0.3,), {"data_format": "channels_first"}, (2, 3, 4, 5)),
    ("SpatialDropout3D", (0.3, "channels_first"), {"seed": 4}, (2, 3, 4, 5, 2)),
    ("GaussianNoise", (0.5,), {"seed": 1}, (2, 3, 4)),
    ("GaussianDropout", (0.5,), {"seed": 1}, (2, 3, 4)),
    ("AlphaDropout", (0.5,), {"seed": 1, "noise_shape": (None, 1, None)}, (2, 3, 4)),
    ("ActivityRegularization", (), {"l1": 0.25, "l2": 0.5}, (2, 3, 4)),
]
NOISY = [c for c in LAYERS if c[0] != "ActivityRegularization"]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_same_as_keras_in_inference(real_keras: Any, name: str, args: Any, kwargs: Any, shape: tuple[int, ...]) -> None:
    x = data(shape)
    np.testing.assert_array_equal(same(real_keras, name, x, *args, **kwargs), x)
    ours, theirs = pair(real_keras, name, *args, **kwargs)
    assert ours.built and theirs.built and ours.supports_masking and theirs.supports_masking
    assert ours.weights == [] and [v.shape for v in ours.variables] == [tuple(v.shape) for v in theirs.variables]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), NOISY)
def test_seeds(name: str, args: Any, kwargs: Any, shape: tuple[int, ...]) -> None:
    kwargs = {**kwargs, "seed": 11}
    x = data((64, *shape[1:]))
    one, other = (getattr(layers, name)(*args, **kwargs) for _ in range(2))
    first, second = one(x, training=True), one(x, training=True)
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_array_equal(other(x, training=True), first)
    compiled = striate.jit(lambda v: other(v, training=True))  # goes on where the eager call ended
    np.testing.assert_allclose(compiled(x), second, rtol=1e-6, atol=1e-6)
    assert np.abs(compiled(x) - second).max() > 0.01
    np.testing.assert_array_equal(one(x, training=False), x)
    striate.utils.set_random_seed(5)
    kwargs.pop("seed")
    drawn = getattr(layers, name)(*args, **kwargs)(x, training=True)
    striate.utils.set_random_seed(5)
    np.testing.assert_array_equal(getattr(layers, name)(*args, **kwargs)(x, training=True), drawn)


# Statistics: 200,000 draws, bounds of five standard errors ------------------------------------------------------------

MANY = (200, 1000)


def _near(found: float, wanted: float, deviation: float) -> None:
    assert abs(found - wanted) < 5 * deviation / math.sqrt(math.prod(MANY))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_scales_what_it_keeps(rate: float) -> None:
    y = layers.Dropout(rate, seed=1)(np.ones(MANY, "float32"), training=True)
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - rate)], rtol=1e-6)
    _near(float(np.mean(y == 0)), rate, math.sqrt(rate * (1 - rate)))
    _near(float(y.mean(dtype="float64")), 1, math.sqrt(rate / (1 - rate)))


@pytest.mark.parametrize("stddev", [0.1, 1.0])
def test_gaussian_noise(stddev: float) -> None:
    noise = np.asarray(layers.GaussianNoise(stddev, seed=1)(np.full(MANY, 3, "float32"), training=True), "float64") - 3
    _near(noise.mean(), 0, stddev)
    _near(noise.std(), stddev, stddev)
    _near(float(np.mean(np.abs(noise) < stddev)), 0.6827, 0.5)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_gaussian_dropout(rate: float) -> None:
    deviation = math.sqrt(rate / (1 - rate))
    factor = np.asarray(layers.GaussianDropout(rate, seed=1)(np.full(MANY, 2, "float32"), training=True), "float64") / 2
    _near(factor.mean(), 1, deviation)
    _near(factor.std(), deviation, deviation)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(rate: float) -> None:
    x = np.random.default_rng(0).normal(size=MANY).astype("float32")
    y = np.asarray(layers.AlphaDropout(rate, seed=1)(x, training=True), "float64")
    _near(y.mean(), 0, 2)
    _near(y.var(), 1, 4)
    values, counts = np.unique(y, return_counts=True)
    _near(counts.max() / x.size, rate, 0.5)  # all that is dropped has one value
    low = -1.6732632423543772 * 1.0507009873554805
    a = ((1 - rate) * (1 + rate * low**2)) ** -0.5
    assert values[counts.argmax()] == pytest.approx(a * low - a * low * rate, rel=1e-5)


@pytest.mark.parametrize("name", ["Dropout", "SpatialDropout1D", "AlphaDropout", "GaussianDropout"])
def test_rates_at_the_ends(real_keras: Any, name: str) -> None:
    x = data((2, 3, 4))
    ours, theirs = pair(real_keras, name, 0)
    np.testing.assert_array_equal(ours(x, training=True), x)
    assert ours.variables == [] and theirs.variables == []
    ours, theirs = pair(real_keras, name, 1.0)
    if name == "Dropout" or name == "SpatialDropout1D":
        np.testing.assert_array_equal(ours(x, training=True), 0)
        np.testing.assert_array_equal(np.asarray(theirs(x, training=True)), 0)
    elif name == "GaussianDropout":
        for layer in (ours, theirs):
            with pytest.raises(ZeroDivisionError):
                layer(x, training=True)


@given(st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_spatial_dropout_drops_whole_maps(rank: int, first: bool, seed: int) -> None:
    spatial = (3, 4, 2)[:rank]
    kwargs = {} if rank == 1 else {"data_format": "channels_first" if first else "channels_last"}
    first = first and rank > 1
    x = np.ones((6, 5, *spatial) if first else (6, *spatial, 5), "float32")
    y = getattr(layers, f"SpatialDropout{rank}D")(0.4, seed=seed, **kwargs)(x, training=True)
    maps = np.moveaxis(y, 1, -1) if first else y
    flat = maps.reshape(6, -1, 5)
    np.testing.assert_array_equal(flat, np.broadcast_to(flat[:, :1], flat.shape))
    assert np.isin(np.round(np.unique(flat), 3), np.float32([0, 1.667])).all()


@pytest.mark.parametrize("name", ["Dropout", "AlphaDropout"])
def test_noise_shapes(name: str) -> None:
    x = np.ones((20, 5, 10), "float32")
    for shape in ((None, 1, None), (20, 1, 10)):
        y = getattr(layers, name)(0.5, noise_shape=shape, seed=0)(x, training=True)
        np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
        assert len(np.unique(y)) == 2


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("Dropout", (0.4,), {}), ("AlphaDropout", (0.4,), {}), ("GaussianDropout", (0.4,), {}),
        ("GaussianNoise", (0.4,), {}), ("SpatialDropout1D", (0.4,), {}),
    ],
)  # fmt: skip
def test_gradients(name: str, args: Any, kwargs: Any) -> None:
    layer = getattr(layers, name)(*args, seed=7, dtype="float64", **kwargs)
    check(layer, np.random.default_rng(2).normal(size=(3, 2, 2)), training=True)


# Losses of layers -----------------------------------------------------------------------------------------------------


def _network(k: Any, shared: bool = True) -> Any:
    inputs = k.Input((4,))
    first = k.layers.Dense(3, activity_regularizer=k.regularizers.L2(0.25), kernel_initializer="ones")
    x = k.layers.ActivityRegularization(l1=0.5, l2=0.25)(first(inputs))
    x = k.layers.Dense(4, kernel_initializer="ones", kernel_regularizer=k.regularizers.L2(2))(x)
    return k.Model(inputs, first(x) if shared else k.layers.Dense(3)(x))


def test_losses_of_a_model_as_in_keras(real_keras: Any) -> None:
    ours, theirs = _network(striate), _network(real_keras)
    assert len(ours.losses) == len(theirs.losses) == 1  # the weight's
    for seed in range(2):  # the second call begins anew
        x = data((5, 4), seed)
        ours(x), theirs(x)
        mine, other = ([float(v) for v in m.losses] for m in (ours, theirs))
        assert len(mine) == 4  # of the shared layer there are two
        np.testing.assert_allclose(sorted(mine), sorted(other), rtol=1e-5)


def test_losses_in_a_trace_are_those_of_the_trace() -> None:
    model = _network(striate)
    x = data((5, 4))
    model(x)
    expected = sorted(float(v) for v in model.losses)
    striate.jit(lambda v: model(v))(data((5, 4), 3))  # whose penalties end with it
    assert sorted(float(v) for v in model.losses) == expected
    compiled = striate.jit(lambda v: (model(v), list(model.losses))[1])
    np.testing.assert_allclose(sorted(float(v) for v in compiled(x)), expected, rtol=1e-5)
    assert not any(isinstance(v, TracedTensor) for layer in model._flatten_layers() for v in layer._losses)


def test_a_trace_ends_with_its_function() -> None:
    layer = layers.Dense(2, activity_regularizer="l2")
    kept: list[Any] = []

    def fn(x: Any) -> Any:
        y = layer(x)
        kept.append(weakref.ref(y.owner))
        return y

    striate.jit(fn).trace(data((3, 4)))
    gc.collect()
    assert kept[0]() is None and layer.losses == []


@pytest.mark.parametrize("compiled", [True, False])
def test_gradient_through_a_penalty(compiled: bool) -> None:
    layer = layers.Dense(2, activity_regularizer=striate.regularizers.L2(0.5), use_bias=False)
    x = data((5, 3))
    layer.build(x.shape)

    def loss() -> Any:
        layer(x)
        return layer.losses[0]

    step = striate.value_and_grad(loss, variables=layer.trainable_variables)
    value, (gradient,) = striate.jit(step)() if compiled else step()
    kernel = layer.kernel.numpy()
    np.testing.assert_allclose(value, 0.5 * np.square(x @ kernel).sum() / 5, rtol=1e-5)
    np.testing.assert_allclose(gradient, x.T @ (x @ kernel) / 5, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("eager", [False, True])
def test_penalties_in_fit_as_in_keras(real_keras: Any, eager: bool) -> None:
    histories = []
    x, y = data((12, 4)), data((12, 3), 1)
    for k in (striate, real_keras):
        model = _network(k, shared=False)  # Keras on JAX counts one penalty of a shared layer when it trains
        model.set_weights([data(w.shape, i) / 4 for i, w in enumerate(model.get_weights())])
        model.compile(k.optimizers.SGD(0.001), "mse", run_eagerly=eager and k is striate)
        history = model.fit(x, y, batch_size=5, epochs=3, shuffle=False, verbose=0).history["loss"]
        histories.append([*history, model.evaluate(x, y, batch_size=5, verbose=0)])
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-4)


class Penalised(layers.Layer):
    def call(self, inputs: Any) -> Any:
        self.add_loss([0.1 * ops.sum(inputs), ops.mean(inputs)])
        return inputs


class Around(layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Penalised()

    def call(self, inputs: Any) -> Any:
        return self.inner(self.inner(inputs))


def test_add_loss() -> None:
    layer, x = Around(), np.arange(6, dtype="float32").reshape(2, 3)
    for _ in range(2):
        layer(x)
        np.testing.assert_allclose([float(v) for v in layer.losses], [1.5, 2.5] * 2)
        assert layer.inner.losses and len(layer.inner.losses) == 4
    for value in (0.5, "loss", striate.Input((2,))):
        with pytest.raises(ValueError, match="add_loss"):
            layer.add_loss(value)


def test_penalty_of_every_output() -> None:
    class Two(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs, None, ops.sum(inputs)

    layer = Two(activity_regularizer=striate.regularizers.L1(1.0))
    layer(np.ones((4, 2), "float32"))
    np.testing.assert_allclose([float(v) for v in layer.losses], [2, 8])  # per sample; a scalar has no samples


def test_training_goes_through_layers_that_do_not_ask_for_it(real_keras: Any) -> None:
    x = np.ones((40, 5), "float32")
    for k in (striate, real_keras):

        class Holds(k.layers.Layer):
            def __init__(self, inner: Any) -> None:
                super().__init__()
                self.inner = inner

            def call(self, inputs: Any) -> Any:
                return self.inner(inputs)

        layer = Holds(k.layers.Dropout(0.5))
        assert (np.asarray(layer(x, training=True)) == 0).any()
        assert (np.asarray(layer(x, training=False)) == 1).all()
        np.testing.assert_array_equal(np.asarray(k.layers.ReLU()(x, training=True)), x)


# Wrong uses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("Dropout", (-0.1,), {}), ("Dropout", (1.5,), {}), ("Dropout", (0.5, "ab"), {}),
        ("Dropout", (0.5, (2, 1.5)), {}), ("Dropout", (0.5, (2, 0)), {}), ("SpatialDropout2D", (2,), {}),
        ("SpatialDropout2D", (0.5, "channels"), {}), ("GaussianNoise", (-1,), {}), ("GaussianNoise", (2.0,), {}),
        ("GaussianDropout", (1.1,), {}), ("AlphaDropout", (-0.5,), {}),
        ("ActivityRegularization", (), {"l1": -1.0}), ("GaussianNoise", (0.5, "seed"), {}),
    ],
)  # fmt: skip
def test_wrong_arguments(real_keras: Any, name: str, args: Any, kwargs: Any) -> None:
    for k in (striate, real_keras):
        with pytest.raises(ValueError):
            getattr(k.layers, name)(*args, **kwargs)


def test_wrong_ranks(real_keras: Any) -> None:
    for k in (striate, real_keras):
        for rank in (1, 2, 3):
            with pytest.raises(ValueError, match="ndim"):
                getattr(k.layers, f"SpatialDropout{rank}D")(0.5)(np.ones((2,) * (rank + 1)))


def test_masks_pass(real_keras: Any) -> None:
    x = data((2, 3, 4))
    x[0, 1] = 0
    for k in (striate, real_keras):
        model_input = k.Input((3, 4))
        y = k.layers.GaussianNoise(0.5)(k.layers.Masking()(model_input))
        made = k.Model(model_input, k.layers.GlobalAveragePooling1D()(y))(x)
        close(np.asarray(made)[0], x[0, [0, 2]].mean(0), 1e-5)
