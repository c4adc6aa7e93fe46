"""What a model costs on this machine, layer by layer: time, arithmetic, memory traffic, and the algorithms chosen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np

from striate import engines, kernels
from striate.core import dtypes, tree
from striate.core.errors import message
from striate.engines.native import NativeExecutable
from striate.kernels.conv import ALGORITHMS
from striate.plan import Operand, Plan, Step
from striate.trace import Jit, NoValueError
from striate.trace.compiled import CompiledFunction

OUTSIDE = "(other)"  # where steps stand that no layer made


@dataclass(frozen=True)
class StepProfile:
    """One step of the plan.

    Attributes:
        kernel: the compiled kernel that ran, or `numpy` and the primitive's name.
        algorithm: how it computes: `direct`, `winograd4`, `depthwise`, ...; else the kernel's name.
        seconds: the median over the rounds.
        read, written: the bytes of its operands and results.
    """

    kernel: str
    algorithm: str
    seconds: float
    read: int
    written: int


@dataclass(frozen=True)
class LayerProfile:
    """The steps of one layer, of all its calls.

    Attributes:
        name: the layer's name behind those of the models around it, as in `encoder/conv1`; the backward side has
            ` (gradient)` behind it, `(loss)`, `(optimizer)`, `(metrics)` and `(other)` stand for what is no layer.
        fused: the names of the layers whose work is done in the same steps.
        flops: multiplications and additions of its convolutions and products as the definition counts them (two per
            tap and channel), whatever the algorithm saves; 0 for elementwise work.
        steps: what runs for it at each call.
    """

    name: str
    fused: tuple[str, ...]
    flops: int
    steps: tuple[StepProfile, ...]

    @property
    def seconds(self) -> float:
        """The time of its steps."""
        return sum(s.seconds for s in self.steps)

    @property
    def gflops(self) -> float:
        """Billions of multiplications and additions per second; beyond the peak where an algorithm saves some."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def read(self) -> int:
        """Bytes that its steps take in."""
        return sum(s.read for s in self.steps)

    @property
    def written(self) -> int:
        """Bytes that its steps give out."""
        return sum(s.written for s in self.steps)

    @property
    def algorithm(self) -> str:
        """That of the step that takes longest, packing weights left aside."""
        return max(self.steps, key=lambda s: (s.algorithm != "pack", s.seconds)).algorithm


@dataclass(frozen=True)
class Profile:
    """What one call costs.

    Attributes:
        layers: in the order in which they first compute something.
        call_seconds: the median time of a whole call, what stands between the steps included.
        peak_gflops: what all threads together can multiply and add in registers, measured in the same minute.
        arena_bytes: memory that a running call needs for what lies between inputs and outputs.
        kept_bytes: what stays between calls, such as packed weights; the weights' own arrays are not counted.
        rounds, threads, isa: how it was measured.
    """

    layers: tuple[LayerProfile, ...]
    call_seconds: float
    peak_gflops: float
    arena_bytes: int
    kept_bytes: int
    rounds: int
    threads: int
    isa: str

    @property
    def seconds(self) -> float:
        """The time of all steps."""
        return sum(layer.seconds for layer in self.layers)

    @property
    def flops(self) -> int:
        """The multiplications and additions of all layers."""
        return sum(layer.flops for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        derived = ("seconds", "gflops", "read", "written", "algorithm")
        layers = [{**asdict(x), **{name: getattr(x, name) for name in derived}} for x in self.layers]
        return {**asdict(self), "seconds": self.seconds, "flops": self.flops, "layers": layers}


def profile(
    model: Any, x: Any, y: Any = None, rounds: int = 10, watch: Callable[[int], object] = lambda done: None
) -> Profile:
    """Runs `model` on `x` some times and says where the time goes.

    The weights stay as they are, also where a step of training is measured.

    Args:
        model: a model, a layer, or a function of tensors.
        x: what it is called on: an array or a nest of arrays, as one batch.
        y: targets; with them a step of training is measured, for which the model has to be compiled.
        rounds: how often it runs, after one run that is not counted.
        watch: called with the number of rounds that are done.

    Raises:
        ValueError: `rounds` below 1, another engine than `native`, `y` without `compile`, or code that looks at values.
    """
    if rounds < 1:
        raise ValueError(f"profile: rounds must be at least 1, received {rounds}.")
    compiled, arrays = _compiled(model, x, y)
    executable = compiled.executable
    if not isinstance(executable, NativeExecutable):
        problem = f"the engine '{engines.current().name}' does not run plans"
        raise ValueError(message("profile", problem, "Use the engine 'native'"))
    calls, times = _measured(compiled, arrays, rounds, watch)
    layers = tuple(_layers(executable.plan, times, getattr(model, "name", "")))
    return Profile(
        layers, calls, peak_gflops(), executable.plan.arena_bytes, executable.nbytes,
        rounds, kernels.get_num_threads(), kernels.isa(),
    )  # fmt: skip


def peak_gflops(seconds: float = 0.06) -> float:
    """Billions of multiplications and additions per second of all threads together, in registers; the best of several
    runs.
    """
    out, best, end = np.zeros(2, np.float32), np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        kernels.run("fma_peak", [], [out], (8 * kernels.get_num_threads(), 40_000))
        best = min(best, time.perf_counter() - start)
    return float(out[0]) / 1e3 / best


def _compiled(model: Any, x: Any, y: Any) -> tuple[CompiledFunction, list[np.ndarray]]:
    try:
        if y is not None:
            return _train_step(model, x, y)
        if not hasattr(model, "predict_step"):
            return Jit(model).compiled(x)
        return model._predicting().step.compiled(tree.map_structure(np.asarray, x))
    except NoValueError as error:
        what = getattr(model, "name", getattr(model, "__name__", "the function"))
        raise ValueError(f"profile: '{what}' cannot become a plan: {error}") from None


def _train_step(model: Any, x: Any, y: Any) -> tuple[CompiledFunction, list[np.ndarray]]:
    if not getattr(model, "compiled", False):
        raise ValueError(
            message("profile", "targets were given, but the model is not compiled", "Call compile() first")
        )
    batch = tree.map_structure(np.asarray, (x, y))
    model._build_for(batch)
    return model._step("train_step").compiled(batch)


def _measured(
    compiled: CompiledFunction, arrays: Sequence[np.ndarray], rounds: int, watch: Callable[[int], object]
) -> tuple[float, list[float]]:
    """Medians in seconds: of the whole call, and of each step. Results take the place of the round before."""
    outputs, _ = compiled.timed(arrays)
    calls, steps = [], []
    for done in range(rounds):
        watch(done)
        start = time.perf_counter()
        outputs, times = compiled.timed(arrays, outputs)
        calls.append(time.perf_counter() - start)
        steps.append(times)
    watch(rounds)
    medians = np.median(np.array(steps, float).reshape(rounds, -1), axis=0) / 1e9
    return float(np.median(calls)), medians.tolist()


def _layers(plan: Plan, times: Sequence[float], root: str) -> Iterator[LayerProfile]:
    rows: dict[str, list[tuple[Step, float]]] = {}
    for step, seconds in zip(plan.steps, times, strict=True):
        rows.setdefault(_places(step, root)[0], []).append((step, seconds))
    for name, listed in rows.items():
        origins = {id(step.origin): step.origin for step, _ in listed if step.origin is not None}
        fused = dict.fromkeys(place for step, _ in listed for place in _places(step, root) if place != name)
        steps = tuple(_step(step, seconds) for step, seconds in listed)
        yield LayerProfile(name, tuple(fused), sum(o.flops for o in origins.values()), steps)


def _places(step: Step, root: str) -> list[str]:
    """The layers of a step, without the name of the model itself before them."""
    where = step.origin.where if step.origin is not None else ()
    return [place.removeprefix(f"{root}/") for place in where] or [OUTSIDE]


def _step(step: Step, seconds: float) -> StepProfile:
    kernel = step.kernel or f"numpy {step.primitive}"
    read, written = (sum(map(_nbytes, operands)) for operands in (step.inputs, step.outputs))
    return StepProfile(kernel, _NAMES.get(kernel, kernel), seconds, read, written)


def _nbytes(operand: Operand) -> int:
    return prod(operand.shape) * dtypes.as_numpy(operand.dtype).itemsize


# What a user would call a kernel: the algorithm, where there are several for an operation.
_NAMES = {a.kernel: name for name, a in reversed(ALGORITHMS.items())} | {"elementwise": "loop"}
_NAMES |= {a.pack_kernel: "pack" for a in ALGORITHMS.values() if a.pack_kernel is not None}
