"""The matrix products against NumPy in float64, over drawn sizes, at every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel_runner import close, each_level, run, same_bits
from striate import kernels
from striate.kernels import conv
from striate.kernels.conv import MatmulSpec

RELU = kernels.activation_ids()["relu"]


def arrays(seed: int, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def product(a, b, spec: MatmulSpec, *extra, activation=0) -> np.ndarray:
    """`a` (batch, m, k) and `b` (batch, k, n), each stored as the spec says."""
    stored_a = np.ascontiguousarray(a.swapaxes(1, 2)) if spec.transpose_a else a
    stored_b = np.ascontiguousarray(b.swapaxes(1, 2)) if spec.transpose_b else b
    out = np.full((spec.batch, spec.m, spec.n), np.nan, np.float32)
    run(
        "matmul",
        [stored_a, stored_b, *extra],
        [out],
        conv.encode("matmul", spec, activation, ("bias", "residual")[: len(extra)]),
    )
    return out


def packed_product(a, b, spec: MatmulSpec, *extra, activation=0) -> np.ndarray:
    panels = np.full(conv.packed_shape("matmul_packed", spec), np.nan, np.float32)
    stored_b = np.ascontiguousarray(b.T) if spec.transpose_b else b
    run("matmul_pack", [stored_b], [panels], conv.encode_pack("matmul_packed", spec))
    out = np.full((spec.m, spec.n), np.nan, np.float32)
    ints = conv.encode("matmul_packed", spec, activation, ("bias", "residual")[: len(extra)])
    run("matmul_packed", [a, panels, *extra], [out], ints)
    return out


sizes = st.integers(0, 70) | st.integers(0, 3) | st.just(300)
specs = st.builds(MatmulSpec, sizes, sizes, sizes, st.integers(0, 3), st.booleans(), st.booleans())
many = settings(max_examples=120, deadline=None)


@many
@given(spec=specs, seed=st.integers(0, 99), shared=st.booleans())
@example(spec=MatmulSpec(1, 700, 1000), seed=0, shared=False)
@example(spec=MatmulSpec(1, 700, 1000, transpose_b=True), seed=0, shared=False)
@example(spec=MatmulSpec(300, 40, 10, 2), seed=0, shared=True)
def test_matmul(spec, seed, shared):
    batch_b = 1 if shared else spec.batch
    a, b, bias, residual = arrays(
        seed, (spec.batch, spec.m, spec.k), (batch_b, spec.k, spec.n), (spec.n,), (spec.batch, spec.m, spec.n)
    )
    expected = a.astype(np.float64) @ b.astype(np.float64)
    for _ in each_level():
        close(product(a, b, spec), expected, terms=spec.k)
        close(
            product(a, b, spec, bias, residual, activation=RELU),
            np.maximum(expected + bias + residual, 0),
            terms=spec.k,
        )


@many
@given(spec=specs, seed=st.integers(0, 99))
@example(spec=MatmulSpec(1, 700, 1000), seed=0)
def test_matmul_packed(spec, seed):
    spec = MatmulSpec(spec.m, spec.k, spec.n, transpose_b=spec.transpose_b)
    a, b, bias = arrays(seed, (spec.m, spec.k), (spec.k, spec.n), (spec.n,))
    expected = a.astype(np.float64) @ b.astype(np.float64)
    for _ in each_level():
        close(packed_product(a, b, spec), expected, terms=spec.k)
        close(packed_product(a, b, spec, bias, activation=RELU), np.maximum(expected + bias, 0), terms=spec.k)


@pytest.mark.parametrize(
    "spec", [MatmulSpec(200, 130, 90), MatmulSpec(1, 900, 1200), MatmulSpec(60, 50, 40, 6, True, True)]
)
def test_same_bits_for_any_number_of_threads(spec):
    a, b = arrays(5, (spec.batch, spec.m, spec.k), (spec.batch, spec.k, spec.n))
    for _ in each_level():
        same_bits(lambda: product(a, b, spec))
        if spec.batch == 1:
            same_bits(lambda: packed_product(a[0], b[0], spec))


def test_no_terms_give_zero_or_the_bias():
    spec = MatmulSpec(3, 0, 5)
    bias = np.arange(5, dtype=np.float32)
    a, b = np.zeros((1, 3, 0), np.float32), np.zeros((1, 0, 5), np.float32)
    for _ in each_level():
        np.testing.assert_array_equal(product(a, b, spec), np.zeros((1, 3, 5)))
        np.testing.assert_array_equal(packed_product(a[0], b[0], spec, bias), np.tile(bias, (3, 1)))


def test_packed_product_takes_leading_axes_as_rows():
    spec = MatmulSpec(6, 7, 5)
    a, b = arrays(2, (2, 3, 7), (1, 7, 5))
    for _ in each_level():
        panels, out = np.zeros(conv.packed_shape("matmul_packed", spec), np.float32), np.zeros((2, 3, 5), np.float32)
        run("matmul_pack", [b], [panels], conv.encode_pack("matmul_packed", spec))
        run("matmul_packed", [a, panels], [out], conv.encode("matmul_packed", spec))
        close(out, a.astype(np.float64) @ b[0])


def test_choice():
    assert conv.choose_matmul(MatmulSpec(2, 3, 4), constant_b=True) == "matmul_packed"
    assert conv.choose_matmul(MatmulSpec(2, 3, 4)) == "matmul"
    assert conv.choose_matmul(MatmulSpec(2, 3, 4, transpose_a=True), constant_b=True) == "matmul"
