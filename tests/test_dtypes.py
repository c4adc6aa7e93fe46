"""Names and promotion of dtypes, for every pair, against real Keras."""

from __future__ import annotations

import itertools
import random
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from striate.core import config, dtypes

STRONG = [d for d in dtypes.NAMES if d not in dtypes.FLOAT8S and d != "string"]
ALL = [*STRONG, int, float, bool, complex, None, np.float32, np.dtype("int64")]


@pytest.fixture(params=["float32", "float16", "float64", "bfloat16"])
def floatx(request: pytest.FixtureRequest, real_keras: ModuleType) -> Any:
    for settings in (config, real_keras.config):
        settings.set_floatx(request.param)
    yield request.param
    for settings in (config, real_keras.config):
        settings.set_floatx("float32")


@pytest.fixture
def keeps_64_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real Keras's own lattice, without the step that turns 64-bit results to 32 for JAX's sake."""
    from keras.src.backend.common import dtypes as theirs

    monkeypatch.setattr(theirs, "BIT64_TO_BIT32_DTYPE", {})


def both(real_keras: ModuleType, *args: Any) -> tuple[str, str]:
    return dtypes.result_type(*args), real_keras.backend.result_type(*args)


def test_every_pair_is_kerass(real_keras: ModuleType, keeps_64_bits: None, floatx: str) -> None:
    for pair in itertools.product(ALL, repeat=2):
        ours, theirs = both(real_keras, *pair)
        assert ours == theirs, pair


def test_one_and_three_are_kerass(real_keras: ModuleType, keeps_64_bits: None, floatx: str) -> None:
    draw = random.Random(5)
    for args in [(d,) for d in ALL] + [tuple(draw.choices(ALL, k=draw.randint(3, 5))) for _ in range(1000)]:
        ours, theirs = both(real_keras, *args)
        assert ours == theirs, args


def test_kerass_result_on_jax_is_ours_cut_to_32_bits(real_keras: ModuleType) -> None:
    cut = {"int64": "int32", "uint64": "uint32", "float64": "float32", "complex128": "complex64"}
    for pair in itertools.product(STRONG, repeat=2):
        ours, theirs = both(real_keras, *pair)
        assert cut.get(ours, ours) == theirs, pair


def test_no_arguments_and_strings() -> None:
    assert dtypes.result_type() == "float32"
    assert dtypes.result_type("string", "string") == "string"


@pytest.mark.parametrize(
    "wrong", [("float8_e5m2",), ("float32", "float8_e4m3fn"), ("string", "int32"), ("int33",), ([],)]
)
def test_what_does_not_combine(real_keras: ModuleType, wrong: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError):
        dtypes.result_type(*wrong)
    with pytest.raises((ValueError, TypeError)):
        real_keras.backend.result_type(*wrong)


NAMED = [*dtypes.NAMES, "int", int, float, bool, str, complex, None, np.float16, np.bool_, np.dtype(">f4"), np.uint8]


@pytest.mark.parametrize("dtype", [*NAMED, jnp.bfloat16, jnp.float32, jnp.zeros(1, "bfloat16").dtype], ids=str)
def test_names_are_kerass(real_keras: ModuleType, dtype: Any) -> None:
    assert dtypes.standardize(dtype) == real_keras.backend.standardize_dtype(dtype)


@pytest.mark.parametrize("wrong", ["float", "float33", "", "Float32", object, 3, "object", [], np.dtype("O"), np.str_])
def test_wrong_names(wrong: Any) -> None:
    with pytest.raises(ValueError, match="Invalid dtype"):
        dtypes.standardize(wrong)


def test_names_of_torch() -> None:
    class Fake:
        def __str__(self) -> str:
            return "torch.float16"

    assert dtypes.standardize(Fake()) == "float16"


def test_kinds(real_keras: ModuleType) -> None:
    for name in dtypes.NAMES:
        assert dtypes.is_floating(name) == real_keras.backend.is_float_dtype(name), name
        assert dtypes.is_integer(name) == real_keras.backend.is_int_dtype(name), name


def test_numpy_dtypes() -> None:
    for name in STRONG:
        if name != "bfloat16":
            assert str(dtypes.as_numpy(name)) == name
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        with pytest.raises(ValueError, match=f"{name}.*'float32'"):
            dtypes.as_numpy(name)
