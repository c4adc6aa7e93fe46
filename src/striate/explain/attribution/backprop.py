"""Gradients by the input: plain ones, and with other rules at the rectifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striate import ops
from striate.autodiff import gradients
from striate.core.errors import message
from striate.explain.attribution.result import Attribution
from striate.explain.attribution.target import Score, Target
from striate.explain.probe import Compiled, Inputs
from striate.explain.progress import tracked
from striate.ir import Value, toposort
from striate.primitives import get
from striate.primitives.activations import relu

RECTIFIERS = ("relu", "relu6", "leaky_relu", "relu_general")


def gradient_of(score: Any, wrt: list[Any], rules: Any = None) -> list[Any]:
    """The gradients of the sum of `score` by values of the trace that is under way."""
    total = ops.sum(score)
    return list(gradients([total], [np.ones((), total.dtype)], wrt, rules))


class Gradient:
    """The score of each sample and its gradient by the input, as one plan."""

    def __init__(self, given: Inputs, score: Score, rules: Any = None) -> None:
        self.given, self.rectifiers = given, 0
        self._score, self._rules = score, rules
        self._compiled = Compiled(self._run)

    def _run(self, *values: Any) -> list[Any]:
        x = values[self.given.index]
        score = self._score.of(values)
        if isinstance(score, Value):
            self.rectifiers = sum(node.op in RECTIFIERS for node in toposort([score], [x]))
        return [score, *gradient_of(score, [x], self._rules)]

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores `(batch,)` and gradients of the shape of `x`."""
        score, found = self._compiled(*self.given.with_x(x))
        return np.asarray(score), np.asarray(found)


def saliency(
    model: Any,
    image: Any,
    target: Target = None,
    samples: int = 1,
    noise: float = 0.1,
    times_input: bool = False,
    seed: int | None = 0,
    which: int | str = 0,
    output: int = 0,
    before_softmax: bool = True,
    progress: bool | None = None,
) -> Attribution:
    """How much the score changes with each number of the input: M = max_c |dS/dx_c| (Simonyan et al. 2013).

    Args:
        model: any model or layer.
        image: `(height, width, channels)` as the model wants it, a batch, or for several inputs a list.
        target: a class, one for each sample, a function from the outputs to `(batch,)`, or None: the likeliest class.
        samples: more than 1 averages the gradients at that many noisy copies of the input (SmoothGrad, Smilkov et
            al. 2017: (1/n) sum dS/dx(x + N(0, sigma^2))).
        noise: sigma over the range of each image's numbers.
        times_input: whether the gradient is multiplied by the input, x dS/dx; the map then has signs.
        seed: of the noise.
        which: of several inputs, the index or name of the one that is looked at. output: of several outputs.
        before_softmax: whether a closing softmax or sigmoid is left out.
        progress: whether a bar is shown; None (default): in a terminal, if it takes longer than a second.

    Returns:
        An `Attribution`; `values` are the gradients.
    """
    given = Inputs(model, image, which, "saliency")
    score = Score(given, target, output, before_softmax)
    run, x = Gradient(given, score), given.x
    scores, values = run(x)
    if samples > 1:
        values = _smoothed(run, x, samples, noise, seed, progress)
    if times_input:
        values = values * x
    reduced = given.last(values).sum(-1) if times_input else np.abs(given.last(values)).max(-1)
    name = "SmoothGrad" if samples > 1 else "saliency"
    return Attribution(name, reduced, given.last(x), score.words, scores, values, times_input)


def _smoothed(run: Gradient, x: np.ndarray, samples: int, noise: float, seed: Any, progress: bool | None) -> np.ndarray:
    rng, axes = np.random.default_rng(seed), tuple(range(1, x.ndim))
    sigma = noise * (x.max(axes, keepdims=True) - x.min(axes, keepdims=True))
    total = np.zeros(x.shape, "float64")
    for _ in tracked(range(samples), "SmoothGrad", progress):
        total += run((x + rng.normal(size=x.shape) * sigma).astype(x.dtype))[1]
    return (total / samples).astype(x.dtype)


def guided(
    model: Any,
    image: Any,
    target: Target = None,
    which: int | str = 0,
    output: int = 0,
    before_softmax: bool = True,
) -> Attribution:
    """Guided backpropagation: at each rectifier only what is positive in both directions passes, R' = [y > 0] [R > 0]
    R (Springenberg et al. 2014). Rectifiers are found wherever they are computed: layers, `activation=` arguments,
    functions in a `call`.

    It shows edges that the network uses, and depends little on the class (Adebayo et al. 2018).

    The arguments are those of `saliency`.

    Raises:
        ValueError: the model has no rectifier on the way.
    """
    rules = {name: _guided_rule(name) for name in RECTIFIERS}
    return _ruled("guided", "guided backpropagation", rules, model, image, target, which, output, before_softmax)


def deconvolution(
    model: Any,
    image: Any,
    target: Target = None,
    which: int | str = 0,
    output: int = 0,
    before_softmax: bool = True,
) -> Attribution:
    """Deconvolution: at each rectifier what goes backwards is rectified itself, R' = [R > 0] R (Zeiler & Fergus
    2013); max-pooling hands back to the places that its maxima came from.

    The arguments are those of `saliency`.

    Raises:
        ValueError: the model has no rectifier on the way.
    """
    rules = {name: _deconvolution_rule for name in RECTIFIERS}
    where = ("deconvolution", "deconvolution")
    return _ruled(*where, rules, model, image, target, which, output, before_softmax)


def _guided_rule(name: str) -> Callable[..., Any]:
    own = get(name).vjp or _deconvolution_rule
    return lambda g, y, *inputs, **params: own(relu(g), y, *inputs, **params)


def _deconvolution_rule(g: Any, y: Any, *inputs: Any, **params: Any) -> Any:
    return (relu(g),)


def _ruled(
    where: str, name: str, rules: Any, model: Any, image: Any, target: Any, which: Any, output: int, before: bool
) -> Attribution:
    given = Inputs(model, image, which, where)
    score = Score(given, target, output, before)
    run = Gradient(given, score, rules)
    scores, values = run(given.x)
    if not run.rectifiers:
        problem = f"'{given.model.name}' has no rectifier (ReLU, leaky ReLU) between the input and the score"
        raise ValueError(message(where, problem, "Use saliency or integrated_gradients"))
    why = f"{run.rectifiers} rectifiers have the rule of {name}"
    return Attribution(
        name, np.abs(given.last(values)).max(-1), given.last(given.x), score.words, scores, values, why=why
    )
