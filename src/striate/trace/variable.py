"""Variables: named arrays with state. Reading one while tracing makes it an input of the graph, assigning an output."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from striate.core import dtypes, limits
from striate.core.registry import export
from striate.ir import Value, paused
from striate.trace import tracing
from striate.trace.keras_tensor import KerasTensor, standardize_shape
from striate.trace.naming import auto_name
from striate.trace.operators import OPS, TensorOperators
from striate.trace.scope import current_path

_VERSIONS = itertools.count()
_AUTOCAST = threading.local()


@contextmanager
def autocast(dtype: str | None) -> Iterator[None]:
    """Float variables with `autocast=True` read as `dtype` inside this context (mixed precision)."""
    before = getattr(_AUTOCAST, "dtype", None)
    _AUTOCAST.dtype = dtype
    try:
        yield
    finally:
        _AUTOCAST.dtype = before


@export("keras.Variable", "keras.backend.Variable")
class Variable(TensorOperators):
    """An array that lives on: a weight, a counter, the state of a random generator.

    Args:
        initializer: the initial value, or a callable `(shape, dtype=...) -> array`.
        shape: needed with a callable; all sizes known.
        dtype: by default the value's own, floats as `floatx()`.
        trainable: whether training may change it.
        autocast: whether it is read in the compute dtype in a layer with mixed precision.
        name: by default numbered automatically; `path` is the name behind the open name scopes.
    """

    def __init__(
        self,
        initializer: Any,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str | None = "none",
        synchronization: str = "auto",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.name = _checked_name(name or auto_name(type(self).__name__))
        scope = current_path()
        self.path = f"{scope}/{self.name}" if scope else self.name
        self.trainable = self.born_trainable = bool(trainable)
        self.autocast = bool(autocast)
        self.aggregation, self.synchronization = aggregation, synchronization
        self.regularizer: Any = None
        self.constraint: Any = None
        self.overwrite_with_gradient = False
        self.is_seed = False  # the state of a random generator: a variable, but not a weight
        with paused():
            self.commit(_initial(initializer, shape, dtype, self.path))

    spare: np.ndarray | None = None  # an array of this shape that nobody needs: room for the next value

    def take_spare(self) -> np.ndarray | None:
        """The spare array, which is the caller's from then on."""
        return self.__dict__.pop("spare", None)

    @property
    def array(self) -> np.ndarray:
        """The array itself, read-only, also in the middle of tracing."""
        return self._array

    @property
    def value(self) -> Any:
        """The current value: a read-only array, or while tracing a symbolic tensor."""
        tracer = tracing.current_tracer()
        value = tracer.read(self) if tracer else self._array
        target = getattr(_AUTOCAST, "dtype", None)
        own = dtypes.name_of(self._array.dtype)
        if target and self.autocast and target != own and dtypes.is_floating(own):
            return OPS["cast"](value, target)
        return value

    def numpy(self) -> np.ndarray:
        """The current value as a read-only array."""
        return np.asarray(self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return self._array.shape

    @property
    def dtype(self) -> str:
        """The name of the value's dtype (of the autocast dtype inside a layer with mixed precision)."""
        target = getattr(_AUTOCAST, "dtype", None)
        name = dtypes.name_of(self._array.dtype)
        return target if target and self.autocast and dtypes.is_floating(name) else name

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._array.ndim

    def assign(self, value: Any) -> Any:
        """Replaces the value. Returns it.

        Raises:
            ValueError: another shape.
        """
        new = convert(value)
        if tuple(new.shape) != self.shape:
            raise ValueError(
                f"The shape of the target variable and the shape of the value in `variable.assign(value)` must match: "
                f"variable '{self.path}' has shape {self.shape}, the value has shape {tuple(new.shape)}."
            )
        own = dtypes.name_of(self._array.dtype)
        new = OPS["cast"](new, own) if dtypes.name_of(new.dtype) != own else new
        tracer = tracing.current_tracer()
        if tracer is not None:
            tracer.assign(self, new if isinstance(new, Value) else tracer.constant(new))
        else:
            self.commit(np.array(new))
        return new

    def assign_add(self, value: Any) -> Any:
        """Adds `value`."""
        return self.assign(OPS["add"](self.value, value))

    def assign_sub(self, value: Any) -> Any:
        """Subtracts `value`."""
        return self.assign(OPS["subtract"](self.value, value))

    def commit(self, array: np.ndarray) -> None:
        """Stores `array`, which nobody else may write to any more, as the value."""
        array.flags.writeable = False
        self._array = array
        self.version = next(_VERSIONS)

    @staticmethod
    def commit_all(variables: Sequence[Variable], arrays: Sequence[np.ndarray]) -> None:
        """`commit` for each, without the calls: a step of training has dozens."""
        for variable, array in zip(variables, arrays, strict=True):
            array.setflags(write=False)
            variable._array = array
            variable.version = next(_VERSIONS)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.value, dtype=dtype, copy=copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return np.array(self._array).__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def __bool__(self) -> bool:
        raise TypeError("A Variable cannot be used as a boolean. Use `variable.numpy()`.")

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __repr__(self) -> str:
        shown = np.array2string(self._array)
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={shown}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update(self.__getstate__())
        made.commit(np.array(self._array))
        return made

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes over."""
        return {k: v for k, v in self.__dict__.items() if k != "spare"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Versions count within one process: what comes from another one gets a number here."""
        self.__dict__.update(state)
        self.commit(self._array)


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or "/" in name:
        raise ValueError(f"Argument `name` must be a string and cannot contain character `/`. Received: name={name!r}")
    return name


def _initial(initializer: Any, shape: Any, dtype: Any, path: str) -> np.ndarray:
    if not callable(initializer):
        return np.array(_to_array(initializer, dtypes.standardize(dtype) if dtype is not None else None))
    if shape is None:
        raise ValueError(f"variable '{path}': an initializer that is a function needs `shape`. Pass shape=(...).")
    sizes = standardize_shape(shape)
    if None in sizes:
        raise ValueError(
            f"Shapes used to initialize variables must be fully-defined (no `None`). Received: shape={shape}"
        )
    limits.check_size(sizes, path)
    wanted = dtypes.standardize(dtype)
    made = initializer(sizes, dtype=wanted)
    own = getattr(type(initializer).__call__, "makes_new", False)  # see `initializers.base`
    value = np.asarray(made, dtype=wanted) if own else np.array(made, dtype=wanted)
    if value.shape != sizes:
        raise ValueError(f"variable '{path}': the initializer returned shape {value.shape}, expected {sizes}.")
    return value


def convert(x: Any, dtype: Any = None) -> Any:
    """`x` as a tensor: an array as it is, a variable's value, or a new array (floats as `floatx()`).

    Raises:
        ValueError: a KerasTensor, or values that are no numbers.
    """
    if isinstance(x, Variable):
        x = x.value
    if isinstance(x, KerasTensor):
        raise ValueError(f"{x} has no value. Call the op on it directly, or pass an array.")
    wanted = dtypes.standardize(dtype) if dtype is not None else None
    if isinstance(x, Value):
        return x if wanted is None or x.dtype == wanted else OPS["cast"](x, wanted)
    if isinstance(x, np.ndarray) and x.dtype.kind in _NUMERIC and wanted in (None, dtypes.name_of(x.dtype)):
        return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))
    if isinstance(x, list | tuple) and any(isinstance(v, Value) for v in _leaves(x)):
        stacked = OPS["stack"]([convert(v) for v in x])
        return stacked if wanted is None else OPS["cast"](stacked, wanted)
    return _to_array(x, wanted)


_NUMERIC = "biufc"  # NumPy's kinds


def _leaves(x: Any) -> Iterator[Any]:
    for item in x:
        if isinstance(item, list | tuple):
            yield from _leaves(item)
        else:
            yield item


def _to_array(x: Any, dtype: str | None) -> np.ndarray:
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(
            f"cannot make an array of {type(x).__name__}: {error}. All rows must have one length."
        ) from None
    if array.dtype.kind not in _NUMERIC:
        raise ValueError(
            f"expected numbers, got {type(x).__name__} of dtype {array.dtype}. Convert it to a numeric NumPy array "
            "first "
            "(an image file: `striate.utils.load_img` and `img_to_array`)."
        )
    if dtype is None:
        dtype = _default_dtype(x, array)
    return array.astype(dtypes.as_numpy(dtype), copy=False)


def _default_dtype(x: Any, array: np.ndarray) -> str:
    """An array keeps its dtype; Python floats are `floatx()` and Python ints int32, as Keras has it."""
    if isinstance(x, np.ndarray | np.generic) or hasattr(x, "__array__"):
        return str(array.dtype)
    kind = array.dtype.kind
    return dtypes.standardize(None) if kind == "f" else "int32" if kind in "iu" else str(array.dtype)


tracing.OPS_CONVERT.convert = convert
