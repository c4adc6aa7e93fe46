"""How a function of `keras.ops` is made: arrays are computed at once, symbolic tensors record a call in the layer
graph.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from striate.core import dtypes
from striate.core.registry import export
from striate.ir import Aval, Value
from striate.primitives.base import Primitive, register
from striate.trace import FunctionOperation, Variable, any_symbolic, convert
from striate.trace.operators import OPS

F = TypeVar("F", bound=Callable[..., Any])


def op(*families: str, names: tuple[str, ...] = (), spec: Callable[..., Any] | None = None) -> Callable[[F], F]:
    """Publishes a function as `keras.ops.<name>`, and as `keras.ops.<family>.<name>` for each family (such as
    "numpy", "nn").

    `names` are further names. With a KerasTensor among its arguments the function becomes a node of the layer
    graph; `spec`,
    called with the same arguments, gives its symbolic result where tracing cannot tell (None from it: tracing can).
    """

    def decorate(fn: F) -> F:
        wrapper = symbolic(fn, spec)
        for name in (fn.__name__, *names):
            OPS[name] = wrapper
            paths = [f"keras.ops.{name}", *(f"keras.ops.{family}.{name}" for family in families)]
            export(*paths)(wrapper)
        return wrapper

    return decorate


class _SpecifiedOperation(FunctionOperation):
    """A call of a function that knows its symbolic result."""

    def __init__(self, fn: Callable[..., Any], spec: Callable[..., Any]) -> None:
        super().__init__(fn)
        self.spec = spec

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        known = self.spec(*args, **kwargs)
        return super().compute_output_spec(*args, **kwargs) if known is None else known


def symbolic(fn: F, spec: Callable[..., Any] | None = None) -> F:
    """`fn`, which with a KerasTensor among its arguments becomes a node of the layer graph."""

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if any_symbolic(args, kwargs):
            operation = FunctionOperation(fn) if spec is None else _SpecifiedOperation(fn, spec)
            return operation.symbolic_call(*args, **kwargs)
        return fn(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def tensors(*xs: Any, dtype: Any = None, floating: bool = False) -> list[Any]:
    """`xs` as tensors of one dtype: `dtype`, or what Keras's promotion gives for theirs.

    Python numbers are weak: they adopt the dtype of the others. `floating` asks for a float dtype at least.
    """
    wanted = dtypes.standardize(dtype) if dtype is not None else common_dtype(*xs, floating=floating)
    return [cast_to(x, wanted) for x in xs]


def common_dtype(*xs: Any, floating: bool = False) -> str:
    """The dtype that `xs` promote to together."""
    wanted = dtypes.result_type(*(dtype_of(x) for x in xs))
    if floating and not dtypes.is_floating(wanted):
        return dtypes.result_type(wanted, float)
    return wanted


def dtype_of(x: Any) -> Any:
    """The dtype of a tensor, or the Python type of a number (which is weak in promotion)."""
    if type(x) in (bool, int, float):
        return type(x)
    return dtypes.name_of(x.dtype if hasattr(x, "dtype") else convert(x).dtype)


def cast_to(x: Any, dtype: str) -> Any:
    """`x` as a tensor of `dtype`."""
    return convert(x, dtype)


def as_float(x: Any) -> Any:
    """`x` as a tensor of a float dtype: its own, or the default one for integers and bools."""
    x = convert(x)
    name = dtypes.name_of(x.dtype)
    return x if name in dtypes.FLOATS else cast_to(x, dtypes.result_type(name, float))


def dtype_name(x: Any) -> str:
    """The name of a tensor's dtype."""
    return dtypes.name_of(x.dtype)


def sizes(shape: Any, name: str = "shape") -> tuple[int, ...]:
    """`shape`, an int or several, as a tuple of ints; ValueError for anything else."""
    try:
        listed = (shape,) if hasattr(shape, "__index__") and not getattr(shape, "ndim", 0) else tuple(shape)
        return tuple(operator.index(n) for n in listed)
    except TypeError:
        raise ValueError(f"`{name}` must be an integer or a tuple of integers. Received: {name}={shape!r}.") from None


def host(fn: Callable[..., Any], *xs: Any) -> Any:
    """`fn`, a function of arrays written with NumPy, as an op of `xs`; while tracing it becomes one step of the graph.

    For rare functions whose results' shapes and dtypes depend on those of `xs` alone. It has no gradient.
    """
    if any(isinstance(x, Value) for x in xs):
        return _HOST(*xs, fn=fn)
    return _HOST.reference(*xs, fn=fn)


def _run_host(*arrays: np.ndarray, fn: Callable[..., Any]) -> Any:
    with np.errstate(all="ignore"):
        result = fn(*arrays)
    return tuple(np.asarray(r) for r in result) if isinstance(result, tuple) else np.asarray(result)


def _infer_host(*avals: Aval, fn: Callable[..., Any]) -> Any:
    result = _run_host(*(_example(a) for a in avals), fn=fn)
    made = tuple(Aval(r.shape, str(r.dtype)) for r in (result if isinstance(result, tuple) else (result,)))
    return made if isinstance(result, tuple) else made[0]


def _example(aval: Aval) -> np.ndarray:
    """Values with which any function can be tried: square matrices are the identity, which has an inverse."""
    square = len(aval.shape) >= 2 and aval.shape[-1] == aval.shape[-2]
    values = np.eye(aval.shape[-1]) if square else np.ones(aval.shape)
    return np.broadcast_to(values, aval.shape).astype(aval.dtype)


_HOST = register(Primitive("host", _infer_host, _run_host))


def axes_of(axis: Any, ndim: int, name: str = "axis") -> tuple[int, ...]:
    """`axis` (None for all, an int or several) as distinct positions in [0, ndim); ValueError if out of range."""
    if axis is None:
        return tuple(range(ndim))
    listed = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    if any(not -ndim <= int(a) < ndim for a in listed):
        raise ValueError(f"{name}={axis} is out of range for a tensor with {ndim} axes: use {-ndim} to {ndim - 1}.")
    made = tuple(int(a) % ndim for a in listed)
    if len(set(made)) != len(made):
        raise ValueError(f"{name}={axis} names an axis twice.")
    return made


__all__ = [
    "Value",
    "Variable",
    "as_float",
    "axes_of",
    "cast_to",
    "common_dtype",
    "convert",
    "dtype_name",
    "dtype_of",
    "host",
    "op",
    "sizes",
    "symbolic",
    "tensors",
]
