"""`striate.ops` at its edges: drawn shapes against real Keras or NumPy, empty sizes, odd arrays, variables, lists,
wrong use.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate import KerasTensor, Variable, ops

sizes = st.integers(1, 9)
seeds = st.integers(0, 2**16)


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@given(seed=seeds, h=st.integers(1, 10), w=st.integers(1, 10), k=st.integers(1, 4), s=st.integers(1, 3),
c=st.integers(1, 3),
       padding=st.sampled_from(["valid", "same"]))  # fmt: skip
def test_pools(seed: int, h: int, w: int, k: int, s: int, c: int, padding: str) -> None:
    x = draw(seed, 2, h, w, c)
    if padding == "valid" and k > min(h, w):
        with pytest.raises(ValueError, match="does not fit"):
            ops.max_pool(x, k, s, padding)
        return
    for name in ("max_pool", "average_pool"):
        found, expected = getattr(ops, name)(x, k, s, padding), getattr(keras.ops, name)(x, k, s, padding)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert ops.lp_pool(x, 2, k, s, padding).shape == found.shape


@given(seed=seeds, n=st.integers(4, 12), k=st.integers(1, 4), s=st.integers(1, 3), groups=st.integers(1, 3),
f=st.integers(1, 2),
       padding=st.sampled_from(["valid", "same", "SAME"]), first=st.booleans())  # fmt: skip
def test_convs(seed: int, n: int, k: int, s: int, groups: int, f: int, padding: str, first: bool) -> None:
    layout = "channels_first" if first else "channels_last"
    x = draw(seed, 2, groups * 2, n, n + 1) if first else draw(seed, 2, n, n + 1, groups * 2)
    kernel = draw(seed + 1, k, k, 2, groups * f)
    expected = keras.ops.conv(x, kernel, s, padding.lower(), layout)
    np.testing.assert_allclose(ops.conv(x, kernel, s, padding, layout), expected, rtol=1e-4, atol=1e-4)


@given(
    seed=seeds,
    n=st.integers(1, 6),
    k=st.integers(1, 5),
    s=st.integers(1, 4),
    padding=st.sampled_from(["valid", "same"]),
)
def test_transposed_convs(seed: int, n: int, k: int, s: int, padding: str) -> None:
    x, kernel = draw(seed, 1, n, n + 1, 2), draw(seed + 1, k, k, 3, 2)
    expected = keras.ops.conv_transpose(x, kernel, s, padding)
    np.testing.assert_allclose(ops.conv_transpose(x, kernel, s, padding), expected, rtol=1e-4, atol=1e-4)


@given(
    seed=seeds,
    n=st.integers(1, 8),
    k=st.integers(1, 5),
    lo=st.integers(0, 3),
    hi=st.integers(0, 3),
    s=st.integers(1, 3),
)
def test_explicit_padding_is_padding_first(seed: int, n: int, k: int, lo: int, hi: int, s: int) -> None:
    x, kernel = draw(seed, 2, n, 2), draw(seed + 1, k, 2, 3)
    if n + lo + hi < k:
        with pytest.raises(ValueError):
            ops.conv(x, kernel, s, [(lo, hi)])
        return
    padded = np.pad(x, [(0, 0), (lo, hi), (0, 0)])
    np.testing.assert_allclose(ops.conv(x, kernel, s, [(lo, hi)]), ops.conv(padded, kernel, s), rtol=1e-5, atol=1e-6)


@given(seed=seeds, n=st.integers(1, 9), k=st.integers(1, 5))
def test_full_true_convolution_is_numpys(seed: int, n: int, k: int) -> None:
    x, kernel = draw(seed, n), draw(seed + 1, k)
    made = ops.true_conv(x[None, :, None], kernel[:, None, None], padding="full")
    np.testing.assert_allclose(made[0, :, 0], np.convolve(x, kernel), rtol=1e-4, atol=1e-5)
    flipped = ops.conv(x[None, :, None], kernel[::-1, None, None], padding="full")
    np.testing.assert_allclose(made, flipped, rtol=1e-5, atol=1e-6)


@given(seed=seeds, shape=st.lists(st.integers(0, 4), min_size=1, max_size=4), data=st.data())
def test_moving_elements(seed: int, shape: list[int], data: Any) -> None:
    x = draw(seed, *shape)
    order = data.draw(st.permutations(range(len(shape))))
    np.testing.assert_array_equal(ops.transpose(x, order), x.transpose(order))
    widths = data.draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=len(shape), max_size=len(shape))
    )
    np.testing.assert_array_equal(ops.pad(x, widths, constant_values=1.5), np.pad(x, widths, constant_values=1.5))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    np.testing.assert_array_equal(ops.flip(x, axis), np.flip(x, axis))
    np.testing.assert_array_equal(ops.roll(x, 2, axis), np.roll(x, 2, axis))
    np.testing.assert_array_equal(ops.concatenate([x, x], axis), np.concatenate([x, x], axis))
    np.testing.assert_allclose(ops.sum(x, axis), x.sum(axis), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ops.reshape(x, (-1,)) if x.size else ops.ravel(x), x.ravel())


def test_lp_pool() -> None:
    x = draw(0, 1, 4, 6, 2)
    windows = x.reshape(1, 2, 2, 3, 2, 2).astype("float64")
    np.testing.assert_allclose(ops.lp_pool(x, 2, 2), np.sqrt((windows**2).sum((2, 4))), rtol=1e-5)
    np.testing.assert_allclose(ops.lp_pool(x, 3.5, 2), (np.abs(windows) ** 3.5).sum((2, 4)) ** (1 / 3.5), rtol=1e-4)


def test_odd_arrays() -> None:
    x = draw(0, 6, 8)
    expected = np.exp(x)
    for odd in (np.asfortranarray(x), x.astype(">f4"), np.repeat(x, 2, axis=1)[:, ::2]):
        found = ops.exp(odd)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    frozen = x.copy()
    frozen.flags.writeable = False
    np.testing.assert_allclose(ops.exp(frozen), expected, rtol=1e-6)
    image = draw(1, 1, 3, 9, 9).transpose(0, 2, 3, 1)
    kernel = draw(2, 3, 3, 3, 4)
    np.testing.assert_allclose(
        ops.conv(image, kernel), ops.conv(np.ascontiguousarray(image), kernel), rtol=1e-5, atol=1e-6
    )


def test_variables_and_lists() -> None:
    v = Variable([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(ops.matmul(v, v), [[7, 10], [15, 22]])
    np.testing.assert_array_equal(ops.add(v, [[1, 1], [1, 1]]), [[2, 3], [4, 5]])
    np.testing.assert_array_equal(v[0], [1, 2])
    np.testing.assert_array_equal(ops.stack([v[0], [5, 6]]), [[1, 2], [5, 6]])
    assert ops.convert_to_tensor([1.5, 2]).dtype == np.float32 and ops.convert_to_tensor([1, 2]).dtype == np.int32
    made = ops.convert_to_numpy(v)
    made[0, 0] = 9  # a copy: the variable keeps its value
    assert v.numpy()[0, 0] == 1


def test_scalars_are_arrays_without_axes() -> None:
    for made in (
        ops.sum(np.ones(3)),
        ops.mean([1.0, 2.0]),
        ops.add(1, 2),
        ops.max([3, 4]),
        ops.sqrt(4.0),
        ops.argmax([1, 5]),
    ):
        assert isinstance(made, np.ndarray) and made.shape == ()


def test_nan_and_infinity() -> None:
    x = np.array([[np.nan, 1.0], [2.0, np.inf]], np.float32)
    assert np.isnan(ops.max(x)) and np.isnan(ops.sum(x)) and np.isnan(ops.relu(x)[0, 0])
    assert np.isnan(ops.maximum(x, 0)[0, 0]) and np.isnan(ops.max_pool(x[None, :, :, None], 2)).all()
    assert np.isnan(ops.median(x)) and ops.nanmin(x) == 1
    np.testing.assert_array_equal(ops.softmax(np.array([1000.0, 0.0])), [1, 0])


def test_empty() -> None:
    empty = np.zeros((0, 5, 5, 2), np.float32)
    assert ops.conv(empty, draw(0, 3, 3, 2, 4)).shape == (0, 3, 3, 4)
    assert ops.max_pool(empty, 2).shape == (0, 2, 2, 2)
    assert ops.matmul(np.zeros((0, 3)), np.zeros((3, 2))).shape == (0, 2)
    assert ops.sum(np.zeros((0, 3)), axis=0).tolist() == [0, 0, 0]
    assert ops.concatenate([np.zeros((0, 3)), np.ones((2, 3))]).shape == (2, 3)
    with pytest.raises(ValueError):
        ops.max(np.zeros((0, 3)), axis=0)
    assert ops.max(np.zeros((0, 3)), axis=0, initial=2.0).tolist() == [2, 2, 2]


X = np.zeros((1, 5, 5, 3), np.float32)
WRONG: list[tuple[str, Any, type[Exception], str]] = [
    ("strings", lambda: ops.add("a", "b"), ValueError, "numbers"),
    ("objects", lambda: ops.exp(object()), ValueError, "numbers"),
    ("ragged", lambda: ops.convert_to_tensor([[1, 2], [3]]), ValueError, "one length"),
    ("kernel too large", lambda: ops.conv(X, np.zeros((7, 7, 3, 2), "f")), ValueError, "does not fit"),
    ("kernel channels", lambda: ops.conv(X, np.zeros((3, 3, 4, 2), "f")), ValueError, "channels"),
    ("kernel rank", lambda: ops.conv(X, np.zeros((3, 3, 2), "f")), ValueError, "as many axes"),
    ("input rank", lambda: ops.conv(np.zeros((5, 5), "f"), np.zeros((3, 3), "f")), ValueError, "spatial"),
    ("groups", lambda: ops.conv(np.zeros((1, 5, 5, 4), "f"), np.zeros((3, 3, 2, 3), "f")), ValueError, "divisible"),
    ("padding", lambda: ops.conv(X, np.zeros((3, 3, 3, 2), "f"), padding="some"), ValueError, "padding"),
    ("negative padding", lambda: ops.conv(X, np.zeros((3, 3, 3, 2), "f"), padding=-1), ValueError, "negative"),
    ("strides", lambda: ops.conv(X, np.zeros((3, 3, 3, 2), "f"), strides=0), ValueError, "strides"),
    ("layout", lambda: ops.conv(X, np.zeros((3, 3, 3, 2), "f"), data_format="NHWC"), ValueError, "data_format"),
    ("depthwise channels", lambda: ops.depthwise_conv(X, np.zeros((3, 3, 2, 1), "f")), ValueError, "channels"),
    ("transposed channels", lambda: ops.conv_transpose(X, np.zeros((3, 3, 2, 4), "f")), ValueError, "channels"),
    ("pool size", lambda: ops.max_pool(X, 0), ValueError, "pool_size"),
    ("lp norm", lambda: ops.lp_pool(X, 0.5, 2), ValueError, "at least 1"),
    ("reshape", lambda: ops.reshape(X, (2, -1)), ValueError, "elements"),
    ("reshape twice", lambda: ops.reshape(X, (-1, -1)), ValueError, "-1"),
    ("axis", lambda: ops.sum(X, axis=4), ValueError, "axis"),
    ("axis twice", lambda: ops.sum(X, axis=(0, -4)), ValueError, "twice"),
    ("squeeze", lambda: ops.squeeze(X, 1), ValueError, "not 1"),
    ("broadcast", lambda: ops.add(np.zeros(3), np.zeros(4)), ValueError, "broadcast"),
    ("matmul", lambda: ops.matmul(np.zeros((2, 3)), np.zeros((2, 3))), ValueError, "do not fit"),
    ("einsum", lambda: ops.einsum("ij,jk->ik", np.zeros((2, 3))), ValueError, "operands"),
    ("concatenate", lambda: ops.concatenate([np.zeros((2, 3)), np.zeros((3, 2))]), ValueError, "agree"),
    ("concatenate nothing", lambda: ops.concatenate([]), ValueError, "at least one"),
    ("stack", lambda: ops.stack([np.zeros(2), np.zeros(3)]), ValueError, "one shape"),
    ("take", lambda: ops.take(np.zeros(3), 5), IndexError, "out of range"),
    ("one of two", lambda: ops.where(np.zeros(3), 1), ValueError, "both"),
    ("pad mode", lambda: ops.pad(X, 1, "mirror"), ValueError, "mode"),
    ("pad negative", lambda: ops.pad(X, -1), ValueError, "negative"),
    ("split", lambda: ops.split(np.zeros(5), 2), ValueError, "divide"),
    ("dtype", lambda: ops.cast(X, "float31"), ValueError, "dtype"),
    ("bits of floats", lambda: ops.bitwise_and(1.5, 2), TypeError, "integers"),
    ("batch norm", lambda: ops.batch_normalization(X, np.zeros(2), np.zeros(2), -1), ValueError, "mean"),
    ("resize rank", lambda: ops.image.resize(np.zeros((2, 2)), (3, 3)), ValueError, "rank"),
    ("resize how", lambda: ops.image.resize(X, (3, 3), "cubic"), ValueError, "interpolation"),
    ("symbolic value", lambda: ops.convert_to_numpy(KerasTensor((2,))), ValueError, "symbolic"),
    ("symbolic mismatch", lambda: ops.matmul(KerasTensor((None, 3)), np.zeros((4, 2), "f")), ValueError, "do not fit"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_wrong_use(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_unknown_sizes() -> None:
    x = KerasTensor((None, None, None, 3))
    assert ops.conv(x, np.zeros((3, 3, 3, 8), "f"), 2, "same").shape == (None, None, None, 8)
    assert ops.max_pool(x, 2).shape == (None, None, None, 3)
    assert ops.reshape(x, (-1, 3)).shape == (None, 3)
    assert ops.transpose(x, (0, 3, 1, 2)).shape == (None, 3, None, None)
    assert ops.mean(x, axis=(1, 2)).shape == (None, 3)
    assert ops.concatenate([x, x], axis=-1).shape == (None, None, None, 6)
    assert ops.expand_dims(x, 1).shape == (None, 1, None, None, 3)
    assert (x + np.ones(3, "f")).shape == x.shape
    assert x[:, 0].shape == (None, None, 3)
    assert ops.shape(x) == (None, None, None, 3)
    assert ops.image.resize(x, (4, 5)).shape == (None, 4, 5, 3)
    assert ops.image.resize(x, (4, 5)).dtype == "float32"
    assert ops.reshape(KerasTensor((None, 4, 3)), (-1, 6)).shape == (None, 6)
    assert ops.reshape(KerasTensor((None, 3)), (-1, 6)).shape == (None, 6)


def test_a_python_float_is_cast_at_once():
    assert float(ops.cast(0.999, "float64")) == 0.999
    assert ops.cast(2.7, "int32") == 2
