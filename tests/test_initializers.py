"""Initializers, regularizers and constraints against real Keras: values where there is no chance, statistics
elsewhere, configs.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from striate import constraints, initializers, random, regularizers

SHAPE = (5, 4, 24, 48)
RANDOM = [
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "variance_scaling",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "orthogonal",
]


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("shape", [SHAPE, (200, 300), (40_000,)])
def test_statistics(name: str, shape: tuple[int, ...]) -> None:
    if name == "orthogonal" and len(shape) < 2:
        pytest.skip("needs two axes")
    ours, theirs = initializers.get(name)(shape), np.asarray(keras.initializers.get(name)(shape))
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    assert abs(ours.std() / theirs.std() - 1) < 0.03
    assert abs(ours.mean()) < 5 * ours.std() / ours.size**0.5
    if "uniform" in name or "truncated" in name:
        assert abs(np.abs(ours).max() / np.abs(theirs).max() - 1) < 0.03


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal", "untruncated_normal", "normal"])
def test_variance_scaling(mode: str, distribution: str) -> None:
    args = {"scale": 0.7, "mode": mode, "distribution": distribution}
    ours = initializers.VarianceScaling(**args, seed=1)(SHAPE)
    theirs = np.asarray(keras.initializers.VarianceScaling(**args, seed=1)(SHAPE))
    assert abs(ours.std() / theirs.std() - 1) < 0.03


def test_input_and_output_axes() -> None:
    args = {"input_axes": (0, 1), "output_axes": (2,)}
    ours, theirs = (
        initializers.HeUniform(seed=1, **args)(SHAPE),
        np.asarray(keras.initializers.HeUniform(seed=1, **args)(SHAPE)),
    )
    assert abs(np.abs(ours).max() / np.abs(theirs).max() - 1) < 0.02


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (3, 3, 2, 10)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    made = initializers.Orthogonal(gain=2.0, seed=1)(shape).reshape(-1, shape[-1]) / 2
    small = made @ made.T if made.shape[0] < made.shape[1] else made.T @ made
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [
        ("Zeros", {}, (2, 3)),
        ("Ones", {}, (2, 3)),
        ("Constant", {"value": 2.5}, (2, 3)),
        ("Constant", {"value": [1.0, 2.0]}, (3, 2)),
        ("Identity", {"gain": 3.0}, (3, 4)),
        ("STFT", {}, (8, 1, 5)),
        ("STFT", {"side": "imag", "periodic": True}, (8, 1, 5)),
        ("STFT", {"window": "hamming", "scaling": "spectrum"}, (8, 1, 9)),
        ("STFT", {"window": None, "scaling": None}, (8, 1, 5)),
    ],
)
@pytest.mark.parametrize("dtype", [None, "float16"])
def test_without_chance(name: str, args: dict[str, Any], shape: tuple[int, ...], dtype: str | None) -> None:
    if name == "STFT" and dtype == "float16":
        pytest.skip("Keras computes the angles in float16")
    ours = getattr(initializers, name)(**args)(shape, dtype=dtype)
    theirs = np.asarray(getattr(keras.initializers, name)(**args)(shape, dtype=dtype))
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, atol=1e-6 if dtype is None else 2e-3)


def test_seeds() -> None:
    fixed = initializers.GlorotUniform(seed=3)
    np.testing.assert_array_equal(fixed((3, 4)), fixed((3, 4)))
    np.testing.assert_array_equal(fixed((3, 4)), initializers.GlorotUniform(seed=3)((3, 4)))
    moving = initializers.GlorotUniform(seed=random.SeedGenerator(3))
    assert not np.array_equal(moving((3, 4)), moving((3, 4)))
    assert not np.array_equal(initializers.GlorotUniform()((3, 4)), initializers.GlorotUniform()((3, 4)))
    with pytest.raises(ValueError, match="seed"):
        initializers.GlorotUniform(seed="a")


EVERY: list[tuple[str, str, dict[str, Any]]] = [
    ("initializers", "GlorotUniform", {"seed": 3}),
    ("initializers", "VarianceScaling", {"scale": 2.0, "mode": "fan_out", "seed": 1}),
    ("initializers", "RandomNormal", {"mean": 1.0}),
    ("initializers", "RandomUniform", {}),
    ("initializers", "TruncatedNormal", {}),
    ("initializers", "Orthogonal", {"gain": 2.0}),
    ("initializers", "Constant", {"value": 3.0}),
    ("initializers", "Zeros", {}),
    ("initializers", "Identity", {}),
    ("initializers", "STFT", {}),
    ("initializers", "HeNormal", {}),
    ("regularizers", "L1", {"l1": 0.25}),
    ("regularizers", "L2", {"l2": 0.5}),
    ("regularizers", "L1L2", {"l1": 0.1, "l2": 0.2}),
    ("regularizers", "OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"}),
    ("constraints", "MaxNorm", {"max_value": 1.5, "axis": 0}),
    ("constraints", "NonNeg", {}),
    ("constraints", "UnitNorm", {"axis": 1}),
    ("constraints", "MinMaxNorm", {"min_value": 0.5, "rate": 0.5}),
]
OURS = {"initializers": initializers, "regularizers": regularizers, "constraints": constraints}


@pytest.mark.parametrize(("family", "name", "args"), EVERY)
def test_configs(family: str, name: str, args: dict[str, Any]) -> None:
    ours, theirs = OURS[family], getattr(keras, family)
    config = ours.serialize(getattr(ours, name)(**args))
    assert config == theirs.serialize(getattr(theirs, name)(**args))
    again = ours.deserialize(config)
    assert type(again) is getattr(ours, name)
    assert again.get_config() == config["config"]
    assert isinstance(theirs.deserialize(config), getattr(theirs, name))


@pytest.mark.parametrize("family", OURS)
def test_get(family: str) -> None:
    ours, theirs = OURS[family], getattr(keras, family)
    for name in dir(theirs):
        # Keras cannot make these two from their names alone
        if name[0].islower() and name not in ("get", "serialize", "deserialize", "constant", "l1_l2"):
            assert type(ours.get(name)).__name__ == type(theirs.get(name)).__name__, name
            assert hasattr(ours, name)
    assert ours.get(None) is None
    for wrong in ("nonsense", 3):
        with pytest.raises(ValueError, match="Could not interpret"):
            ours.get(wrong)


@pytest.mark.parametrize(("family", "name", "args"), [e for e in EVERY if e[0] != "initializers"])
def test_penalties_and_projections(family: str, name: str, args: dict[str, Any]) -> None:
    w = np.random.default_rng(0).normal(size=(4, 5)).astype("f")
    ours, theirs = (
        getattr(OURS[family], name)(**args)(w),
        np.asarray(getattr(getattr(keras, family), name)(**args)(keras.ops.convert_to_tensor(w))),
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert ours.dtype == np.float32


def test_custom_classes_and_arrays() -> None:
    class Mine(initializers.Initializer):
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return np.full(shape, 7, dtype)

    assert isinstance(initializers.get(Mine), Mine)
    config = initializers.serialize(Mine())
    assert isinstance(initializers.deserialize(config, {"Mine": Mine}), Mine)
    array = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(initializers.get(array)((2, 3), "float32"), array)
    with pytest.raises(ValueError, match="shape"):
        initializers.get(array)((3, 2))


def test_wrong_arguments() -> None:
    for make in (
        lambda: initializers.VarianceScaling(scale=-1.0),
        lambda: initializers.VarianceScaling(mode="fan"),
        lambda: initializers.VarianceScaling(distribution="x"),
        lambda: initializers.Identity()((2, 3, 4)),
        lambda: initializers.Orthogonal()((3,)),
        lambda: initializers.STFT(side="x"),
        lambda: regularizers.L1(-1.0),
        lambda: regularizers.L2(float("nan")),
        lambda: regularizers.OrthogonalRegularizer(mode="x"),
        lambda: regularizers.OrthogonalRegularizer()(np.zeros((2, 3, 4))),
    ):
        with pytest.raises(ValueError):
            make()
