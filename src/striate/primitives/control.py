"""Control flow with subgraphs as parameters: `cond`, `while_loop`, and functions with a gradient of their own.

Subgraphs take all operands that the node has (what their Python functions captured are operands, too), and have no free
values. Results always come as a tuple.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from striate.ir import Aval, Graph
from striate.primitives.base import Array, Primitive, aval_of, register
from striate.primitives.interpret import apply_graph, run_graph

_FLOATS = ("bfloat16", "float16", "float32", "float64")


class _Differentiate:
    """The hook by which the rules here reach `autodiff`, which stands above and fills it when it is imported.

    `vjp(graph, wrt)` is the graph (inputs, one cotangent per output) -> gradients by the inputs at the positions `wrt`.
    """

    vjp: Callable[[Graph, Sequence[int]], Graph]


DIFFERENTIATE = _Differentiate()


def _floats(values: Sequence[Any]) -> list[int]:
    return [i for i, v in enumerate(values) if aval_of(v).dtype in _FLOATS]


def _spread(grads: Sequence[Array], places: Sequence[int], count: int) -> list[Array | None]:
    """`grads` at their places among `count`, None elsewhere."""
    table = dict(zip(places, grads, strict=True))
    return [table.get(i) for i in range(count)]


def _check_inputs(name: str, what: str, graph: Graph, operands: Sequence[Aval]) -> None:
    wanted, got = [v.aval for v in graph.inputs], list(operands)
    if wanted != got:
        raise ValueError(f"{name}: {what} takes {_shown(wanted)}, but the operands are {_shown(got)}.")


def _shown(avals: Sequence[Aval]) -> str:
    return "(" + ", ".join(f"{a.dtype}{list(a.shape)}" for a in avals) + ")"


def _is_flag(aval: Aval) -> bool:
    return aval.dtype == "bool" and int(np.prod(aval.shape, dtype=np.int64)) == 1


def _infer_cond(pred: Aval, *operands: Aval, true_graph: Graph, false_graph: Graph) -> tuple[Aval, ...]:
    if not _is_flag(pred):
        raise TypeError(f"cond: the predicate must be one bool, got {pred.dtype} of shape {pred.shape}.")
    for what, graph in (("the true branch", true_graph), ("the false branch", false_graph)):
        _check_inputs("cond", what, graph, operands)
    yes, no = ([v.aval for v in graph.outputs] for graph in (true_graph, false_graph))
    if yes != no:
        raise ValueError(
            f"cond: both branches must return the same shapes and dtypes, got {_shown(yes)} and {_shown(no)}."
        )
    return tuple(yes)


def _cond(pred: np.ndarray, *operands: np.ndarray, true_graph: Graph, false_graph: Graph) -> tuple[np.ndarray, ...]:
    return tuple(run_graph(true_graph if pred.item() else false_graph, operands))


def _cond_vjp(
    g: Sequence[Array], y: Any, pred: Array, *operands: Array, true_graph: Graph, false_graph: Graph
) -> list[Array | None]:
    places = _floats(operands)
    branches = {"true_graph": true_graph, "false_graph": false_graph}
    grads = cond(pred, *operands, *g, **{k: DIFFERENTIATE.vjp(b, places) for k, b in branches.items()})
    return [None, *_spread(grads, places, len(operands))]


# (pred, *operands; true_graph, false_graph): only the branch that `pred` picks is computed.
cond: Primitive = register(Primitive("cond", _infer_cond, _cond, _cond_vjp))


def _infer_while(
    *operands: Aval, cond_graph: Graph, body_graph: Graph, n_state: int, maximum_iterations: int | None
) -> tuple[Aval, ...]:
    _check_inputs("while_loop", "the condition", cond_graph, operands)
    _check_inputs("while_loop", "the body", body_graph, operands)
    if len(cond_graph.outputs) != 1 or not _is_flag(cond_graph.outputs[0].aval):
        raise TypeError(
            f"while_loop: the condition must return one bool, got {_shown([v.aval for v in cond_graph.outputs])}."
        )
    before, after = list(operands[:n_state]), [v.aval for v in body_graph.outputs]
    if before != after:
        raise ValueError(
            f"while_loop: the body must return the loop variables with their shapes and dtypes, {_shown(before)}, "
            f"but it "
            f"returned {_shown(after)}."
        )
    return tuple(before)


def _states(
    operands: Sequence[np.ndarray], cond_graph: Graph, body_graph: Graph, n_state: int, maximum_iterations: int | None
) -> Any:
    """Yields the loop variables before each iteration, and at last those at the end."""
    state, captured = list(operands[:n_state]), list(operands[n_state:])
    done = 0
    while maximum_iterations is None or done < maximum_iterations:
        (more,) = run_graph(cond_graph, [*state, *captured])
        if not more.item():
            break
        yield state
        state = run_graph(body_graph, [*state, *captured])
        done += 1
    yield state


def _while(*operands: np.ndarray, **params: Any) -> tuple[np.ndarray, ...]:
    (state,) = deque(_states(operands, **params), maxlen=1)
    return tuple(state)


def _while_vjp(g: Sequence[Array], y: Any, *operands: Array, body_graph: Graph, **params: Any) -> list[Array | None]:
    places = _floats(operands)
    body_vjp = DIFFERENTIATE.vjp(body_graph, places)
    grads = while_loop_grad(*operands, *g, body_graph=body_graph, body_vjp=body_vjp, **params)
    return _spread(grads, places, len(operands))


# (*state, *captured; cond_graph, body_graph, n_state, maximum_iterations): the first `n_state` operands are the loop
# variables. Both graphs take all operands; the body returns the new loop variables. Any number of iterations.
while_loop: Primitive = register(Primitive("while_loop", _infer_while, _while, _while_vjp))


def _infer_while_grad(*operands: Aval, body_graph: Graph, n_state: int, **_: Any) -> tuple[Aval, ...]:
    inputs = operands[: len(operands) - n_state]
    return tuple(inputs[i] for i in _floats_of(inputs))


def _floats_of(avals: Sequence[Aval]) -> list[int]:
    return [i for i, a in enumerate(avals) if a.dtype in _FLOATS]


def _while_grad(*operands: np.ndarray, body_vjp: Graph, n_state: int, **params: Any) -> tuple[np.ndarray, ...]:
    """Runs the loop again, keeping the loop variables of each iteration, then the body's gradient backwards."""
    inputs, cotangents = operands[: len(operands) - n_state], list(operands[len(operands) - n_state :])
    captured = inputs[n_state:]
    *states, _ = _states(inputs, n_state=n_state, **params)
    sums = dict(enumerate(cotangents)) | {i + n_state: np.zeros_like(c) for i, c in enumerate(captured)}
    places = _floats(inputs)
    for state in reversed(states):
        grads = run_graph(body_vjp, [*state, *captured, *(sums[i] for i in range(n_state))])
        for place, grad in zip(places, grads, strict=True):
            sums[place] = grad if place < n_state else sums[place] + grad
    return tuple(sums[i] for i in places)


def _no_second_gradient(*_: Any, **__: Any) -> Any:
    raise ValueError(
        "while_loop can be differentiated once only. Where a second derivative is needed, write the loop out "
        "in Python with a "
        "fixed number of iterations."
    )


while_loop_grad: Primitive = register(Primitive("while_loop_grad", _infer_while_grad, _while_grad, _no_second_gradient))


def _infer_custom(*operands: Aval, graph: Graph, vjp_graph: Graph) -> tuple[Aval, ...]:
    _check_inputs("custom_gradient", "the function", graph, operands)
    cotangents = [v.aval for v in graph.outputs]
    _check_inputs("custom_gradient", "the gradient function", vjp_graph, [*operands, *cotangents])
    for operand, grad in zip(operands, vjp_graph.outputs, strict=False):
        if operand.dtype in _FLOATS and operand != grad.aval:
            raise ValueError(
                f"custom_gradient: the gradient of {_shown([operand])} has another shape, {_shown([grad.aval])}."
            )
    return tuple(cotangents)


def _custom_vjp(g: Sequence[Array], y: Any, *operands: Array, graph: Graph, vjp_graph: Graph) -> list[Array | None]:
    grads = apply_graph(vjp_graph, [*operands, *g])
    floats = set(_floats(operands))
    return [grads[i] if i < len(grads) and i in floats else None for i in range(len(operands))]


# (*operands; graph, vjp_graph): computes `graph`; its gradient is `vjp_graph` (operands, cotangents) -> gradients by
# the first operands, as many as it returns. The others (captured ones) have none.
custom_vjp: Primitive = register(
    Primitive(
        "custom_vjp", _infer_custom, lambda *operands, graph, vjp_graph: tuple(run_graph(graph, operands)), _custom_vjp
    )
)
