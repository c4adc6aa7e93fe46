"""What a primitive is, and how one is applied: to arrays at once, to symbolic values as a node of the graph.

A primitive holds in one place all that the rest of striate may ask of an op: the shapes and dtypes of its results, its
NumPy reference, its gradient and whether a compiled kernel exists. Gradients are written with primitives, so they can
be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.ir import Aval, Node, Value, current

Array = Any  # numpy.ndarray or ir.Value: what primitives take and return
Vjp = Callable[..., Sequence[Array | None]]

REGISTRY: dict[str, Primitive] = {}


@dataclass(frozen=True, eq=False)
class Primitive:
    """One op.

    Attributes:
        name: the name in the graph.
        infer: `infer(*avals, **params) -> Aval | tuple[Aval, ...]`, sizes all known; raises ValueError or TypeError.
        reference: `reference(*arrays, **params) -> ndarray | tuple`, NumPy, in the dtype of its inputs (float64 too).
        vjp: `vjp(g, y, *inputs, **params)` gives the gradient of each input (None where there is none), written with
            primitives; `g` and `y` are tuples for an op of several results. None: the op has no gradient.
        kernel: the family of compiled kernels that `plan` may choose for it, or None: it runs as a NumPy step.
        elementwise: output element i depends on element i of the (broadcast) inputs only.
    """

    name: str
    infer: Callable[..., Any]
    reference: Callable[..., Any]
    vjp: Vjp | None = None
    kernel: str | None = None
    elementwise: bool = False

    def __call__(self, *args: Array, **params: Any) -> Any:
        """Applies the op: to arrays at once on the current engine, to symbolic values by adding a node."""
        inputs = lift(args)
        builder = current()
        if any(isinstance(a, Value) for a in inputs):
            if builder is None:
                raise RuntimeError(_NOT_TRACING)
            return self._add(builder, inputs, params)
        return EAGER.run(self, inputs, params)

    def avals(self, inputs: Sequence[Any], params: dict[str, Any]) -> tuple[tuple[Aval, ...], bool]:
        """The avals of the results, and whether there is exactly one result (not wrapped in a tuple)."""
        result = self.infer(*(aval_of(v) for v in inputs), **params)
        return ((result,), True) if isinstance(result, Aval) else (tuple(result), False)

    def _add(self, builder: Any, inputs: Sequence[Array], params: dict[str, Any]) -> Any:
        values = [a if isinstance(a, Value) else builder.constant(a) for a in inputs]
        avals, single = self.avals(values, params)
        outputs = builder.add(self.name, values, params, avals)
        return outputs[0] if single else outputs


_NOT_TRACING = (
    "a symbolic tensor was used outside the function that it was traced in. Return it from that function, "
    "or keep it in "
    "a Variable with `assign`."
)


class _Eager:
    """The hook by which a primitive applied to arrays reaches the current engine, which stands above this layer."""

    def __init__(self) -> None:
        self.run: Callable[[Primitive, Sequence[np.ndarray], dict[str, Any]], Any] = run_reference


def run_reference(primitive: Primitive, inputs: Sequence[np.ndarray], params: dict[str, Any]) -> Any:
    """Checks the shapes by the op's rule, then computes with NumPy; results have the dtypes that the rule gives."""
    avals, single = primitive.avals(inputs, params)
    for aval in avals:
        check_size(aval.shape, primitive.name)
    with np.errstate(all="ignore"):
        result = primitive.reference(*inputs, **params)
    arrays = tuple(_as(r, aval) for r, aval in zip((result,) if single else result, avals, strict=True))
    return arrays[0] if single else arrays


# Beyond this many elements NumPy can't say any more how many bytes they take.
_MOST = 1 << 59


def check_size(shape: Sequence[int], what: str) -> None:
    """MemoryError where an array of `shape` is beyond any memory."""
    if prod(shape) > _MOST:
        raise MemoryError(f"{what}: an array of shape {tuple(shape)} is larger than any memory. Use smaller sizes.")


def _as(result: Any, aval: Aval) -> np.ndarray:
    return np.asarray(result, dtype=aval.dtype)


EAGER = _Eager()


def aval_of(value: Any) -> Aval:
    """The aval of an array or value."""
    return value.aval if isinstance(value, Value) else Aval(value.shape, dtypes.name_of(value.dtype))


def lift(args: Sequence[Any]) -> list[Array]:
    """Turns Python and NumPy scalars among `args` into arrays of the dtype of the first array there is."""
    if all(isinstance(a, np.ndarray | Value) for a in args):
        return list(args)
    like = next((a.dtype for a in args if isinstance(a, np.ndarray | Value)), None)
    return [a if isinstance(a, np.ndarray | Value) else np.asarray(a, dtype=like) for a in args]


def register(primitive: Primitive) -> Primitive:
    """Adds `primitive` to the registry under its name; names are unique."""
    if primitive.name in REGISTRY:
        raise ValueError(f"primitive '{primitive.name}' is registered twice")
    REGISTRY[primitive.name] = primitive
    return primitive


def get(name: str) -> Primitive:
    """The primitive called `name`; KeyError if there is none."""
    return REGISTRY[name]


def infer_node(node: Node) -> tuple[Aval, ...]:
    """The avals that a node's outputs must have by its primitive's rule (see `ir.verify`)."""
    return get(node.op).avals(node.inputs, node.params)[0]


def broadcast_shapes(name: str, *shapes: Sequence[int]) -> tuple[int, ...]:
    """NumPy's broadcast shape of `shapes`; ValueError that names the op and the shapes."""
    try:
        return tuple(np.broadcast_shapes(*(tuple(s) for s in shapes)))
    except ValueError:
        listed = " and ".join(str(tuple(s)) for s in shapes)
        raise ValueError(
            f"{name}: shapes {listed} can't be broadcast together. Sizes must be equal, or 1, from the last axis on."
        ) from None
