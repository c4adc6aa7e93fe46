"""How a function of `keras.ops` is made: arrays are computed at once, symbolic tensors record a call in the layer graph."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from striate.core import dtypes
from striate.core.registry import export
from striate.trace import FunctionOperation, Variable, any_symbolic, convert
from striate.trace.operators import OPS

F = TypeVar("F", bound=Callable[..., Any])


def op(*families: str, names: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Publishes a function as `keras.ops.<name>`, and as `keras.ops.<family>.<name>` for each family (such as "numpy", "nn").

    `names` are further names. With a KerasTensor among its arguments the function becomes a node of the layer graph.
    """

    def decorate(fn: F) -> F:
        @functools.wraps(fn)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if any_symbolic(args, kwargs):
                return FunctionOperation(fn).symbolic_call(*args, **kwargs)
            return fn(*args, **kwargs)

        for name in (fn.__name__, *names):
            OPS[name] = wrapper
            paths = [f"keras.ops.{name}", *(f"keras.ops.{family}.{name}" for family in families)]
            export(*paths)(wrapper)
        return wrapper  # type: ignore[return-value]

    return decorate


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
    return str(x.dtype) if hasattr(x, "dtype") else str(convert(x).dtype)


def cast_to(x: Any, dtype: str) -> Any:
    """`x` as a tensor of `dtype`."""
    return convert(x, dtype)


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


__all__ = ["Variable", "axes_of", "cast_to", "common_dtype", "convert", "dtype_of", "op", "tensors"]
