"""`jit`: a Python function as compiled plans, one per shapes and dtypes of its arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from striate.core import dtypes, tree
from striate.ir import Aval, Value
from striate.trace.compiled import Cache, CompiledFunction
from striate.trace.keras_tensor import KerasTensor
from striate.trace.tracing import Traced, current_tracer, trace
from striate.trace.variable import Variable, convert

_STATIC = (bool, int, float, complex, str, bytes, type(None))


class Jit:
    """A function that is traced once per signature, compiled, and from then on run without Python.

    Args:
        fn: what to compile. Variables that it reads and assigns are inputs and outputs of the plan.
        version: a function without arguments; when its result changes, plans made before are not used any more.
    """

    def __init__(self, fn: Callable[..., Any], version: Callable[[], Any] = lambda: None) -> None:
        functools.update_wrapper(self, fn)
        self.fn, self.version = fn, version
        self.cache = Cache()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current_tracer() is not None:
            return self.fn(*args, **kwargs)
        if not kwargs and len(args) == 1 and type(args[0]) is np.ndarray:  # the way of `predict`, kept short
            return self.cache.get(("array", self.version()), self.fn, args)(args)
        if not kwargs and len(args) == 1 and type(args[0]) is tuple:  # that of `fit`
            found = self._found(args[0])
            if found is not None:
                return found(args[0])
        given, run, arrays = self._prepared(args, kwargs)
        return self.cache.get((signature(given), self.version()), run, arrays)(arrays)

    def _found(self, batch: tuple[Any, ...]) -> CompiledFunction | None:
        """The compiled function for a tuple of arrays, if there is one."""
        if not all([type(x) is np.ndarray for x in batch]):
            return None
        return self.cache.find((_of_batch(len(batch)), self.version()), batch)

    def compiled(self, *args: Any, **kwargs: Any) -> tuple[CompiledFunction, list[np.ndarray]]:
        """The compiled function for these arguments, and the arrays that it takes; nothing is computed."""
        given, run, arrays = self._prepared(args, kwargs)
        return self.cache.get((signature(given), self.version()), run, arrays), arrays

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """The graph for these arguments; nothing is computed."""
        _, run, arrays = self._prepared(args, kwargs)
        return trace(run, [Aval(a.shape, dtypes.name_of(a.dtype)) for a in arrays])

    def _prepared(self, args: Any, kwargs: Any) -> tuple[Any, Any, list[np.ndarray]]:
        given = tree.map_structure(_tensor, (list(args), kwargs))
        leaves = tree.flatten(given)
        arrays = [x for x in leaves if isinstance(x, np.ndarray)]

        def run(*symbols: Any) -> Any:
            supply = iter(symbols)
            filled = [next(supply) if isinstance(x, np.ndarray) else x for x in leaves]
            positional, named = tree.pack(given, filled)
            return self.fn(*positional, **named)

        return given, run, arrays

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        """As a method, compiled for each object apart."""
        if owner is None:
            return self
        name = f"_jit_{self.fn.__name__}"
        if name not in owner.__dict__:
            owner.__dict__[name] = Jit(self.fn.__get__(owner, kind), self.version)
        return owner.__dict__[name]

    def __reduce__(self) -> Any:
        """A copy starts without plans."""
        return type(self), (self.fn, self.version)


def _tensor(x: Any) -> Any:
    if isinstance(x, _STATIC) or x is Ellipsis:
        return x
    if isinstance(x, KerasTensor | Value):
        raise TypeError(f"a compiled function was called with {x!r}, which has no value. Pass an array.")
    if isinstance(x, Variable) or hasattr(x, "__array__"):
        return np.asarray(convert(x))
    return x


def signature(nest: Any) -> Any:
    """The nesting of `nest` and what in it is no array, as something that can be looked up."""
    if isinstance(nest, dict):
        return ("dict", tuple((k, signature(nest[k])) for k in nest))
    if isinstance(nest, list | tuple):
        return (type(nest).__name__, tuple(signature(v) for v in nest))
    if isinstance(nest, np.ndarray):
        return "array"
    return (type(nest).__name__, nest)


@functools.cache
def _of_batch(n: int) -> Any:
    """The signature of a call with one tuple of `n` arrays."""
    return signature(([(np.empty(0),) * n], {}))


def jit(fn: Callable[..., Any]) -> Jit:
    """Compiles `fn`: its ops on the tensors that it is given become one plan, made once per shapes and dtypes.

    Arrays among the arguments (also in lists and dicts) are what the plan takes; everything else (numbers, strings,
    None) counts as part of the program, and another value of it makes another plan. `Variable`s that `fn` uses are
    read at each call, and assigned after the run has succeeded. Python's own effects (prints, lists that are
    appended to) happen only while a plan is made.

    Raises:
        NoValueError: `fn` looks at the values of its tensors, for a branch or for NumPy.
        TypeError: an argument that is neither an array nor hashable.
    """
    return Jit(fn)
