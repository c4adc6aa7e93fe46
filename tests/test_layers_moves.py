"""Layers that move data (reshaping, padding, cropping, upsampling) and that merge several inputs, like real Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import striate
from layer_parity import data, pair, same, same_config
from striate import layers

few = settings(max_examples=10)
LAYOUTS = ["channels_last", "channels_first"]


def image(rank: int, layout: str = "channels_last") -> np.ndarray:
    spatial = (6, 5, 4)[:rank]
    return data((2, *spatial, 3) if layout == "channels_last" else (2, 3, *spatial))


RESHAPED: list[tuple[str, tuple[Any, ...], tuple[int, ...]]] = [
    ("Flatten", (), (2, 3, 4, 5)),
    ("Flatten", ("channels_first",), (2, 3, 4, 5)),
    ("Flatten", (), (3,)),
    ("Flatten", (), (0, 2, 3)),
    ("Reshape", ((4, -1),), (2, 3, 4, 5)),
    ("Reshape", ((60,),), (2, 3, 4, 5)),
    ("Reshape", ((),), (2, 1)),
    ("Permute", ((2, 1),), (2, 3, 4)),
    ("Permute", ((3, 1, 2),), (2, 3, 4, 5)),
    ("RepeatVector", (3,), (2, 4)),
]


@pytest.mark.parametrize(("name", "args", "shape"), RESHAPED, ids=str)
def test_reshaping_like_keras(real_keras, name: str, args: Any, shape: Any) -> None:
    same(real_keras, name, data(shape), *args)


UNKNOWN = [
    ("Flatten", (), (None, None, 3)),
    ("Reshape", ((-1, 3),), (None, None, 3)),
    ("Permute", ((2, 1),), (None, 3)),
]


@pytest.mark.parametrize(("name", "args", "shape"), UNKNOWN, ids=str)
def test_reshaping_unknown_sizes_like_keras(real_keras, name: str, args: Any, shape: Any) -> None:
    made = [getattr(k.layers, name)(*args)(k.Input(shape)) for k in (striate, real_keras)]
    assert made[0].shape == tuple(made[1].shape)


@pytest.mark.parametrize("rank", [1, 2, 3])
@few
@given(st.data())
def test_zero_padding_and_cropping_like_keras(real_keras, rank: int, draws: Any) -> None:
    number = st.integers(0, 1)
    each = st.tuples(number, number) if rank == 1 else st.one_of(number, st.tuples(number, number))
    amount = draws.draw(st.one_of(number, each if rank == 1 else st.tuples(*[each] * rank)))
    if rank > 1 and isinstance(amount, tuple) and len({type(a) for a in amount}) > 1:
        amount = tuple((a, a) if isinstance(a, int) else a for a in amount)
    layout = draws.draw(st.sampled_from(LAYOUTS))
    same(real_keras, f"ZeroPadding{rank}D", image(rank, layout), amount, data_format=layout)
    if rank > 1:
        same(real_keras, f"Cropping{rank}D", image(rank, layout), amount, data_format=layout)
    else:
        same(real_keras, "Cropping1D", image(1), amount)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_upsampling_like_keras(real_keras, rank: int) -> None:
    if rank == 1:
        same(real_keras, "UpSampling1D", image(1), 3)
        return
    for layout in LAYOUTS:
        for size in (2, (2, 3, 1)[:rank]):
            same(real_keras, f"UpSampling{rank}D", image(rank, layout), size, data_format=layout)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"])
def test_upsampling_by_interpolation_like_keras(real_keras, method: str) -> None:
    same(real_keras, "UpSampling2D", image(2), (2, 3), interpolation=method, rtol=1e-4)


def test_one_dimensional_cropping_and_upsampling_are_along_time_whatever_the_default_layout(real_keras) -> None:
    x = image(1)
    for k in (striate, real_keras):
        k.config.set_image_data_format("channels_first")
    try:
        for name in ("Cropping1D", "UpSampling1D", "ZeroPadding1D", "Flatten"):
            same(real_keras, name, x)
    finally:
        for k in (striate, real_keras):
            k.config.set_image_data_format("channels_last")


MERGED: list[tuple[str, dict[str, Any], list[tuple[int, ...]]]] = [
    *((name, {}, [(2, 3, 4)] * 3) for name in ("Add", "Multiply", "Maximum", "Minimum", "Average", "Concatenate")),
    *((name, {}, [(2, 3, 4), (2, 1, 4), (2, 3, 1)]) for name in ("Add", "Multiply", "Maximum", "Average")),
    ("Add", {}, [(2, 4), (2, 3, 4)]),
    ("Subtract", {}, [(2, 3), (2, 3)]),
    ("Concatenate", {"axis": 1}, [(2, 3, 4), (2, 1, 4), (2, 0, 4)]),
    ("Dot", {"axes": 1}, [(2, 4), (2, 4)]),
    ("Dot", {"axes": (2, 1)}, [(2, 3, 4), (2, 4, 5)]),
    ("Dot", {"axes": -1, "normalize": True}, [(2, 3, 4), (2, 5, 4)]),
]


@pytest.mark.parametrize(("name", "kwargs", "shapes"), MERGED, ids=str)
def test_merging_like_keras(real_keras, name: str, kwargs: Any, shapes: Any) -> None:
    same(real_keras, name, [data(s, seed) for seed, s in enumerate(shapes)], **kwargs)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "maximum", "minimum", "average", "concatenate"])
def test_merging_functions_like_keras(real_keras, name: str) -> None:
    xs = [data((2, 3), seed) for seed in (1, 2)]
    np.testing.assert_allclose(getattr(layers, name)(xs), np.asarray(getattr(real_keras.layers, name)(xs)), rtol=1e-6)


@pytest.mark.parametrize("name", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"])
@pytest.mark.parametrize("masked", [(True, True), (True, False), (False, True)])
def test_merging_masked_inputs_like_keras(real_keras, name: str, masked: tuple[bool, bool]) -> None:
    xs = [
        np.array([[[0, 0], [1, -2], [0, 0], [3, 4]]], "float32"),
        np.array([[[0, 0], [0, 0], [-1, 2], [3, 9]]], "float32"),
    ]
    args = {"axis": 1} if name == "Concatenate" else {}
    results, masks = [], []
    for k in (striate, real_keras):
        inputs = [k.layers.Masking()(x) if m else k.ops.convert_to_tensor(x) for x, m in zip(xs, masked, strict=True)]
        out = getattr(k.layers, name)(**args)(inputs)
        results.append(np.asarray(out))
        mask = k.backend.get_keras_mask(out) if k is striate else getattr(out, "_keras_mask", None)
        masks.append(None if mask is None else np.asarray(mask).tolist())
    np.testing.assert_allclose(*results, rtol=1e-6)
    assert masks[0] == masks[1]


def test_a_mask_reaches_the_layer_behind_in_a_model(real_keras) -> None:
    x = np.where(data((4, 5, 3)) > 0.5, data((4, 5, 3)), 0).astype("float32")
    x[0, 2:] = 0
    results = []
    for k in (striate, real_keras):
        inputs = k.Input((5, 3))
        hidden = k.layers.ReLU()(k.layers.Masking()(inputs))
        model = k.Model(inputs, k.layers.GlobalAveragePooling1D()(hidden))
        results += [np.asarray(model(x)), model.predict(x, verbose=0)]
    for result in results[1:]:
        np.testing.assert_allclose(results[0], result, rtol=1e-5, atol=1e-6)


def test_a_layer_that_cannot_pass_a_mask_on_says_so() -> None:
    masked = layers.Masking()(np.ones((1, 2, 3), "float32"))
    with pytest.warns(UserWarning, match="does not support masking"):
        layers.UpSampling1D()(masked)


def test_a_mask_goes_with_its_array() -> None:
    x = np.ones((1, 2), "float32")
    striate.backend.set_keras_mask(x, [True])
    assert striate.backend.get_keras_mask(x) == [True] and striate.backend.get_keras_mask(x.copy()) is None


def test_defaults_like_keras(real_keras) -> None:
    for name in ("ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D", "Cropping3D", "UpSampling1D",
                 "UpSampling2D", "Flatten", "Add", "Concatenate", "Masking"):  # fmt: skip
        same_config(*pair(real_keras, name))
