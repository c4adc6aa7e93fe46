"""`Normalization` and the layers of categories: numbers of real Keras and of float64 NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import striate
from striate import layers


def table(*shape: int, seed: int = 0) -> np.ndarray:
    """Random features, far from mean 0 and variance 1."""
    rng = np.random.default_rng(seed)
    return (rng.normal(3.0, 5.0, shape) * (1 + np.arange(shape[-1]))).astype("float32")


AXES: list[Any] = [-1, 1, 0, None, (1, 2), (0, -1), (-1, 1)]


@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("invert", [False, True])
def test_adapted_to_an_array_as_keras(axis: Any, invert: bool, real_keras: ModuleType) -> None:
    x = table(6, 4, 3)
    ours, theirs = (k.layers.Normalization(axis=axis, invert=invert) for k in (striate, real_keras))
    ours.adapt(x)
    theirs.adapt(x)
    np.testing.assert_allclose(ours(x), np.array(theirs(x)), rtol=1e-4, atol=1e-4)
    for name in ("mean", "variance"):
        want = np.array(getattr(theirs, name))
        assert getattr(ours, name).shape == want.shape
        np.testing.assert_allclose(getattr(ours, name), want, rtol=1e-5, atol=1e-5)
    assert [(v.name, v.shape, v.dtype) for v in ours.weights] == [(v.name, v.shape, v.dtype) for v in theirs.weights]
    np.testing.assert_allclose(ours.get_weights()[0], theirs.get_weights()[0], rtol=1e-5)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(1, 4), st.sampled_from([-1, None, 0]))
def test_batches_count_as_one_array(sizes: list[int], width: int, axis: Any) -> None:
    """However the rows are split, mean and variance are those of all rows."""
    rows = table(sum(sizes), width, seed=sum(sizes)) + 1000
    kept = {-1: (0,), None: (0, 1)}.get(axis, (1,))
    if axis == 0:  # a mean of its own for each row: batches must have one size
        batches = [rows[: sizes[0]], rows[: sizes[0]][:, ::-1]]
        rows = np.concatenate(batches, axis=1)
    else:
        batches = np.split(rows, np.cumsum(sizes)[:-1])
    layer = layers.Normalization(axis=axis)
    layer.adapt(iter(batches))
    wide = rows.astype("float64")
    np.testing.assert_allclose(np.asarray(layer.mean).ravel(), wide.mean(kept).ravel(), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(layer.variance).ravel(), wide.var(kept).ravel(), rtol=1e-4, atol=1e-4)


def test_adapt_takes_arrays_generators_and_sequences() -> None:
    x = table(20, 3)

    class Rows:  # what a PyDataset offers
        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> Any:
            return x[5 * i : 5 * i + 5], np.zeros(5)

        def on_epoch_end(self) -> None:
            pass

    class Dataset:  # what a tf.data.Dataset offers
        element_spec = (type("Spec", (), {"shape": (3,)})(), None)

        def batch(self, size: int) -> Any:
            return [(x[i : i + size], None) for i in range(0, 20, size)]

        def __iter__(self) -> Iterator[Any]:
            return ((row, None) for row in x)

    def pairs() -> Iterator[Any]:
        for i in range(0, 20, 6):
            yield x[i : i + 6], np.zeros(6)

    for data in (x, [x[:7], x[7:]], pairs(), Rows(), Dataset(), x.astype("float64")):
        layer = layers.Normalization()
        layer.adapt(data)
        np.testing.assert_allclose(layer.mean[0], x.mean(0), rtol=1e-5)
        np.testing.assert_allclose(layer.variance[0], x.var(0), rtol=1e-5)


def test_adapt_again_forgets_and_reaches_compiled_plans() -> None:
    inputs = striate.Input((3,))
    layer = layers.Normalization()
    model = striate.Model(inputs, layer(inputs))
    for seed in range(3):
        x = table(30, 3, seed=seed) + 10 * seed
        layer.adapt(x)
        want = (x - x.mean(0)) / x.std(0)
        np.testing.assert_allclose(layer(x), want, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(model.predict(x, verbose=0), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("axis", "mean", "variance"),
    [
        (-1, 3.0, 4.0),
        (-1, [1.0, 2.0, 3.0], [4.0, 5.0, 0.0]),
        (None, 3.0, 4.0),
        ((1, 2), np.arange(12.0).reshape(4, 3), np.arange(12.0).reshape(4, 3) + 1),
        ((1, 2), [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]),
        (1, [1.0, 2.0, 3.0, 4.0], [4.0, 5.0, 6.0, 7.0]),
    ],
)
@pytest.mark.parametrize("invert", [False, True])
def test_given_numbers_as_keras(axis: Any, mean: Any, variance: Any, invert: bool, real_keras: ModuleType) -> None:
    x = table(6, 4, 3)
    made = [k.layers.Normalization(axis, mean, variance, invert) for k in (striate, real_keras)]
    np.testing.assert_allclose(made[0](x), np.array(made[1](x)), rtol=1e-5, atol=1e-4)
    assert made[0].weights == []
    ours, theirs = (m.get_config() for m in made)
    assert {k: v for k, v in ours.items() if k != "name"} == {k: v for k, v in theirs.items() if k != "name"}
    again = layers.Normalization.from_config(theirs)
    np.testing.assert_allclose(again(x), made[0](x))


def test_there_and_back() -> None:
    x = table(40, 3)
    there, back = layers.Normalization(), layers.Normalization(invert=True)
    there.adapt(x)
    back.adapt(x)
    y = there(x)
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(0), 1, rtol=1e-4)
    np.testing.assert_allclose(back(y), x, rtol=1e-4, atol=1e-4)


def test_other_dtypes() -> None:
    x = np.arange(12).reshape(4, 3)
    layer = layers.Normalization()
    layer.adapt(x)
    assert layer(x).dtype == "float32"
    np.testing.assert_allclose(layer(x).mean(0), 0, atol=1e-6)
    half = layers.Normalization(dtype="mixed_float16")
    half.adapt(table(9, 3))
    assert half(table(9, 3)).dtype == "float16"


def test_configs_and_building(real_keras: ModuleType) -> None:
    layer = layers.Normalization(axis=(1, -1), name="n")
    layer.adapt(table(6, 4, 3))
    twin = real_keras.layers.Normalization.from_config(layer.get_config())
    twin.build_from_config(layer.get_build_config())
    twin.set_weights(layer.get_weights())
    twin.finalize_state()
    x = table(2, 4, 3, seed=4)
    np.testing.assert_allclose(layer(x), np.array(twin(x)), rtol=1e-4, atol=1e-4)
    ours = layers.Normalization.from_config(twin.get_config())
    ours.build_from_config(twin.get_build_config())
    ours.set_weights(twin.get_weights())
    np.testing.assert_allclose(ours(x), layer(x), rtol=1e-5)


WRONG: list[tuple[Any, str]] = [
    (lambda: layers.Normalization(mean=1.0), "both `mean` and `variance` must be set"),
    (lambda: layers.Normalization(mean=[1.0], variance=[1.0, 2.0]), "must have the same shape"),
    (lambda: layers.Normalization(mean=[[1.0]], variance=[[1.0]]), "rank of `mean`"),
    (lambda: layers.Normalization(axis=3).build((2, 3)), "in the range"),
    (lambda: layers.Normalization().build((2, None)), "must have a known shape"),
    (lambda: layers.Normalization().adapt([]), "empty iterable"),
    (lambda: layers.Normalization().adapt(np.zeros((0, 3))), "no values"),
    (lambda: layers.Normalization().adapt([np.zeros((2, 3)), np.zeros((2, 4))]), "incompatible shape"),
    (lambda: layers.Normalization(mean=1.0, variance=1.0).adapt(np.zeros((2, 3))), "given its mean"),
]


@pytest.mark.parametrize(("make", "text"), WRONG, ids=[w[1] for w in WRONG])
def test_wrong_uses(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


def test_data_of_another_kind() -> None:
    for data in (3, [[1.0, 2.0]]):
        with pytest.raises(TypeError, match="adapt"):
            layers.Normalization().adapt(data)
    layer = layers.Normalization()
    layer.adapt(np.ones((4, 3)))
    with pytest.raises(ValueError, match="incompatible shape"):
        layer.adapt(np.ones((4, 2)))
    np.testing.assert_array_equal(layer.mean, np.ones((1, 3)))  # what was counted stays


# Categories ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 1), (2, 3, 2)])
def test_categories_as_keras(mode: str, shape: tuple[int, ...], real_keras: ModuleType) -> None:
    x = np.random.default_rng(3).integers(0, 5, shape)
    ours, theirs = (k.layers.CategoryEncoding(5, mode) for k in (striate, real_keras))
    want = np.array(theirs(x))
    got = ours(x)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    if mode == "count" and len(shape) == 2:
        weights = np.random.default_rng(4).random(shape)
        np.testing.assert_allclose(ours(x, count_weights=weights), np.array(theirs(x, count_weights=weights)), 1e-6)
    for rank in (1, 2):
        inputs = (None, *range(2, rank + 1))
        assert ours.compute_output_shape(inputs) == theirs.compute_output_shape(inputs)


def test_categories_refuse_what_they_cannot_count() -> None:
    with pytest.raises(ValueError, match="from 0 to 3"):
        layers.CategoryEncoding(4)(np.array([1, 4]))
    with pytest.raises(ValueError, match="count_weights"):
        layers.CategoryEncoding(4)(np.array([1, 2]), count_weights=np.ones(2))
    with pytest.raises(ValueError, match="num_tokens"):
        layers.CategoryEncoding()
    with pytest.raises(ValueError, match="not supported"):
        layers.CategoryEncoding(3, sparse=True)


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
def test_bins_as_keras(mode: str, real_keras: ModuleType) -> None:
    x = np.float32([[-1, 0.0, 0.3], [0.5, 0.7, 9]])
    ours, theirs = (k.layers.Discretization([0.0, 0.5, 1.0], output_mode=mode) for k in (striate, real_keras))
    want = np.array(theirs(x))
    assert ours(x).dtype == want.dtype
    np.testing.assert_array_equal(ours(x), want)
    assert striate.jit(ours)(x).tolist() == want.tolist()
    assert ours.get_config() == {**theirs.get_config(), "name": ours.name}


@pytest.mark.parametrize(("count", "bins", "epsilon"), [(1000, 4, 0.01), (50, 3, 0.01), (7, 2, 0.1), (5000, 10, 0.05)])
def test_bins_adapted_as_keras(count: int, bins: int, epsilon: float, real_keras: ModuleType) -> None:
    rng = np.random.default_rng(count)
    batches = [rng.normal(size=(count, 2)).astype("float32") for _ in range(3)]
    ours, theirs = (k.layers.Discretization(num_bins=bins, epsilon=epsilon) for k in (striate, real_keras))
    ours.adapt(batches)
    theirs.reset_state()  # Keras's `adapt` itself asks for TensorFlow
    for batch in batches:
        theirs.update_state(batch)
    theirs.finalize_state()
    np.testing.assert_allclose(ours.bin_boundaries, theirs.bin_boundaries, rtol=1e-5, atol=1e-6)
    shares = np.bincount(ours(np.concatenate(batches)).ravel(), minlength=bins) / (6 * count)
    assert np.abs(shares - 1 / bins).max() < (0.25 if count < 100 else 0.05)
    again = layers.Discretization.from_config(theirs.get_config())
    np.testing.assert_array_equal(again(batches[0]), np.array(theirs(batches[0])))


def test_a_pipeline_goes_to_keras_and_back(real_keras: ModuleType) -> None:
    ours = layers.Pipeline([layers.AutoContrast(), layers.RandomFlip(seed=1), layers.CenterCrop(3, 4)], name="p")
    x = np.random.default_rng(0).random((2, 6, 5, 3)).astype("float32") * 100
    theirs = real_keras.layers.Pipeline.from_config(ours.get_config())
    np.testing.assert_allclose(ours(x, training=False), np.array(theirs(x, training=False)), rtol=1e-4, atol=1e-2)
    again = layers.Pipeline.from_config(theirs.get_config())
    assert [type(layer).__name__ for layer in again.layers] == ["AutoContrast", "RandomFlip", "CenterCrop"]
    twin = layers.Pipeline.from_config(ours.get_config())
    np.testing.assert_array_equal(twin(x, training=True), ours(x, training=True))
    assert len(ours.variables) == 1  # the state of the flip's seed
    made = ours({"images": x, "labels": np.arange(2)}, training=True)
    assert made["images"].shape == (2, 3, 4, 3)
    np.testing.assert_array_equal(made["labels"], [0, 1])


def test_a_pipeline_in_a_model() -> None:
    inputs = striate.Input((None, None, 3))
    outputs = layers.Pipeline([layers.RandomFlip(), layers.RandomContrast(0.2), layers.Rescaling(1 / 255)])(inputs)
    assert outputs.shape == (None, None, None, 3)
    x = np.random.default_rng(0).random((2, 6, 5, 3)).astype("float32") * 100
    model = striate.Model(inputs, outputs)
    np.testing.assert_allclose(model.predict(x, verbose=0), x / 255, rtol=1e-5)
    assert not np.allclose(model(x, training=True), x / 255)
