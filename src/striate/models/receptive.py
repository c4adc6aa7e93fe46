"""The calls of a model's layers, with the sizes for a given input, and what each of them sees of that input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any, NamedTuple

from striate.core import tree
from striate.core.errors import message
from striate.core.window import Receptive, Span
from striate.layers.wrappers import Wrapper
from striate.models.unrolled import unrolled
from striate.models.windows import ALL, Axis, axes_of
from striate.trace import FunctionOperation, KerasTensor

_MOST_PHASES = 64  # units behind upsampling that are looked at, until they repeat
Spans = tuple[Span, ...]


class Call(NamedTuple):
    """One call of a layer, on symbols of the sizes in question.

    Attributes:
        layer: the layer or operation. path: its name, behind the names of the models that it stands in.
        inputs, outputs: the symbols; one that is an input here is the same object as the output that it was.
    """

    layer: Any
    path: str
    inputs: tuple[KerasTensor, ...]
    outputs: tuple[KerasTensor, ...]

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """The shape of the first input."""
        return tuple(self.inputs[0].shape)

    @property
    def output_shape(self) -> tuple[Any, ...]:
        """The shape of the first output."""
        return tuple(self.outputs[0].shape)


def graph_of(model: Any) -> Any:
    """The layer graph of a functional model, or of a sequential one that has been built; None for others."""
    return model if hasattr(model, "_nested_inputs") else getattr(model, "_functional", None)


def calls(model: Any, input_shape: Any = None) -> list[Call]:
    """The calls of all layers, those in nested models in their place, in the order in which they are computed.

    Args:
        model: a model; one whose layers are called by Python code is called on symbols.
        input_shape: `(batch, ...)` or, of several inputs, a list of them; by default as the model was made.

    Raises:
        ValueError: sizes that are not known or do not fit, or Python code that gives no graph.
    """
    graph = graph_of(model)
    if graph is None and hasattr(model, "_row"):
        return _in_a_row(model, input_shape)
    graph = graph or unrolled(model, input_shape)
    shapes = _shapes(graph, input_shape, model.name)
    inputs = [KerasTensor(s, t.dtype, name=t.name) for s, t in zip(shapes, graph._inputs, strict=True)]
    made_by = [t._keras_history.operation for t in graph._inputs]
    found = [Call(op, op.name, (), (x,)) for op, x in zip(made_by, inputs, strict=True)]
    _walk(graph, inputs, "", found)
    return found


def _shapes(graph: Any, given: Any, name: str) -> list[tuple[Any, ...]]:
    """One shape per input, the sizes that the model fixes checked."""
    if given is None:
        return [t.shape for t in graph._inputs]
    listed = [given] if not given or not isinstance(given[0], list | tuple) else list(given)
    wanted = [t.shape for t in graph._inputs]
    if len(listed) != len(wanted):
        problem = f"has {len(wanted)} inputs of the shapes {wanted}. Received {len(listed)}: {listed}"
        raise ValueError(message(f"Model '{name}'", problem, "Give one shape for each"))
    return [_with_batch(tuple(s), w, name) for s, w in zip(listed, wanted, strict=True)]


def _with_batch(shape: tuple[Any, ...], wanted: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    """`shape` with a batch axis, if it had none."""
    full = (None, *shape) if len(shape) == len(wanted) - 1 else shape
    same = len(full) == len(wanted) and all(None in (a, b) or a == b for a, b in zip(full[1:], wanted[1:], strict=True))
    if not same:
        raise ValueError(message(f"Model '{name}'", f"takes inputs of shape {wanted}. Received: {shape}"))
    return full


def _walk(graph: Any, inputs: Sequence[KerasTensor], prefix: str, found: list[Call]) -> list[KerasTensor]:
    """Adds the graph's calls to `found`; returns the symbols of its outputs."""
    known: dict[int, Any] = {id(t): x for t, x in zip(graph._inputs, inputs, strict=True)}
    for node in graph._nodes:
        if node.is_input or all(id(t) in known for t in node.output_tensors):
            continue
        taken = tuple(known[id(t)] for t in node.input_tensors)
        path = prefix + node.operation.name
        inner = graph_of(node.operation) or _opened(node.operation, taken)
        if inner is not None:
            made = _walk(inner, taken, path + "/", found)
        else:
            made = _results(node, known, taken)
            found.append(Call(node.operation, path, taken, tuple(made)))
        known.update(zip((id(t) for t in node.output_tensors), made, strict=True))
    return [known[id(t)] for t in graph._outputs]


def _opened(layer: Any, taken: tuple[KerasTensor, ...]) -> Any:
    """The graph of a layer of the user's own that calls others; None for those that do not, or not on symbols."""
    if type(layer).__module__.startswith("striate.") or not getattr(layer, "_sublayers", list)():
        return None
    shapes = [tuple(x.shape) for x in taken]
    with suppress(ValueError):
        return unrolled(layer, shapes if len(shapes) > 1 else shapes[0])
    return None


def _results(node: Any, known: dict[int, Any], taken: tuple[KerasTensor, ...]) -> list[KerasTensor]:
    if all(tuple(x.shape) == tuple(t.shape) for x, t in zip(taken, node.input_tensors, strict=True)):
        return [KerasTensor(t.shape, t.dtype) for t in node.output_tensors]
    args, kwargs = node.fill(known)
    return [t for t in tree.flatten(node.operation.compute_output_spec(*args, **kwargs)) if t is not None]


def _in_a_row(model: Any, input_shape: Any) -> list[Call]:
    """The calls of a sequential model that has no graph yet: one layer after another."""
    where = f"{type(model).__name__} '{model.name}'"
    if input_shape is None:
        raise ValueError(message(where, "its input has no size yet", "Give `input_shape`, or start it with an Input"))
    x = KerasTensor(tuple(input_shape), "float32", name="input")
    found = [Call(None, "input", (), (x,))]
    for layer in model.layers:
        x = _appended(found, layer, x)
    return found


def _appended(found: list[Call], layer: Any, x: KerasTensor) -> KerasTensor:
    inner = graph_of(layer)
    if inner is not None:
        return _walk(inner, [x], f"{layer.name}/", found)[0]
    y = layer.compute_output_spec(x)
    found.append(Call(layer, layer.name, (x,), (y,)))
    return y


# What is seen ---------------------------------------------------------------------------------------------------------


class Reach:
    """Who sees whom in a list of calls."""

    def __init__(self, listed: Sequence[Call]) -> None:
        self.calls = list(listed)
        self.made_by = {id(t): n for n, call in enumerate(self.calls) for t in call.outputs}
        self._axes = [tuple(_axes(call.layer, x) for x in call.inputs) for call in self.calls]

    def back(self, tensor: KerasTensor, spans: Spans, clip: bool = False) -> tuple[dict[int, Spans | None], bool]:
        """What the units of `tensor` in `spans` see of each input (by the id of its symbol; None: not known), and
        whether all paddings on the way are known. With `clip`, cells outside the layers' inputs are left out."""
        wanted: dict[int, Spans | None] = {id(tensor): spans}
        exact = True
        for n in range(self.made_by[id(tensor)], -1, -1):
            call = self.calls[n]
            held = [wanted[id(t)] for t in call.outputs if id(t) in wanted]
            if not held or not call.inputs:
                continue
            for x, axes in zip(call.inputs, self._axes[n], strict=True):
                exact = exact and not _vague(axes)
                found = _through(call.layer, axes, _union(held), len(x.shape) - 2)
                found = _clipped(found, axes) if clip else found
                wanted[id(x)] = found if id(x) not in wanted else _union([wanted[id(x)], found])
        return {id(t): wanted.get(id(t), ()) for call in self.calls if not call.inputs for t in call.outputs}, exact

    def fields(self, tensor: KerasTensor) -> tuple[Receptive, ...] | None:
        """Size, jump and start along each spatial axis, of the input of which most is seen; None if not known."""
        rank = max(len(tensor.shape) - 2, 0)
        phases = self._phases(self.made_by[id(tensor)])
        sights, exact = [], True
        for unit in range(phases + 1):
            found, known = self.back(tensor, ((unit, unit),) * rank)
            exact = exact and known
            sights.append(_widest(found))
        if any(s is None for s in sights):
            return None
        per_axis = zip(*(s for s in sights if s), strict=True)
        return tuple(_field(spans, phases, exact) for spans in per_axis)

    def _phases(self, last: int) -> int:
        listed = self._axes[: last + 1]
        factors = [max((_phases_of(a) for axes in found for a in axes or ()), default=1) for found in listed]
        return min(math.prod(factors), _MOST_PHASES)


def _axes(layer: Any, x: KerasTensor) -> tuple[Axis, ...] | None:
    return axes_of(layer, tuple(x.shape)) if len(x.shape) > 2 else ()


def _vague(axes: tuple[Axis, ...] | None) -> bool:
    return any(a.kind == "window" and a.pads is None for a in axes or ())


def _through(layer: Any, axes: tuple[Axis, ...] | None, spans: Spans | None, rank: int) -> Spans | None:
    """The spans seen in an input with `rank` spatial axes. A layer that mixes places sees all of them."""
    if spans is None:
        return None
    if axes is not None and len(axes) == len(spans) == max(rank, 0):
        return tuple(a.back(span) for a, span in zip(axes, spans, strict=True))
    return (ALL,) * max(rank, 0) if not spans or _mixes(layer) else None


def _mixes(layer: Any) -> bool:
    """Whether a layer that `axes_of` does not know is striate's own: then an output may depend on all places. Of the
    user's layers, of wrapped ones and of functions that is not known."""
    ours = type(layer).__module__.startswith("striate.")
    return ours and not isinstance(layer, Wrapper | FunctionOperation)


def _clipped(spans: Spans | None, axes: tuple[Axis, ...] | None) -> Spans | None:
    if spans is None or not axes or len(axes) != len(spans):
        return spans
    ends = (math.inf if a.i is None else a.i - 1 for a in axes)
    return tuple((max(first, 0), min(last, end)) for (first, last), end in zip(spans, ends, strict=True))


def _union(listed: Sequence[Spans | None]) -> Spans | None:
    if any(s is None for s in listed):
        return None
    groups = zip(*(s for s in listed if s is not None), strict=False)
    return tuple(_hull([s for s in group if s[0] <= s[1]] or [group[0]]) for group in groups)


def _hull(spans: Sequence[Span]) -> Span:
    return min(a for a, _ in spans), max(b for _, b in spans)


def _widest(found: dict[int, Spans | None]) -> Spans | None:
    """The spans in the input of which most is seen."""
    if any(s is None for s in found.values()):
        return None
    spans = [s for s in found.values() if s]
    return max(spans, key=lambda s: math.prod(b - a + 1 for a, b in s), default=())


def _field(spans: Sequence[Span], phases: int, exact: bool) -> Receptive:
    first, again = spans[0][0], spans[phases][0]
    if math.isinf(first):
        return Receptive(math.inf, 0, None)
    size = max(b - a + 1 for a, b in spans)
    jump = Fraction(int(again - first), phases)
    return Receptive(int(size), int(jump) if jump.denominator == 1 else jump, int(first) if exact else None)


def field_of(axis: Axis) -> Receptive:
    """What the outputs of one layer see of its input, along one axis."""
    phases = min(_phases_of(axis), _MOST_PHASES)
    return _field([axis.back((n, n)) for n in range(phases + 1)], phases, not _vague((axis,)))


def _phases_of(axis: Axis) -> int:
    """After how many outputs the windows begin anew."""
    if axis.kind in ("transposed", "resize"):
        return axis.s
    return axis.o // math.gcd(axis.i, axis.o) if axis.kind == "adaptive" and axis.i and axis.o else 1


def fields_of(listed: Sequence[Call]) -> list[tuple[Receptive, ...] | None]:
    """`Reach.fields` of the first output of each call."""
    reach = Reach(listed)
    return [reach.fields(call.outputs[0]) for call in listed]
