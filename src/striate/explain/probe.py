"""A look into a model while it runs: its layers by name, what each of them gives, and gradients of anything by it.

A model is traced once, with the layers that are watched noting what they return; the outputs, the notes and gradients
are then results of ONE compiled plan. Code that asks for values (branches of the user's own) runs on a tape instead.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from striate import engines
from striate.core import tree
from striate.core.errors import message
from striate.ir import Aval, Value, building
from striate.layers.input_layer import InputLayer
from striate.models.receptive import graph_of
from striate.trace import NoValueError, convert
from striate.trace.compiled import CompiledFunction
from striate.trace.tape import RecordedTensor, Tape
from striate.trace.tracing import trace

_LOCK = threading.RLock()


class Found(NamedTuple):
    """A layer and its name, behind the names of the models and wrappers that it stands in."""

    path: str
    layer: Any


def layers_in(model: Any, prefix: str = "") -> list[Found]:
    """The layers and operations of `model`, in the order of its graph, each before what it holds itself."""
    found: list[Found] = []
    for layer in _direct(model):
        if isinstance(layer, InputLayer):
            continue
        path = f"{prefix}{layer.name}"
        found += [Found(path, layer), *layers_in(layer, path + "/")]
    return list({id(f.layer): f for f in found}.values())


def _direct(model: Any) -> list[Any]:
    graph = graph_of(model)
    return list(graph.operations) if graph is not None else list(getattr(model, "_sublayers", list)())


def find(model: Any, wanted: Any, where: str) -> list[Found]:
    """The layers that `wanted` names: a name, a path such as `"encoder/conv2d"`, an index, a class or its name, a
    layer, or several of these.

    Raises:
        ValueError: nothing answers to it; the text lists names like it.
    """
    listed = layers_in(model) or [Found(getattr(model, "name", "model"), model)]
    listed += [Found(layer.name, layer) for layer in _direct(model) if isinstance(layer, InputLayer)]
    several = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    found = [f for one in several for f in _matching(model, listed, one, where)]
    return list({id(f.layer): f for f in found}.values())


def _matching(model: Any, listed: list[Found], wanted: Any, where: str) -> list[Found]:
    if isinstance(wanted, int | np.integer) and not isinstance(wanted, bool):
        return [_at(model, listed, int(wanted), where)]
    hits = [f for f in listed if _answers(f, wanted)]
    return hits or [_missing(listed, wanted, where)]


def _at(model: Any, listed: list[Found], index: int, where: str) -> Found:
    direct = list(getattr(model, "layers", ())) or [f.layer for f in listed]
    if not -len(direct) <= index < len(direct):
        problem = f"there is no layer {index}: '{model.name}' has {len(direct)}"
        raise ValueError(message(where, problem, f"Give an index from 0 to {len(direct) - 1}, or a name"))
    return next((f for f in listed if f.layer is direct[index]), Found(direct[index].name, direct[index]))


def _answers(found: Found, wanted: Any) -> bool:
    if isinstance(wanted, type):
        return isinstance(found.layer, wanted)
    if isinstance(wanted, str):
        return wanted in (found.path, found.layer.name, type(found.layer).__name__)
    return found.layer is wanted


def _missing(listed: list[Found], wanted: Any, where: str) -> Found:
    names = [f.path for f in listed]
    like = difflib.get_close_matches(str(wanted), names, 3, 0.4) or names[:8]
    raise ValueError(message(where, f"no layer answers to {wanted!r}", f"Layers like it: {', '.join(like)}"))


# Watching ------------------------------------------------------------------------------------------------------------


class _Noting:
    """Stands in the place of a layer's `call` and notes what that returns in the thread that watches."""

    def __init__(self, layer: Any, notes: dict[int, list[Any]]) -> None:
        self._call, self._layer, self._notes = layer.call, id(layer), notes
        self._thread = threading.get_ident()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._call(*args, **kwargs)
        if threading.get_ident() == self._thread:
            self._notes.setdefault(self._layer, []).append(result)
        return result


@contextmanager
def watching(layers: Sequence[Any]) -> Iterator[dict[int, list[Any]]]:
    """While it lasts, what each call of `layers` gives is noted under the layer's id."""
    notes: dict[int, list[Any]] = {}
    with _LOCK:
        before = [(layer, vars(layer).get("call")) for layer in layers]
        try:
            for layer in layers:
                vars(layer)["call"] = _Noting(layer, notes)
            yield notes
        finally:
            for layer, call in before:
                vars(layer).pop("call", None)
                vars(layer).update({} if call is None else {"call": call})


# Running -------------------------------------------------------------------------------------------------------------


class Compiled:
    """`fn` of arrays, compiled when it is first called on arrays of these shapes; on a tape where it can't be."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self._plans: dict[Any, Callable[[Sequence[np.ndarray]], Any]] = {}

    def __call__(self, *arrays: np.ndarray) -> Any:
        key = tuple((a.shape, a.dtype.str) for a in arrays)
        if key not in self._plans:
            self._plans[key] = self._plan(arrays)
        return self._plans[key](arrays)

    def _plan(self, arrays: Sequence[np.ndarray]) -> Callable[[Sequence[np.ndarray]], Any]:
        try:
            traced = trace(self.fn, [Aval(a.shape, str(a.dtype)) for a in arrays])
        except NoValueError:
            return self._on_tape
        return CompiledFunction(traced, engines.current())

    def _on_tape(self, arrays: Sequence[np.ndarray]) -> Any:
        tape = Tape()
        with building(tape):
            result = self.fn(*(tape.hold(a) for a in arrays))
        return tree.map_structure(_array, result)


def _array(x: Any) -> Any:
    if isinstance(x, RecordedTensor):
        return np.array(x.array)
    return x.data if isinstance(x, Value) else x


# Inputs --------------------------------------------------------------------------------------------------------------


class Inputs:
    """What a model is called on: one array per input with a batch axis, one of which is looked at.

    Args:
        model: a model or a layer.
        x: an image `(height, width, channels)`, a batch of them, or for several inputs a list or a dict of such.
        which: the index or the name of the input that is looked at.
    """

    def __init__(self, model: Any, x: Any, which: int | str = 0, where: str = "explain") -> None:
        self.model, self.where = model, where
        graph = graph_of(model)
        self.symbols = list(graph.inputs) if graph is not None else []
        values = self._listed(x)
        wanted = [tuple(t.shape) for t in self.symbols] or [_wanted_shape(model)] * len(values)
        values = [_with_channel(v, w) for v, w in zip(values, wanted, strict=True)]
        self.first = takes_channels_first(model)
        self.single = len(wanted[0] or ()) == np.ndim(values[0]) + 1 or (wanted[0] is None and np.ndim(values[0]) == 3)
        self.arrays = [v[None] if self.single else v for v in values]
        self.index = self._index(which)
        self.arrays[self.index] = _floating(self.arrays[self.index])
        self._nest = x if self.symbols == [] else None

    def _listed(self, x: Any) -> list[Any]:
        if isinstance(x, dict) and self.symbols:
            return [x[t.name] if t.name in x else x[t._keras_history.operation.name] for t in self.symbols]
        values = [_numbers(v) for v in (tree.flatten(x) if _is_nest(x) else [x])]
        if self.symbols and len(values) != len(self.symbols):
            problem = f"model '{self.model.name}' has {len(self.symbols)} inputs, and {len(values)} arrays were given"
            raise ValueError(message(self.where, problem, f"Give them as a list: {[t.name for t in self.symbols]}"))
        return values

    def _index(self, which: int | str) -> int:
        names = [t.name for t in self.symbols]
        if isinstance(which, str) and which in names:
            return names.index(which)
        if isinstance(which, str) or not 0 <= which < len(self.arrays):
            problem = f"there is no input {which!r}"
            raise ValueError(message(self.where, problem, f"The inputs are {names or list(range(len(self.arrays)))}"))
        return which

    @property
    def x(self) -> np.ndarray:
        """The input that is looked at, with its batch axis."""
        return self.arrays[self.index]

    def last(self, values: np.ndarray) -> np.ndarray:
        """Values of the shape of `x`, their channels last."""
        return np.moveaxis(values, 1, -1) if self.first and values.ndim > 2 else values

    def own(self, values: np.ndarray) -> np.ndarray:
        """Values with their channels last, in the model's layout."""
        return np.ascontiguousarray(np.moveaxis(values, -1, 1)) if self.first and values.ndim > 2 else values

    def with_x(self, x: np.ndarray) -> list[np.ndarray]:
        """All inputs for another value of that one; where it has more samples, the others are repeated."""
        factor = len(x) // max(len(self.x), 1)
        others = [a if factor == 1 else np.repeat(a, factor, axis=0) for a in self.arrays]
        return [x if n == self.index else a for n, a in enumerate(others)]

    def call(self, values: Sequence[Any]) -> Any:
        """The model on one value per input, as at inference."""
        if not self.symbols:
            return self.model(tree.pack(self._nest, list(values)) if _is_nest(self._nest) else values[0],
                              training=False)  # fmt: skip
        nest = getattr(graph_of(self.model), "_nested_inputs", None)
        packed = tree.pack(nest, list(values)) if isinstance(nest, dict | list | tuple) else list(values)
        return self.model(packed if len(values) > 1 or isinstance(nest, dict) else values[0], training=False)


def _is_nest(x: Any) -> bool:
    return isinstance(x, dict) or (isinstance(x, list | tuple) and bool(x) and all(np.ndim(v) > 0 for v in x)
                                   and any(hasattr(v, "__array__") for v in x))  # fmt: skip


def _numbers(x: Any) -> np.ndarray:
    return np.asarray(convert(np.asarray(x)))


def _with_channel(x: np.ndarray, wanted: Any) -> np.ndarray:
    """A grey picture may come without its channel axis."""
    grey = wanted is not None and x.ndim == len(wanted) - 2 and wanted[-1] == 1
    return x[..., None] if grey else x


def _floating(x: np.ndarray) -> np.ndarray:
    return x if x.dtype.kind == "f" and x.dtype != np.float64 else x.astype("float32")


def _wanted_shape(model: Any) -> Any:
    """The input's shape of a layer that has been built; None where it is not known."""
    built = list(getattr(model, "_build_shapes", None) or {}) and next(iter(model._build_shapes.values()))
    if isinstance(built, list | tuple) and built and all(n is None or isinstance(n, int) for n in built):
        return tuple(built)
    spec = getattr(model, "input_spec", None)
    rank = getattr(spec, "ndim", None) or getattr(spec, "min_ndim", None)
    return None if rank is None else (None,) * rank


def channels_first(layer: Any, otherwise: bool = False) -> bool:
    """Whether the layer's (or a wrapped layer's) channels come before its places; `otherwise`, if it has no say."""
    layout = getattr(getattr(layer, "layer", layer), "data_format", None)
    return otherwise if layout is None else layout == "channels_first"


def channels_last(values: np.ndarray, layer: Any, otherwise: bool = False) -> np.ndarray:
    """`(batch, ..., channels)`, whatever the layer's layout."""
    return np.moveaxis(values, 1, -1) if values.ndim > 2 and channels_first(layer, otherwise) else values


def takes_channels_first(model: Any) -> bool:
    """Whether the first layer of `model` that has a say takes channels before places."""
    layers = [model, *(f.layer for f in layers_in(model))]
    return next((channels_first(x) for x in layers if getattr(x, "data_format", None)), False)
