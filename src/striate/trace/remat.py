"""Which parts of a program are computed again for the backward side: segments, and Keras's `RematScope`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, NamedTuple

from striate.core import tree
from striate.core.registry import export
from striate.ir import Segment
from striate.trace.tape import Tape
from striate.trace.tracing import current_tracer

_STATE = threading.local()
_MODES = ("full", "activations", "larger_than", "list_of_layers", None)


class RematMode(NamedTuple):
    """What a `RematScope` says."""

    mode: str | None
    output_size_threshold: int = 1024
    layer_names: Sequence[str] = ()


@export("keras.RematScope")
class RematScope:
    """Layers made inside this context compute values again in the backward pass instead of keeping them.

    It saves memory in plans (`fit`, `train_on_batch`, `striate.jit`) and costs, at most, the time of a second forward
    pass; results and gradients stay the same. Scopes may be nested: the innermost one counts.

    Args:
        mode: "full": all layers, where a model is cut into segments so that its peak of memory is least;
            "activations": the activation functions of layers that have an `activation`; "larger_than": layers whose
            outputs are larger than `output_size_threshold`; "list_of_layers": those in `layer_names`; None: none.
        output_size_threshold: a number of elements, 1024 by default.
        layer_names: names of layers; a model among them is one segment.

    Raises:
        ValueError: an unknown mode.
    """

    def __init__(
        self, mode: str | None = "full", output_size_threshold: int = 1024, layer_names: Sequence[str] | None = None
    ) -> None:
        if mode not in _MODES:
            known = ", ".join(map(repr, _MODES))
            raise ValueError(f"Invalid mode '{mode}'. Supported modes are: {known}. Use one of them in RematScope.")
        self.mode, self.output_size_threshold, self.layer_names = mode, output_size_threshold, layer_names or []

    def __enter__(self) -> RematScope:
        _scopes().append(RematMode(self.mode, self.output_size_threshold, tuple(self.layer_names)))
        return self

    def __exit__(self, *_: object) -> None:
        _scopes().pop()


def _scopes() -> list[RematMode]:
    if not hasattr(_STATE, "scopes"):
        _STATE.scopes = []
    return _STATE.scopes


def current_mode() -> RematMode | None:
    """What the innermost scope says; None outside scopes."""
    scopes = getattr(_STATE, "scopes", None)
    return scopes[-1] if scopes else None


def may_cut() -> bool:
    """Whether a segment can begin here: in a trace, and outside other segments."""
    tracer = current_tracer()
    return tracer is not None and not isinstance(tracer, Tape) and tracer.segment is None


@contextmanager
def segment(part: Segment | None = None) -> Iterator[Segment]:
    """What is traced inside belongs to `part`, by default a new segment; inside another one, or when arrays are
    computed at once (all of them are kept then), nothing changes."""
    part, tracer = part or Segment(), current_tracer()
    if tracer is None or not may_cut():
        yield part
        return
    tracer.segment = part
    try:
        yield part
    finally:
        tracer.segment = None


def call(operation: Any, mode: RematMode, args: Any, kwargs: Any) -> Any:
    """Calls `operation.call` in the way that `mode` asks for."""
    run: Callable[..., Any] = operation.call
    if mode.mode == "list_of_layers" and operation.name in mode.layer_names:
        return _whole(run, args, kwargs)
    if operation._has_parts:
        return run(*args, **kwargs)
    if mode.mode == "full":
        return _whole(run, args, kwargs)
    if mode.mode == "larger_than":
        return _if_larger(run, mode.output_size_threshold, args, kwargs)
    if mode.mode == "activations" and getattr(operation, "activation", None) is not None:
        return _only_activation(operation, args, kwargs)
    return run(*args, **kwargs)


def _whole(run: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    with segment():
        return run(*args, **kwargs)


def _if_larger(run: Callable[..., Any], threshold: int, args: Any, kwargs: Any) -> Any:
    with segment() as part:
        outputs = run(*args, **kwargs)
    part.dissolved = sum(prod(x.shape) for x in tree.flatten(outputs) if x is not None) <= threshold
    return outputs


def _only_activation(operation: Any, args: Any, kwargs: Any) -> Any:
    activation = operation.activation
    # Not by setattr: an attribute that is replaced makes plans invalid.
    operation.__dict__["activation"] = lambda *a, **k: _whole(activation, a, k)
    try:
        return operation.call(*args, **kwargs)
    finally:
        operation.__dict__["activation"] = activation
