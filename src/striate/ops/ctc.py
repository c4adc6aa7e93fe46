"""Connectionist temporal classification: the loss of a sequence of labels without places (Graves et al., 2006)."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core import dtypes
from striate.core.errors import message
from striate.ops.base import as_float, cast_to, convert, dtype_name, host, op
from striate.ops.control import custom_gradient
from striate.primitives import elementwise

IMPOSSIBLE = -1e5  # the logarithm of the probability of what cannot happen, as Keras has it


@op("nn")
def ctc_loss(target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0) -> Any:
    """-log of the probability that `output` reads as `target`, blanks and repetitions taken out, per example.

    All ways to spread the labels over time are summed up by the forward algorithm, in logarithms and float64.

    Args:
        target: labels, integers `(batch, labels)`.
        output: logits `(batch, time, classes)`, floats.
        target_length: how many labels count, `(batch,)`.
        output_length: how many steps of time count, `(batch,)`.
        mask_index: the class that stands for blank. Defaults to 0.

    Raises:
        ValueError: other ranks, batches of different sizes, a label that is no class. The gradient has no gradient.
    """
    logits = as_float(output)
    wide = dtypes.result_type(dtype_name(logits), "float32")
    labels, *lengths = (cast_to(x, "int32") for x in (target, target_length, output_length))
    _check(labels, logits, *lengths)

    @custom_gradient
    def loss(x: Any) -> Any:
        def grad(g: Any) -> Any:
            slope = host(lambda *xs: _Lattice(mask_index, *xs).gradient().astype(wide), x, labels, *lengths)
            return elementwise.mul(slope, convert(g).reshape((-1, 1, 1)))

        return host(lambda *xs: _Lattice(mask_index, *xs).loss().astype(wide), x, labels, *lengths), grad

    return loss(cast_to(logits, wide))


def _check(labels: Any, logits: Any, *lengths: Any) -> None:
    shapes = f"target.shape={tuple(labels.shape)}, output.shape={tuple(logits.shape)}"
    if labels.ndim != 2 or logits.ndim != 3:
        fix = "Expected labels (batch, labels) and logits (batch, time, classes)"
        raise ValueError(message("ctc_loss", f"wrong ranks. Received: {shapes}", fix))
    if any(tuple(x.shape) != tuple(labels.shape[:1]) for x in (logits[:, 0, 0], *lengths)):
        raise ValueError(
            message("ctc_loss", f"batches of different sizes. Received: {shapes}", "Give one label row each")
        )


class _Lattice:
    """The states (blank, label 1, blank, label 2, ..., blank) over time.

    Args:
        blank: the class that stands for blank.
        logits: `(batch, time, classes)`.
        labels: `(batch, labels)`.
        n_labels, n_steps: how many labels and steps count, `(batch,)`.
    """

    def __init__(
        self, blank: int, logits: np.ndarray, labels: np.ndarray, n_labels: np.ndarray, n_steps: np.ndarray
    ) -> None:
        batch, self.time, classes = logits.shape
        count = labels.shape[1]
        self.n_labels = np.clip(n_labels.astype(int), 0, count)
        self.n_steps = n_steps
        self.classes = np.full((batch, 2 * count + 1), blank)
        self.classes[:, 1::2] = labels
        self._check_labels(classes)
        high = logits.max(axis=-1, keepdims=True, initial=-np.inf).astype(np.float64)
        total = np.log(np.exp(logits - high).sum(axis=-1, keepdims=True)) + high
        self.log_p = logits - total
        index = np.broadcast_to(self.classes[:, None], (batch, self.time, 2 * count + 1))
        self.emitted = np.take_along_axis(self.log_p, index, axis=-1)
        self.skip = np.full(self.classes.shape, -np.inf)  # the cost of passing over a blank
        self.skip[:, 3::2] = np.where(labels[:, 1:] == labels[:, :-1], IMPOSSIBLE, 0.0)
        self._forward()

    def _check_labels(self, classes: int) -> None:
        found = self.classes[:, 1::2]
        counted = np.arange(found.shape[1]) < self.n_labels[:, None]
        wrong = found[counted & ((found < 0) | (found >= classes))]
        if wrong.size and classes > 1:
            problem = f"label {wrong[0]} is no class: there are {classes}, numbered from 0"
            raise ValueError(message("ctc_loss", problem, "Give the last layer a unit per class, and one for blank"))

    def _ways(self, before: np.ndarray) -> np.ndarray:
        """The ways into each state: to stay, from the state before, past a blank; `(3, batch, states)`."""
        step = np.full_like(before, -np.inf)
        jump = step.copy()
        step[:, 1:] = before[:, :-1]
        jump[:, 2:] = before[:, :-2] + self.skip[:, 2:]
        return np.stack([before, step, jump])

    def _forward(self) -> None:
        state = np.full(self.classes.shape, IMPOSSIBLE)
        state[:, 0] = 0.0
        self.states = [state]
        for t in range(self.time):
            new = np.logaddexp.reduce(self._ways(state), axis=0) + self.emitted[:, t]
            state = np.where(t < self.n_steps[:, None], new, state)
            self.states.append(state)
        rows = np.arange(len(state))
        last = state[rows, 2 * self.n_labels]
        before = np.where(self.n_labels > 0, state[rows, 2 * self.n_labels - 1], -np.inf)
        self.ends = np.stack([last, before])
        self.log_likelihood = np.logaddexp(last, before)

    def loss(self) -> np.ndarray:
        """`(batch,)`."""
        return -self.log_likelihood

    def gradient(self) -> np.ndarray:
        """The loss's gradient by the logits, `(batch, time, classes)`."""
        rows = np.arange(len(self.classes))
        share = np.zeros(self.classes.shape)  # of the likelihood that passes each state
        np.add.at(share, (rows, 2 * self.n_labels), np.exp(self.ends[0] - self.log_likelihood))
        np.add.at(share, (rows, 2 * self.n_labels - 1), np.exp(self.ends[1] - self.log_likelihood))
        slope = np.zeros(self.log_p.shape)
        for t in reversed(range(self.time)):
            active = (t < self.n_steps)[:, None]
            here = np.where(active, share, 0.0)
            slope[:, t] = np.exp(self.log_p[:, t]) * active
            np.subtract.at(slope[:, t], (rows[:, None], self.classes), here)
            share = np.where(active, self._before(self.states[t], here), share)
        return slope

    def _before(self, state: np.ndarray, share: np.ndarray) -> np.ndarray:
        """The share of each state one step earlier."""
        ways = self._ways(state)
        stay, step, jump = np.exp(ways - np.logaddexp.reduce(ways, axis=0)) * share
        stay[:, :-1] += step[:, 1:]
        stay[:, :-2] += jump[:, 2:]
        return stay
