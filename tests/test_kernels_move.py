"""Kernels that move, cast or resample elements, against NumPy, over drawn shapes, at every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernel_runner import each_level, run, same_bits
from striate.kernels.attributes import PAD_MODES, concat, gather, pad, resize, slice_, transpose

DTYPES = ["float32", "float64", "int32", "int64", "uint8", "bool"]
dtypes = st.sampled_from(DTYPES)
shapes = st.lists(st.integers(0, 6) | st.just(1) | st.just(37), min_size=1, max_size=4).map(tuple)


def filled(shape, dtype="float32", seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.integers(0, 200, shape) if dtype != "bool" else rng.random(shape) < 0.5).astype(dtype)


def moved(kernel: str, inputs, shape, attributes, dtype=None) -> np.ndarray:
    out = np.full(shape, 9, dtype or inputs[0].dtype)
    run(kernel, inputs, [out], *attributes)
    return out


@given(shapes, st.data(), dtypes)
def test_transpose(shape, data, dtype):
    x = filled(shape, dtype)
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    want = np.transpose(x, axes)
    for _ in each_level():
        np.testing.assert_array_equal(moved("transpose", [x], want.shape, transpose(axes)), want)


@pytest.mark.parametrize("axes", [(0, 3, 1, 2), (0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "float64"])
def test_transpose_of_images(axes, dtype):
    x = filled((2, 65, 70, 33), dtype)
    want = np.transpose(x, axes)
    for _ in each_level():
        np.testing.assert_array_equal(moved("transpose", [x], want.shape, transpose(axes)), want)


@given(shapes, st.data(), dtypes)
def test_broadcast(shape, data, dtype):
    x = filled(shape, dtype)
    grown = tuple(data.draw(st.integers(0, 5)) if n == 1 else n for n in shape)
    want = np.broadcast_to(x, (*data.draw(st.sampled_from([(), (3,), (0,), (2, 1)])), *grown))
    for _ in each_level():
        np.testing.assert_array_equal(moved("broadcast", [x], want.shape, ((), ())), want)


@given(shapes, st.data(), dtypes)
def test_slice_and_its_gradient(shape, data, dtype):
    x = filled(shape, dtype)
    chosen = [data.draw(st.slices(n).filter(lambda s, n=n: len(range(*s.indices(n))) >= 0)).indices(n) for n in shape]
    starts, steps = [c[0] for c in chosen], [c[2] for c in chosen]
    at = tuple(slice(a, None if b < 0 else b, s) for a, b, s in chosen)
    want, back = x[at], np.zeros_like(x)
    back[at] = want
    for _ in each_level():
        np.testing.assert_array_equal(moved("slice", [x], want.shape, slice_(starts, steps)), want)
        part = np.ascontiguousarray(want)
        np.testing.assert_array_equal(moved("unslice", [part], x.shape, slice_(starts, steps)), back)


@given(shapes, st.data(), dtypes)
def test_concat(shape, data, dtype):
    axis = data.draw(st.integers(0, len(shape) - 1))
    sizes = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    parts = [filled((*shape[:axis], n, *shape[axis + 1 :]), dtype, i) for i, n in enumerate(sizes)]
    want = np.concatenate(parts, axis)
    for _ in each_level():
        np.testing.assert_array_equal(moved("concat", parts, want.shape, concat(axis)), want)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data(), st.sampled_from(sorted(PAD_MODES)), dtypes)
@example(shape=[1], data=None, mode="reflect", dtype="float32")
def test_pad(shape, data, mode, dtype):
    x = filled(shape, dtype)
    sizes = st.integers(0, 9)
    widths = [(3, 4)] if data is None else [(data.draw(sizes), data.draw(sizes)) for _ in shape]
    settings = {"constant_values": 1} if mode == "constant" else {}
    want = np.pad(x, widths, mode=mode, **settings)
    for _ in each_level():
        np.testing.assert_array_equal(moved("pad", [x], want.shape, pad(mode, widths, 1.0)), want)


def test_pad_of_an_empty_axis():
    for _ in each_level():
        got = moved("pad", [np.zeros((0, 2), np.float32)], (3, 2), pad("constant", [(1, 2), (0, 0)], 4.0))
        np.testing.assert_array_equal(got, np.full((3, 2), 4.0))


@given(shapes.filter(lambda s: 0 not in s), st.data(), dtypes, st.sampled_from(["int32", "int64"]))
def test_gather(shape, data, dtype, kind):
    x = filled(shape, dtype)
    axis = data.draw(st.integers(0, len(shape) - 1))
    n = shape[axis]
    count = data.draw(st.sampled_from([(), (4,), (2, 3), (0,)]))
    indices = np.asarray(np.random.default_rng(0).integers(-n, n, count), kind)
    want = np.take(x, indices, axis)
    for _ in each_level():
        np.testing.assert_array_equal(moved("gather", [x, indices], want.shape, gather(axis)), want)


def test_gather_stays_inside():
    x = np.arange(4, dtype=np.float32)
    for _ in each_level():
        got = moved("gather", [x, np.array([-99, 99], np.int32)], (2,), gather(0))
        np.testing.assert_array_equal(got, [0, 3])


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_cast(source, target):
    x = filled((3, 5, 41), source)
    for _ in each_level():
        np.testing.assert_array_equal(moved("cast", [x], x.shape, ((), ()), target), x.astype(target))


@pytest.mark.parametrize("wide", [np.float32, np.float64])
@pytest.mark.parametrize("whole", [np.int32, np.int64])
def test_what_no_integer_holds_is_the_lowest_one(wide, whole):
    top = float(2 ** (np.dtype(whole).itemsize * 8 - 1))
    x = np.array([0.0, -1.9, 1.9, top, top * 0.999, -top, -top * 1.001, np.nan, np.inf, -np.inf, 1e30], wide)
    wanted = [0, -1, 1, -top, int(wide(top * 0.999)), -top, *[-top] * 5]
    for _ in each_level():
        out = np.zeros(x.shape, whole)
        run("cast", [x], [out])
        assert [int(v) for v in out] == [int(w) for w in wanted]


@given(st.lists(st.integers(-3, 12), max_size=20), st.integers(0, 9), st.sampled_from(["int32", "int64", "uint8"]))
def test_one_hot(indices, depth, dtype):
    x = np.array(indices).astype(dtype).reshape(-1, 1)
    for _ in each_level():
        out = np.full((*x.shape, depth), np.nan, np.float32)
        run("one_hot", [x], [out])
        wanted = [float(i == n) for i in x.ravel().tolist() for n in range(depth)]
        np.testing.assert_array_equal(out.ravel(), wanted)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers_wrap_around(dtype):
    info = np.iinfo(dtype)
    a, b = np.array([1, info.max, info.min, -5], dtype), np.array([2, 1, -1, 5], dtype)
    out = np.zeros(4, dtype)
    run("add_integers", [a, b], [out])
    assert out.tolist() == [3, info.min, info.max, 0]


def test_cast_of_fractions_and_nan():
    x = np.array([0.9, -0.9, 2.5, np.nan, 0.0], np.float32)
    for _ in each_level():
        np.testing.assert_array_equal(moved("cast", [x[:3]], (3,), ((), ()), "int32"), [0, 0, 2])
        np.testing.assert_array_equal(moved("cast", [x], (5,), ((), ()), "bool"), [1, 1, 1, 1, 0])


def sampling(n: int, m: int, method: str) -> np.ndarray:
    """The matrix (m, n) that resizes an axis: of the two cells around a sample each has what is left to the other."""
    matrix = np.zeros((m, n))
    for i in range(m):
        at = (i + 0.5) * n / m - 0.5
        if method == "nearest":
            matrix[i, min(int(np.floor((i + 0.5) * n / m)), n - 1)] = 1
            continue
        low = int(np.floor(at))
        matrix[i, np.clip(low, 0, n - 1)] += 1 - (at - low)
        matrix[i, np.clip(low + 1, 0, n - 1)] += at - low
    return matrix


@given(
    st.tuples(*[st.integers(1, 9)] * 4), st.sampled_from(["nearest", "bilinear"]), st.sampled_from([0, 1, 3, 16, 37])
)
def test_resize(sizes, method, channels):
    h, w, h2, w2 = sizes
    x = np.random.default_rng(0).standard_normal((2, h, w, channels)).astype(np.float32)
    rows, columns = sampling(h, h2, method), sampling(w, w2, method)
    want = np.einsum("ah,bw,nhwc->nabc", rows, columns, x.astype(np.float64))
    for _ in each_level():
        got = moved("resize", [x], want.shape, resize(method))
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_same_bits_for_any_number_of_threads():
    x = np.random.default_rng(0).standard_normal((2, 90, 91, 33)).astype(np.float32)
    for _ in each_level():
        same_bits(lambda: moved("transpose", [x], (2, 33, 90, 91), transpose((0, 3, 1, 2))))
        same_bits(lambda: moved("resize", [x], (2, 180, 50, 33), resize("bilinear")))
        same_bits(lambda: moved("slice", [x], (2, 45, 91, 11), slice_((0, 1, 90, 2), (1, 2, -1, 3))))


@pytest.mark.parametrize(
    ("kernel", "shape", "attributes"),
    [
        ("transpose", (3, 2), transpose((0, 1))),
        ("transpose", (3, 2), transpose((0, 0))),
        ("broadcast", (3, 3), ((), ())),
        ("slice", (2, 2), slice_((0, 2), (1, 1))),
        ("slice", (2, 2), slice_((1, 0), (1, 1))),
        ("unslice", (1, 3), slice_((0, 0), (1, 1))),
        ("concat", (2, 4), concat(1)),
        ("pad", (2, 4), pad("constant", [(0, 0), (0, 0)])),
        ("pad", (2, 2), pad("constant", [(0, 0), (-1, 0)])),
        ("cast", (5,), ((), ())),
        ("resize", (2, 3), resize("nearest")),
    ],
)
def test_what_does_not_fit(kernel, shape, attributes):
    with pytest.raises(ValueError, match=kernel):
        moved(kernel, [np.zeros((2, 3), np.float32)], shape, attributes)
