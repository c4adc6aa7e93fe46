"""Control flow of `keras.ops`: branches, loops, scans. On arrays it is plain Python; while tracing it becomes part
of the graph.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from striate.core import tree
from striate.core.registry import export
from striate.ir import Graph, Value, building, current
from striate.ops.base import convert, dtype_name, op, symbolic
from striate.ops.core import cast, get_item, unstack
from striate.ops.numpy_math import less_equal, subtract
from striate.ops.numpy_shape import concatenate, expand_dims, flip, stack
from striate.primitives import control as prim
from striate.trace.tracing import Tracer


def _tensor(x: Any) -> Any:
    return x if x is None else convert(x)


def _is_traced(structure: Any) -> bool:
    return any(isinstance(leaf, Value) for leaf in tree.flatten(structure))


class _Branch:
    """A function traced into a graph of its own: `operands` are its inputs, what it captured follows."""

    def __init__(self, fn: Callable[..., Any], operands: Sequence[Any]) -> None:
        tracer = Tracer(parent=current())
        with building(tracer):
            symbols = [tracer.input(tuple(v.shape), dtype_name(v)) for v in operands]
            result = tree.map_structure(_tensor, fn(*symbols))
            self.leaves = [v for v in tree.flatten(result) if v is not None]
            values = [v if isinstance(v, Value) else tracer.constant(v) for v in self.leaves]
            self.values = [tracer.own(v) for v in values]
        self.structure, self.tracer, self.inputs = result, tracer, symbols

    @property
    def captured(self) -> list[Value]:
        """The values of enclosing graphs that the function used."""
        return [outer for outer, _ in self.tracer.captured.values()]

    def graph(self, captured: Sequence[Value]) -> Graph:
        """The graph over the operands, then `captured`, of which it may use only some."""
        for value in captured:
            self.tracer.own(value)
        extra = [self.tracer.captured[id(v)][1] for v in captured]
        made = self.tracer.graph(self.values)
        return Graph([*self.inputs, *extra], made.nodes, made.outputs)

    def packed(self, results: Sequence[Any]) -> Any:
        """`results` in the structure that the function returned."""
        supply = iter(results)
        return tree.pack(self.structure, [None if v is None else next(supply) for v in tree.flatten(self.structure)])


def _united(*branches: _Branch) -> list[Value]:
    return list({id(v): v for branch in branches for v in branch.captured}.values())


@op("core")
def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """`true_fn()` if `pred` holds, else `false_fn()`; while tracing both must return the same shapes and dtypes.

    Raises:
        ValueError: branches that return different structures, shapes or dtypes.
    """
    pred = cast(pred, "bool")
    if not isinstance(pred, Value):
        return true_fn() if bool(pred) else false_fn()
    yes, no = _Branch(true_fn, ()), _Branch(false_fn, ())
    _same_structure(yes, no)
    captured = _united(yes, no)
    results = prim.cond(pred, *captured, true_graph=yes.graph(captured), false_graph=no.graph(captured))
    return yes.packed(results)


def _same_structure(yes: _Branch, no: _Branch) -> None:
    shapes = [tree.map_structure(lambda v: v is None, b.structure) for b in (yes, no)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "`true_fn` and `false_fn` should return outputs of the same kind (struct, dtype and shape). Got "
            f"{yes.structure} "
            f"and {no.structure} instead."
        )


@export("keras.ops.while_loop", "keras.ops.core.while_loop")
@symbolic
def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum_iterations: int | None = None
) -> Any:
    """Repeats `loop_vars = body(*loop_vars)` as long as `cond(*loop_vars)` holds.

    Args:
        loop_vars: a tuple or list of tensors, or one tensor; shapes and dtypes must stay.
        maximum_iterations: at most so many, by default any number.
    """
    several = isinstance(loop_vars, list | tuple)
    state = tuple(tree.map_structure(_tensor, v) for v in (loop_vars if several else (loop_vars,)))
    if current() is None:
        state = _looped(cond, body, state, maximum_iterations)
    else:
        state = _traced_loop(cond, body, state, maximum_iterations)
    return (list(state) if isinstance(loop_vars, list) else state) if several else state[0]


def _looped(cond: Any, body: Any, state: tuple[Any, ...], limit: int | None) -> tuple[Any, ...]:
    done = 0
    while (limit is None or done < limit) and bool(cond(*state)):
        state = _as_state(body(*state), len(state))
        done += 1
    return tuple(tree.map_structure(_tensor, v) for v in state)


def _as_state(result: Any, count: int) -> tuple[Any, ...]:
    state = tuple(result) if isinstance(result, list | tuple) else (result,)
    if len(state) != count:
        raise ValueError(f"while_loop: the body must return {count} loop variables, it returned {len(state)}.")
    return state


def _traced_loop(cond: Any, body: Any, state: tuple[Any, ...], limit: int | None) -> tuple[Any, ...]:
    leaves = tree.flatten(state)

    def test(*values: Any) -> Any:
        return cast(cond(*tree.pack(state, list(values))), "bool")

    def step(*values: Any) -> Any:
        new = _as_state(body(*tree.pack(state, list(values))), len(state))
        return [cast(v, dtype_name(old)) for v, old in zip(tree.flatten(new), leaves, strict=True)]

    before, after = _Branch(test, leaves), _Branch(step, leaves)
    captured = _united(before, after)
    results = prim.while_loop(
        *leaves,
        *captured,
        cond_graph=before.graph(captured),
        body_graph=after.graph(captured),
        n_state=len(leaves),
        maximum_iterations=limit,
    )
    return tree.pack(state, list(results))


@export("keras.ops.fori_loop", "keras.ops.core.fori_loop")
@symbolic
def fori_loop(lower: Any, upper: Any, body_fun: Callable[..., Any], init_val: Any) -> Any:
    """`val = body_fun(i, val)` for i from `lower` up to, without, `upper`."""
    if not _is_traced([lower, upper, init_val]) and current() is None:
        val = init_val
        for i in builtins.range(int(lower), int(upper)):
            val = body_fun(np.asarray(i, np.int32), val)
        return tree.map_structure(_tensor, val)
    state = (cast(lower, "int32"), init_val)
    return while_loop(lambda i, _: i < upper, lambda i, val: (i + 1, body_fun(i, val)), state)[1]


@export("keras.ops.switch", "keras.ops.core.switch")
@symbolic
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`branches[index](*operands)`; an index out of range counts as the nearest one that there is."""
    place: Any = cast(index, "int32")
    if not isinstance(place, Value):
        return branches[builtins.min(builtins.max(int(place), 0), len(branches) - 1)](*operands)
    if len(branches) == 1:
        return branches[0](*operands)
    rest = branches[1:]
    first, following = less_equal(place, 0), subtract(place, 1)
    return cond(first, lambda: branches[0](*operands), lambda: switch(following, rest, *operands))


def _length(xs: Any, length: int | None) -> int:
    sizes = {v.shape[0] for v in tree.flatten(xs) if v is not None}
    if length is not None:
        sizes.add(int(length))
    if len(sizes) != 1:
        raise ValueError(f"scan: all inputs need one size along their first axis (and `length`), got {sorted(sizes)}.")
    return sizes.pop()


@export("keras.ops.scan", "keras.ops.core.scan")
@symbolic
def scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: Any = 1,
) -> Any:
    """`carry, y = f(carry, x)` for each slice x of `xs` along the first axis; returns the last carry and the stacked
    ys.

    Args:
        xs: tensors, nested at will, or None with `length`.
        reverse: from the last slice to the first.
        unroll: accepted for Keras's sake.

    Raises:
        TypeError: `f` cannot be called. ValueError: sizes differ.
    """
    if not callable(f):
        raise TypeError(f"`f` should be a callable. Received: f={f}")
    xs = tree.map_structure(_tensor, xs)
    n = _length(xs, length)
    carry, ys = tree.map_structure(_tensor, init), []
    for i in reversed(builtins.range(n)) if reverse else builtins.range(n):
        place = i
        carry, y = f(carry, tree.map_structure(lambda v, at=place: v if v is None else get_item(v, at), xs))
        ys.append(y)
    ys = ys[::-1] if reverse else ys
    return carry, (tree.map_structure(_stacked, ys[0], *ys[1:]) if ys else None)


def _stacked(*slices: Any) -> Any:
    return None if slices[0] is None else stack(list(slices))


@export("keras.ops.map", "keras.ops.core.map")
@symbolic
def map(f: Callable[..., Any], xs: Any) -> Any:
    """`f` of each slice of `xs` along the first axis, the results stacked."""
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


@export("keras.ops.vectorized_map", "keras.ops.core.vectorized_map")
@symbolic
def vectorized_map(function: Callable[..., Any], elements: Any) -> Any:
    """`function` of each slice of `elements` along the first axis, the results stacked."""
    return map(function, elements)


@export("keras.ops.associative_scan", "keras.ops.core.associative_scan")
@symbolic
def associative_scan(f: Callable[..., Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """Running results of an associative `f(a, b)` along `axis`: e0, f(e0, e1), f(f(e0, e1), e2), ...

    `f` takes and returns the structure of `elems`, with slices that keep the axis.
    """
    if not callable(f):
        raise TypeError(f"`f` should be a callable. Received: f={f}")
    elems = tree.map_structure(convert, elems)
    turned = tree.map_structure(lambda v: flip(v, axis), elems) if reverse else elems
    leaves = [[expand_dims(s, axis) for s in unstack(v, axis=axis)] for v in tree.flatten(turned)]
    if len({len(slices) for slices in leaves}) != 1:
        raise ValueError("associative_scan: all inputs need one size along the axis.")
    steps = [tree.pack(elems, list(slices)) for slices in zip(*leaves, strict=True)]
    done = steps[:1]
    for step in steps[1:]:
        done.append(f(done[-1], step))
    made = tree.map_structure(lambda *slices: concatenate(list(slices), axis), *done)
    return tree.map_structure(lambda v: flip(v, axis), made) if reverse else made


class _CustomGradient:
    """A function with a gradient of its own."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self.f = f
        self.__name__ = getattr(f, "__name__", "custom_gradient")
        self.__doc__ = f.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not _is_traced([list(args)]):
            return self.f(*args, **kwargs)[0]
        args = tuple(convert(a) for a in args)
        forward = _Branch(lambda *xs: self.f(*xs, **kwargs)[0], args)
        backward = _Branch(lambda *values: self._grads(len(args), values, kwargs), [*args, *forward.values])
        captured = _united(forward, backward)
        # the gradient's graph takes the operands (captured ones, too) before the cotangents
        n = len(args)
        vjp = backward.graph(captured)
        count = len(forward.values)
        inputs = [*vjp.inputs[:n], *vjp.inputs[n + count :], *vjp.inputs[n : n + count]]
        vjp = Graph(inputs, vjp.nodes, vjp.outputs)
        return forward.packed(prim.custom_vjp(*args, *captured, graph=forward.graph(captured), vjp_graph=vjp))

    def _grads(self, n: int, values: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        _, grad = self.f(*values[:n], **kwargs)
        upstream = values[n:]
        found = grad(*upstream)
        found = list(found) if isinstance(found, list | tuple) else [found]
        return [np.zeros(x.shape, dtype_name(x)) if g is None else g for g, x in zip(found, values, strict=False)]


@export("keras.ops.custom_gradient", "keras.ops.core.custom_gradient")
def custom_gradient(f: Callable[..., Any]) -> Any:
    """Decorator for a function that returns its result and its gradient, `(y, grad)`: calls return `y`.

    `grad(*upstream)` gives the gradient of each argument, from those of the results; differentiation uses it.
    """
    return _CustomGradient(f)
