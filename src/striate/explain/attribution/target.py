"""The number that is explained: one class of the output, or anything that a function makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from striate import ops
from striate.core import tree
from striate.core.errors import message
from striate.explain.probe import Compiled, Inputs
from striate.ir import Value

Target = int | Sequence[int] | Callable[[Any], Any] | None


class Score:
    """A model's score for a target, one number per sample.

    Args:
        given: the model and its inputs.
        target: a class (the last axis of the output) for all samples or one for each; a function from the outputs to
            one number per sample; None for the class that the model finds likeliest.
        output: of a model with several outputs, the index of the one that counts.
        before_softmax: whether the class's number is taken before a closing softmax or sigmoid (Simonyan et al. 2013:
            after it, a gradient may come from other classes' scores falling).
    """

    def __init__(self, given: Inputs, target: Target, output: int = 0, before_softmax: bool = True) -> None:
        self.given, self.output, self.before = given, output, before_softmax
        self.target: Any = target
        if not callable(target):
            self.target = self._classes(target)

    def _classes(self, target: Any) -> np.ndarray | None:
        samples = len(self.given.x)
        shape, best = self._look()
        if len(shape) < 2:
            return None  # one number per sample: it is the score
        if target is None:
            return best
        classes = np.broadcast_to(np.asarray(target), (samples,)) if np.ndim(target) == 0 else np.asarray(target)
        if classes.shape != (samples,) or classes.dtype.kind not in "iu":
            problem = f"`target` must be a class, or one for each of the {samples} samples. Received: {target!r}"
            raise ValueError(message(self.given.where, problem, "Give integers, or a function of the output"))
        if (classes < -shape[-1]).any() or (classes >= shape[-1]).any():
            problem = f"the output has the classes 0 to {shape[-1] - 1}. Received: target={target!r}"
            raise ValueError(message(self.given.where, problem))
        return classes % shape[-1]

    def _look(self) -> tuple[tuple[int, ...], np.ndarray]:
        """The output's shape, and the likeliest class of each sample (over all places, if it has places)."""
        y = np.asarray(Compiled(lambda *xs: self._output(self.given.call(xs)))(*self.given.arrays))
        if y.ndim < 2:
            return y.shape, np.zeros(len(y), int)
        return y.shape, y.reshape(len(y), -1, y.shape[-1]).sum(1).argmax(-1)

    def _output(self, outputs: Any) -> Any:
        flat = [t for t in tree.flatten(outputs) if t is not None]
        if not -len(flat) <= self.output < len(flat):
            problem = f"there is no output {self.output}: the model has {len(flat)}"
            raise ValueError(message(self.given.where, problem))
        return flat[self.output]

    def __call__(self, outputs: Any) -> Any:
        """`(batch,)` from the model's outputs, within a trace."""
        if callable(self.target):
            return self._checked(self.target(outputs))
        y = self._output(outputs)
        y = before_closing(y) if self.before else y
        if self.target is None:
            return ops.reshape(y, (-1,))
        one_hot = np.zeros((len(self.target), *[1] * (y.ndim - 2), y.shape[-1]), "float32")
        one_hot[np.arange(len(self.target)), ..., self.target] = 1
        factor = y.shape[0] // len(one_hot)
        mask = one_hot if factor == 1 else np.repeat(one_hot, factor, axis=0)
        return ops.sum(y * ops.cast(mask, y.dtype), axis=tuple(range(1, y.ndim)))

    def _checked(self, score: Any) -> Any:
        if score.ndim > 1:
            problem = f"the function `target` gave shape {tuple(score.shape)}"
            raise ValueError(message(self.given.where, problem, "Let it give one number per sample, shape (batch,)"))
        return score

    def of(self, values: Sequence[Any]) -> Any:
        """`(batch,)` from values of the inputs."""
        return self(self.given.call(values))

    @property
    def words(self) -> tuple[str, ...]:
        """What is explained of each sample, for titles."""
        if callable(self.target):
            name = getattr(self.target, "__name__", "target").replace("<lambda>", "target")
            return (name,) * len(self.given.x)
        if self.target is None:
            return ("output",) * len(self.given.x)
        return tuple(f"class {c}" for c in self.target)


def before_closing(y: Any) -> Any:
    """What went into the softmax or the sigmoid that made `y`; `y` itself if none did."""
    node = y.node if isinstance(y, Value) else None
    return node.inputs[0] if node is not None and node.op in ("softmax", "sigmoid") else y
