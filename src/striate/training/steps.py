"""One batch through `train_step`, `test_step` or `predict_step`: as a compiled plan, or as Python when it must be."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from striate.core import tree
from striate.layers.tracking import changes
from striate.trace import Jit, NoValueError, Variable, convert
from striate.trace.compiled import CompiledFunction
from striate.utils.waiting import waiting


class Step:
    """A method of a model that takes one batch, compiled once per structure, shapes and dtypes of the batch.

    A method that looks at values (prints them, branches on them) cannot be compiled: it runs as Python, as all do
    with the model's `run_eagerly`.

    Args:
        model: whose method it is.
        method: its name, such as "train_step".
        quiet: whether nothing is said of a method that cannot be compiled.
    """

    def __init__(self, model: Any, method: str, quiet: bool = False) -> None:
        self.model, self.method, self.quiet = model, method, quiet
        self.untraceable = False
        self._jit = Jit(self._run, changes)

    def __call__(self, batch: Any, announce: bool = False) -> Any:
        """What the method gives, with arrays for tensors; `announce`: whether to show that a long compilation runs."""
        if self.model.run_eagerly or self.untraceable:
            return tree.map_structure(_plain, self._run(tree.map_structure(_array, batch)))
        try:
            if not announce:
                return self._jit(batch)
            with waiting(f"Compiling {self.model.name}.{self.method}"):
                return self._jit(batch)
        except NoValueError as error:
            self.untraceable = True
            if not self.quiet:
                warnings.warn(
                    f"`{self.method}` of model '{self.model.name}' cannot be compiled, so it runs as Python, which is "
                    f"slower: {error}",
                    stacklevel=4,
                )
            return self(batch)

    def compiled(self, batch: Any) -> tuple[CompiledFunction, list[np.ndarray]]:
        """The compiled method for `batch`, and the arrays that it takes; nothing is computed.

        Raises:
            NoValueError: the method looks at values.
        """
        return self._jit.compiled(batch)

    def _run(self, batch: Any) -> Any:
        with added_losses(self.model):
            return getattr(self.model, self.method)(batch)


@contextmanager
def added_losses(model: Any) -> Iterator[None]:
    """Inside, the layers' added losses are those of this step alone; afterwards there are none."""
    layers = model._flatten_layers()
    _clear(layers)
    try:
        yield
    finally:
        _clear([*layers, *model._flatten_layers()])


def _clear(layers: list[Any]) -> None:
    for layer in layers:
        losses = getattr(layer, "_losses", None)
        if losses:
            losses.clear()


def _array(x: Any) -> Any:
    return None if x is None else np.asarray(convert(x))


def _plain(x: Any) -> Any:
    return x if x is None else np.asarray(x.value if isinstance(x, Variable) else x)


def as_logs(result: Any, method: str) -> dict[str, Any]:
    """What a step returned as numbers by name, in the order of the names.

    Raises:
        ValueError: it is no dict.
    """
    if not isinstance(result, dict):
        raise ValueError(
            f"`{method}` must return a dict of metric values, such as `self.get_metrics_result()`. Received: {result!r}"
        )
    found: dict[str, Any] = {}
    for key, value in sorted(result.items()):
        found.update(as_logs(value, method) if isinstance(value, dict) else {key: _number(value)})
    return found


def _number(value: Any) -> Any:
    array = np.asarray(value)
    return float(array.item()) if array.size == 1 and array.dtype.kind in "biuf" else array
