"""`grad` and `value_and_grad`: derivatives of Python functions by reverse mode, by arguments or by variables."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from striate.autodiff import gradients
from striate.core import dtypes, tree
from striate.ir import Value, building
from striate.primitives import structural
from striate.trace.tape import RecordedTensor, Tape, concrete
from striate.trace.tracing import Tracer, as_value, current_tracer
from striate.trace.variable import Variable, convert


def value_and_grad(
    fn: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    variables: Any = None,
) -> Callable[..., Any]:
    """A function that gives the value of `fn` and its gradient (reverse mode, Rumelhart et al. 1986).

    `fn` is run as it stands, op by op, so its code may print, branch on values and call models. Inside `striate.jit`
    and in a `train_step` that `fit` compiles, it becomes part of the plan instead.

    Args:
        fn: returns a float tensor of shape `()`, or with `has_aux` a pair of that and anything else.
        argnums: the positions of the arguments to differentiate by, each an array or a nest of arrays. The first one
            by default, and none if `variables` are given.
        has_aux: whether `fn` returns a pair `(value, aux)`.
        variables: a `Variable` or a nest of them to differentiate by, such as `model.trainable_variables`.

    Returns:
        A function of the same arguments. It returns `(value, gradients)`, with `has_aux` `((value, aux), gradients)`.
        The gradients have the nest of the argument (for several `argnums` a tuple), or that of `variables`; with both
        given a pair. What the value does not depend on gets zeros.

    Raises:
        TypeError: what is differentiated by is not of a float dtype, or `fn` returns no float tensor.
        ValueError: the value is not a scalar, or there is no such argument.
    """
    positions = _positions(argnums, variables)
    listed = _checked_variables(variables)

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for n in positions:
            if not -len(args) <= n < len(args):
                raise ValueError(
                    f"value_and_grad of {_name(fn)}: argnums={argnums} names an argument that is not there: the call "
                    f"has {len(args)} positional arguments. Pass it by position, or change argnums."
                )
        call = _Differentiated(fn, [n % len(args) for n in positions], has_aux, listed)
        result, by_args, by_variables = _run(call, args, kwargs)
        of_args = tuple(by_args) if isinstance(argnums, list | tuple) or not by_args else by_args[0]
        if variables is None:
            return result, of_args
        of_variables = tree.pack(variables, by_variables)
        return result, (of_args, of_variables) if by_args else of_variables

    return wrapper


def grad(
    fn: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    variables: Any = None,
) -> Callable[..., Any]:
    """A function that gives the gradient of `fn`; see `value_and_grad`. With `has_aux` it returns `(gradient, aux)`."""
    both = value_and_grad(fn, argnums, has_aux, variables)

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result, found = both(*args, **kwargs)
        return (found, result[1]) if has_aux else found

    return wrapper


def _positions(argnums: Any, variables: Any) -> list[int]:
    if argnums is None:
        return [0] if variables is None else []
    listed = list(argnums) if isinstance(argnums, list | tuple) else [argnums]
    if not all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in listed):
        raise TypeError(f"value_and_grad: `argnums` must be an integer or several. Received: argnums={argnums!r}")
    return [int(n) for n in listed]


def _checked_variables(variables: Any) -> list[Variable]:
    listed = [] if variables is None else tree.flatten(variables)
    for v in listed:
        if not isinstance(v, Variable):
            raise TypeError(f"value_and_grad: `variables` must hold Variables. Received: {v!r} of {type(v).__name__}")
    return listed


def _run(call: _Differentiated, args: Any, kwargs: Any) -> Any:
    """The call in the trace that is under way, or else on a tape of its own."""
    tracer = current_tracer()
    if tracer is not None:
        return call(tracer, args, kwargs)
    tape = Tape()
    with building(tape):
        result = call(tape, args, kwargs)
    tape.commit()
    return tree.map_structure(concrete, result)


class _Differentiated:
    """One call of a function whose gradient is asked for."""

    def __init__(self, fn: Any, positions: list[int], has_aux: bool, variables: list[Variable]) -> None:
        self.fn, self.positions, self.has_aux, self.variables = fn, positions, has_aux, variables

    def __call__(self, tracer: Tracer, args: Any, kwargs: Any) -> Any:
        args = list(args)
        starts: list[Value] = []
        for n in self.positions:
            args[n] = tree.pack(args[n], [self._start(tracer, x, starts) for x in tree.flatten(args[n])])
        reads = [self._read(tracer, v) for v in self.variables]
        result = self.fn(*args, **kwargs)
        value = self._value(result, tracer)
        found = self._gradients(value, [*starts, *reads])
        by_args = [tree.pack(args[n], _taken(found, args[n])) for n in self.positions]
        return result, by_args, found

    def _gradients(self, value: Value, wrt: list[Value]) -> list[Any]:
        one = np.ones((), dtypes.as_numpy(value.dtype))
        return [_writable(g) for g in gradients([value], [one], wrt)]

    def _start(self, tracer: Tracer, x: Any, starts: list[Value]) -> Any:
        """A value of its own for an argument, so that the same tensor used elsewhere is another one."""
        x = convert(x)
        self._check(x.dtype, "an argument")
        if isinstance(x, Value):
            made = structural.reshape(x, shape=tuple(x.shape))
        else:
            made = tracer.hold(x) if isinstance(tracer, Tape) else tracer.constant(x)
        starts.append(made)
        return made

    def _read(self, tracer: Tracer, variable: Variable) -> Value:
        value = tracer.own(tracer.read(variable))
        self._check(value.dtype, f"variable '{variable.path}'")
        return value

    def _check(self, dtype: Any, what: str) -> None:
        if not dtypes.is_floating(dtypes.name_of(dtype)):
            raise TypeError(
                f"grad of {_name(self.fn)}: {what} has dtype {dtypes.name_of(dtype)}; gradients are those by float "
                "tensors. Cast it, or leave it out."
            )

    def _value(self, result: Any, tracer: Tracer) -> Value:
        if self.has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(
                f"grad of {_name(self.fn)}: with has_aux=True it must return a pair (value, aux). Received: {result!r}"
            )
        value = as_value(tracer, result[0] if self.has_aux else result)
        if value.shape or not dtypes.is_floating(value.dtype):
            raise (ValueError if value.shape else TypeError)(
                f"grad of {_name(self.fn)}: it must return a float tensor of shape (). Received: shape {value.shape}, "
                f"dtype {value.dtype}. Take the mean or the sum."
            )
        return value


def _taken(found: list[Any], nest: Any) -> list[Any]:
    """The first gradients, as many as `nest` has leaves; they leave the list."""
    count = len(tree.flatten(nest))
    taken, found[:count] = found[:count], []
    return taken


def _writable(g: Any) -> Any:
    """Zeros come as one number that is repeated, which a caller cannot write to."""
    return g if isinstance(g, Value) or g.flags.writeable else np.array(g)


def _name(fn: Any) -> str:
    return f"'{getattr(fn, '__name__', type(fn).__name__)}'"


__all__ = ["RecordedTensor", "grad", "value_and_grad"]
