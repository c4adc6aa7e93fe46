"""Pooling layers: like real Keras where Keras has them, like the definition beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import striate
import windowtruth as truth
from layer_parity import data, pair, same, same_config
from striate import layers

few = settings(max_examples=8)


def image(rank: int, data_format: str = "channels_last", channels: int = 3) -> np.ndarray:
    spatial = (6, 5, 4)[:rank]
    return data((2, *spatial, channels) if data_format == "channels_last" else (2, channels, *spatial))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Average"])
@few
@given(st.data())
def test_pooling_like_keras(real_keras, kind: str, rank: int, draws: Any) -> None:
    window = tuple(draws.draw(st.integers(1, 3)) for _ in range(rank))
    steps = draws.draw(st.sampled_from([None, 1, 2, 3]))
    padding = draws.draw(st.sampled_from(["valid", "same"]))
    layout = draws.draw(st.sampled_from(["channels_last", "channels_first"]))
    x = image(rank, layout)
    same(real_keras, f"{kind}Pooling{rank}D", x, window, strides=steps, padding=padding, data_format=layout)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["GlobalMax", "GlobalAverage"])
def test_global_pooling_like_keras(real_keras, kind: str, rank: int, layout: str, keepdims: bool) -> None:
    same(real_keras, f"{kind}Pooling{rank}D", image(rank, layout), data_format=layout, keepdims=keepdims)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["AdaptiveMax", "AdaptiveAverage"])
def test_adaptive_pooling_like_keras(real_keras, kind: str, rank: int) -> None:
    for layout in ("channels_last", "channels_first"):
        x = image(rank, layout)
        for size in (2, (3, 4, 2)[:rank]):
            same(real_keras, f"{kind}Pooling{rank}D", x, size, data_format=layout)


def test_the_short_names_are_the_same_classes() -> None:
    for rank in (1, 2, 3):
        assert getattr(layers, f"MaxPool{rank}D") is getattr(layers, f"MaxPooling{rank}D")
        assert getattr(layers, f"AvgPool{rank}D") is getattr(layers, f"AveragePooling{rank}D")
        assert getattr(layers, f"GlobalMaxPool{rank}D") is getattr(layers, f"GlobalMaxPooling{rank}D")
        assert getattr(layers, f"GlobalAvgPool{rank}D") is getattr(layers, f"GlobalAveragePooling{rank}D")
        assert getattr(layers, f"LpPool{rank}D") is getattr(layers, f"LpPooling{rank}D")


def test_defaults_like_keras(real_keras) -> None:
    for name in ("MaxPooling2D", "MaxPooling3D", "MaxPooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D"):
        same_config(*pair(real_keras, name))


@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_unknown_sizes_like_keras(real_keras, kind: str) -> None:
    for padding in ("valid", "same"):
        for shape in ((None, None, 7, 3), (None, 4, None, None)):
            made = [
                getattr(k.layers, f"{kind}Pooling2D")(3, 2, padding).compute_output_shape(shape)
                for k in (striate, real_keras)
            ]
            assert made[0] == tuple(made[1])


@pytest.mark.parametrize("made", [np.int32, np.float64, np.float16])
def test_dtypes_like_keras(real_keras, made: Any) -> None:
    x = (image(2) * 3).astype(made)
    for name in ("MaxPooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling2D"):
        ours, theirs = pair(real_keras, name)
        mine, other = ours(x), np.asarray(theirs(x))
        assert mine.dtype == other.dtype
        np.testing.assert_allclose(mine, other, rtol=1e-3)


# Beyond Keras ---------------------------------------------------------------------------------------------------------

PADS = {"full": ((1, 1), (2, 2)), 1: ((1, 1), (1, 1)), (0, 1): ((0, 0), (1, 1)), ((1, 0), (0, 2)): ((1, 0), (0, 2))}


@pytest.mark.parametrize("padding", PADS, ids=str)
@pytest.mark.parametrize("kind", ["Max", "Average", "Lp"])
def test_pooling_with_any_padding(kind: str, padding: Any) -> None:
    x, window = image(2), (2, 3)
    geometry = {"window": window, "strides": (2, 1), "padding": PADS[padding], "dilation": (1, 1)}
    wanted = {
        "Max": lambda: truth.max_pool(x.astype("float64"), **geometry),
        "Average": lambda: truth.avg_pool(x.astype("float64"), count_include_pad=False, **geometry),
        "Lp": lambda: truth.lp_pool(x.astype("float64"), p=2.0, **geometry),
    }[kind]()
    layer = getattr(layers, f"{kind}Pooling2D")(window, strides=(2, 1), padding=padding)
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-5, atol=1e-6)
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *wanted.shape[1:])
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    first = getattr(layers, f"{kind}Pooling2D")(window, (2, 1), padding, "channels_first")
    np.testing.assert_allclose(first(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("p", [1, 2, 3, 2.5])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_lp_pooling_is_the_norm_of_each_window(rank: int, p: float) -> None:
    x = image(rank)
    layer = getattr(layers, f"LpPooling{rank}D")(2, p=p)
    wanted = truth.lp_pool(x.astype("float64"), p=p, window=(2,) * rank, strides=(2,) * rank,
                           padding=((0, 0),) * rank, dilation=(1,) * rank)  # fmt: skip
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-5)
    assert layer.get_config()["p"] == p and layer.get_config()["pool_size"] == (2,) * rank


@pytest.mark.parametrize("rank", [1, 2])
def test_a_mean_over_the_steps_that_count(real_keras, rank: int) -> None:
    if rank == 1:
        x, mask = image(1), np.array([[1, 1, 0, 0, 1, 0], [0, 1, 1, 1, 1, 1]], bool)
        ours, theirs = pair(real_keras, "GlobalAveragePooling1D")
        np.testing.assert_allclose(ours(x, mask=mask), np.asarray(theirs(x, mask=mask)), rtol=1e-5)
    else:
        assert layers.GlobalAveragePooling2D().supports_masking is False
