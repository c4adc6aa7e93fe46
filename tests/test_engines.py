"""Every op on the native engine, at every instruction-set level, against the float64 reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opspecs
from striate import config, engines, kernels
from striate.engines.native import NativeExecutable, _single_graph
from striate.plan import build
from striate.plan.rules import RULES
from striate.primitives import REGISTRY, run_reference

KERNELLED = sorted(set(opspecs.SPECS) & set(RULES))


def in_float32(array: np.ndarray) -> np.ndarray:
    return array.astype("float32") if array.dtype == np.float64 else array


def in_float64(array: np.ndarray) -> np.ndarray:
    return array.astype("float64") if array.dtype == np.float32 else array


def as_tuple(result: Any) -> tuple[np.ndarray, ...]:
    return result if isinstance(result, tuple) else (result,)


def native(name: str, inputs: list[np.ndarray], params: dict[str, Any]) -> list[np.ndarray]:
    plan = build(_single_graph(REGISTRY[name], inputs, params), frozenset())
    return NativeExecutable(plan)(inputs)


def assert_close(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, wanted)
        return
    finite = np.abs(wanted[np.isfinite(wanted)])
    scale = float(finite.max()) if finite.size else 1.0
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6 * max(scale, 0.3))  # inputs are of order 1


@pytest.mark.parametrize("name", KERNELLED)
@settings(max_examples=10)
@given(data=st.data())
def test_an_op_on_the_native_engine_is_the_reference(name: str, isa: str, data: st.DataObject) -> None:
    drawn, params = opspecs.SPECS[name].sample(data.draw)
    inputs = [in_float32(np.asarray(a)) for a in drawn]
    wide = {k: "float64" if v == "float32" else v for k, v in params.items()}
    wanted = as_tuple(run_reference(REGISTRY[name], [in_float64(a) for a in inputs], wide))
    for found, truth in zip(native(name, inputs, params), wanted, strict=True):
        assert_close(found, truth)


def test_most_ops_with_a_kernel_run_compiled() -> None:
    assert len(KERNELLED) > 60


@pytest.mark.parametrize("name", ["relu", "add", "max_pool", "reduce_max", "conv"])
def test_a_nan_stays_a_nan(name: str, isa: str) -> None:
    x = np.ones((1, 4, 4, 3), "float32")
    x[0, 1, 1, 1] = np.nan
    window = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
    inputs, params = {
        "relu": ([x], {}),
        "add": ([x, x], {}),
        "max_pool": ([x], window | {"window": (2, 2)}),
        "reduce_max": ([x], {"axes": (1, 2), "keepdims": False}),
        "conv": ([x, np.ones((2, 2, 3, 5), "float32")], window | {"groups": 1}),
    }[name]
    found = native(name, inputs, params)[0]
    wanted = run_reference(REGISTRY[name], inputs, params)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    assert np.isnan(found).any()


def test_the_same_bits_for_any_number_of_threads() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 33, 31, 19)).astype("float32")
    w = rng.normal(size=(3, 3, 19, 37)).astype("float32")
    g = rng.normal(size=(2, 33, 31, 37)).astype("float32")
    window = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    jobs = [
        ("conv", [x, w], window),
        ("conv_input_grad", [g, w], window | {"input_shape": x.shape}),
        ("conv_kernel_grad", [x, g], window | {"kernel_shape": w.shape}),
        ("reduce_sum", [x], {"axes": (0, 1, 2), "keepdims": False}),
        ("softmax", [x], {"axis": 3}),
        ("matmul", [x.reshape(-1, 19), w[0, 0]], {}),
    ]
    before = config.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            config.set_num_threads(threads)
            results.append([native(name, inputs, params)[0] for name, inputs, params in jobs])
    finally:
        config.set_num_threads(before)
    for other in results[1:]:
        for (name, *_), a, b in zip(jobs, results[0], other, strict=True):
            assert a.tobytes() == b.tobytes(), name


def test_engines_by_name() -> None:
    assert engines.current().name == "native"
    with engines.use("reference") as engine:
        assert engines.current() is engine
    assert engines.current().name == "native"
    with pytest.raises(ValueError, match=r"unknown engine 'cuda'.*float64, native, reference"):
        engines.get("cuda")


def test_an_unknown_instruction_set_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="sse9"):
        kernels.set_isa("sse9")
