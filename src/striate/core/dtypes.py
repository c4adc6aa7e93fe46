"""Names of element types and how they combine: Keras 3's names and its promotion lattice, with weak Python scalars.

The lattice (each type points to the next higher ones; `int` and `float` are Python's, the weak ones):

    bool -> int -> uint8 -> uint16 -> uint32 -> uint64 -> float        uint8 -> int16, uint16 -> int32, uint32 -> int64
            int -> int8  -> int16  -> int32  -> int64  -> float        float -> bfloat16 | float16 -> float32 -> float64
                                                                       float32 -> complex64 -> complex128 <- float64

Unlike Keras on JAX, 64-bit results stay 64-bit: nothing here turns a float64 into a float32 unasked.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from striate.core import config
from striate.core.errors import listed, message
from striate.core.registry import export

FLOATS = ("bfloat16", "float16", "float32", "float64")
FLOAT8S = ("float8_e4m3fn", "float8_e5m2")
INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
COMPLEX = ("complex64", "complex128")
NAMES = (*FLOATS, *FLOAT8S, *INTEGERS, *COMPLEX, "bool", "string")
_PYTHON = {bool: "bool", int: "int32", float: "float32", complex: "complex64", str: "string", "int": "int32"}
_KNOWN = frozenset(NAMES)
_NOT_NATIVE = ("bfloat16", *FLOAT8S)

_NEXT = {
    "bool": ("int",),
    "int": ("uint8", "int8", "complex64"),
    "uint8": ("uint16", "int16"),
    "uint16": ("uint32", "int32"),
    "uint32": ("uint64", "int64"),
    "uint64": ("float",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("float",),
    "float": ("bfloat16", "float16"),
    "bfloat16": ("float32",),
    "float16": ("float32",),
    "float32": ("float64", "complex64"),
    "float64": ("complex128",),
    "complex64": ("complex128",),
    "complex128": (),
}


@export("keras.backend.standardize_dtype", "keras.utils.standardize_dtype")
def standardize(dtype: Any) -> str:
    """The name of `dtype` as Keras writes it: `"float32"`, `"int32"`, `"bool"` ...

    Args:
        dtype: a name, a NumPy (or JAX, PyTorch) type, a Python type (`int` is `"int32"`), or None for `floatx()`.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(dtype, str) and dtype in _KNOWN:
        return dtype
    if dtype is None:
        return config.floatx()
    name = _name(dtype)
    if name not in _KNOWN:
        raise ValueError(message("", f"Invalid dtype: {dtype!r}. Expected one of {listed(NAMES)}"))
    return name


standardize_dtype = standardize


def _name(dtype: Any) -> str:
    if isinstance(dtype, str | type) and dtype in _PYTHON:
        return _PYTHON[dtype]
    found = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    return str(found).removeprefix("torch.").removesuffix("_")  # NumPy 1 calls its bool "bool_"


@functools.cache
def name_of(dtype: Any) -> str:
    """The name of an array's (or a graph value's) dtype, in whichever byte order; NumPy takes microseconds for it, so
    it is remembered."""
    return getattr(dtype, "name", None) or str(dtype)


@export("keras.backend.is_float_dtype")
def is_floating(dtype: Any) -> bool:
    """Whether `dtype` is a float type, bfloat16 and the 8-bit ones included."""
    return standardize(dtype) in (*FLOATS, *FLOAT8S)


@export("keras.backend.is_int_dtype")
def is_integer(dtype: Any) -> bool:
    """Whether `dtype` is an integer type, signed or not; bool is none."""
    return standardize(dtype) in INTEGERS


def as_numpy(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype of `dtype`; ValueError for bfloat16 and 8-bit floats, which NumPy does not have."""
    name = standardize(dtype)
    if name in _NOT_NATIVE:
        raise ValueError(message("", f"dtype {name!r} has no NumPy form, so no array can hold it", "Use 'float32'"))
    return np.dtype("str" if name == "string" else name)


@export("keras.backend.result_type")
def result_type(*dtypes: Any) -> str:
    """The type that values of `dtypes` have together: the least upper bound on the lattice above.

    Args:
        *dtypes: as `standardize` takes them. Python's `int` and `float` are weak: they adopt the other type's width,
            and among themselves that of `floatx()`. Without any: `floatx()`.

    Raises:
        ValueError: for 8-bit floats, which never convert by themselves, and for types without a common one.
    """
    if not dtypes:
        return config.floatx()
    names = [_weak_name(d) for d in dtypes]
    if any(name in FLOAT8S for name in names):
        problem = f"There are no implicit conversions from float8 dtypes to others. Received: {dtypes}"
        raise ValueError(message("result_type", problem, "Cast to another type first"))
    return _settle(_join(frozenset(names)))


def _weak_name(dtype: Any) -> str:
    return dtype.__name__ if dtype is int or dtype is float else standardize(dtype)


def _settle(name: str) -> str:
    """A weak result gets the width of `floatx()`."""
    return name + config.floatx()[-2:] if name in ("int", "float") else name


@functools.cache
def _above(name: str) -> frozenset[str]:
    return frozenset({name}).union(*(_above(higher) for higher in _NEXT[name]))


@functools.cache
def _join(names: frozenset[str]) -> str:
    if len(names) == 1:
        return next(iter(names))
    strangers = sorted(names - _NEXT.keys())
    if strangers:
        raise ValueError(message("result_type", f"{strangers[0]!r} does not combine with other types", "Cast it first"))
    common = frozenset.intersection(*(_above(name) for name in names))
    return next(c for c in common if common <= _above(c))
